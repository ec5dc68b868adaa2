#include "nostr/nip19.h"

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "base/hex.h"
#include "base/status_macros.h"

namespace graspd::nostr {
namespace {

constexpr std::string_view kPublic = "npub", kSecret = "nsec";
constexpr size_t kHumanDigits = 4;  // of either
constexpr std::string_view kAlphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
constexpr size_t kChecksumDigits = 6;
constexpr size_t kKeyDigits = 52;  // 256 bits in groups of five, the last one padded with zeros

// The BCH code of BIP-173 over digits of five bits.
uint32_t Polymod(std::span<const uint8_t> digits) {
  constexpr std::array<uint32_t, 5> kGenerator = {0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd,
                                                  0x2a1462b3};
  uint32_t sum = 1;
  for (const uint8_t digit : digits) {
    const uint32_t top = sum >> 25;
    sum = ((sum & 0x1ffffff) << 5) ^ digit;
    for (size_t i = 0; i < kGenerator.size(); ++i) {
      if ((top >> i) & 1) sum ^= kGenerator[i];
    }
  }
  return sum;
}

// What the checksum covers before the data: the human part, spread over two digits a character.
std::vector<uint8_t> ExpandHumanPart(std::string_view human) {
  std::vector<uint8_t> out;
  for (const char c : human) out.push_back(static_cast<uint8_t>(c) >> 5);
  out.push_back(0);
  for (const char c : human) out.push_back(static_cast<uint8_t>(c) & 31);
  return out;
}

std::vector<uint8_t> ToDigits(const PublicKey& key) {
  std::vector<uint8_t> digits;
  uint32_t bits = 0;
  int count = 0;
  for (const uint8_t byte : key.bytes) {
    bits = (bits << 8) | byte;
    for (count += 8; count >= 5; count -= 5) digits.push_back((bits >> (count - 5)) & 31);
  }
  digits.push_back((bits << (5 - count)) & 31);  // 256 mod 5 = 1: one bit is left
  return digits;
}

// Nothing if the padding bits are not zero: one key has one spelling.
std::optional<Digest> FromDigits(std::span<const uint8_t> digits) {
  Digest key{};
  uint32_t bits = 0;
  int count = 0;
  size_t next = 0;
  for (const uint8_t digit : digits) {
    bits = (bits << 5) | digit;
    count += 5;
    if (count >= 8) {
      key[next++] = static_cast<uint8_t>(bits >> (count - 8));
      count -= 8;
    }
  }
  if ((bits & ((1u << count) - 1)) != 0) return std::nullopt;
  return key;
}

// Lower-case text, or nothing if the cases are mixed.
std::optional<std::string> ToOneCase(std::string_view text) {
  bool lower = false, upper = false;
  std::string out(text);
  for (char& c : out) {
    lower |= c >= 'a' && c <= 'z';
    if (c >= 'A' && c <= 'Z') {
      upper = true;
      c = static_cast<char>(c - 'A' + 'a');
    }
  }
  if (lower && upper) return std::nullopt;
  return out;
}

absl::Status Malformed(std::string_view human, std::string_view why) {
  return absl::InvalidArgumentError(std::string(human) + " " + std::string(why));
}

// The 32 bytes that a bech32 text with this human part holds.
absl::StatusOr<Digest> Decode(std::string_view human, std::string_view text) {
  const auto lower = ToOneCase(text);
  if (!lower) return Malformed(human, "mixes upper and lower case");
  if (lower->size() != kHumanDigits + 1 + kKeyDigits + kChecksumDigits ||
      !lower->starts_with(human) || (*lower)[kHumanDigits] != '1') {
    return absl::InvalidArgumentError("not an " + std::string(human));
  }
  std::vector<uint8_t> covered = ExpandHumanPart(human);
  const size_t data_begin = covered.size();
  for (const char c : lower->substr(kHumanDigits + 1)) {
    const size_t digit = kAlphabet.find(c);
    if (digit == std::string_view::npos) return Malformed(human, "has a character outside bech32");
    covered.push_back(static_cast<uint8_t>(digit));
  }
  if (Polymod(covered) != 1) return Malformed(human, "has a wrong checksum");
  const auto key = FromDigits(std::span(covered).subspan(data_begin, kKeyDigits));
  if (!key) return Malformed(human, "has bits after the key");
  return *key;
}

}  // namespace

std::string EncodeNpub(const PublicKey& key) {
  const std::vector<uint8_t> digits = ToDigits(key);
  std::vector<uint8_t> covered = ExpandHumanPart(kPublic);
  covered.insert(covered.end(), digits.begin(), digits.end());
  covered.insert(covered.end(), kChecksumDigits, 0);
  const uint32_t checksum = Polymod(covered) ^ 1;

  std::string out(kPublic);
  out += '1';
  for (const uint8_t digit : digits) out += kAlphabet[digit];
  for (size_t i = 0; i < kChecksumDigits; ++i) {
    out += kAlphabet[(checksum >> (5 * (kChecksumDigits - 1 - i))) & 31];
  }
  return out;
}

absl::StatusOr<PublicKey> DecodeNpub(std::string_view text) {
  GRASPD_ASSIGN_OR_RETURN(const Digest bytes, Decode(kPublic, text));
  return PublicKey{bytes};
}

absl::StatusOr<SecretKey> DecodeNsec(std::string_view text) {
  GRASPD_ASSIGN_OR_RETURN(const Digest bytes, Decode(kSecret, text));
  return SecretKey::FromHex(base::HexEncode(bytes));
}

}  // namespace graspd::nostr
