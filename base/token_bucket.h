#pragma once

#include <algorithm>
#include <chrono>

#include "base/clock.h"

namespace graspd::base {

/// Limits how often something may happen on one connection.
///
/// Units: `rate` is tokens per second, `burst` the most that can be saved up; a rate of 0 means
/// unlimited. Time: the caller passes `now`, which must not go back. Thread-compatible.
class TokenBucket {
 public:
  TokenBucket(double rate, double burst, SteadyTime now)
      : rate_(rate), burst_(burst), tokens_(burst), filled_at_(now) {}

  /// Takes one token. False, changing nothing, if there is none.
  [[nodiscard]] bool TryTake(SteadyTime now) {
    if (rate_ == 0) return true;
    const double passed = std::chrono::duration<double>(now - filled_at_).count();
    tokens_ = std::min(burst_, tokens_ + passed * rate_);
    filled_at_ = now;
    if (tokens_ < 1) return false;
    tokens_ -= 1;
    return true;
  }

 private:
  const double rate_, burst_;
  double tokens_;
  SteadyTime filled_at_;
};

}  // namespace graspd::base
