// What a process has used, of CPU and of memory, and what a stretch of a run costs on both sides.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/clock.h"

namespace graspd::bench {

/// Of all threads of a process, those that ended included; from /proc.
struct ProcessStats {
  double user_s = 0, system_s = 0;  // CPU since its start, in steps of 10 ms
  uint64_t rss_kib = 0;             // resident now, mapped files included
  uint64_t anonymous_kib = 0;       // the part of it that no file backs
  uint64_t peak_kib = 0;            // largest rss_kib ever

  [[nodiscard]] double cpu_s() const { return user_s + system_s; }
};

/// Errors: kNotFound if there is no such process (any more).
absl::StatusOr<ProcessStats> ReadProcessStats(size_t pid);

/// The same from the text of /proc/PID/stat and /proc/PID/status; nullopt if a figure is missing.
std::optional<ProcessStats> ParseProcessStats(std::string_view stat, std::string_view status,
                                              long ticks_per_second);

/// CPU seconds of this process and of this thread.
[[nodiscard]] double OwnCpuSeconds();
[[nodiscard]] double ThreadCpuSeconds();

/// A stretch of a run: time, the relay's CPU and memory, our own CPU.
struct Cost {
  double wall_s = 0, client_cpu_s = 0;
  /// With --pid only.
  struct Relay {
    double user_s = 0, system_s = 0;
    ProcessStats before, after;
    [[nodiscard]] double cpu_s() const { return user_s + system_s; }
  };
  std::optional<Relay> relay;
};

/// Measures from Begin() to each End(). Thread-compatible.
class Meter {
 public:
  /// `pid` 0: there is no process to look at. Errors: those of ReadProcessStats.
  static absl::StatusOr<Meter> Begin(const base::Clock& clock, size_t pid);
  absl::StatusOr<Cost> End() const;

 private:
  Meter(const base::Clock& clock, size_t pid) : clock_(&clock), pid_(pid) {}
  const base::Clock* clock_;
  size_t pid_;
  std::optional<ProcessStats> before_;
  double own_cpu_s_ = 0;
  base::SteadyTime start_;
};

}  // namespace graspd::bench
