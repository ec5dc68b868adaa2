#include "base/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace graspd::base {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(MetricsTest, SameNameAndLabelsGiveTheSameCounter) {
  Metrics metrics;
  auto& first = metrics.MakeCounter("graspd_x_total", "Help.", {{"kind", "a"}});
  auto& other = metrics.MakeCounter("graspd_x_total", "Help.", {{"kind", "b"}});
  EXPECT_EQ(&first, &metrics.MakeCounter("graspd_x_total", "Help.", {{"kind", "a"}}));
  EXPECT_NE(&first, &other);
}

TEST(MetricsTest, SerialisesEveryKindInTheTextFormat) {
  Metrics metrics;
  metrics.MakeCounter("graspd_events_total", "Events stored.", {{"source", "sync"}}).Increment(3);
  metrics.MakeGauge("graspd_open", "Open now.").Set(2);
  metrics.MakeHistogram("graspd_write_seconds", "Writes.", {0.1, 1}).Observe(0.5);
  const std::string text = metrics.Serialize();
  EXPECT_THAT(text, HasSubstr("# HELP graspd_events_total Events stored.\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE graspd_events_total counter\n"));
  EXPECT_THAT(text, HasSubstr("graspd_events_total{source=\"sync\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE graspd_open gauge\ngraspd_open 2\n"));
  EXPECT_THAT(text, HasSubstr("graspd_write_seconds_bucket{le=\"0.1\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("graspd_write_seconds_bucket{le=\"1\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("graspd_write_seconds_bucket{le=\"+Inf\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("graspd_write_seconds_sum 0.5\n"));
}

TEST(MetricsTest, SampledGaugeIsReadAtEachScrapeWhileItsHandleLives) {
  Metrics metrics;
  double depth = 7;
  auto handle = metrics.Sample("graspd_depth", "Depth.", [&] { return depth; }, {{"queue", "in"}});
  EXPECT_THAT(metrics.Serialize(), HasSubstr("graspd_depth{queue=\"in\"} 7\n"));
  depth = 8;
  EXPECT_THAT(metrics.Serialize(), HasSubstr("graspd_depth{queue=\"in\"} 8\n"));
  handle.reset();
  EXPECT_THAT(metrics.Serialize(), Not(HasSubstr("graspd_depth")));
}

TEST(MetricsTest, SamplesOfOneNameShareOneFamily) {
  Metrics metrics;
  const auto in = metrics.Sample("graspd_depth", "Depth.", [] { return 1; }, {{"queue", "in"}});
  const auto out = metrics.Sample("graspd_depth", "Depth.", [] { return 2; }, {{"queue", "out"}});
  const std::string text = metrics.Serialize();
  EXPECT_EQ(text.find("# TYPE graspd_depth gauge"), text.rfind("# TYPE graspd_depth gauge"));
  EXPECT_THAT(text, HasSubstr("graspd_depth{queue=\"in\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("graspd_depth{queue=\"out\"} 2\n"));
}

TEST(MetricsTest, SampledCounterIsACounter) {
  Metrics metrics;
  const auto handle = metrics.SampleCounter("graspd_reads_total", "Reads.", [] { return 5; });
  EXPECT_THAT(metrics.Serialize(),
              HasSubstr("# TYPE graspd_reads_total counter\ngraspd_reads_total 5\n"));
}

TEST(MetricsTest, LabelValuesAreEscaped) {
  Metrics metrics;
  metrics.MakeGauge("graspd_open", "Open.", {{"what", "a\"b\\c\nd"}}).Set(1);
  EXPECT_THAT(metrics.Serialize(), HasSubstr("graspd_open{what=\"a\\\"b\\\\c\\nd\"} 1\n"));
}

}  // namespace
}  // namespace graspd::base
