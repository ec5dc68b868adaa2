// What the fuzz targets share. A target is one file with one FUZZ_TARGET(name): libFuzzer's entry
// point in the preset `fuzz`; elsewhere a unit test that runs every file of
// tests/fuzz/corpus/<name>.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace graspd::fuzz {

/// Ends the program and says which property does not hold.
[[noreturn]] void Fail(const char* file, int line, const char* condition);

/// Takes an input apart from its beginning; whatever is missing is zero or empty.
class Input {
 public:
  explicit Input(std::string_view bytes) : rest_(bytes) {}
  [[nodiscard]] bool empty() const { return rest_.empty(); }
  uint8_t Byte() {
    const std::string_view byte = Bytes(1);
    return byte.empty() ? 0 : static_cast<uint8_t>(byte[0]);
  }
  uint16_t Uint16() {
    const auto high = static_cast<uint16_t>(Byte() << 8);
    return static_cast<uint16_t>(high | Byte());
  }
  std::string_view Bytes(size_t count) {
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(taken.size());
    return taken;
  }
  std::string_view Line() {
    const std::string_view line = rest_.substr(0, rest_.find('\n'));
    rest_.remove_prefix(std::min(rest_.size(), line.size() + 1));
    return line;
  }
  std::string_view Rest() { return Bytes(rest_.size()); }

 private:
  std::string_view rest_;
};

#ifndef GRASPD_LIBFUZZER
/// Runs `target` on each file of tests/fuzz/corpus/`name`; fails if there is none.
void RunCorpus(const char* name, void (*target)(std::string_view));
#endif

}  // namespace graspd::fuzz

/// A property of the code under test.
#define FUZZ_CHECK(condition) \
  ((condition) ? void(0) : ::graspd::fuzz::Fail(__FILE__, __LINE__, #condition))

#ifdef GRASPD_LIBFUZZER
#define FUZZ_TARGET(name)                                                      \
  static void FuzzOneInput(std::string_view bytes);                            \
  extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {    \
    FuzzOneInput(std::string_view(reinterpret_cast<const char*>(data), size)); \
    return 0;                                                                  \
  }                                                                            \
  static void FuzzOneInput(std::string_view bytes)
#else
#include <gtest/gtest.h>
#define FUZZ_TARGET(name)                                                         \
  static void FuzzOneInput(std::string_view bytes);                               \
  TEST(FuzzCorpusTest, name) { ::graspd::fuzz::RunCorpus(#name, &FuzzOneInput); } \
  static void FuzzOneInput(std::string_view bytes)
#endif
