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

// Sixteen bytes at a time as vectors, a language extension of g++ and clang: every event that is
// served carries 128 bytes of hex.
using Bytes16 = uint8_t __attribute__((vector_size(16)));

Bytes16 DigitsOf(Bytes16 nibbles) {
  constexpr uint8_t kToLetters = 'a' - '9' - 1;
  return nibbles + '0' + (reinterpret_cast<Bytes16>(nibbles > 9) & kToLetters);
}

void Encode16(const uint8_t* bytes, char* out) {
  Bytes16 in;
  std::memcpy(&in, bytes, sizeof in);
  const Bytes16 high = DigitsOf(in >> 4), low = DigitsOf(in & 15);
  const Bytes16 first =
      __builtin_shufflevector(high, low, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const Bytes16 second = __builtin_shufflevector(high, low, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28,
                                                 13, 29, 14, 30, 15, 31);
  std::memcpy(out, &first, sizeof first);
  std::memcpy(out + 16, &second, sizeof second);
}

}  // namespace

void HexEncodeTo(std::span<const uint8_t> bytes, char* out) {
  for (; bytes.size() >= 16; bytes = bytes.subspan(16), out += 32) Encode16(bytes.data(), out);
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
