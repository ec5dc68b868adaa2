#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/clock.h"

namespace graspd::bench {

/// Durations of single requests, kept one by one (4 bytes each), so that percentiles are exact.
/// Resolution 100 ns; longer than 7 minutes counts as that. Thread-compatible.
class Latencies {
 public:
  void Reserve(size_t count) { samples_.reserve(count); }
  void Add(base::Duration duration);
  [[nodiscard]] size_t size() const { return samples_.size(); }
  /// In milliseconds: the smallest sample that at least `share` of all do not exceed; 0 if there
  /// are none. `share` is in [0, 1].
  [[nodiscard]] double QuantileMs(double share) const;

 private:
  mutable std::vector<uint32_t> samples_;  // reordered by QuantileMs
};

}  // namespace graspd::bench
