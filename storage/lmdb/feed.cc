#include "storage/lmdb/feed.h"

#include <memory>
#include <string>
#include <utility>

#include "base/status_macros.h"
#include "storage/lmdb/keys.h"
#include "storage/lmdb/row.h"

namespace graspd::storage {
namespace {

constexpr size_t kMaxPageBytes = 4 << 20;  // of JSON: the page is held in memory

/// One of the two tables, read in order of change numbers.
struct Log {
  Cursor cursor;
  bool found;  // the cursor is at an entry
  [[nodiscard]] uint64_t next() const { return GetUint64(cursor.key()); }
};

absl::StatusOr<Log> OpenLog(const Txn& txn, MDB_dbi table, ChangeNumber first) {
  GRASPD_ASSIGN_OR_RETURN(Cursor cursor, Cursor::Open(txn, table));
  GRASPD_ASSIGN_OR_RETURN(const bool found, cursor.Seek(first.Key()));
  return Log{std::move(cursor), found};
}

absl::StatusOr<Change> AddedChange(const Txn& txn, std::string_view bytes) {
  const auto row = RowView::Decode(bytes);
  if (!row) return txn.env().Damaged("a stored event is unreadable");
  auto record = std::make_shared<nostr::EventRecord>();
  record->json = row->Json();
  auto event = nostr::ParseEvent(record->json);
  if (!event.ok()) return txn.env().Damaged("a stored event does not parse");
  record->event = *std::move(event);
  Change change;
  change.type = Change::Type::kAdded;
  change.source = row->source;
  change.id = row->id;
  change.created_at = row->created_at;
  change.kind = row->kind;
  change.event = std::move(record);
  return change;
}

absl::StatusOr<Change> RemovedChange(const Txn& txn, std::string_view bytes) {
  const auto record = RemovalRecord::Decode(bytes);
  if (!record) return txn.env().Damaged("a removal record is unreadable");
  Change change;
  change.type = Change::Type::kRemoved;
  change.id = record->id;
  change.created_at = record->created_at;
  change.kind = record->kind;
  change.reason = record->reason;
  return change;
}

}  // namespace

absl::StatusOr<FeedPage> ReadFeedPage(const Txn& txn, FeedPosition after, FeedPosition latest,
                                      size_t max_changes) {
  FeedPage page;
  page.next = after;
  if (after >= latest) return page;
  const ChangeNumber first({after.value + 1}, 0);
  GRASPD_ASSIGN_OR_RETURN(Log added, OpenLog(txn, txn.tables().events, first));
  GRASPD_ASSIGN_OR_RETURN(Log removed, OpenLog(txn, txn.tables().removals, first));
  size_t bytes = 0;
  while (added.found || removed.found) {
    const bool take_added = added.found && (!removed.found || added.next() < removed.next());
    Log& log = take_added ? added : removed;
    const FeedPosition position = ChangeNumber(log.next()).position();
    // A position names a whole commit, so a page ends between two of them.
    if (position != page.next && !page.changes.empty() &&
        (page.changes.size() >= max_changes || bytes >= kMaxPageBytes)) {
      page.more = true;
      return page;
    }
    page.next = position;
    GRASPD_ASSIGN_OR_RETURN(Change change, take_added ? AddedChange(txn, log.cursor.value())
                                                      : RemovedChange(txn, log.cursor.value()));
    if (change.event != nullptr) bytes += change.event->json.size();
    page.changes.push_back(std::move(change));
    GRASPD_ASSIGN_OR_RETURN(log.found, log.cursor.Next());
  }
  page.next = latest;
  return page;
}

}  // namespace graspd::storage
