#include "nostr/negentropy/item_set.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>
#include <utility>

#include "nostr/keys.h"
#include "nostr/negentropy/wire.h"

namespace graspd::negentropy {

// Ids are added as little-endian numbers straight from and to memory.
static_assert(std::endian::native == std::endian::little);

SealedSet::SealedSet(std::vector<Item> items) : items_(std::move(items)) {
  if (!std::is_sorted(items_.begin(), items_.end())) std::sort(items_.begin(), items_.end());
  items_.erase(std::unique(items_.begin(), items_.end()), items_.end());
  // A vector grown by push_back may own twice what it holds, and a set can live for long.
  if (items_.capacity() - items_.size() > items_.size() / 4) items_.shrink_to_fit();

  sums_.reserve(items_.size() / kBlock + 1);
  Sum sum{};
  for (size_t i = 0; i < items_.size(); ++i) {
    if (i % kBlock == 0) sums_.push_back(sum);
    Add(sum, FromId(items_[i].id));
  }
  if (items_.size() % kBlock == 0) sums_.push_back(sum);
}

// Gallops from `from` before it bisects: ranges come in ascending order, so walking a message of k
// ranges costs O(k log(n/k)) in all.
size_t SealedSet::LowerBound(size_t from, const Item& bound) const {
  size_t step = 1;
  while (step <= items_.size() - from && items_[from + step - 1] < bound) {
    from += step;
    step *= 2;
  }
  const auto begin = items_.begin() + static_cast<ptrdiff_t>(from);
  const auto end = begin + static_cast<ptrdiff_t>(std::min(step, items_.size() - from));
  return static_cast<size_t>(std::lower_bound(begin, end, bound) - items_.begin());
}

Fingerprint SealedSet::FingerprintOf(size_t from, size_t to) const {
  Sum sum = SumBelow(to);
  Subtract(sum, SumBelow(from));
  std::string input(reinterpret_cast<const char*>(sum.data()), sizeof sum);
  AppendVarint(input, to - from);
  const nostr::Digest digest = nostr::Sha256(input);
  Fingerprint out;
  std::copy_n(digest.begin(), out.size(), out.begin());
  return out;
}

size_t SealedSet::memory_bytes() const {
  return sizeof *this + items_.capacity() * sizeof(Item) + sums_.capacity() * sizeof(Sum);
}

SealedSet::Sum SealedSet::SumBelow(size_t position) const {
  Sum sum = sums_[position / kBlock];
  for (size_t i = position - position % kBlock; i < position; ++i) Add(sum, FromId(items_[i].id));
  return sum;
}

void SealedSet::Add(Sum& sum, const Sum& other) {
  bool carry = false;
  for (size_t i = 0; i < sum.size(); ++i) {
    uint64_t limb;
    const bool first = __builtin_add_overflow(sum[i], other[i], &limb);
    const bool second = __builtin_add_overflow(limb, uint64_t{carry}, &sum[i]);
    carry = first || second;
  }
}

void SealedSet::Subtract(Sum& sum, const Sum& other) {
  bool borrow = false;
  for (size_t i = 0; i < sum.size(); ++i) {
    uint64_t limb;
    const bool first = __builtin_sub_overflow(sum[i], other[i], &limb);
    const bool second = __builtin_sub_overflow(limb, uint64_t{borrow}, &sum[i]);
    borrow = first || second;
  }
}

SealedSet::Sum SealedSet::FromId(const nostr::EventId& id) {
  Sum sum;
  std::memcpy(sum.data(), id.bytes.data(), sizeof sum);
  return sum;
}

}  // namespace graspd::negentropy
