#include "tools/demo/remote_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace graspd::demo {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::SizeIs;
using testing::StartsWith;

RemoteRow Row(const std::string& url, const std::string& reason = "") {
  RemoteRow row;
  row.url = url;
  row.state = reason.empty() ? "live" : "backing off";
  row.method = "-";
  row.reason = reason;
  return row;
}

TEST(RemoteTableTest, ARemoteThatDoesNotWorkSaysWhy) {
  EXPECT_THAT(
      TableLines({Row("wss://a.example", "connection refused"), Row("wss://b.example")}, 120, 24),
      ElementsAre(
          HasSubstr("remote"), AllOf(StartsWith("  wss://a.example "), HasSubstr("backing off")),
          "    connection refused", AllOf(StartsWith("  wss://b.example "), HasSubstr("live"))));
}

TEST(RemoteTableTest, RemotesThatDoNotFitAreCounted) {
  const std::vector<RemoteRow> rows = {Row("wss://a.example", "refused"), Row("wss://b.example"),
                                       Row("wss://c.example")};
  EXPECT_THAT(TableLines(rows, 120, 5), SizeIs(5));
  EXPECT_THAT(TableLines(rows, 120, 4),
              ElementsAre(HasSubstr("remote"), HasSubstr("wss://a.example"), "    refused",
                          "  ... and 2 more"));
  EXPECT_THAT(TableLines(rows, 120, 3), ElementsAre(HasSubstr("remote"), "  ... and 3 more"));
  EXPECT_THAT(TableLines(rows, 120, 2), ElementsAre(HasSubstr("remote"), "  ... and 3 more"));
}

TEST(RemoteTableTest, EveryColumnFitsOnEightyColumns) {
  RemoteRow row = Row("wss://a-relay-with-a-long-name.example");
  row.refused = 1234567;
  const auto table = TableLines({row}, 80, 24);
  EXPECT_THAT(table, ElementsAre(EndsWith(" refused"), EndsWith(" 1234567")));
}

TEST(RemoteTableTest, LinesAreCutToTheWidth) {
  const auto table = TableLines({Row("wss://a.example", std::string(200, 'x'))}, 80, 24);
  ASSERT_THAT(table, SizeIs(3));
  for (const std::string& line : table) EXPECT_LE(line.size(), 80u);
}

TEST(RemoteTableTest, WithoutRemotesItSaysSo) {
  EXPECT_THAT(TableLines({}, 120, 2), ElementsAre(HasSubstr("remote"), HasSubstr("no relay")));
}

}  // namespace
}  // namespace graspd::demo
