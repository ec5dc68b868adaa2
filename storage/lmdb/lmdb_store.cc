#include "storage/lmdb/lmdb_store.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <numeric>
#include <utility>

#include "base/log.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "storage/apply.h"
#include "storage/lmdb/env.h"
#include "storage/lmdb/feed.h"
#include "storage/lmdb/fill_watch.h"
#include "storage/lmdb/indexer.h"
#include "storage/lmdb/key_value.h"
#include "storage/lmdb/keys.h"
#include "storage/lmdb/scan.h"
#include "storage/lmdb/txn.h"
#include "storage/lmdb/write_transaction.h"

namespace graspd::storage {
namespace {

constexpr std::string_view kPositionKey = "position";  // in table meta

// Index entries that one call of Query looks at, and a longer read before it asks whether to stop:
// some 20 ms, and more only where rows are long and the index does not decide.
constexpr uint64_t kEntriesPerQuery = 20'000;
constexpr size_t kRowsAtOnce = 500;  // that are made room for together

absl::StatusOr<FeedPosition> ReadPosition(const Txn& txn) {
  GRASPD_ASSIGN_OR_RETURN(const auto bytes, txn.Get(txn.tables().meta, kPositionKey));
  if (!bytes) return FeedPosition{};
  if (bytes->size() != 8) return txn.env().Damaged("the position record is unreadable");
  return FeedPosition{GetUint64(*bytes)};
}

absl::Status WritePosition(WriteTxn& txn, FeedPosition position) {
  std::string bytes;
  PutUint64(bytes, position.value);
  return txn.Put(txn.tables().meta, kPositionKey, bytes);
}

/// Puts the rows of a query into its page until the budget of one call is spent.
class PageBuilder {
 public:
  PageBuilder(const Txn& txn, const QuerySpec& spec, QueryPage& page)
      : txn_(txn), spec_(spec), page_(page) {}

  /// Goes on with one filter; true if it is finished, false if the page is.
  absl::StatusOr<bool> Add(const nostr::Filter& filter, QueryCursor::PerFilter& at) {
    const uint64_t limit = filter.limit.value_or(UINT64_MAX);
    if (at.emitted >= limit) return true;
    if (page_.rows.empty()) {
      page_.rows.reserve(std::min({limit - at.emitted, spec_.max_rows, kRowsAtOnce}));
    }
    ScanOptions options{spec_.unix_now, spec_.as_of, std::nullopt};
    if (at.started) options.after = Version{at.created_at, at.id};
    GRASPD_ASSIGN_OR_RETURN(FilterScan scan, FilterScan::Open(txn_, filter, options));
    while (at.emitted < limit) {
      GRASPD_ASSIGN_OR_RETURN(const FilterScan::Step step, scan.Next(entries_));
      if (step == FilterScan::Step::kEnd) return true;
      if (step == FilterScan::Step::kPaused) {
        if (scan.started()) SetPlace(scan, at);
        return false;
      }
      GRASPD_ASSIGN_OR_RETURN(const bool added, AddRow(scan));
      if (!added) return false;
      SetPlace(scan, at);
      ++at.emitted;
      // Not on to the next match, which may be far.
      if (page_.rows.size() >= spec_.max_rows && at.emitted < limit) return false;
    }
    return true;
  }

 private:
  static void SetPlace(const FilterScan& scan, QueryCursor::PerFilter& at) {
    at.started = true;
    at.created_at = scan.created_at();
    at.id = scan.id();
  }

  // False if the page is full; the first row always has room, so that every call gets on.
  absl::StatusOr<bool> AddRow(FilterScan& scan) {
    GRASPD_ASSIGN_OR_RETURN(const RowView row, scan.Row());
    std::string json = row.Json();
    if (!page_.rows.empty() && bytes_ + json.size() > spec_.max_bytes) return false;
    bytes_ += json.size();
    page_.rows.push_back({row.id, row.created_at, row.expiration, std::move(json)});
    return true;
  }

  const Txn& txn_;
  const QuerySpec& spec_;
  QueryPage& page_;
  uint64_t entries_ = kEntriesPerQuery;
  size_t bytes_ = 0;
};

/// To the next match, however far that is: kMatch or kEnd. `budget` is what is left before `stop`
/// is asked.
absl::StatusOr<FilterScan::Step> NextMatch(FilterScan& scan, uint64_t& budget,
                                           const EventStore::Stop& stop) {
  for (;;) {
    GRASPD_ASSIGN_OR_RETURN(const auto step, scan.Next(budget));
    if (step != FilterScan::Step::kPaused) return step;
    if (stop && stop()) return absl::CancelledError("nobody waits for the answer");
    budget = kEntriesPerQuery;
  }
}

class LmdbStore final : public EventStore {
 public:
  LmdbStore(std::unique_ptr<Env> env, FeedPosition position, size_t pending_entries)
      : env_(std::move(env)), pending_entries_(pending_entries), position_(position.value) {}

  absl::StatusOr<BatchResult> Write(std::span<const WriteRequest> batch, Judge& judge,
                                    uint64_t unix_now) override;
  absl::StatusOr<Commit> RemoveExpired(uint64_t unix_now, size_t max) override;
  FeedPosition Position() const override { return {position_.load()}; }

  absl::StatusOr<QueryPage> Query(const QuerySpec& spec, const QueryCursor* resume) override;
  absl::StatusOr<uint64_t> Count(const std::vector<nostr::Filter>& filters, uint64_t unix_now,
                                 const Stop& stop) override;
  absl::Status VisitItems(const nostr::Filter& filter, uint64_t unix_now, const ItemVisitor& visit,
                          const Stop& stop) override;
  absl::StatusOr<std::optional<nostr::Signature>> FindSignature(const nostr::EventId& id) override;
  absl::StatusOr<std::vector<bool>> Known(std::span<const nostr::EventId> ids) override;
  absl::StatusOr<FeedPage> ReadFeed(FeedPosition after, size_t max_changes) override;

  absl::StatusOr<std::optional<KeyValue>> GetKey(std::string_view key) override;
  absl::StatusOr<std::vector<KeyValue>> ListKeys(std::string_view prefix) override;
  absl::StatusOr<uint64_t> CompareAndSet(std::string_view key, uint64_t expected_version,
                                         std::optional<std::string_view> value) override;

  absl::StatusOr<Stats> GetStats() override;
  absl::Status Health() const override;

 private:
  using EventWork =
      std::function<absl::StatusOr<Commit>(LmdbWriteTransaction& txn, FeedPosition position)>;

  /// Runs `work` as one commit and moves the position on if it changed any event.
  absl::StatusOr<Commit> ChangeEvents(uint64_t unix_now, const EventWork& work);
  absl::Status Transact(const std::function<absl::Status(WriteTxn&)>& work)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_);

  void WarnIfAlmostFull() ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_);

  const std::unique_ptr<Env> env_;
  const size_t pending_entries_;
  base::Mutex write_mutex_;         // held for a whole write
  std::atomic<uint64_t> position_;  // changed under write_mutex_
  FillWatch fill_watch_ ABSL_GUARDED_BY(write_mutex_);
  mutable base::Mutex health_mutex_;
  absl::Status last_write_ ABSL_GUARDED_BY(health_mutex_);
};

absl::Status LmdbStore::Transact(const std::function<absl::Status(WriteTxn&)>& work) {
  if (env_->read_only()) {
    return absl::FailedPreconditionError("the store is open for reading only");
  }
  bool wrote = false;
  const absl::Status status = [&]() -> absl::Status {
    GRASPD_ASSIGN_OR_RETURN(WriteTxn txn, WriteTxn::Begin(*env_));
    GRASPD_RETURN_IF_ERROR(work(txn));
    wrote = txn.has_writes();
    return wrote ? txn.Commit() : absl::OkStatus();
  }();
  const bool callers_fault = absl::IsAborted(status) || absl::IsInvalidArgument(status);
  // Only a write shows that there is room again.
  if (!callers_fault && (wrote || !status.ok())) {
    base::MutexLock lock(health_mutex_);
    last_write_ = status;
  }
  if (wrote) WarnIfAlmostFull();
  return status;
}

void LmdbStore::WarnIfAlmostFull() {
  const auto space = env_->GetSpace();
  if (!space.ok()) return;
  if (const auto mark = fill_watch_.Passed(space->used, space->capacity)) {
    base::LogWarn("storage", "the map fills up: beyond its size writes are refused",
                  {{"directory", env_->directory()},
                   {"percent", std::to_string(*mark)},
                   {"bytes", std::to_string(space->used)},
                   {"map_bytes", std::to_string(space->capacity)}});
  }
}

absl::StatusOr<Commit> LmdbStore::ChangeEvents(uint64_t unix_now, const EventWork& work) {
  base::MutexLock lock(write_mutex_);
  const FeedPosition next{position_.load() + 1};
  Commit commit;
  const auto write = [&](WriteTxn& txn) -> absl::Status {
    LmdbWriteTransaction events(txn, unix_now);
    GRASPD_ASSIGN_OR_RETURN(commit, work(events, next));
    // Also when all changes are ephemeral: the position goes out with them and must never be
    // reused.
    if (commit.changes.empty()) return absl::OkStatus();
    GRASPD_RETURN_IF_ERROR(WritePosition(txn, next));
    return MovePending(txn, pending_entries_);
  };
  GRASPD_RETURN_IF_ERROR(Transact(write));
  if (!commit.changes.empty()) position_ = next.value;
  commit.position = {position_.load()};
  return commit;
}

absl::StatusOr<BatchResult> LmdbStore::Write(std::span<const WriteRequest> batch, Judge& judge,
                                             uint64_t unix_now) {
  BatchResult result;
  const EventWork apply = [&](LmdbWriteTransaction& txn,
                              FeedPosition position) -> absl::StatusOr<Commit> {
    GRASPD_ASSIGN_OR_RETURN(result, ApplyBatch(batch, judge, unix_now, position, txn));
    return std::move(result.commit);
  };
  GRASPD_ASSIGN_OR_RETURN(result.commit, ChangeEvents(unix_now, apply));
  return result;
}

absl::StatusOr<Commit> LmdbStore::RemoveExpired(uint64_t unix_now, size_t max) {
  GRASPD_RETURN_IF_ERROR(env_->ForgetDeadReaders());
  return ChangeEvents(
      unix_now, [max](LmdbWriteTransaction& txn, FeedPosition position) -> absl::StatusOr<Commit> {
        GRASPD_ASSIGN_OR_RETURN(const auto expired, txn.FindExpired(max));
        return RemoveAll(expired, Removal::kExpired, position, txn);
      });
}

absl::StatusOr<QueryPage> LmdbStore::Query(const QuerySpec& spec, const QueryCursor* resume) {
  if (resume != nullptr && resume->filters.size() != spec.filters.size()) {
    return absl::InvalidArgumentError("the cursor belongs to another query");
  }
  GRASPD_ASSIGN_OR_RETURN(const ReadTxn txn, ReadTxn::Begin(*env_));
  QueryPage page;
  if (resume != nullptr) page.cursor = *resume;
  page.cursor.filters.resize(spec.filters.size());
  PageBuilder builder(txn, spec, page);
  for (size_t i = 0; i < spec.filters.size(); ++i) {
    QueryCursor::PerFilter& at = page.cursor.filters[i];
    if (at.done) continue;
    GRASPD_ASSIGN_OR_RETURN(at.done, builder.Add(spec.filters[i], at));
    if (!at.done) return page;
  }
  page.done = true;
  return page;
}

// Walks all filters' scans abreast, so that an event that several match is met at one time: exact
// without remembering what was counted.
absl::StatusOr<uint64_t> LmdbStore::Count(const std::vector<nostr::Filter>& filters,
                                          uint64_t unix_now, const Stop& stop) {
  GRASPD_ASSIGN_OR_RETURN(const ReadTxn txn, ReadTxn::Begin(*env_));
  ScanOptions options;
  options.unix_now = unix_now;
  uint64_t budget = kEntriesPerQuery;
  std::vector<FilterScan> scans;  // those that stand at a match
  for (const nostr::Filter& filter : filters) {
    GRASPD_ASSIGN_OR_RETURN(FilterScan scan, FilterScan::Open(txn, filter, options));
    GRASPD_ASSIGN_OR_RETURN(const auto step, NextMatch(scan, budget, stop));
    if (step == FilterScan::Step::kMatch) scans.push_back(std::move(scan));
  }
  uint64_t count = 0;
  for (; !scans.empty(); ++count) {
    const auto first = std::min_element(
        scans.begin(), scans.end(),
        [](const FilterScan& a, const FilterScan& b) { return a.place() < b.place(); });
    const std::string place(first->place());
    for (size_t i = scans.size(); i-- > 0;) {
      if (scans[i].place() != place) continue;
      GRASPD_ASSIGN_OR_RETURN(const auto step, NextMatch(scans[i], budget, stop));
      if (step == FilterScan::Step::kEnd) scans.erase(scans.begin() + static_cast<ptrdiff_t>(i));
    }
  }
  return count;
}

absl::Status LmdbStore::VisitItems(const nostr::Filter& filter, uint64_t unix_now,
                                   const ItemVisitor& visit, const Stop& stop) {
  GRASPD_ASSIGN_OR_RETURN(const ReadTxn txn, ReadTxn::Begin(*env_));
  ScanOptions options;
  options.unix_now = unix_now;
  options.trusts_tag_hashes = true;  // who reconciles does no harm with one more
  GRASPD_ASSIGN_OR_RETURN(FilterScan scan, FilterScan::Open(txn, filter, options));
  uint64_t budget = kEntriesPerQuery;
  for (;;) {
    GRASPD_ASSIGN_OR_RETURN(const auto step, NextMatch(scan, budget, stop));
    if (step == FilterScan::Step::kEnd) return absl::OkStatus();
    std::optional<uint64_t> expiration;
    if (scan.expires()) {
      GRASPD_ASSIGN_OR_RETURN(const RowView row, scan.Row());
      expiration = row.expiration;
    }
    GRASPD_RETURN_IF_ERROR(visit({scan.created_at(), scan.id()}, expiration));
  }
}

absl::StatusOr<std::optional<nostr::Signature>> LmdbStore::FindSignature(const nostr::EventId& id) {
  GRASPD_ASSIGN_OR_RETURN(const ReadTxn txn, ReadTxn::Begin(*env_));
  GRASPD_ASSIGN_OR_RETURN(const auto change, FindId(txn, id));
  if (!change || change->value() == 0) return std::nullopt;  // never heard of, deleted for good
  GRASPD_ASSIGN_OR_RETURN(const RowView row, ReadRow(txn, *change));
  nostr::Signature signature;
  std::copy(row.signature.begin(), row.signature.end(), signature.bytes.begin());
  return signature;
}

absl::StatusOr<std::vector<bool>> LmdbStore::Known(std::span<const nostr::EventId> ids) {
  // In the order of the table, so that neighbours are found in pages that are at hand.
  std::vector<uint32_t> order(ids.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return ids[a] < ids[b]; });
  GRASPD_ASSIGN_OR_RETURN(const ReadTxn txn, ReadTxn::Begin(*env_));
  std::vector<bool> known(ids.size());
  for (const uint32_t i : order) {
    GRASPD_ASSIGN_OR_RETURN(const auto change, FindId(txn, ids[i]));
    known[i] = change.has_value();
  }
  return known;
}

absl::StatusOr<FeedPage> LmdbStore::ReadFeed(FeedPosition after, size_t max_changes) {
  GRASPD_ASSIGN_OR_RETURN(const ReadTxn txn, ReadTxn::Begin(*env_));
  GRASPD_ASSIGN_OR_RETURN(const FeedPosition latest, ReadPosition(txn));
  return ReadFeedPage(txn, after, latest, max_changes);
}

absl::StatusOr<std::optional<KeyValue>> LmdbStore::GetKey(std::string_view key) {
  GRASPD_RETURN_IF_ERROR(CheckKeyValue(key, std::nullopt));
  GRASPD_ASSIGN_OR_RETURN(const ReadTxn txn, ReadTxn::Begin(*env_));
  return ReadKey(txn, key);
}

absl::StatusOr<std::vector<KeyValue>> LmdbStore::ListKeys(std::string_view prefix) {
  GRASPD_ASSIGN_OR_RETURN(const ReadTxn txn, ReadTxn::Begin(*env_));
  return ReadKeys(txn, prefix);
}

absl::StatusOr<uint64_t> LmdbStore::CompareAndSet(std::string_view key, uint64_t expected_version,
                                                  std::optional<std::string_view> value) {
  GRASPD_RETURN_IF_ERROR(CheckKeyValue(key, value));
  base::MutexLock lock(write_mutex_);
  uint64_t version = 0;
  GRASPD_RETURN_IF_ERROR(Transact([&](WriteTxn& txn) -> absl::Status {
    GRASPD_ASSIGN_OR_RETURN(version, CompareAndSetKey(txn, key, expected_version, value));
    return absl::OkStatus();
  }));
  return version;
}

absl::StatusOr<EventStore::Stats> LmdbStore::GetStats() {
  GRASPD_ASSIGN_OR_RETURN(const ReadTxn txn, ReadTxn::Begin(*env_));
  Stats stats;
  GRASPD_ASSIGN_OR_RETURN(stats.events, txn.Entries(txn.tables().events));
  GRASPD_ASSIGN_OR_RETURN(const Env::Space space, env_->GetSpace());
  stats.bytes = space.used;
  stats.capacity = space.capacity;
  stats.pending_entries = txn.pending().young_entries() + txn.pending().frozen_entries();
  return stats;
}

absl::Status LmdbStore::Health() const {
  GRASPD_RETURN_IF_ERROR(env_->CheckUndamaged());
  base::MutexLock lock(health_mutex_);
  return last_write_;
}

}  // namespace

absl::StatusOr<std::unique_ptr<EventStore>> OpenLmdbStore(const LmdbOptions& options) {
  GRASPD_ASSIGN_OR_RETURN(std::unique_ptr<Env> env, Env::Open(options));
  FeedPosition position;
  {
    GRASPD_ASSIGN_OR_RETURN(const ReadTxn txn, ReadTxn::Begin(*env));
    GRASPD_ASSIGN_OR_RETURN(position, ReadPosition(txn));
  }
  return std::make_unique<LmdbStore>(std::move(env), position, options.pending_entries);
}

}  // namespace graspd::storage
