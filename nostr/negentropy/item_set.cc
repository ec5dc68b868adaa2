#include "nostr/negentropy/item_set.h"

#include <algorithm>
#include <utility>

namespace graspd::negentropy {

SealedSet::SealedSet(std::vector<Item> items) : items_(std::move(items)) {
  if (!std::is_sorted(items_.begin(), items_.end())) std::sort(items_.begin(), items_.end());
  items_.erase(std::unique(items_.begin(), items_.end()), items_.end());
  // A vector grown by push_back may own twice what it holds, and a set can live for long.
  if (items_.capacity() - items_.size() > items_.size() / 4) items_.shrink_to_fit();

  sums_.reserve(items_.size() / kBlock + 1);
  IdSum sum;
  for (size_t i = 0; i < items_.size(); ++i) {
    if (i % kBlock == 0) sums_.push_back(sum);
    sum += IdSum(items_[i].id);
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
  IdSum sum = SumBelow(to);
  sum -= SumBelow(from);
  return sum.ToFingerprint(to - from);
}

void SealedSet::AppendIds(size_t from, size_t to, std::string& out) const {
  for (size_t i = from; i < to; ++i) out += items_[i].id.view();
}

size_t SealedSet::memory_bytes() const {
  return sizeof *this + items_.capacity() * sizeof(Item) + sums_.capacity() * sizeof(IdSum);
}

IdSum SealedSet::SumBelow(size_t position) const {
  IdSum sum = sums_[position / kBlock];
  for (size_t i = position - position % kBlock; i < position; ++i) sum += IdSum(items_[i].id);
  return sum;
}

}  // namespace graspd::negentropy
