#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/apply.h"
#include "storage/lmdb/keys.h"
#include "storage/lmdb/row.h"
#include "storage/lmdb/txn.h"

namespace graspd::storage {

/// The primitives of ApplyBatch on one LMDB write transaction, which the caller commits.
/// Threading: the writer's thread.
class LmdbWriteTransaction final : public WriteTransaction {
 public:
  LmdbWriteTransaction(WriteTxn& txn, uint64_t unix_now) : txn_(txn), unix_now_(unix_now) {}

  absl::StatusOr<std::optional<nostr::Kind>> FindKind(const nostr::EventId& id) const override;
  absl::StatusOr<bool> Contains(const nostr::Address& address) const override;
  absl::StatusOr<bool> AnyTagged(char letter, const std::string& value,
                                 std::span<const nostr::Kind> other_than,
                                 size_t max_events) const override;
  absl::StatusOr<bool> AnyBy(const nostr::PublicKey& author, size_t max_events) const override;
  absl::Status VisitTagged(nostr::Kind kind, char letter, const std::string& value,
                           size_t max_events,
                           const std::function<bool(std::string json)>& visit) const override;

  absl::StatusOr<std::optional<Stored>> Find(const nostr::EventId& id) const override;
  absl::StatusOr<std::optional<Stored>> FindAddress(const nostr::Address& address) const override;
  absl::Status Insert(const nostr::EventRecord& event, Source source,
                      FeedPosition position) override;
  absl::Status Remove(const nostr::EventId& id, Removal reason, FeedPosition position) override;
  absl::Status MarkGone(const nostr::EventId& id) override;

  absl::Status AddIdTombstone(const nostr::EventId& id, const nostr::PublicKey& author) override;
  absl::StatusOr<bool> HasIdTombstone(const nostr::EventId& id,
                                      const nostr::PublicKey& author) const override;
  absl::Status AddAddressTombstone(const nostr::Address& address, uint64_t until) override;
  absl::StatusOr<std::optional<uint64_t>> AddressTombstone(
      const nostr::Address& address) const override;
  absl::Status RaiseAddressFloor(const nostr::Address& address, const Version& version) override;
  absl::StatusOr<std::optional<Version>> AddressFloor(const nostr::Address& address) const override;

  /// Up to `max` stored events that have expired, the earliest first.
  absl::StatusOr<std::vector<Stored>> FindExpired(size_t max) const;

 private:
  absl::StatusOr<std::optional<ChangeNumber>> FindChange(const nostr::EventId& id) const;
  /// The row of that change, unless it has expired.
  absl::StatusOr<std::optional<RowView>> ReadServed(ChangeNumber change) const;
  absl::StatusOr<Stored> ReadStored(ChangeNumber change) const;
  absl::StatusOr<AddressRecord> ReadAddress(const nostr::Address& address) const;
  absl::Status WriteAddress(const nostr::Address& address, const AddressRecord& record);
  absl::StatusOr<ChangeNumber> NextChange(FeedPosition position);
  absl::Status RemoveFromIndexes(const nostr::Event& event, ChangeNumber change);

  WriteTxn& txn_;
  const uint64_t unix_now_;
  uint64_t changes_ = 0;  // so far, to number them
};

}  // namespace graspd::storage
