#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <utility>

#include "base/clock.h"
#include "base/mutex.h"
#include "services/relay/address_budgets.h"
#include "services/relay/work_budget.h"

namespace graspd::relay {

/// What one connection may make us compute: a WorkBudget of its own, and the one that it shares
/// with the other connections of its address. Shared with the tasks that do the work, so that all
/// of it is charged, also when the connection has ended. Thread-safe. `clock` outlives it.
class ClientWork {
 public:
  /// A scan takes no more than this of the connection's own budget, what comes in a second; of the
  /// address's it takes all that it took. So who gives up after 15 s of silence, as we do as a
  /// client, has its answer in time. We reconcile three filters at once, so it may have to wait for
  /// three scans, its own included: 1 s for each, 0.8 s for what the two others were answered
  /// meanwhile (below 20,000 units each), and up to a tick make 8.4 s, and the reading itself.
  static constexpr double kMostPerScan = WorkBudget::kPerSecond;

  /// `address` is null for our own connection.
  ClientWork(const base::Clock& clock, std::shared_ptr<AddressBudgets::Budget> address)
      : clock_(clock), address_(std::move(address)), own_(clock.Now()) {}

  /// True if anything is left of both.
  [[nodiscard]] bool Allows() {
    base::MutexLock lock(mutex_);
    const base::SteadyTime now = clock_.Now();
    return own_.Allows(now) && (!address_ || address_->AllowsWork(now));
  }
  void Charge(size_t work) { Charge(work, work); }
  /// For a scan that began at that time of the clock and ends now.
  void ChargeScan(base::SteadyTime begun) {
    const double work =
        std::max(0.0, std::chrono::duration<double, std::micro>(clock_.Now() - begun).count());
    Charge(static_cast<size_t>(std::min(work, kMostPerScan)), static_cast<size_t>(work));
  }
  [[nodiscard]] const base::Clock& clock() const { return clock_; }

 private:
  void Charge(size_t own, size_t address) {
    base::MutexLock lock(mutex_);
    own_.Charge(own);
    if (address_) address_->ChargeWork(address);
  }

  const base::Clock& clock_;
  const std::shared_ptr<AddressBudgets::Budget> address_;
  base::Mutex mutex_;
  WorkBudget own_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace graspd::relay
