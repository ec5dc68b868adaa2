#include "base/hex.h"

#include <array>
#include <cstddef>
#include <cstring>

namespace graspd::base {
namespace {

constexpr char kDigits[] = "0123456789abcdef";
constexpr uint8_t kBad = 0xff;

constexpr std::array<uint8_t, 256> MakeValues() {
  std::array<uint8_t, 256> values{};
  values.fill(kBad);
  for (uint8_t i = 0; i < 16; ++i) values[static_cast<uint8_t>(kDigits[i])] = i;
  return values;
}
constexpr auto kValues = MakeValues();

// Both digits of every byte.
constexpr std::array<std::array<char, 2>, 256> MakePairs() {
  std::array<std::array<char, 2>, 256> pairs{};
  for (size_t i = 0; i < pairs.size(); ++i) pairs[i] = {kDigits[i >> 4], kDigits[i & 15]};
  return pairs;
}
constexpr auto kPairs = MakePairs();

}  // namespace

void HexEncodeTo(std::span<const uint8_t> bytes, char* out) {
  for (const uint8_t byte : bytes) {
    std::memcpy(out, kPairs[byte].data(), 2);  // one store, not two
    out += 2;
  }
}

std::string HexEncode(std::span<const uint8_t> bytes) {
  std::string out(bytes.size() * 2, '\0');
  HexEncodeTo(bytes, out.data());
  return out;
}

bool HexDecode(std::string_view hex, std::span<uint8_t> out) {
  if (hex.size() != out.size() * 2) return false;
  uint8_t seen = 0;
  for (size_t i = 0; i < out.size(); ++i) {
    const uint8_t high = kValues[static_cast<uint8_t>(hex[2 * i])];
    const uint8_t low = kValues[static_cast<uint8_t>(hex[2 * i + 1])];
    seen |= high | low;
    out[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return (seen & 0xf0) == 0;
}

}  // namespace graspd::base
