#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "nostr/filter.h"
#include "nostr/negentropy/item_tree.h"
#include "storage/event_store.h"

namespace graspd::storage {

/// What a change of the store means for the set of a filter.
struct SetChange {
  bool added;
  negentropy::Item item;
  std::optional<uint64_t> expiration;  // of what was added (NIP-40)
};

/// The events of one filter for negentropy, kept up to date by the changes of the store.
///
/// What expires is left out from its second on, without waiting for the store to remove it.
/// Thread-compatible; snapshots are thread-safe.
class KeptSet {
 public:
  /// Bytes an item may take while a set is made: the vector it comes in, which may have to grow, or
  /// that vector and the tree.
  static constexpr size_t kBytesPerItem =
      sizeof(negentropy::Item) + negentropy::ItemTree::kMaxBytesPerItem;

  struct Expiring {
    uint64_t expiration;
    negentropy::Item item;
  };

  /// `items` in ascending order, `expiring` those of them that will expire. `bytes` counts what
  /// this set and its snapshots hold.
  KeptSet(const std::vector<negentropy::Item>& items, std::vector<Expiring> expiring,
          negentropy::ItemTree::ByteCount bytes);
  ~KeptSet();
  KeptSet(const KeptSet&) = delete;
  KeptSet& operator=(const KeptSet&) = delete;

  /// What `change` means for the set of `filter`; nothing if it cannot matter. `tags` are those of
  /// an added event.
  [[nodiscard]] static std::optional<SetChange> ChangeFor(const nostr::Filter& filter,
                                                          const Change& change,
                                                          const nostr::TagValues& tags);
  /// In the order of commits. A change that the set has seen already does no harm.
  void Apply(const SetChange& change);
  void DropExpired(uint64_t unix_now);

  [[nodiscard]] size_t size() const { return tree_.size(); }
  [[nodiscard]] std::shared_ptr<const negentropy::ItemView> Snapshot() const {
    return tree_.Snapshot();
  }
  /// True if so many expirations of events long removed have gathered that a new set is better.
  [[nodiscard]] bool worn() const;

 private:
  void CountExpiring();

  negentropy::ItemTree tree_;
  std::vector<Expiring> expiring_;  // a heap, the soonest in front
  negentropy::ItemTree::ByteCount bytes_;
  size_t counted_ = 0;  // of bytes_, for expiring_
};

}  // namespace graspd::storage
