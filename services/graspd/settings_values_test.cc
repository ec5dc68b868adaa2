#include "services/graspd/settings_values.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace graspd::daemon {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(SettingsValuesTest, SizesAreBytesOrHaveABinarySuffix) {
  EXPECT_EQ(*ParseBytes("0"), 0u);
  EXPECT_EQ(*ParseBytes("4096"), 4096u);
  EXPECT_EQ(*ParseBytes("3KiB"), 3u << 10);
  EXPECT_EQ(*ParseBytes("512MiB"), 512u << 20);
  EXPECT_EQ(*ParseBytes("2GiB"), 2ull << 30);
  EXPECT_EQ(*ParseBytes("1TiB"), 1ull << 40);
  for (const char* wrong : {"", "KiB", "-1", "+1", "1 KiB", "1kb", "1.5MiB", "0x10", "1KiBs",
                            "18446744073709551616", "18446744073709551615KiB"}) {
    EXPECT_FALSE(ParseBytes(wrong).ok()) << wrong;
  }
}

TEST(SettingsValuesTest, DurationsNeedAUnit) {
  EXPECT_EQ(*ParseDuration("0s"), milliseconds(0));
  EXPECT_EQ(*ParseDuration("500ms"), milliseconds(500));
  EXPECT_EQ(*ParseDuration("90s"), milliseconds(90'000));
  EXPECT_EQ(*ParseDuration("15m"), milliseconds(900'000));
  EXPECT_EQ(*ParseDuration("24h"), milliseconds(86'400'000));
  for (const char* wrong : {"", "5", "s", "-5s", "1.5s", "1h30m", "5sec", "9999999999999h"}) {
    EXPECT_FALSE(ParseDuration(wrong).ok()) << wrong;
  }
}

TEST(SettingsValuesTest, RatesAreFiniteAndNotNegative) {
  EXPECT_EQ(*ParseRate("0"), 0);
  EXPECT_EQ(*ParseRate("0.5"), 0.5);
  for (const char* wrong : {"", "-1", "nan", "inf", "1/s", "1e999"}) {
    EXPECT_FALSE(ParseRate(wrong).ok()) << wrong;
  }
}

TEST(SettingsValuesTest, FormattedValuesParseBack) {
  for (const uint64_t bytes : {uint64_t{0}, uint64_t{1}, uint64_t{1024}, uint64_t{1536} << 10}) {
    EXPECT_EQ(*ParseBytes(FormatBytes(bytes)), bytes);
  }
  for (const int millis : {0, 1, 1000, 90'000, 3'600'000}) {
    EXPECT_EQ(*ParseDuration(FormatDuration(milliseconds(millis))), milliseconds(millis));
  }
  for (const double rate : {0.0, 0.1, 60.0}) EXPECT_EQ(*ParseRate(FormatRate(rate)), rate);
  EXPECT_EQ(FormatBytes(1536u << 10), "1536KiB");
  EXPECT_EQ(FormatDuration(milliseconds(90'000)), "90s");
}

TEST(SettingsValuesTest, TomlStringsEscapeWhatTomlForbids) {
  EXPECT_EQ(TomlString("a\"b\\c\n\x7f\xc3\xa9"), "\"a\\\"b\\\\c\\u000A\\u007F\xc3\xa9\"");
}

TEST(SettingsValuesTest, ListsAreSplitAtCommasWithoutSpacesOrEmptyItems) {
  EXPECT_THAT(SplitList(" a, b,,c ,"), ElementsAre("a", "b", "c"));
  EXPECT_THAT(SplitList(""), IsEmpty());
  EXPECT_THAT(SplitList(" , "), IsEmpty());
}

TEST(SettingsValuesTest, NearestNameIsOfferedOnlyWhenItIsNear) {
  const std::vector<std::string> names = {"relay.urls", "relay.name", "store"};
  EXPECT_EQ(NearestName("relay.url", names), "relay.urls");
  EXPECT_EQ(NearestName("stroe", names), "store");
  EXPECT_EQ(NearestName("something.else", names), "");
  EXPECT_EQ(NearestName("", names), "");
}

}  // namespace
}  // namespace graspd::daemon
