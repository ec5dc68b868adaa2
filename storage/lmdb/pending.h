// Index entries that are not in their tables yet.
//
// An event's index keys are spread at random over large B-trees, so that writing them with each
// commit would rewrite a page per key. Rows are appended: they alone are written with each commit.
// The index entries of the newest events are kept in memory, sorted, and go into their tables many
// at a time and in the order of the tables' pages. After a restart they are made again from the
// rows.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "nostr/event.h"
#include "storage/lmdb/keys.h"

namespace graspd::storage {

/// The tables that are filled late, in the order in which they are.
enum class Index : uint8_t { kIds, kTime, kKind, kAuthor, kTag };

/// One entry of one index: what its key and value are made of. Ordered like keys in the table.
struct IndexEntry {
  std::array<char, kTimeIdBytes> place{};  // (time, id); of kIds the id, then zeros
  uint64_t prefix = 0;                     // the beginning of the key: kind, author or tag's hash
  uint64_t change = 0;
  nostr::Kind kind = 0;
  Index index = Index::kIds;
  bool expires = false;

  [[nodiscard]] std::string_view place_view() const { return {place.data(), place.size()}; }
  [[nodiscard]] IndexValue value() const { return {ChangeNumber(change), kind, expires}; }
  bool operator<(const IndexEntry& other) const {
    if (index != other.index) return index < other.index;
    if (prefix != other.prefix) return prefix < other.prefix;
    // Most differ in the time, or in the first bytes of the id.
    const uint64_t first = GetUint64(place_view()), others_first = GetUint64(other.place_view());
    if (first != others_first) return first < others_first;
    return place_view() < other.place_view();
  }
};

/// The index entries of one event.
[[nodiscard]] std::vector<IndexEntry> IndexEntriesOf(const nostr::Event& event, ChangeNumber change,
                                                     const TagHasher& hasher);

/// The entries that wait, and how far the tables are filled. A value: a copy is a snapshot and
/// costs little, because the sorted arrays are immutable and shared.
///
/// The *young* entries lie in a few arrays, each at least four times the next one's size, merged as
/// they grow. When there are enough, they become the *frozen* array, which is moved to the tables
/// piece by piece; a restart begins it anew, as putting an entry twice does no harm.
class Pending {
 public:
  using Entries = std::vector<IndexEntry>;
  /// Sorted entries; those of kIds come first.
  struct Run {
    explicit Run(Entries sorted);
    Entries entries;
    size_t ids = 0;  // entries of kIds
    [[nodiscard]] size_t size() const { return entries.size(); }
    /// The first entry of kIds whose id is not below `id`, or where the ids end.
    [[nodiscard]] const IndexEntry* LowerBound(const nostr::EventId& id) const;
  };
  using SharedEntries = std::shared_ptr<const Run>;

  /// What a store's `indexed` record says: all changes up to `done` are in the tables, and
  /// none after `begun`.
  struct Progress {
    ChangeNumber done, begun;
    bool operator==(const Progress&) const = default;
  };

  Pending() = default;
  explicit Pending(Progress progress) : progress_(progress), seen_(progress.done) {}

  [[nodiscard]] const Progress& progress() const { return progress_; }
  /// The latest change that is accounted for.
  [[nodiscard]] ChangeNumber seen() const { return seen_; }
  void set_seen(ChangeNumber change) { seen_ = change; }

  /// Adds the entries of one event.
  void Add(Entries entries);
  /// Adds those of many: after a restart.
  void AddAll(Entries entries);
  /// The event of that change is gone: its entries are passed over and never written.
  void Kill(ChangeNumber change);
  [[nodiscard]] bool IsDead(uint64_t change) const;

  /// The event of that id, if it is pending.
  [[nodiscard]] std::optional<ChangeNumber> FindId(const nostr::EventId& id) const;

  /// Entries of one index with one prefix from a place on; includes dead ones.
  struct Range {
    const IndexEntry* at;
    const IndexEntry* end;
  };
  void FindRanges(Index index, uint64_t prefix, std::string_view from,
                  const std::function<void(Range)>& visit) const;

  [[nodiscard]] size_t young_entries() const { return young_entries_; }
  [[nodiscard]] size_t frozen_total() const { return frozen_ == nullptr ? 0 : frozen_->size(); }
  /// Those of the frozen ones that are not in their tables yet.
  [[nodiscard]] size_t frozen_entries() const { return frozen_total() - written_; }

  /// Young entries become the frozen ones, of which there must be none.
  void Freeze();
  /// The next frozen entry, null at the end.
  [[nodiscard]] const IndexEntry* NextFrozen() const;
  void PopFrozen() { ++written_; }
  /// Every frozen entry is in its table.
  void FinishFrozen();

 private:
  void MergeLast();

  Progress progress_;
  ChangeNumber seen_;
  SharedEntries frozen_;  // of the changes in (done, begun]
  size_t written_ = 0;    // of the frozen ones
  std::vector<SharedEntries> young_;
  size_t young_entries_ = 0;
  std::vector<uint64_t> dead_;  // change numbers, sorted; forgotten with FinishFrozen
};

}  // namespace graspd::storage
