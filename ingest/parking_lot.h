#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "ingest/rejected_index.h"
#include "storage/event_store.h"

namespace graspd::ingest {

/// Verified events that the policy refused only for want of another event, until that one is
/// stored.
///
/// What an event waits for is read from it: what it refers to, or a reference to it; a deletion
/// also waits for anything by its author, an announcement or a state for being named as maintainer,
/// an announcement for an older version of its address.
/// Each is one index key, so finding who waits costs the number of those who do. Bounds: `events`,
/// `bytes` (estimated, keys included): the oldest leave first; `keep` by the clock. Threading:
/// thread-compatible (the writer's thread).
class ParkingLot {
 public:
  struct Limits {
    size_t events = 10'000;
    size_t bytes = 32u << 20;
    base::Duration keep = std::chrono::hours(24);
  };
  /// `index`, which may be null, is told what is here; it outlives the lot.
  explicit ParkingLot(Limits limits, RejectedIndex* index = nullptr)
      : limits_(limits), index_of_ids_(index) {}

  /// Keeps `request`; one that is here already stays as it is.
  void Park(storage::WriteRequest request, base::SteadyTime now);
  /// Takes out the events whose wait `stored` may have ended, oldest first. Forgets `stored`
  /// itself.
  [[nodiscard]] std::vector<storage::WriteRequest> TakeWaitingFor(const nostr::Event& stored);
  /// Takes out everything, oldest first.
  [[nodiscard]] std::vector<storage::WriteRequest> TakeAll();
  /// Forgets what has waited too long.
  void Expire(base::SteadyTime now);

  [[nodiscard]] size_t size() const { return parked_.size(); }
  [[nodiscard]] size_t bytes() const { return bytes_; }

 private:
  struct Parked {
    storage::WriteRequest request;
    base::SteadyTime since;
    std::vector<std::string> keys;
    size_t bytes = 0;
  };
  using Number = uint64_t;  // in order of arrival
  Parked Remove(std::map<Number, Parked>::iterator parked);

  const Limits limits_;
  RejectedIndex* const index_of_ids_;
  std::map<Number, Parked> parked_;
  std::unordered_map<nostr::EventId, Number> by_id_;
  std::set<std::pair<std::string, Number>> index_;
  size_t bytes_ = 0;
  Number next_ = 0;
};

}  // namespace graspd::ingest
