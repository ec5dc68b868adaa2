# Writes the bytes of INPUT as a C++ array to OUTPUT; the other half of descriptor_set.h.
file(READ ${INPUT} hex HEX)
string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
file(WRITE ${OUTPUT} "// Generated from admin.protoset.
#include \"proto/descriptor_set.h\"

namespace graspd::proto {
namespace {
constexpr unsigned char kBytes[] = {
${bytes}};
}  // namespace

std::string_view AdminDescriptorSet() {
  return {reinterpret_cast<const char*>(kBytes), sizeof kBytes};
}
}  // namespace graspd::proto
")
