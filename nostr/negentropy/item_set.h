// The set one side of a reconciliation holds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "nostr/negentropy/id_sum.h"
#include "nostr/negentropy/item.h"

namespace graspd::negentropy {

/// Read-only view of distinct items in ascending order that reconciliation works on. Positions are
/// 0..size(). A view must not change while a message is being answered; between messages it may.
class ItemView {
 public:
  virtual ~ItemView() = default;
  [[nodiscard]] virtual size_t size() const = 0;
  [[nodiscard]] virtual Item At(size_t position) const = 0;
  /// First position in [from, size()] whose item is not less than `bound` (prefix ids are padded
  /// with zero bytes). O(log n).
  [[nodiscard]] virtual size_t LowerBound(size_t from, const Item& bound) const = 0;
  /// Of the items [from, to). At most O(log n).
  [[nodiscard]] virtual Fingerprint FingerprintOf(size_t from, size_t to) const = 0;
  /// Appends the ids of [from, to), 32 bytes each.
  virtual void AppendIds(size_t from, size_t to, std::string& out) const = 0;
};

/// A set that no longer changes, with prefix sums, so that the fingerprint of any range costs one
/// subtraction and one SHA-256. Immutable after construction, hence thread-safe and shareable.
/// Memory: 40 bytes an item plus 32 bytes per block of kBlock items (a range then adds at most two
/// partial blocks).
class SealedSet final : public ItemView {
 public:
  static constexpr size_t kBlock = 16;
  /// Takes items in any order; sorts unless sorted; drops exact duplicates. No item may carry the
  /// reserved created_at 2^64-1.
  explicit SealedSet(std::vector<Item> items);
  size_t size() const override { return items_.size(); }
  Item At(size_t position) const override { return items_[position]; }
  size_t LowerBound(size_t from, const Item& bound) const override;
  Fingerprint FingerprintOf(size_t from, size_t to) const override;
  void AppendIds(size_t from, size_t to, std::string& out) const override;
  [[nodiscard]] size_t memory_bytes() const;

 private:
  [[nodiscard]] IdSum SumBelow(size_t position) const;

  std::vector<Item> items_;
  std::vector<IdSum> sums_;  // sums_[b]: of the first b * kBlock items
};

}  // namespace graspd::negentropy
