#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <vector>

#include "nostr/negentropy/item.h"
#include "nostr/negentropy/item_set.h"

namespace graspd::negentropy {

/// A set that changes while others reconcile against it: a B+-tree whose nodes know the number and
/// the sum of the items below them. Inserting, erasing, finding and the fingerprint of any range
/// take O(log n).
///
/// Nodes never change: a change copies the path to its leaf (some 10 kB) and shares the rest, so
/// that a snapshot costs nothing and sees one state for ever. Memory: 45 to 48 bytes an item for
/// one state, up to 55 after many were erased; two states differ by the paths that changed between
/// them. Threading: thread-compatible; snapshots are thread-safe and may outlive the tree.
class ItemTree {
 public:
  /// Bytes of all nodes alive, of several trees if they share it; outlived by none of them.
  using ByteCount = std::shared_ptr<std::atomic<size_t>>;
  /// What building takes for an item besides the vector it is built from, at most.
  static constexpr size_t kMaxBytesPerItem = 48;

  /// `items`: ascending, without duplicates, none with the reserved created_at 2^64-1.
  ItemTree(const std::vector<Item>& items, ByteCount bytes);
  ItemTree(ItemTree&&) noexcept;
  ItemTree& operator=(ItemTree&&) noexcept;
  ~ItemTree();

  /// False, changing nothing, if the item is there already.
  bool Insert(const Item& item);
  /// False, changing nothing, if the item is not there.
  bool Erase(const Item& item);

  [[nodiscard]] size_t size() const;
  [[nodiscard]] std::shared_ptr<const ItemView> Snapshot() const;

 private:
  struct Node;
  struct Child;
  class View;
  using Children = std::vector<Child>;

  [[nodiscard]] Child MakeNode(std::vector<Item> items) const;
  [[nodiscard]] Child MakeNode(Children children) const;
  template <typename Part>
  [[nodiscard]] Children Divide(const std::vector<Part>& parts, size_t nodes) const;
  template <typename Part>
  [[nodiscard]] Children SplitIfFull(std::vector<Part> parts) const;
  [[nodiscard]] Child UnderOneRoot(Children children) const;
  [[nodiscard]] Children Inserted(const Child& into, const Item& item) const;
  [[nodiscard]] Child Erased(const Child& from, const Item& item) const;
  [[nodiscard]] Children Merged(const Child& left, const Child& right) const;

  ByteCount bytes_;
  std::shared_ptr<const View> root_;
};

}  // namespace graspd::negentropy
