#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/mutex.h"
#include "services/relay/address_budgets.h"
#include "services/relay/meters.h"
#include "services/relay/work_budget.h"

namespace graspd::relay {

/// What one connection may make us compute: a WorkBudget of its own, and the one that it shares
/// with the other connections of its address. Shared with the tasks that do the work, so that all
/// of it is charged, also when the connection has ended.
///
/// Who has to wait for the address has a place among its other connections, by the time since when
/// it waits, and keeps it until it has begun, also in the queue of a pool: so nobody waits for
/// ever, however much the others ask for. Threading: thread-safe. Lifetime: `clock` outlives it.
class ClientWork {
 public:
  /// A scan takes no more than this of the connection's own budget, what comes in a second; of the
  /// address's it takes all that it took. So who gives up after 15 s of silence, as we do as a
  /// client, has its answer in time. We reconcile three filters at once, so it may have to wait for
  /// three scans, its own included: 1 s for each, 0.8 s for what the two others were answered
  /// meanwhile (below 20,000 units each), and up to a tick make 8.4 s, and the reading itself.
  static constexpr double kMostPerScan = WorkBudget::kPerSecond;

  /// What has a place of its own, so that neither waits for the other's turn to come again.
  enum class Kind { kScan, kAnswer };

  /// `address` is null for our own connection.
  ClientWork(const base::Clock& clock, std::shared_ptr<AddressBudgets::Budget> address)
      : clock_(clock), address_(std::move(address)), own_(clock.Now()) {}

  /// The budget for which work of this kind has to wait now, if any. For the address's it keeps its
  /// place, or takes the last, until Begin or Withdraw.
  [[nodiscard]] std::optional<Meters::Budget> MustWaitFor(Kind kind) {
    base::MutexLock lock(mutex_);
    const base::SteadyTime now = clock_.Now();
    Place& place = PlaceOf(kind);
    if (!own_.Allows(now)) {
      Leave(place);  // nobody has to wait for that
      return Meters::Budget::kConnection;
    }
    const base::SteadyTime since = place.since.value_or(now);
    if (!address_ || address_->AllowsWork(now, since)) return std::nullopt;
    if (!place.held && !closed_) {
      place = {since, true};
      address_->AddWaiting(since);
    }
    return Meters::Budget::kAddress;
  }
  /// Work of this kind begins, so the next has waited for nothing yet.
  void Begin(Kind kind) {
    base::MutexLock lock(mutex_);
    Leave(PlaceOf(kind));
    PlaceOf(kind).since.reset();
  }
  /// Nothing of this kind waits any more. What has not begun keeps its time, for what comes next:
  /// who is refused because the others take too long is not the last again when it asks again.
  void Withdraw(Kind kind) {
    base::MutexLock lock(mutex_);
    Leave(PlaceOf(kind));
  }
  /// The connection has ended and waits for nothing.
  void Close() {
    base::MutexLock lock(mutex_);
    closed_ = true;
    for (Place& place : places_) Leave(place);
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
  struct Place {
    std::optional<base::SteadyTime> since;
    bool held = false;  // the address's budget knows of it
  };
  Place& PlaceOf(Kind kind) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return places_[static_cast<size_t>(kind)];
  }
  void Leave(Place& place) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (std::exchange(place.held, false)) address_->RemoveWaiting(*place.since);
  }
  void Charge(size_t own, size_t address) {
    base::MutexLock lock(mutex_);
    own_.Charge(own);
    if (address_) address_->ChargeWork(address);
  }

  const base::Clock& clock_;
  const std::shared_ptr<AddressBudgets::Budget> address_;
  base::Mutex mutex_;
  WorkBudget own_ ABSL_GUARDED_BY(mutex_);
  std::array<Place, 2> places_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace graspd::relay
