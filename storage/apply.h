// What storing an event means, the same for every backend: duplicates, replacement (NIP-01), deletion
// (NIP-09), expiration (NIP-40), ephemeral kinds, the judge. Backends supply the primitives.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "storage/event_store.h"

namespace graspd::storage {

/// One open write transaction of a backend, as seen by ApplyBatch. Every read sees every earlier
/// write of the same transaction. Thread: the writer's.
class WriteTransaction : public ReadView {
 public:
  struct Stored {
    nostr::EventId id;
    nostr::PublicKey author;
    nostr::Kind kind;
    uint64_t created_at;
  };
  /// The stored event of that id.
  virtual absl::StatusOr<std::optional<Stored>> Find(const nostr::EventId& id) const = 0;
  /// The stored version of that address (there is at most one).
  virtual absl::StatusOr<std::optional<Stored>> FindAddress(const nostr::Address& a) const = 0;
  virtual absl::Status Insert(const nostr::EventRecord& event, Source source,
                              FeedPosition position) = 0;
  virtual absl::Status Remove(const nostr::EventId& id, Removal reason, FeedPosition position) = 0;

  // Tombstones (NIP-09): they outlive their targets and apply to what arrives later.
  virtual absl::Status AddIdTombstone(const nostr::EventId& id, const nostr::PublicKey& author) = 0;
  virtual absl::StatusOr<bool> HasIdTombstone(const nostr::EventId& id,
                                              const nostr::PublicKey& author) const = 0;
  /// Keeps the later of the stored `until` and this one.
  virtual absl::Status AddAddressTombstone(const nostr::Address& address, uint64_t until) = 0;
  virtual absl::StatusOr<std::optional<uint64_t>> AddressTombstone(
      const nostr::Address& address) const = 0;
};

/// Applies `batch` in order within `txn`, filling results and the commit's changes; the caller commits
/// or, on an error, aborts. An error is a failure of the backend, never of an event.
absl::StatusOr<BatchResult> ApplyBatch(std::span<const WriteRequest> batch, Judge& judge,
                                       uint64_t unix_now, FeedPosition position,
                                       WriteTransaction& txn);

}  // namespace graspd::storage
