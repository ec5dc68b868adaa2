#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>

#include "base/clock.h"

namespace graspd::relay {

/// What one connection may make us compute for its reconciliations, COUNTs and the sets that it
/// asks for, in units of about a microsecond of one core: a twentieth of a core in the long run,
/// and a whole second at once, several times what two sets of a million events with one per cent of
/// difference take.
///
/// Work is charged when it has been done, so a budget may be overdrawn by what is under way. Time:
/// the caller passes `now`, which must not go back. Thread-compatible.
class WorkBudget {
 public:
  static constexpr double kPerSecond = 50'000, kBurst = 1'000'000;
  /// What any message takes, however small its answer: to be read, handed on and sent.
  static constexpr size_t kPerMessage = 100;

  /// For as many connections as `factor` says.
  explicit WorkBudget(base::SteadyTime now, double factor = 1)
      : factor_(factor), left_(factor * kBurst), filled_at_(now) {}

  /// True if anything is left.
  [[nodiscard]] bool Allows(base::SteadyTime now) {
    const double passed = std::chrono::duration<double>(now - filled_at_).count();
    left_ = std::min(factor_ * kBurst, left_ + passed * factor_ * kPerSecond);
    filled_at_ = now;
    return left_ > 0;
  }
  void Charge(size_t work) { left_ -= static_cast<double>(work + kPerMessage); }

 private:
  const double factor_;
  double left_;
  base::SteadyTime filled_at_;
};

}  // namespace graspd::relay
