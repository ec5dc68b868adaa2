#include "bench/load/process_stats.h"

#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <fstream>
#include <sstream>
#include <utility>

#include "base/status_macros.h"

namespace graspd::bench {
namespace {

std::string ReadAll(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream out;
  out << in.rdbuf();
  return std::move(out).str();
}

// The number behind "Name:" in /proc/PID/status.
std::optional<uint64_t> FindField(std::string_view status, std::string_view name) {
  const size_t at = status.find(name);
  if (at == std::string_view::npos) return std::nullopt;
  const size_t digits = status.find_first_not_of(" \t", at + name.size());
  uint64_t value = 0;
  if (digits == std::string_view::npos ||
      std::from_chars(&status[digits], status.data() + status.size(), value).ec != std::errc()) {
    return std::nullopt;
  }
  return value;
}

double SecondsOf(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

}  // namespace

std::optional<ProcessStats> ParseProcessStats(std::string_view stat, std::string_view status,
                                              long ticks_per_second) {
  // The name, in parentheses, may hold anything; user and system time are 11 fields behind it.
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string_view::npos) return std::nullopt;
  std::istringstream fields{std::string(stat.substr(name_end + 1))};
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  uint64_t user = 0, system = 0;
  if (!(fields >> user >> system)) return std::nullopt;
  const auto rss = FindField(status, "VmRSS:"), anonymous = FindField(status, "RssAnon:"),
             peak = FindField(status, "VmHWM:");
  if (!rss || !anonymous || !peak) return std::nullopt;
  const auto ticks = static_cast<double>(ticks_per_second);
  return ProcessStats{.user_s = static_cast<double>(user) / ticks,
                      .system_s = static_cast<double>(system) / ticks,
                      .rss_kib = *rss,
                      .anonymous_kib = *anonymous,
                      .peak_kib = *peak};
}

absl::StatusOr<ProcessStats> ReadProcessStats(size_t pid) {
  const std::string directory = fmt::format("/proc/{}/", pid);
  const auto stats = ParseProcessStats(ReadAll(directory + "stat"), ReadAll(directory + "status"),
                                       sysconf(_SC_CLK_TCK));
  if (!stats) return absl::NotFoundError(fmt::format("there is no process {}", pid));
  return *stats;
}

double OwnCpuSeconds() { return SecondsOf(CLOCK_PROCESS_CPUTIME_ID); }
double ThreadCpuSeconds() { return SecondsOf(CLOCK_THREAD_CPUTIME_ID); }

absl::StatusOr<Meter> Meter::Begin(const base::Clock& clock, size_t pid) {
  Meter meter(clock, pid);
  if (pid != 0) {
    GRASPD_ASSIGN_OR_RETURN(meter.before_, ReadProcessStats(pid));
  }
  meter.own_cpu_s_ = OwnCpuSeconds();
  meter.start_ = clock.Now();
  return meter;
}

absl::StatusOr<Cost> Meter::End() const {
  Cost cost;
  cost.wall_s = std::chrono::duration<double>(clock_->Now() - start_).count();
  cost.client_cpu_s = OwnCpuSeconds() - own_cpu_s_;
  if (before_) {
    GRASPD_ASSIGN_OR_RETURN(const auto after, ReadProcessStats(pid_));
    cost.relay = Cost::Relay{.user_s = after.user_s - before_->user_s,
                             .system_s = after.system_s - before_->system_s,
                             .before = *before_,
                             .after = after};
  }
  return cost;
}

}  // namespace graspd::bench
