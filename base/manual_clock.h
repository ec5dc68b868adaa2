#pragma once

#include <atomic>

#include "base/clock.h"

namespace graspd::base {

/// A clock that moves only when told to. Thread-safe. For tests and simulations.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(UnixSeconds start = 1'700'000'000) : unix_start_(start) {}

  SteadyTime Now() const override { return SteadyTime(Duration(elapsed_.load())); }
  uint64_t UnixMicros() const override {
    using std::chrono::duration_cast;
    return unix_start_ * 1'000'000 +
           static_cast<uint64_t>(
               duration_cast<std::chrono::microseconds>(Duration(elapsed_.load())).count());
  }
  /// Moves both times forward by `by`, which must not be negative.
  void Advance(Duration by) { elapsed_ += by.count(); }

 private:
  const UnixSeconds unix_start_;
  std::atomic<Duration::rep> elapsed_{0};
};

}  // namespace graspd::base
