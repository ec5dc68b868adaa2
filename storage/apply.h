// What storing an event means, the same for every backend: duplicates, replacement (NIP-01),
// deletion (NIP-09), expiration (NIP-40), ephemeral kinds, the judge. Backends supply the
// primitives.
//
// What is served in the end depends on the set of events that arrived, never on their order. Two
// facts about the past are kept for that: tombstones, which apply to what arrives after its
// deletion, and the floor of an address, the newest version that was deleted by id. Without the
// floor an older version would be back or not, depending on whether it was replaced before the
// deletion arrived.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "storage/event_store.h"

namespace graspd::storage {

/// Which of the versions of an address: ordered by nostr::Supersedes.
struct Version {
  uint64_t created_at = 0;
  nostr::EventId id;
};

/// One open write transaction of a backend, as seen by ApplyBatch. Every read sees every earlier
/// write of the same transaction. Thread: the writer's.
class WriteTransaction : public ReadView {
 public:
  struct Stored {
    nostr::EventId id;
    nostr::PublicKey author;
    nostr::Kind kind = 0;
    uint64_t created_at = 0;
    std::optional<uint64_t> expiration;
    std::optional<nostr::Address> address;
  };
  /// The stored event of that id, expired or not.
  virtual absl::StatusOr<std::optional<Stored>> Find(const nostr::EventId& id) const = 0;
  /// The stored version of that address (there is at most one), expired or not.
  virtual absl::StatusOr<std::optional<Stored>> FindAddress(const nostr::Address& a) const = 0;
  /// Stores an event that is not stored; it becomes the version of its address.
  virtual absl::Status Insert(const nostr::EventRecord& event, Source source,
                              FeedPosition position) = 0;
  /// Takes a stored event away and logs that for ReadFeed.
  virtual absl::Status Remove(const nostr::EventId& id, Removal reason, FeedPosition position) = 0;
  /// Remembers for Known() that this id is deleted for good.
  virtual absl::Status MarkGone(const nostr::EventId& id) = 0;

  // Tombstones (NIP-09): they outlive their targets and apply to what arrives later.
  virtual absl::Status AddIdTombstone(const nostr::EventId& id, const nostr::PublicKey& author) = 0;
  virtual absl::StatusOr<bool> HasIdTombstone(const nostr::EventId& id,
                                              const nostr::PublicKey& author) const = 0;
  /// Keeps the later of the stored `until` and this one.
  virtual absl::Status AddAddressTombstone(const nostr::Address& address, uint64_t until) = 0;
  virtual absl::StatusOr<std::optional<uint64_t>> AddressTombstone(
      const nostr::Address& address) const = 0;
  /// Keeps the newer of the stored floor and this one.
  virtual absl::Status RaiseAddressFloor(const nostr::Address& address, const Version& version) = 0;
  virtual absl::StatusOr<std::optional<Version>> AddressFloor(
      const nostr::Address& address) const = 0;
};

/// Applies `batch` in order within `txn`, filling results and the commit's changes; the caller
/// commits or, on an error, aborts. Even with no change there may be something to commit (a
/// tombstone's effect). An error is a failure of the backend or the judge, never of an event.
absl::StatusOr<BatchResult> ApplyBatch(std::span<const WriteRequest> batch, Judge& judge,
                                       uint64_t unix_now, FeedPosition position,
                                       WriteTransaction& txn);

/// Removes `events` for one reason; the commit says so for each.
absl::StatusOr<Commit> RemoveAll(std::span<const WriteTransaction::Stored> events, Removal reason,
                                 FeedPosition position, WriteTransaction& txn);

}  // namespace graspd::storage
