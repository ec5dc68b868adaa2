#include "storage/lmdb/upgrade.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>

#include "base/log.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "storage/lmdb/indexer.h"
#include "storage/lmdb/keys.h"
#include "storage/lmdb/pending.h"
#include "storage/lmdb/row.h"
#include "storage/lmdb/txn.h"

namespace graspd::storage {
namespace {

// In table meta.
constexpr std::string_view kFormatKey = "format", kPositionKey = "position", kTagKey = "tag_key",
                           kIndexedKey = "indexed", kProgressKey = "upgrade";

/// How far a step got. Kept in the store until the step is done.
struct Progress {
  uint64_t position = 0;  // of the store, when the step began
  uint64_t change = 0;    // up to which it is done
  uint64_t rows = 0;

  [[nodiscard]] std::string Encode() const {
    std::string bytes;
    for (const uint64_t value : {position, change, rows}) PutUint64(bytes, value);
    return bytes;
  }
  static Progress Decode(std::string_view bytes) {
    if (bytes.size() != 24) return {};
    return {GetUint64(bytes), GetUint64(bytes.substr(8)), GetUint64(bytes.substr(16))};
  }
};

absl::StatusOr<uint64_t> MetaNumber(const Txn& txn, std::string_view key) {
  GRASPD_ASSIGN_OR_RETURN(const auto bytes, txn.Get(txn.tables().meta, key));
  return bytes && bytes->size() == 8 ? GetUint64(*bytes) : 0;
}

/// One transaction's part of a step; true if that was the last.
using StepPart = absl::StatusOr<bool> (*)(WriteTxn& txn, size_t max_rows, Progress& progress);

absl::StatusOr<TagHasher> HasherOf(const Txn& txn) {
  GRASPD_ASSIGN_OR_RETURN(const auto key, txn.Get(txn.tables().meta, kTagKey));
  if (!key || key->size() != TagHasher::kKeyBytes) {
    return txn.env().Damaged("the key for tags is unreadable");
  }
  return TagHasher(*key);
}

absl::Status DropTable(WriteTxn& txn, const char* name) {
  MDB_dbi table = 0;
  const int code = mdb_dbi_open(txn.handle(), name, 0, &table);
  if (code == MDB_NOTFOUND) return absl::OkStatus();
  if (code != 0) return txn.env().ToStatus(code, "open table");
  return txn.Drop(table, true);
}

// Format 2 has a keyed hash in the index of tags, in a table of its own name, and says which
// changes the index tables hold.
absl::StatusOr<bool> RebuildTags(WriteTxn& txn, size_t max_rows, Progress& progress) {
  const Tables& tables = txn.tables();
  GRASPD_ASSIGN_OR_RETURN(const TagHasher hasher, HasherOf(txn));
  Pending::Entries tags;
  bool more = false;
  {
    GRASPD_ASSIGN_OR_RETURN(Cursor rows, Cursor::Open(txn, tables.events));
    GRASPD_ASSIGN_OR_RETURN(more, rows.Seek(ChangeNumber(progress.change + 1).Key()));
    for (size_t i = 0; more && i < max_rows; ++i, ++progress.rows) {
      const auto row = RowView::Decode(rows.value());
      if (!row) return txn.env().Damaged("a stored event is unreadable");
      const auto event = nostr::ParseEvent(row->Json());
      if (!event.ok()) return txn.env().Damaged("a stored event does not parse");
      progress.change = GetUint64(rows.key());
      for (const IndexEntry& entry :
           IndexEntriesOf(*event, ChangeNumber(progress.change), hasher)) {
        if (entry.index == Index::kTag) tags.push_back(entry);
      }
      GRASPD_ASSIGN_OR_RETURN(more, rows.Next());
    }
  }
  std::sort(tags.begin(), tags.end());
  for (const IndexEntry& entry : tags) {
    GRASPD_RETURN_IF_ERROR(txn.Put(tables.by_tag, IndexKey(entry), entry.value().Encode()));
  }
  if (more) return false;
  GRASPD_RETURN_IF_ERROR(DropTable(txn, "by_tag"));
  const std::string last = ChangeNumber({progress.position}, ChangeNumber::kMaxPerCommit - 1).Key();
  GRASPD_RETURN_IF_ERROR(txn.Put(tables.meta, kIndexedKey, last + last));
  return true;
}

struct Step {
  std::string_view what;
  MDB_dbi Tables::*builds;  // a table that the old format does not have
  StepPart part;
};
// kSteps[i] leads from format i + 1 to i + 2.
constexpr Step kSteps[] = {
    {"index of tags with a keyed hash", &Tables::by_tag, RebuildTags},
};
static_assert(std::size(kSteps) == kLmdbDataFormat - 1);

// A store that the older program wrote to meanwhile is begun anew: it knew nothing of our tables.
absl::StatusOr<Progress> Resume(WriteTxn& txn, MDB_dbi table) {
  GRASPD_ASSIGN_OR_RETURN(const auto bytes, txn.Get(txn.tables().meta, kProgressKey));
  GRASPD_ASSIGN_OR_RETURN(const uint64_t position, MetaNumber(txn, kPositionKey));
  Progress progress = bytes ? Progress::Decode(*bytes) : Progress{};
  if (bytes && progress.position == position) return progress;
  GRASPD_RETURN_IF_ERROR(txn.Drop(table, false));
  return Progress{.position = position};
}

absl::StatusOr<bool> RunPart(Env& env, uint64_t from, size_t max_rows, Progress& progress) {
  GRASPD_ASSIGN_OR_RETURN(WriteTxn txn, WriteTxn::Begin(env));
  GRASPD_ASSIGN_OR_RETURN(progress, Resume(txn, txn.tables().*kSteps[from - 1].builds));
  GRASPD_ASSIGN_OR_RETURN(const bool done, kSteps[from - 1].part(txn, max_rows, progress));
  const MDB_dbi meta = txn.tables().meta;
  if (done) {
    std::string format;
    PutUint64(format, from + 1);
    GRASPD_RETURN_IF_ERROR(txn.Put(meta, kFormatKey, format));
    GRASPD_RETURN_IF_ERROR(txn.Delete(meta, kProgressKey).status());
  } else {
    GRASPD_RETURN_IF_ERROR(txn.Put(meta, kProgressKey, progress.Encode()));
  }
  GRASPD_RETURN_IF_ERROR(txn.Commit());
  return done;
}

absl::Status RunStep(Env& env, uint64_t from, const UpgradeOptions& options) {
  const std::string formats = fmt::format("{} to {}", from, from + 1);
  base::LogInfo("storage", "upgrading the store's data format",
                {{"formats", formats}, {"what", kSteps[from - 1].what}});
  constexpr uint64_t kRowsPerLine = 100'000;
  Progress progress;
  for (uint64_t logged = 0;;) {
    if (options.stop && options.stop()) {
      return absl::CancelledError("the upgrade was stopped; the next start goes on with it");
    }
    const absl::StatusOr<bool> done = RunPart(env, from, options.max_rows, progress);
    if (absl::IsResourceExhausted(done.status())) return NeedsRoom(env, from, done.status());
    GRASPD_RETURN_IF_ERROR(done.status());
    if (*done) break;
    if (progress.rows - logged < kRowsPerLine) continue;
    logged = progress.rows;
    base::LogInfo("storage", "still upgrading", {{"events", std::to_string(progress.rows)}});
  }
  base::LogInfo("storage", "the data format is upgraded",
                {{"formats", formats}, {"events", std::to_string(progress.rows)}});
  return absl::OkStatus();
}

}  // namespace

absl::Status NeedsRoom(const Env& env, uint64_t from, const absl::Status& why) {
  return absl::ResourceExhaustedError(fmt::format(
      "the upgrade of {} from format {} to {} needs more room ({}); nothing is lost: make room on "
      "the disk, or give the store a larger map, and start again",
      env.directory(), from, from + 1, why.ToString()));
}

absl::Status UpgradeFormat(Env& env, uint64_t from, const UpgradeOptions& options) {
  for (; from < kLmdbDataFormat; ++from) GRASPD_RETURN_IF_ERROR(RunStep(env, from, options));
  return absl::OkStatus();
}

}  // namespace graspd::storage
