#include "storage/lmdb/indexer.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/status_macros.h"
#include "storage/lmdb/row.h"

namespace graspd::storage {
namespace {

constexpr std::string_view kIndexedKey = "indexed";  // in table meta: Pending::Progress
// Index entries in one transaction: enough to share pages, few enough not to be felt.
constexpr size_t kPiece = 4096, kMaxPiece = 32'768;

absl::StatusOr<Pending::Progress> ReadProgress(const Txn& txn) {
  GRASPD_ASSIGN_OR_RETURN(const auto bytes, txn.Get(txn.tables().meta, kIndexedKey));
  if (!bytes) return Pending::Progress{};
  if (bytes->size() != 16) return txn.env().Damaged("the record of indexed changes is unreadable");
  return Pending::Progress{ChangeNumber(GetUint64(*bytes)),
                           ChangeNumber(GetUint64(bytes->substr(8)))};
}

absl::Status KillRemoved(const Txn& txn, Pending& pending, ChangeNumber& last) {
  GRASPD_ASSIGN_OR_RETURN(Cursor cursor, Cursor::Open(txn, txn.tables().removals));
  const ChangeNumber first(pending.seen().value() + 1);
  GRASPD_ASSIGN_OR_RETURN(bool found, cursor.Seek(first.Key()));
  while (found) {
    const auto removal = RemovalRecord::Decode(cursor.value());
    if (!removal) return txn.env().Damaged("a removal record is unreadable");
    if (const auto change = pending.FindId(removal->id)) pending.Kill(*change);
    last = ChangeNumber(std::max(last.value(), GetUint64(cursor.key())));
    GRASPD_ASSIGN_OR_RETURN(found, cursor.Next());
  }
  return absl::OkStatus();
}

absl::Status AddStored(const Txn& txn, Pending& pending, ChangeNumber& last) {
  GRASPD_ASSIGN_OR_RETURN(Cursor cursor, Cursor::Open(txn, txn.tables().events));
  const ChangeNumber first(pending.seen().value() + 1);
  GRASPD_ASSIGN_OR_RETURN(bool found, cursor.Seek(first.Key()));
  Pending::Entries all;
  while (found) {
    const ChangeNumber change(GetUint64(cursor.key()));
    const auto row = RowView::Decode(cursor.value());
    if (!row) return txn.env().Damaged("a stored event is unreadable");
    const auto event = nostr::ParseEvent(row->Json());
    if (!event.ok()) return txn.env().Damaged("a stored event does not parse");
    const auto entries = IndexEntriesOf(*event, change, txn.env().tag_hasher());
    all.insert(all.end(), entries.begin(), entries.end());
    last = ChangeNumber(std::max(last.value(), change.value()));
    GRASPD_ASSIGN_OR_RETURN(found, cursor.Next());
  }
  pending.AddAll(std::move(all));
  return absl::OkStatus();
}

// How many frozen entries to move now: twice as fast as young ones gather, so that all are gone
// before those freeze.
size_t DueEntries(const Pending& pending, size_t max_young) {
  const size_t total = pending.frozen_total(), left = pending.frozen_entries();
  const double gathered = static_cast<double>(pending.young_entries()) /
                          static_cast<double>(std::max<size_t>(max_young, 1));
  const double share = std::min(1.0, 2 * gathered);
  const auto moved = static_cast<size_t>(share * static_cast<double>(total));
  const size_t due = left - std::min(left, total - moved);
  const size_t piece = std::min(kPiece, max_young / 8 + 1);
  return due < piece && due < left ? 0 : std::min(due, kMaxPiece);
}

absl::Status PutFrozen(WriteTxn& txn, Pending& pending, size_t count) {
  std::optional<Cursor> cursor;
  std::optional<Index> index;
  for (; count > 0; --count) {
    const IndexEntry* const entry = pending.NextFrozen();
    if (entry == nullptr) break;
    if (!pending.IsDead(entry->change)) {
      if (index != entry->index) {
        cursor.reset();
        index = entry->index;
        GRASPD_ASSIGN_OR_RETURN(cursor, Cursor::Open(txn, TableOf(txn.tables(), *index)));
      }
      const std::string value =
          *index == Index::kIds ? ChangeNumber(entry->change).Key() : entry->value().Encode();
      GRASPD_RETURN_IF_ERROR(txn.PutAt(*cursor, IndexKey(*entry), value));
    }
    pending.PopFrozen();
  }
  return absl::OkStatus();
}

absl::Status WriteProgress(WriteTxn& txn, const Pending::Progress& progress) {
  std::string bytes;
  PutUint64(bytes, progress.done.value());
  PutUint64(bytes, progress.begun.value());
  return txn.Put(txn.tables().meta, kIndexedKey, bytes);
}

}  // namespace

MDB_dbi TableOf(const Tables& tables, Index index) {
  switch (index) {
    case Index::kIds:
      return tables.ids;
    case Index::kTime:
      return tables.by_time;
    case Index::kKind:
      return tables.by_kind;
    case Index::kAuthor:
      return tables.by_author;
    case Index::kTag:
      return tables.by_tag;
  }
  return tables.ids;
}

std::string IndexPrefix(Index index, uint64_t prefix) {
  std::string out;
  if (index == Index::kKind) PutUint16(out, static_cast<uint16_t>(prefix));
  if (index == Index::kAuthor || index == Index::kTag) PutUint64(out, prefix);
  return out;
}

std::string IndexKey(const IndexEntry& entry) {
  if (entry.index == Index::kIds) {
    return std::string(entry.place_view().substr(0, nostr::EventId::kSize));
  }
  std::string key;
  key.reserve(8 + kTimeIdBytes);
  key += IndexPrefix(entry.index, entry.prefix);
  key += entry.place_view();
  return key;
}

absl::StatusOr<std::optional<ChangeNumber>> FindId(const Txn& txn, const nostr::EventId& id) {
  if (const auto change = txn.pending().FindId(id)) return change;
  GRASPD_ASSIGN_OR_RETURN(const auto bytes, txn.Get(txn.tables().ids, id.view()));
  if (!bytes) return std::nullopt;
  return ChangeNumber(GetUint64(*bytes));
}

absl::Status CatchUp(const Txn& txn, Pending& pending) {
  GRASPD_ASSIGN_OR_RETURN(const Pending::Progress progress, ReadProgress(txn));
  if (progress != pending.progress()) pending = Pending(progress);
  ChangeNumber last = pending.seen();
  GRASPD_RETURN_IF_ERROR(KillRemoved(txn, pending, last));
  GRASPD_RETURN_IF_ERROR(AddStored(txn, pending, last));
  pending.set_seen(last);
  return absl::OkStatus();
}

absl::Status MovePending(WriteTxn& txn, size_t max_young) {
  Pending& pending = txn.mutable_pending();
  if (pending.frozen_total() == 0) {
    if (pending.young_entries() < max_young) return absl::OkStatus();
    pending.Freeze();
    return WriteProgress(txn, pending.progress());
  }
  const size_t due = DueEntries(pending, max_young);
  if (due > 0) GRASPD_RETURN_IF_ERROR(PutFrozen(txn, pending, due));
  if (pending.frozen_entries() > 0) return absl::OkStatus();
  pending.FinishFrozen();
  return WriteProgress(txn, pending.progress());
}

}  // namespace graspd::storage
