#include "storage/lmdb/scan.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/status_macros.h"
#include "nostr/rules.h"
#include "storage/lmdb/indexer.h"

namespace graspd::storage {
namespace {

// Beyond this many look-ups of addresses the author index is the better way.
constexpr size_t kMaxListedAddresses = 10'000;

constexpr char kNoSuchRow[] = "an index names an event that is not there";

absl::StatusOr<RowView> DecodeRow(const Txn& txn, std::string_view bytes) {
  const auto row = RowView::Decode(bytes);
  if (!row) return txn.env().Damaged("a stored event is unreadable");
  return *row;
}

bool NamesAddresses(const nostr::Filter& filter) {
  // Not for addressable kinds: a filter's #d may equal any `d` tag, an address has the first.
  return filter.authors && filter.kinds &&
         filter.authors->size() * filter.kinds->size() <= kMaxListedAddresses &&
         std::all_of(filter.kinds->begin(), filter.kinds->end(), [](nostr::Kind kind) {
           return nostr::ClassOf(kind) == nostr::KindClass::kReplaceable;
         });
}

}  // namespace

absl::StatusOr<RowView> ReadRow(const Txn& txn, ChangeNumber change) {
  GRASPD_ASSIGN_OR_RETURN(const auto bytes, txn.Get(txn.tables().events, change.Key()));
  if (!bytes) return txn.env().Damaged(kNoSuchRow);
  return DecodeRow(txn, *bytes);
}

FilterScan::FilterScan(const Txn& txn, const nostr::Filter& filter, const ScanOptions& options)
    : txn_(&txn),
      filter_(&filter),
      options_(options),
      matcher_(filter),
      row_decides_(filter.authors || filter.tags.size() > 1 ||
                   (filter.tags.size() == 1 && (filter.ids || !options.trusts_tag_hashes))) {
  nostr::EventId highest;
  highest.bytes.fill(0xff);
  first_ = TimeIdKey(filter.until.value_or(UINT64_MAX), nostr::EventId{});
  last_ = TimeIdKey(filter.since.value_or(0), highest);
  if (options.after) {
    // A zero byte more: above that place, below every other.
    const std::string after = TimeIdKey(options.after->created_at, options.after->id) + '\0';
    first_ = std::max(first_, after);
  }
}

absl::StatusOr<FilterScan> FilterScan::Open(const Txn& txn, const nostr::Filter& filter,
                                            const ScanOptions& options) {
  FilterScan scan(txn, filter, options);
  if (filter.MatchesNothing() || scan.first_ > scan.last_) return scan;
  if (filter.ids) {
    GRASPD_RETURN_IF_ERROR(scan.ListIds());
  } else if (NamesAddresses(filter)) {
    GRASPD_RETURN_IF_ERROR(scan.ListAddresses());
  } else {
    GRASPD_RETURN_IF_ERROR(scan.OpenRuns());
  }
  return scan;
}

absl::Status FilterScan::ListIds() {
  for (const nostr::EventId& id : *filter_->ids) {
    GRASPD_ASSIGN_OR_RETURN(const auto change, FindId(*txn_, id));
    if (change) GRASPD_RETURN_IF_ERROR(List(*change));
  }
  std::sort(listed_.begin(), listed_.end(),
            [](const Listed& a, const Listed& b) { return a.place > b.place; });
  return absl::OkStatus();
}

absl::Status FilterScan::ListAddresses() {
  for (const nostr::PublicKey& author : *filter_->authors) {
    for (const nostr::Kind kind : *filter_->kinds) {
      const std::string key = AddressKey({kind, author, ""});
      GRASPD_ASSIGN_OR_RETURN(const auto bytes, txn_->Get(txn_->tables().addresses, key));
      if (!bytes) continue;
      const auto record = AddressRecord::Decode(*bytes);
      if (!record) return txn_->env().Damaged("an address record is unreadable");
      GRASPD_RETURN_IF_ERROR(List(record->current));
    }
  }
  std::sort(listed_.begin(), listed_.end(),
            [](const Listed& a, const Listed& b) { return a.place > b.place; });
  return absl::OkStatus();
}

absl::Status FilterScan::List(ChangeNumber change) {
  if (change.value() == 0) return absl::OkStatus();  // deleted
  GRASPD_ASSIGN_OR_RETURN(const RowView row, ReadRow(*txn_, change));
  std::string place = TimeIdKey(row.created_at, row.id);
  if (place < first_ || place > last_) return absl::OkStatus();
  listed_.push_back({std::move(place), {change, row.kind, row.expiration.has_value()}});
  return absl::OkStatus();
}

absl::Status FilterScan::OpenRuns() {
  if (!filter_->tags.empty()) {
    const auto fewest = std::min_element(
        filter_->tags.begin(), filter_->tags.end(),
        [](const auto& a, const auto& b) { return a.second.size() < b.second.size(); });
    const TagHasher& hasher = txn_->env().tag_hasher();
    for (const std::string& value : fewest->second) {
      GRASPD_RETURN_IF_ERROR(OpenRun(Index::kTag, hasher(fewest->first, value)));
    }
  } else if (filter_->authors) {
    for (const auto& author : *filter_->authors) {
      GRASPD_RETURN_IF_ERROR(OpenRun(Index::kAuthor, AuthorPrefix(author)));
    }
  } else if (filter_->kinds) {
    for (const nostr::Kind kind : *filter_->kinds) {
      GRASPD_RETURN_IF_ERROR(OpenRun(Index::kKind, kind));
    }
  } else {
    GRASPD_RETURN_IF_ERROR(OpenRun(Index::kTime, 0));
  }
  MakeHeap();
  return absl::OkStatus();
}

void FilterScan::MakeHeap() {
  std::make_heap(runs_.begin(), runs_.end(),
                 [](const auto& a, const auto& b) { return a->place > b->place; });
}

absl::Status FilterScan::SkipTo(std::string_view place) {
  for (size_t i = runs_.size(); i-- > 0;) {
    if (runs_[i]->place >= place) continue;
    GRASPD_ASSIGN_OR_RETURN(const bool more, Seek(*runs_[i], place));
    if (!more) runs_.erase(runs_.begin() + static_cast<ptrdiff_t>(i));
  }
  MakeHeap();
  return absl::OkStatus();
}

absl::Status FilterScan::OpenRun(Index index, uint64_t prefix) {
  auto stored = std::make_unique<Run>();
  stored->prefix = IndexPrefix(index, prefix);
  GRASPD_ASSIGN_OR_RETURN(stored->cursor, Cursor::Open(*txn_, TableOf(txn_->tables(), index)));
  GRASPD_ASSIGN_OR_RETURN(const bool found, stored->cursor->Seek(stored->prefix + first_));
  if (found && Settle(*stored)) runs_.push_back(std::move(stored));
  txn_->pending().FindRanges(index, prefix, first_, [&](Pending::Range range) {
    auto waiting = std::make_unique<Run>();
    waiting->range = range;
    waiting->index = index;
    waiting->number = prefix;
    if (Settle(*waiting)) runs_.push_back(std::move(waiting));
  });
  return absl::OkStatus();
}

bool FilterScan::Settle(Run& run) const {
  if (run.cursor) {
    const std::string_view key = run.cursor->key();
    if (!key.starts_with(run.prefix)) return false;
    run.place = key.substr(run.prefix.size());
    run.value = run.cursor->value();
  } else {
    while (run.range.at != run.range.end && txn_->pending().IsDead(run.range.at->change)) {
      ++run.range.at;
    }
    if (run.range.at == run.range.end) return false;
    const IndexEntry& entry = *run.range.at;
    if (entry.index != run.index || entry.prefix != run.number) return false;
    run.place = entry.place_view();
  }
  return run.place <= last_;
}

absl::StatusOr<bool> FilterScan::Move(Run& run) const {
  if (run.cursor) {
    GRASPD_ASSIGN_OR_RETURN(const bool found, run.cursor->Next());
    if (!found) return false;
  } else {
    ++run.range.at;
  }
  return Settle(run);
}

absl::StatusOr<bool> FilterScan::Seek(Run& run, std::string_view place) const {
  if (run.cursor) {
    GRASPD_ASSIGN_OR_RETURN(const bool found, run.cursor->Seek(run.prefix + std::string(place)));
    if (!found) return false;
  } else {
    const auto before = [&run](const IndexEntry& entry, std::string_view to) {
      return entry.index == run.index && entry.prefix == run.number && entry.place_view() < to;
    };
    run.range.at = std::lower_bound(run.range.at, run.range.end, place, before);
  }
  return Settle(run);
}

absl::StatusOr<FilterScan::Step> FilterScan::Next(uint64_t& budget) {
  while (budget > 0) {
    GRASPD_ASSIGN_OR_RETURN(const bool more, Advance());
    if (!more) return Step::kEnd;
    --budget;
    GRASPD_ASSIGN_OR_RETURN(const bool match, IsMatch());
    if (match) return Step::kMatch;
  }
  return Step::kPaused;
}

absl::StatusOr<bool> FilterScan::Advance() {
  if (!listed_.empty()) {
    const Listed& next = listed_.back();
    std::copy(next.place.begin(), next.place.end(), place_.begin());
    value_ = next.value;
    listed_.pop_back();
    started_ = true;
    return true;
  }
  while (!runs_.empty()) {
    Run& run = *runs_.front();
    // An event with two of the wanted values stands in two runs, at the same place in the merge;
    // an entry that was pending when the snapshot was taken may be in its table as well.
    const bool repeated = started_ && run.place == place();
    if (!repeated) GRASPD_RETURN_IF_ERROR(TakePlace(run));
    GRASPD_ASSIGN_OR_RETURN(const bool found, Move(run));
    if (!found) {
      std::swap(runs_.front(), runs_.back());
      runs_.pop_back();
    }
    SiftDown();
    if (!repeated) return true;
  }
  return false;
}

// The front may have moved on: puts it where it belongs in the heap.
void FilterScan::SiftDown() {
  for (size_t at = 0;;) {
    size_t next = 2 * at + 1;
    if (next >= runs_.size()) return;
    if (next + 1 < runs_.size() && runs_[next + 1]->place < runs_[next]->place) ++next;
    if (runs_[at]->place <= runs_[next]->place) return;
    std::swap(runs_[at], runs_[next]);
    at = next;
  }
}

absl::Status FilterScan::TakePlace(const Run& run) {
  if (run.cursor) {
    const auto value = IndexValue::Decode(run.value);
    if (!value || run.place.size() != kTimeIdBytes) {
      return txn_->env().Damaged("an index entry is unreadable");
    }
    value_ = *value;
  } else {
    value_ = run.range.at->value();
  }
  std::copy_n(run.place.begin(), kTimeIdBytes, place_.begin());
  started_ = true;
  return absl::OkStatus();
}

absl::StatusOr<RowView> FilterScan::Row() {
  if (row_) return *row_;
  if (!rows_) {
    GRASPD_ASSIGN_OR_RETURN(rows_, Cursor::Open(*txn_, txn_->tables().events));
  }
  GRASPD_ASSIGN_OR_RETURN(const bool found, rows_->SeekExactly(value_.change.Key()));
  if (!found) return txn_->env().Damaged(kNoSuchRow);
  GRASPD_ASSIGN_OR_RETURN(row_, DecodeRow(*txn_, rows_->value()));
  return *row_;
}

absl::StatusOr<bool> FilterScan::IsMatch() {
  row_.reset();
  if (options_.as_of && value_.change.position() > *options_.as_of) return false;
  if (filter_->kinds &&
      !std::binary_search(filter_->kinds->begin(), filter_->kinds->end(), value_.kind)) {
    return false;
  }
  if (!row_decides_ && !value_.expires) return true;
  GRASPD_ASSIGN_OR_RETURN(const RowView row, Row());
  if (row.expiration && *row.expiration <= options_.unix_now) return false;
  return matcher_.Matches(row);
}

}  // namespace graspd::storage
