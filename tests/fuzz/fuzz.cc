#include "tests/fuzz/fuzz.h"

#include <cstdio>
#include <cstdlib>

namespace graspd::fuzz {

void Fail(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
  std::abort();
}

}  // namespace graspd::fuzz
