#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "nostr/filter.h"
#include "nostr/negentropy/item_tree.h"
#include "storage/commit_feed.h"
#include "storage/event_store.h"
#include "storage/kept_set.h"

namespace graspd::storage {

/// The sets that reconciliations (NIP-77) are about, those of clients and our own with remotes: one
/// for each filter, shared by all who ask for it, however it is written, and kept up to date by the
/// commit feed.
///
/// A set is read from the store when somebody asks for it first; who asks meanwhile waits for the
/// same scan, which ends early once nobody waits for it any more. It takes the time of the Get that
/// began it, so that a client is charged for what others wait for as well. From then on the set
/// follows the feed, so that asking again costs no scan. A set that nobody uses is dropped after 30
/// s, one that proactive sync uses (kKeptForSync; also whoever asks by its first filter, kinds
/// 10317 and 30617) after 10 minutes; the least recently asked for are dropped sooner when there
/// are more than 16, when unused ones take more than half of the budget, or when the room is
/// needed.
///
/// All sets, everything that sessions still hold of their older states, and what is being collected
/// count against one budget of memory. It is reserved before it is used, so scans at the same time
/// do not pass it together. Besides, so many changes may wait for each set as would cost about as
/// much as to read it again, 1,000 to 10,000; one that falls behind further is read again when it
/// is asked for.
///
/// Threading: thread-safe. Get and Tend block (the store), so they run on the scans pool. Lifetime:
/// store, feed and clock outlive this object; sets may outlive it.
class NegSets {
 public:
  using SetPtr = std::shared_ptr<const negentropy::ItemView>;
  using Done = std::function<void(const absl::StatusOr<SetPtr>&)>;

  NegSets(EventStore& store, CommitFeed& feed, const base::Clock& clock, size_t max_items,
          size_t max_bytes);
  ~NegSets();
  NegSets(const NegSets&) = delete;
  NegSets& operator=(const NegSets&) = delete;

  static constexpr base::Duration kKept = std::chrono::seconds(30);
  static constexpr base::Duration kKeptForSync = std::chrono::minutes(10);

  /// Calls `done`, before returning or from another thread that is in a call of Get or Tend, with
  /// the unexpired events that match `filter`, limit ignored: all that were published before this
  /// call, perhaps some later ones. It must not block. Errors: kResourceExhausted: more than
  /// max_items; kUnavailable: the other sets leave no room now, or the store's reason; kCancelled:
  /// nobody waited. Once nobody uses it, the set is kept for `keep`, if it is not for longer.
  /// `stop`, if set, says whether the caller waits no more; it is asked from any thread that is in
  /// a call of Get or Tend, now and then, and must not block.
  void Get(nostr::Filter filter, Done done, base::Duration keep = kKept,
           EventStore::Stop stop = nullptr);

  /// Drops what has been unused for long, and brings the other sets up to date. To be called about
  /// once a second.
  void Tend();

  /// Of one set: what was asked for, or what `max_bytes` has room for if that is less.
  [[nodiscard]] size_t max_items() const { return max_items_; }
  /// Held by sets and taken for scans.
  [[nodiscard]] size_t bytes() const { return bytes_->load(); }
  [[nodiscard]] size_t kept() const;
  [[nodiscard]] size_t scans_in_flight() const { return scanning_.load(); }
  /// Since the start.
  [[nodiscard]] uint64_t scans() const { return scans_.load(); }

 private:
  struct Entry;
  struct Waiting;
  using EntryPtr = std::shared_ptr<Entry>;
  class Reservation;

  void OnCommit(const Commit& commit);
  void Serve(const EntryPtr& entry);
  [[nodiscard]] absl::StatusOr<SetPtr> Update(Entry& entry, const std::vector<SetChange>& changes,
                                              const EventStore::Stop& stop);
  absl::Status Scan(Entry& entry, const EventStore::Stop& stop);
  [[nodiscard]] bool Fail(const EntryPtr& entry, std::vector<Waiting> waiting,
                          const absl::Status& status);
  [[nodiscard]] bool TryReserve(size_t bytes);
  [[nodiscard]] bool DropOldestUnused();
  [[nodiscard]] EntryPtr OldestLocked(bool unused_only) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  [[nodiscard]] std::vector<EntryPtr> TakeUnusedLocked(base::SteadyTime now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  EventStore& store_;
  const base::Clock& clock_;
  const size_t max_items_, max_bytes_;
  const negentropy::ItemTree::ByteCount bytes_ = std::make_shared<std::atomic<size_t>>(0);
  std::atomic<size_t> scanning_{0};
  std::atomic<uint64_t> scans_{0};
  mutable base::Mutex mutex_;
  std::map<std::string, EntryPtr> entries_ ABSL_GUARDED_BY(mutex_);  // by the filter's JSON
  std::unique_ptr<CommitFeed::Subscription> feed_;                   // last: it calls this object
};

}  // namespace graspd::storage
