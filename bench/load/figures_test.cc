// Percentiles, /proc, and the report.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/json.hpp>

#include "bench/load/latencies.h"
#include "bench/load/process_stats.h"
#include "bench/load/report.h"

namespace graspd::bench {
namespace {

using std::chrono::microseconds;
using testing::HasSubstr;

TEST(Latencies, QuantilesAreSamples) {
  Latencies latencies;
  EXPECT_EQ(latencies.QuantileMs(0.5), 0);
  for (int i = 100; i >= 1; --i) latencies.Add(microseconds(1000 * i));
  EXPECT_EQ(latencies.QuantileMs(0.5), 50);
  EXPECT_EQ(latencies.QuantileMs(0.99), 99);
  EXPECT_EQ(latencies.QuantileMs(0.991), 100);
  EXPECT_EQ(latencies.QuantileMs(1), 100);
  EXPECT_EQ(latencies.QuantileMs(0), 1);
  EXPECT_EQ(latencies.size(), 100U);
}

TEST(Latencies, OutOfRangeCountsAsTheEndOfIt) {
  Latencies latencies;
  latencies.Add(microseconds(-5));
  EXPECT_EQ(latencies.QuantileMs(1), 0);
  latencies.Add(std::chrono::hours(1));
  EXPECT_NEAR(latencies.QuantileMs(1), 429'497, 1);
}

constexpr char kStatus[] = "Name:\trelay\nVmHWM:\t  300 kB\nVmRSS:\t  200 kB\nRssAnon:\t 50 kB\n";

TEST(ProcessStats, ReadsTheFiguresOfProc) {
  const auto stats =
      ParseProcessStats("7 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20", kStatus, 100);
  ASSERT_TRUE(stats.has_value());
  EXPECT_EQ(stats->user_s, 2.5);
  EXPECT_EQ(stats->system_s, 0.5);
  EXPECT_EQ(stats->cpu_s(), 3);
  EXPECT_EQ(stats->rss_kib, 200U);
  EXPECT_EQ(stats->anonymous_kib, 50U);
  EXPECT_EQ(stats->peak_kib, 300U);
}

TEST(ProcessStats, LacksNothingOrIsNothing) {
  EXPECT_FALSE(ParseProcessStats("", "", 100));
  EXPECT_FALSE(ParseProcessStats("7 (a) S 1 2 3", kStatus, 100));
  EXPECT_FALSE(ParseProcessStats("7 (a) S 1 2 3 4 5 6 7 8 9 10 1 1", "VmRSS: 1 kB", 100));
}

TEST(ProcessStats, KnowsThisProcessAndNoOther) {
  const auto own = ReadProcessStats(static_cast<size_t>(getpid()));
  ASSERT_TRUE(own.ok()) << own.status();
  EXPECT_GT(own->rss_kib, 0U);
  EXPECT_EQ(ReadProcessStats(999'999'999).status().code(), absl::StatusCode::kNotFound);
}

TEST(Report, IsOneJsonObjectAndASummaryOfTheSameFigures) {
  Options options = DefaultOptions(Mode::kReq);
  options.url = "ws://relay";
  Report report(options);
  report.SetRelay("a \"name\"", "soft", "1");
  report.Parameter("connections", size_t{8});
  report.Parameter("filter", R"({"kinds":[1]})");
  report.Result("rate", 1234567.25);
  report.Result("none", 0.0);
  report.SetError("gone");
  const auto json = boost::json::parse(report.Json());
  EXPECT_EQ(json, boost::json::parse(R"({"mode":"req","url":"ws://relay",
      "relay":{"name":"a \"name\"","software":"soft","version":"1"},
      "parameters":{"connections":8,"filter":"{\"kinds\":[1]}"},
      "results":{"rate":1234567.25,"none":0},"error":"gone"})"));
  EXPECT_THAT(report.Summary(), HasSubstr("1234567.25"));
  EXPECT_THAT(report.Summary(), HasSubstr("connections 8"));
}

TEST(Report, TheRelaysCostIsThereOnlyIfMeasured) {
  Report report(DefaultOptions(Mode::kIngest));
  report.Result("", Cost{.wall_s = 2, .client_cpu_s = 1});
  EXPECT_THAT(report.Json(), HasSubstr(R"("wall_s":2,"client_cpu_s":1)"));
  EXPECT_THAT(report.Json(), testing::Not(HasSubstr("relay_cpu_s")));
  report.Result("x.", Cost{.relay = Cost::Relay{.user_s = 0.25, .system_s = 0.5}});
  EXPECT_THAT(report.Json(), HasSubstr(R"("x.relay_cpu_s":0.75)"));
}

}  // namespace
}  // namespace graspd::bench
