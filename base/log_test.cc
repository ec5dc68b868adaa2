#include "base/log.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <limits>

#include "base/random.h"

namespace graspd::base {
namespace {

constexpr uint64_t kMicros = 1'700'000'000'000'042;  // 2023-11-14T22:13:20.000042Z

std::string TextLine(LogFields fields) {
  return FormatLogLine(LogFormat::kText, LogLevel::kInfo, kMicros, "net", "dialled", fields);
}

std::string JsonLine(LogFields fields) {
  return FormatLogLine(LogFormat::kJson, LogLevel::kInfo, kMicros, "net", "dialled", fields);
}

// The value that a JSON line carries for field `v`, or a failure if the line is not valid JSON.
boost::json::value ParsedValue(const std::string& line) {
  boost::json::error_code error;
  const auto parsed = boost::json::parse(line, error);
  EXPECT_FALSE(error) << line;
  return error ? boost::json::value() : parsed.at("v");
}

TEST(LogTest, TextLineIsForPeople) {
  EXPECT_EQ(TextLine({{"remote", "wss://a.example"}, {"attempt", 3}, {"ok", true}}),
            "2023-11-14T22:13:20.000042Z info  net      dialled remote=wss://a.example attempt=3 "
            "ok=true");
}

TEST(LogTest, TextValuesAreQuotedOnlyWhereNeeded) {
  EXPECT_TRUE(TextLine({{"v", "two words"}}).ends_with(" v=\"two words\""));
  EXPECT_TRUE(TextLine({{"v", ""}}).ends_with(" v=\"\""));
  EXPECT_TRUE(TextLine({{"v", "a=b"}}).ends_with(" v=\"a=b\""));
  EXPECT_TRUE(TextLine({{"v", absl::OkStatus()}}).ends_with(" v=OK"));
}

TEST(LogTest, StrangersCannotStartANewLineOrATerminalCommand) {
  const std::string line = TextLine({{"v", "x\n2023 error net forged \x1b[31m\xc2\x9b\"\\"}});
  EXPECT_TRUE(line.ends_with(" v=\"x\\u000a2023 error net forged \\u001b[31m\\u009b\\\"\\\\\""))
      << line;
}

TEST(LogTest, JsonLineHasTypedFields) {
  const auto line = boost::json::parse(JsonLine({{"n", -5}, {"b", false}, {"s", "5"}, {"d", 0.5}}));
  EXPECT_EQ(line.at("time").as_string(), "2023-11-14T22:13:20.000042Z");
  EXPECT_EQ(line.at("level").as_string(), "info");
  EXPECT_EQ(line.at("component").as_string(), "net");
  EXPECT_EQ(line.at("message").as_string(), "dialled");
  EXPECT_EQ(line.at("n").as_int64(), -5);
  EXPECT_FALSE(line.at("b").as_bool());
  EXPECT_EQ(line.at("s").as_string(), "5");
  EXPECT_EQ(line.at("d").as_double(), 0.5);
}

TEST(LogTest, NumbersThatJsonLacksBecomeStrings) {
  EXPECT_EQ(ParsedValue(JsonLine({{"v", std::numeric_limits<double>::infinity()}})).as_string(),
            "inf");
  EXPECT_TRUE(ParsedValue(JsonLine({{"v", std::nan("")}})).is_string());
}

TEST(LogTest, LongValuesAreCutBetweenCharacters) {
  const std::string exact(256, 'a');
  EXPECT_EQ(ParsedValue(JsonLine({{"v", exact}})).as_string(), exact);
  EXPECT_EQ(ParsedValue(JsonLine({{"v", exact + "b"}})).as_string(), exact + "...");
  for (const std::string character : {"\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x90\xb8"}) {
    for (size_t before = 250; before < 257; ++before) {
      const std::string value = std::string(before, 'a') + character + std::string(9, 'b');
      const std::string got(ParsedValue(JsonLine({{"v", value}})).as_string());
      ASSERT_TRUE(got.ends_with("..."));
      const std::string kept = got.substr(0, got.size() - 3);
      EXPECT_EQ(kept, value.substr(0, kept.size()));
      EXPECT_LE(kept.size(), 256U);
      EXPECT_GE(kept.size(), 253U);
    }
  }
}

TEST(LogTest, BytesThatAreNotUtf8AreReplaced) {
  const std::string bad[] = {
      "\x80",         "\xc0\xaf",         "\xe2\x82",         "\xed\xa0\x80", "\xf5\x80\x80\x80",
      "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xff"};
  for (const auto& value : bad) {
    const std::string got(ParsedValue(JsonLine({{"v", value}})).as_string());
    std::string expected;
    for (size_t i = 0; i < value.size(); ++i) expected += "\xef\xbf\xbd";
    EXPECT_EQ(got, expected);
  }
  EXPECT_EQ(ParsedValue(JsonLine({{"v", "\xf0\x9f\x90\xb8\xed\x9f\xbf"}})).as_string(),
            "\xf0\x9f\x90\xb8\xed\x9f\xbf");
}

TEST(LogTest, AnyBytesGiveValidJson) {
  SeededRandom random(1);
  for (int round = 0; round < 2000; ++round) {
    std::string value(random.Below(400), '\0');
    for (char& c : value) c = static_cast<char>(random.Below(2) ? random.Next() : 0x80);
    ASSERT_TRUE(ParsedValue(JsonLine({{"v", value}})).is_string());
  }
}

TEST(LogTest, ThresholdDecidesWhatIsWritten) {
  EXPECT_TRUE(LogEnabled(LogLevel::kInfo));
  EXPECT_FALSE(LogEnabled(LogLevel::kDebug));
  ConfigureLog(LogLevel::kOff, LogFormat::kText);
  EXPECT_FALSE(LogEnabled(LogLevel::kError));
  ConfigureLog(LogLevel::kInfo, LogFormat::kText);
}

}  // namespace
}  // namespace graspd::base
