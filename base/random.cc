#include "base/random.h"

#include <sys/random.h>

#include <cerrno>
#include <cstdlib>
#include <vector>

#include "base/hex.h"

namespace graspd::base {

SystemRandom& SystemRandom::Instance() {
  static SystemRandom random;
  return random;
}

void SystemRandom::Fill(std::span<uint8_t> out) {
  while (!out.empty()) {
    const ssize_t n = getrandom(out.data(), out.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) std::abort();
    out = out.subspan(static_cast<size_t>(n));
  }
}

uint64_t SystemRandom::Next() {
  uint64_t value = 0;
  Fill({reinterpret_cast<uint8_t*>(&value), sizeof value});
  return value;
}

std::string SystemRandom::HexToken(size_t bytes) {
  std::vector<uint8_t> raw(bytes);
  Fill(raw);
  return HexEncode(raw);
}

}  // namespace graspd::base
