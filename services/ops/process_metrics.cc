#include "services/ops/process_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

#include "base/build_info.h"

namespace graspd::ops {
namespace {

double CpuSeconds() {
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  double total_pages = 0, resident_pages = 0;
  if (!(statm >> total_pages >> resident_pages)) return 0;
  return resident_pages * static_cast<double>(sysconf(_SC_PAGESIZE));
}

double OpenFds() {
  std::error_code error;
  std::filesystem::directory_iterator entry("/proc/self/fd", error);
  double count = 0;
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) ++count;
  return count > 0 ? count - 1 : 0;  // without the one that lists them
}

double MaxFds() {
  rlimit limit{};
  return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? static_cast<double>(limit.rlim_cur) : 0;
}

}  // namespace

ProcessMetrics::ProcessMetrics(base::Metrics& metrics, const base::Clock& clock) {
  metrics
      .MakeGauge("graspd_build_info", "What this binary was built from; always 1.",
                 {{"version", std::string(base::BuildVersion())},
                  {"commit", std::string(base::BuildCommit())}})
      .Set(1);
  metrics.MakeGauge("process_start_time_seconds", "Unix time at which the process started.")
      .Set(static_cast<double>(clock.UnixMicros()) / 1e6);
  samples_.push_back(metrics.SampleCounter("process_cpu_seconds_total",
                                           "User and system CPU time spent.", CpuSeconds));
  samples_.push_back(
      metrics.Sample("process_resident_memory_bytes", "Resident memory size.", ResidentBytes));
  samples_.push_back(metrics.Sample("process_open_fds", "Open file descriptors.", OpenFds));
  samples_.push_back(
      metrics.Sample("process_max_fds", "Most file descriptors that may be open.", MaxFds));
}

}  // namespace graspd::ops
