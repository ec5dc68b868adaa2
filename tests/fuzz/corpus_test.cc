#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "tests/fuzz/fuzz.h"

namespace graspd::fuzz {

void RunCorpus(const char* name, void (*target)(std::string_view)) {
  size_t inputs = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(FUZZ_CORPUS "/") + name)) {
    SCOPED_TRACE(entry.path().string());
    std::ifstream file(entry.path(), std::ios::binary);
    // Of exactly that size, so that reading past its end is found by AddressSanitizer.
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    std::fprintf(stderr, "%s\n", entry.path().c_str());  // the last one, should it abort
    target({bytes.data(), bytes.size()});
    ++inputs;
  }
  EXPECT_GT(inputs, 0u);
}

}  // namespace graspd::fuzz
