#pragma once

#include <algorithm>
#include <chrono>

#include "base/clock.h"

namespace graspd::base {

/// Limits how often something may happen.
///
/// Units: `rate` is tokens per second, `burst` the most that can be saved up; a rate of 0 means
/// unlimited. Time: the caller passes `now`; one
/// that lies before an earlier one adds nothing. Thread-compatible.
class TokenBucket {
 public:
  TokenBucket(double rate, double burst, SteadyTime now)
      : rate_(rate), burst_(burst), tokens_(burst), filled_at_(now) {}

  /// Takes one token. False, changing nothing, if there is none.
  [[nodiscard]] bool TryTake(SteadyTime now) {
    if (rate_ == 0) return true;
    Fill(now);
    if (tokens_ < 1) return false;
    tokens_ -= 1;
    return true;
  }

  /// Takes `tokens` whether or not they are there: the bucket may come to owe up to a burst.
  void Charge(double tokens, SteadyTime now) {
    if (rate_ == 0) return;
    Fill(now);
    tokens_ = std::max(-burst_, tokens_ - tokens);
  }

 private:
  void Fill(SteadyTime now) {
    if (now <= filled_at_) return;
    const double passed = std::chrono::duration<double>(now - filled_at_).count();
    tokens_ = std::min(burst_, tokens_ + passed * rate_);
    filled_at_ = now;
  }

  const double rate_, burst_;
  double tokens_;
  SteadyTime filled_at_;
};

}  // namespace graspd::base
