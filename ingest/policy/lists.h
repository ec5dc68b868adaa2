#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "ingest/policy/list_snapshot.h"
#include "storage/event_store.h"

namespace graspd::ingest {

/// The lists of the acceptance policy while the process runs: what the settings say together with
/// what was added since, which is kept in the store and survives a restart.
///
/// In force is the union. An entry of the settings can be removed only there; an entry that was
/// added can be removed at any time. Empty means "no restriction" for a whitelist and for the two
/// archive lists together, so the first entry of such a list narrows what is taken, and removing
/// the last one widens it again. A change applies to what is judged from then on; what is stored
/// stays.
///
/// Bounds: 100,000 entries per list. Threading: thread-safe; Add, Remove and Entries block on the
/// store, snapshot() does not. Lifetime: the store outlives it.
class PolicyLists {
 public:
  static constexpr size_t kEntriesPerList = 100'000;
  static constexpr size_t kReasonBytes = 256;

  /// Canonical entries, by PolicyList.
  using Configured = std::array<std::vector<std::string>, kPolicyLists>;
  struct Entry {
    std::string text;  // canonical
    std::string reason;
    uint64_t added_at = 0;  // Unix seconds; 0 for an entry of the settings
    bool from_settings = false;
  };

  /// The lists of the settings and what `store` holds. Errors: the store's; kDataLoss if an entry
  /// in it cannot be read, since to pass over one could let in what was banned.
  static absl::StatusOr<std::unique_ptr<PolicyLists>> Load(storage::EventStore& store,
                                                           const Configured& configured);

  /// What is in force. Never null.
  [[nodiscard]] std::shared_ptr<const ListSnapshot> snapshot() const;

  /// Adds an entry, durable and in force on return. False if it was there already.
  /// Errors: kInvalidArgument (the entry; a reason over 256 bytes or with a line break),
  /// kResourceExhausted if the list is full, the store's.
  absl::StatusOr<bool> Add(PolicyList list, std::string_view text, std::string_view reason,
                           uint64_t unix_now);
  /// Takes out an entry that was added. False if there is none. Errors: as above, and
  /// kFailedPrecondition for an entry of the settings.
  absl::StatusOr<bool> Remove(PolicyList list, std::string_view text);
  /// Ascending by text.
  [[nodiscard]] std::vector<Entry> Entries(PolicyList list) const;

  /// Called after each change, on the thread that makes it, when snapshot() shows it. Set before
  /// the first change; must not call back.
  void OnChange(std::function<void()> changed);

 private:
  explicit PolicyLists(storage::EventStore& store) : store_(store) {}

  using List = std::map<std::string, Entry, std::less<>>;
  [[nodiscard]] List& Of(PolicyList list) ABSL_EXCLUSIVE_LOCKS_REQUIRED(update_mutex_) {
    return lists_[static_cast<size_t>(list)];
  }
  absl::Status LoadStored(PolicyList list) ABSL_EXCLUSIVE_LOCKS_REQUIRED(update_mutex_);
  absl::Status Put(const std::string& key, std::optional<std::string_view> value);
  void Renew() ABSL_EXCLUSIVE_LOCKS_REQUIRED(update_mutex_);

  storage::EventStore& store_;
  mutable base::Mutex update_mutex_;  // one change at a time; held while the store is written
  std::array<List, kPolicyLists> lists_ ABSL_GUARDED_BY(update_mutex_);
  std::function<void()> changed_ ABSL_GUARDED_BY(update_mutex_);

  mutable base::Mutex snapshot_mutex_;  // innermost
  std::shared_ptr<const ListSnapshot> snapshot_ ABSL_GUARDED_BY(snapshot_mutex_);
};

}  // namespace graspd::ingest
