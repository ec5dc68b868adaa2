#include "storage/lmdb/write_transaction.h"

#include "base/status_macros.h"
#include "nostr/rules.h"
#include "storage/lmdb/indexer.h"
#include "storage/lmdb/pending.h"
#include "storage/lmdb/scan.h"

namespace graspd::storage {

absl::StatusOr<std::optional<ChangeNumber>> LmdbWriteTransaction::FindChange(
    const nostr::EventId& id) const {
  GRASPD_ASSIGN_OR_RETURN(const auto change, FindId(txn_, id));
  if (!change || change->value() == 0) return std::nullopt;  // never heard of, deleted for good
  return change;
}

absl::StatusOr<std::optional<RowView>> LmdbWriteTransaction::ReadServed(ChangeNumber change) const {
  GRASPD_ASSIGN_OR_RETURN(const RowView row, ReadRow(txn_, change));
  if (row.expiration && *row.expiration <= unix_now_) return std::nullopt;
  return row;
}

absl::StatusOr<std::optional<nostr::Kind>> LmdbWriteTransaction::FindKind(
    const nostr::EventId& id) const {
  GRASPD_ASSIGN_OR_RETURN(const auto change, FindChange(id));
  if (!change) return std::nullopt;
  GRASPD_ASSIGN_OR_RETURN(const auto row, ReadServed(*change));
  if (!row) return std::nullopt;
  return row->kind;
}

absl::StatusOr<bool> LmdbWriteTransaction::Contains(const nostr::Address& address) const {
  GRASPD_ASSIGN_OR_RETURN(const AddressRecord record, ReadAddress(address));
  if (record.current.value() == 0) return false;
  GRASPD_ASSIGN_OR_RETURN(const auto row, ReadServed(record.current));
  return row.has_value();
}

absl::StatusOr<bool> LmdbWriteTransaction::AnyTagged(char letter, const std::string& value,
                                                     std::span<const nostr::Kind> other_than,
                                                     size_t max_events) const {
  nostr::Filter filter;
  filter.tags[letter] = {value};
  ScanOptions options;
  options.unix_now = unix_now_;
  options.trusts_tag_hashes = true;
  GRASPD_ASSIGN_OR_RETURN(FilterScan scan, FilterScan::Open(txn_, filter, options));
  for (uint64_t budget = max_events;;) {
    GRASPD_ASSIGN_OR_RETURN(const FilterScan::Step step, scan.Next(budget));
    if (step != FilterScan::Step::kMatch) return false;
    if (std::find(other_than.begin(), other_than.end(), scan.kind()) == other_than.end()) {
      return true;
    }
  }
}

absl::StatusOr<bool> LmdbWriteTransaction::AnyBy(const nostr::PublicKey& author,
                                                 size_t max_events) const {
  nostr::Filter filter;
  filter.authors = {author};
  ScanOptions options;
  options.unix_now = unix_now_;
  GRASPD_ASSIGN_OR_RETURN(FilterScan scan, FilterScan::Open(txn_, filter, options));
  uint64_t budget = max_events;
  GRASPD_ASSIGN_OR_RETURN(const FilterScan::Step step, scan.Next(budget));
  return step == FilterScan::Step::kMatch;
}

// The runs of the tag and of the kind are in the same order: where the one has an event of another
// kind, both go on from the next place of the other.
absl::Status LmdbWriteTransaction::VisitTagged(
    nostr::Kind kind, char letter, const std::string& value, size_t max_events,
    const std::function<bool(std::string json)>& visit) const {
  nostr::Filter of_kind;
  of_kind.kinds = {kind};
  nostr::Filter wanted = of_kind;
  wanted.tags[letter] = {value};
  ScanOptions options;
  options.unix_now = unix_now_;
  GRASPD_ASSIGN_OR_RETURN(FilterScan scan, FilterScan::Open(txn_, wanted, options));
  std::optional<FilterScan> kinds;
  uint64_t kinds_budget = max_events;
  for (; max_events > 0; --max_events) {
    uint64_t one = 1;
    GRASPD_ASSIGN_OR_RETURN(const FilterScan::Step step, scan.Next(one));
    if (step == FilterScan::Step::kEnd) break;
    if (step == FilterScan::Step::kMatch) {
      GRASPD_ASSIGN_OR_RETURN(const RowView row, scan.Row());
      if (!visit(row.Json())) break;
    } else if (scan.kind() != kind) {
      if (!kinds) {
        GRASPD_ASSIGN_OR_RETURN(kinds, FilterScan::Open(txn_, of_kind, options));
      }
      GRASPD_RETURN_IF_ERROR(kinds->SkipTo(scan.place()));
      GRASPD_ASSIGN_OR_RETURN(const FilterScan::Step next, kinds->Next(kinds_budget));
      if (next != FilterScan::Step::kMatch) break;
      GRASPD_RETURN_IF_ERROR(scan.SkipTo(kinds->place()));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<WriteTransaction::Stored> LmdbWriteTransaction::ReadStored(
    ChangeNumber change) const {
  GRASPD_ASSIGN_OR_RETURN(const RowView row, ReadRow(txn_, change));
  Stored stored{row.id, row.author, row.kind, row.created_at, row.expiration, std::nullopt};
  switch (nostr::ClassOf(row.kind)) {
    case nostr::KindClass::kReplaceable:
      stored.address = nostr::Address{row.kind, row.author, ""};
      break;
    case nostr::KindClass::kAddressable: {
      const auto event = nostr::ParseEvent(row.Json());
      if (!event.ok()) return txn_.env().Damaged("a stored event does not parse");
      stored.address = nostr::AddressOf(*event);
      break;
    }
    default:
      break;
  }
  return stored;
}

absl::StatusOr<std::optional<WriteTransaction::Stored>> LmdbWriteTransaction::Find(
    const nostr::EventId& id) const {
  GRASPD_ASSIGN_OR_RETURN(const auto change, FindChange(id));
  if (!change) return std::nullopt;
  GRASPD_ASSIGN_OR_RETURN(Stored stored, ReadStored(*change));
  return stored;
}

absl::StatusOr<std::optional<WriteTransaction::Stored>> LmdbWriteTransaction::FindAddress(
    const nostr::Address& address) const {
  GRASPD_ASSIGN_OR_RETURN(const AddressRecord record, ReadAddress(address));
  if (record.current.value() == 0) return std::nullopt;
  GRASPD_ASSIGN_OR_RETURN(Stored stored, ReadStored(record.current));
  return stored;
}

absl::StatusOr<ChangeNumber> LmdbWriteTransaction::NextChange(FeedPosition position) {
  if (changes_ == ChangeNumber::kMaxPerCommit) {
    return absl::ResourceExhaustedError("too many changes in one commit");
  }
  const ChangeNumber change(position, changes_++);
  txn_.mutable_pending().set_seen(change);
  return change;
}

absl::Status LmdbWriteTransaction::Insert(const nostr::EventRecord& record, Source source,
                                          FeedPosition position) {
  const nostr::Event& event = record.event;
  const Tables& tables = txn_.tables();
  GRASPD_ASSIGN_OR_RETURN(const std::string row, EncodeRow(record, source));
  GRASPD_ASSIGN_OR_RETURN(const ChangeNumber change, NextChange(position));
  const auto expiration = nostr::ExpirationOf(event);

  GRASPD_RETURN_IF_ERROR(txn_.Append(tables.events, change.Key(), row));
  txn_.mutable_pending().Add(IndexEntriesOf(event, change, txn_.env().tag_hasher()));
  if (expiration) {
    GRASPD_RETURN_IF_ERROR(
        txn_.Put(tables.expirations, ExpirationKey(*expiration, change), event.id.view()));
  }
  if (const auto address = nostr::AddressOf(event)) {
    GRASPD_ASSIGN_OR_RETURN(AddressRecord known, ReadAddress(*address));
    known.current = change;
    GRASPD_RETURN_IF_ERROR(WriteAddress(*address, known));
  }
  return absl::OkStatus();
}

absl::Status LmdbWriteTransaction::Remove(const nostr::EventId& id, Removal reason,
                                          FeedPosition position) {
  const Tables& tables = txn_.tables();
  GRASPD_ASSIGN_OR_RETURN(const auto change, FindChange(id));
  if (!change) return absl::InternalError("removing an event that is not stored");
  GRASPD_ASSIGN_OR_RETURN(const RowView row, ReadRow(txn_, *change));
  // An owning copy: the row's bytes move with the first write.
  const auto event = nostr::ParseEvent(row.Json());
  if (!event.ok()) return txn_.env().Damaged("a stored event does not parse");

  GRASPD_RETURN_IF_ERROR(RemoveFromIndexes(*event, *change));
  if (const auto expiration = nostr::ExpirationOf(*event)) {
    GRASPD_RETURN_IF_ERROR(
        txn_.Delete(tables.expirations, ExpirationKey(*expiration, *change)).status());
  }
  if (const auto address = nostr::AddressOf(*event)) {
    GRASPD_ASSIGN_OR_RETURN(AddressRecord known, ReadAddress(*address));
    if (known.current.value() == change->value()) {
      known.current = ChangeNumber();
      GRASPD_RETURN_IF_ERROR(WriteAddress(*address, known));
    }
  }
  GRASPD_RETURN_IF_ERROR(txn_.Delete(tables.events, change->Key()).status());

  GRASPD_ASSIGN_OR_RETURN(const ChangeNumber removal, NextChange(position));
  const RemovalRecord entry{reason, event->kind, event->created_at, id};
  return txn_.Append(tables.removals, removal.Key(), entry.Encode());
}

absl::Status LmdbWriteTransaction::RemoveFromIndexes(const nostr::Event& event,
                                                     ChangeNumber change) {
  Pending& pending = txn_.mutable_pending();
  pending.Kill(change);
  if (change.value() > pending.progress().begun.value()) return absl::OkStatus();
  for (const IndexEntry& entry : IndexEntriesOf(event, change, txn_.env().tag_hasher())) {
    GRASPD_RETURN_IF_ERROR(
        txn_.Delete(TableOf(txn_.tables(), entry.index), IndexKey(entry)).status());
  }
  return absl::OkStatus();
}

absl::Status LmdbWriteTransaction::MarkGone(const nostr::EventId& id) {
  GRASPD_ASSIGN_OR_RETURN(const auto present, FindId(txn_, id));
  if (present) return absl::OkStatus();
  return txn_.Put(txn_.tables().ids, id.view(), ChangeNumber().Key());
}

absl::Status LmdbWriteTransaction::AddIdTombstone(const nostr::EventId& id,
                                                  const nostr::PublicKey& author) {
  return txn_.Put(txn_.tables().tombstones, TombstoneKey(id, author), "");
}

absl::StatusOr<bool> LmdbWriteTransaction::HasIdTombstone(const nostr::EventId& id,
                                                          const nostr::PublicKey& author) const {
  GRASPD_ASSIGN_OR_RETURN(const auto found,
                          txn_.Get(txn_.tables().tombstones, TombstoneKey(id, author)));
  return found.has_value();
}

absl::StatusOr<AddressRecord> LmdbWriteTransaction::ReadAddress(
    const nostr::Address& address) const {
  GRASPD_ASSIGN_OR_RETURN(const auto bytes, txn_.Get(txn_.tables().addresses, AddressKey(address)));
  if (!bytes) return AddressRecord{};
  const auto record = AddressRecord::Decode(*bytes);
  if (!record) return txn_.env().Damaged("an address record is unreadable");
  return *record;
}

absl::Status LmdbWriteTransaction::WriteAddress(const nostr::Address& address,
                                                const AddressRecord& record) {
  return txn_.Put(txn_.tables().addresses, AddressKey(address), record.Encode());
}

absl::Status LmdbWriteTransaction::AddAddressTombstone(const nostr::Address& address,
                                                       uint64_t until) {
  GRASPD_ASSIGN_OR_RETURN(AddressRecord record, ReadAddress(address));
  if (record.deleted_until && *record.deleted_until >= until) return absl::OkStatus();
  record.deleted_until = until;
  return WriteAddress(address, record);
}

absl::StatusOr<std::optional<uint64_t>> LmdbWriteTransaction::AddressTombstone(
    const nostr::Address& address) const {
  GRASPD_ASSIGN_OR_RETURN(const AddressRecord record, ReadAddress(address));
  return record.deleted_until;
}

absl::Status LmdbWriteTransaction::RaiseAddressFloor(const nostr::Address& address,
                                                     const Version& version) {
  GRASPD_ASSIGN_OR_RETURN(AddressRecord record, ReadAddress(address));
  if (record.floor && !nostr::Supersedes(version.created_at, version.id, record.floor->created_at,
                                         record.floor->id)) {
    return absl::OkStatus();
  }
  record.floor = version;
  return WriteAddress(address, record);
}

absl::StatusOr<std::optional<Version>> LmdbWriteTransaction::AddressFloor(
    const nostr::Address& address) const {
  GRASPD_ASSIGN_OR_RETURN(const AddressRecord record, ReadAddress(address));
  return record.floor;
}

absl::StatusOr<std::vector<WriteTransaction::Stored>> LmdbWriteTransaction::FindExpired(
    size_t max) const {
  std::vector<Stored> expired;
  GRASPD_ASSIGN_OR_RETURN(Cursor cursor, Cursor::Open(txn_, txn_.tables().expirations));
  GRASPD_ASSIGN_OR_RETURN(bool found, cursor.Seek(""));
  while (found && expired.size() < max && GetUint64(cursor.key()) <= unix_now_) {
    GRASPD_ASSIGN_OR_RETURN(Stored stored,
                            ReadStored(ChangeNumber(GetUint64(cursor.key().substr(8)))));
    expired.push_back(std::move(stored));
    GRASPD_ASSIGN_OR_RETURN(found, cursor.Next());
  }
  return expired;
}

}  // namespace graspd::storage
