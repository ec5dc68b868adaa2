#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "nostr/filter.h"
#include "nostr/negentropy/item_set.h"
#include "storage/event_store.h"

namespace graspd::relay {

/// The sets that clients reconcile against: sealed, shared by those who ask the same at the same
/// state of the store, and together within one memory budget.
///
/// Threading: thread-safe; Get blocks (a scan of the store), so it runs on the reads pool.
class NegSets {
 public:
  using SetPtr = std::shared_ptr<const negentropy::SealedSet>;

  NegSets(storage::EventStore& store, size_t max_items, size_t max_bytes)
      : store_(store), max_items_(max_items), max_bytes_(max_bytes) {}

  /// The unexpired events that match `filter`, limit ignored.
  /// Errors: kResourceExhausted: more than max_items; kUnavailable: the other sets leave no room
  /// now, or the store's reason.
  absl::StatusOr<SetPtr> Get(nostr::Filter filter, uint64_t unix_now);

  [[nodiscard]] size_t max_items() const { return max_items_; }
  /// Held by sets that somebody uses.
  [[nodiscard]] size_t bytes() const { return bytes_->load(); }

 private:
  struct Cached {
    std::weak_ptr<const negentropy::SealedSet> set;
    storage::FeedPosition position;
    uint64_t unix_now;
  };
  [[nodiscard]] SetPtr Find(const std::string& key, storage::FeedPosition position,
                            uint64_t unix_now);
  void Remember(const std::string& key, Cached cached);
  [[nodiscard]] SetPtr Seal(std::vector<negentropy::Item> items);

  storage::EventStore& store_;
  const size_t max_items_, max_bytes_;
  // Shared with the sets, which may be dropped after this object.
  const std::shared_ptr<std::atomic<size_t>> bytes_ = std::make_shared<std::atomic<size_t>>(0);
  base::Mutex mutex_;
  std::map<std::string, Cached> cache_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace graspd::relay
