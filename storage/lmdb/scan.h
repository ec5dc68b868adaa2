// Finding what a filter selects: which index to use, and the merge of its runs in served order.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "nostr/filter.h"
#include "storage/lmdb/keys.h"
#include "storage/lmdb/pending.h"
#include "storage/lmdb/row.h"
#include "storage/lmdb/txn.h"

namespace graspd::storage {

/// The row of that change number; kDataLoss if there is none, as every index entry has one.
absl::StatusOr<RowView> ReadRow(const Txn& txn, ChangeNumber change);

struct ScanOptions {
  uint64_t unix_now = 0;              // leaves out what expired by then
  std::optional<FeedPosition> as_of;  // leaves out what was committed later
  std::optional<Version> after;       // begins after this place in served order
  /// The index of tags has 64 bits of a hash of each value, with a key that nobody knows: whoever
  /// can live with an event too many in 10^19 need not look at the events.
  bool trusts_tag_hashes = false;
};

/// The events that match one filter, in served order (newest first, ties by lower id), each once.
/// `limit` plays no part. Must not outlive transaction and filter.
///
/// Index, best first: ids; addresses (authors and replaceable kinds); the tag with the fewest
/// values; authors; kinds; time. Each value has a run of its own in the index; the runs are merged.
class FilterScan {
 public:
  static absl::StatusOr<FilterScan> Open(const Txn& txn, const nostr::Filter& filter,
                                         const ScanOptions& options);

  enum class Step {
    kMatch,   // created_at(), id(), change(), expires() and Row() tell of it
    kEnd,     // no more
    kPaused,  // the budget is spent; going on is possible
  };
  /// Goes to the next match. Takes one from `budget` for every index entry it looks at.
  absl::StatusOr<Step> Next(uint64_t& budget);

  /// Leaves out what comes before that place, without looking at it. Not where ids or addresses
  /// decide.
  absl::Status SkipTo(std::string_view place);

  // Of the entry looked at last; after kPaused it says where another scan can go on.
  [[nodiscard]] uint64_t created_at() const { return CreatedAtOf(place()); }
  [[nodiscard]] nostr::EventId id() const { return IdOf(place()); }
  [[nodiscard]] ChangeNumber change() const { return value_.change; }
  [[nodiscard]] nostr::Kind kind() const { return value_.kind; }
  [[nodiscard]] bool expires() const { return value_.expires; }
  /// Its row, valid as long as the transaction, or until its next write.
  absl::StatusOr<RowView> Row();
  /// The whole key of the place: orders entries of several scans.
  [[nodiscard]] std::string_view place() const { return {place_.data(), place_.size()}; }
  /// False until anything was looked at.
  [[nodiscard]] bool started() const { return started_; }

 private:
  /// Index entries with a common prefix, the part that is left: of a table, or of an array of
  /// pending ones.
  struct Run {
    std::optional<Cursor> cursor;
    std::string prefix;
    Pending::Range range{};
    Index index{};
    uint64_t number = 0;     // the prefix as a number
    std::string_view place;  // of the next entry
    std::string_view value;  // of the table's next entry
  };
  /// One of the few events that ids or addresses name.
  struct Listed {
    std::string place;
    IndexValue value;
  };

  FilterScan(const Txn& txn, const nostr::Filter& filter, const ScanOptions& options);
  absl::Status ListIds();
  absl::Status ListAddresses();
  absl::Status List(ChangeNumber change);
  absl::Status OpenRuns();
  absl::Status OpenRun(Index index, uint64_t prefix);
  void MakeHeap();
  /// Sets `place` from where the run stands; false if that is beyond the run or the range.
  bool Settle(Run& run) const;
  absl::StatusOr<bool> Move(Run& run) const;
  absl::StatusOr<bool> Seek(Run& run, std::string_view place) const;
  /// To the next index entry, matching or not; false at the end.
  absl::StatusOr<bool> Advance();
  absl::Status TakePlace(const Run& run);
  void SiftDown();
  absl::StatusOr<bool> IsMatch();

  const Txn* txn_;
  const nostr::Filter* filter_;
  ScanOptions options_;
  RowMatcher matcher_;
  bool row_decides_;                        // the index alone does not
  std::string first_, last_;                // places, inclusive
  std::vector<Listed> listed_;              // the next one last
  std::vector<std::unique_ptr<Run>> runs_;  // a heap, the next place in front
  std::array<char, kTimeIdBytes> place_{};
  IndexValue value_;
  bool started_ = false;
  std::optional<RowView> row_;  // of the entry looked at, once it was read
  std::optional<Cursor> rows_;  // stays near: neighbours in an index are often neighbours there
};

}  // namespace graspd::storage
