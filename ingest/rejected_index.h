#pragma once

#include <cstdint>
#include <deque>
#include <unordered_set>
#include <utility>

#include "base/clock.h"
#include "base/mutex.h"
#include "ingest/known_refusals.h"

namespace graspd::ingest {

/// Ids of synced events that were refused for a reason which no later event lifts, so that
/// reconciliation does not fetch them again; and the ids that wait in the parking lot.
///
/// Only of events whose id and signature were verified: an id is a claim until then, and whoever
/// sends rubbish under the id of a good event must not keep that one out. Bounds: `ids` refusals,
/// the oldest leave first, about 120 bytes each; `keep` by the clock. What waits is as many as the
/// parking lot holds. Threading: thread-safe. Lifetime: the clock outlives it.
class RejectedIndex final : public KnownRefusals {
 public:
  struct Limits {
    size_t ids = 200'000;
    base::Duration keep = std::chrono::hours(7 * 24);  // several of the daily full comparisons
  };
  RejectedIndex(const base::Clock& clock, Limits limits) : clock_(clock), limits_(limits) {}

  /// Refused for good. Again: stays as old as it is.
  void Add(const nostr::EventId& id);
  /// Waits in the parking lot, until released.
  void Hold(const nostr::EventId& id);
  void Release(const nostr::EventId& id);
  /// Forgets the refusals: the policy, or what is stored, has changed so that they may not stand.
  void Clear();

  std::vector<bool> InVain(std::span<const nostr::EventId> ids) override;

  [[nodiscard]] size_t size() const;    // refusals
  [[nodiscard]] uint64_t hits() const;  // ids that InVain has spared

 private:
  void Expire() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DropOldest() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const base::Clock& clock_;
  const Limits limits_;
  mutable base::Mutex mutex_;
  std::unordered_set<nostr::EventId> refused_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::pair<base::SteadyTime, nostr::EventId>> by_age_ ABSL_GUARDED_BY(mutex_);
  std::unordered_set<nostr::EventId> waiting_ ABSL_GUARDED_BY(mutex_);
  uint64_t hits_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace graspd::ingest
