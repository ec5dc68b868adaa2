#include "services/ops/process_metrics.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "base/build_info.h"
#include "base/manual_clock.h"

namespace graspd::ops {
namespace {

using ::testing::HasSubstr;

/// The value of the series without labels called `name`; -1 if there is none.
double Value(const base::Metrics& metrics, const std::string& name) {
  const std::string text = metrics.Serialize();
  const size_t at = text.find("\n" + name + " ");
  return at == std::string::npos ? -1 : std::atof(text.c_str() + at + name.size() + 2);
}

class ProcessMetricsTest : public ::testing::Test {
 protected:
  base::ManualClock clock_{1'700'000'123};
  base::Metrics metrics_;
  ProcessMetrics process_{metrics_, clock_};
};

TEST_F(ProcessMetricsTest, StartTimeIsThatOfConstruction) {
  clock_.Advance(std::chrono::hours(1));
  EXPECT_EQ(Value(metrics_, "process_start_time_seconds"), 1'700'000'123);
}

TEST_F(ProcessMetricsTest, OpenFilesAreCounted) {
  const double before = Value(metrics_, "process_open_fds");
  EXPECT_GE(before, 3);  // the standard three
  const int fd = open("/dev/null", O_RDONLY);
  ASSERT_GE(fd, 0);
  EXPECT_EQ(Value(metrics_, "process_open_fds"), before + 1);
  close(fd);
  EXPECT_GE(Value(metrics_, "process_max_fds"), before);
}

TEST_F(ProcessMetricsTest, MemoryGrowsWhenItIsUsed) {
  const double before = Value(metrics_, "process_resident_memory_bytes");
  EXPECT_GT(before, 100'000);
  constexpr size_t kBytes = 64u << 20;
  const std::string used(kBytes, 'x');
  EXPECT_GT(Value(metrics_, "process_resident_memory_bytes"), before + kBytes / 2.0) << used[0];
}

TEST_F(ProcessMetricsTest, CpuTimeIsACounterThatGrows) {
  const double before = Value(metrics_, "process_cpu_seconds_total");
  EXPECT_GT(before, 0);
  double after = before;
  while (after <= before) after = Value(metrics_, "process_cpu_seconds_total");  // uses CPU itself
  EXPECT_THAT(metrics_.Serialize(), HasSubstr("# TYPE process_cpu_seconds_total counter"));
}

TEST_F(ProcessMetricsTest, BuildInfoNamesVersionAndCommit) {
  const std::string text = metrics_.Serialize();
  EXPECT_THAT(text, HasSubstr("version=\"" + std::string(base::BuildVersion()) + "\""));
  EXPECT_THAT(text, HasSubstr("commit=\"" + std::string(base::BuildCommit()) + "\""));
}

}  // namespace
}  // namespace graspd::ops
