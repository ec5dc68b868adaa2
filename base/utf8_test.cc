#include "base/utf8.h"

#include <gtest/gtest.h>

#include <string_view>

namespace graspd::base {
namespace {

TEST(Utf8Test, TheFirstCharacterHasItsLengthWhateverFollows) {
  EXPECT_EQ(Utf8CharacterBytes("a\xff"), 1u);
  EXPECT_EQ(Utf8CharacterBytes(std::string_view("\0", 1)), 1u);
  EXPECT_EQ(Utf8CharacterBytes("\u00e9\xff"), 2u);
  EXPECT_EQ(Utf8CharacterBytes("\u20ac\xff"), 3u);
  EXPECT_EQ(Utf8CharacterBytes("\U0001F600\xff"), 4u);
}

TEST(Utf8Test, TheEdgesOfEveryRangeAreCharacters) {
  for (const std::string_view text :
       {"\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
        "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_EQ(Utf8CharacterBytes(text), text.size());
  }
}

TEST(Utf8Test, WhatIsNoCharacterHasNoLength) {
  for (const std::string_view text :
       {"\x80", "\xbf", "\xc0\xaf", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xed\xbf\xbf",
        "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\xc3", "\xc3(",
        "\xe2\x82", "\xe2\x82(", "\xf0\x9f\x98", "\xf0\x9f\x98("}) {
    EXPECT_EQ(Utf8CharacterBytes(text), 0u) << testing::PrintToString(text);
  }
}

TEST(Utf8Test, CountsCharactersAndNotBytes) {
  EXPECT_EQ(Utf8Characters(""), 0u);
  EXPECT_EQ(Utf8Characters("a\u00e9\u20ac\U0001F600"), 4u);
}

}  // namespace
}  // namespace graspd::base
