#include "base/hex.h"

#include <gtest/gtest.h>

#include <array>

namespace graspd::base {
namespace {

TEST(HexTest, EveryByteSurvivesARoundTrip) {
  std::array<uint8_t, 256> bytes, back{};
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i);
  const std::string hex = HexEncode(bytes);
  EXPECT_EQ(hex.substr(0, 8), "00010203");
  EXPECT_EQ(hex.substr(508), "feff");
  ASSERT_TRUE(HexDecode(hex, back));
  EXPECT_EQ(back, bytes);
}

TEST(HexTest, EveryLengthIsEncodedAsPrintfDoes) {
  std::vector<uint8_t> bytes;
  std::string expected;
  for (int i = 0; i < 70; ++i) {
    EXPECT_EQ(HexEncode(bytes), expected);
    bytes.push_back(static_cast<uint8_t>(i * 37));
    char digits[3];
    snprintf(digits, sizeof digits, "%02x", bytes.back());
    expected += digits;
  }
}

TEST(HexTest, AnyCharacterButLowerCaseDigitsIsRefusedInEitherPlace) {
  std::array<uint8_t, 1> out;
  int accepted = 0;
  for (int c = 0; c < 256; ++c) {
    const std::string first{static_cast<char>(c), '0'}, second{'0', static_cast<char>(c)};
    const bool ok = HexDecode(first, out);
    EXPECT_EQ(HexDecode(second, out), ok);
    accepted += ok ? 1 : 0;
  }
  EXPECT_EQ(accepted, 16);
  EXPECT_FALSE(HexDecode("0A", out));
}

TEST(HexTest, LengthMustBeExact) {
  std::array<uint8_t, 2> out;
  EXPECT_TRUE(HexDecode("0123", out));
  EXPECT_FALSE(HexDecode("012", out));
  EXPECT_FALSE(HexDecode("01234", out));
  EXPECT_TRUE(HexDecode("", std::span<uint8_t>()));
}

}  // namespace
}  // namespace graspd::base
