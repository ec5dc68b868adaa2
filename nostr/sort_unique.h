#pragma once

#include <algorithm>
#include <vector>

namespace graspd::nostr {

/// Sorts `list` and drops duplicates.
template <typename T>
void SortAndDedupe(std::vector<T>& list) {
  std::sort(list.begin(), list.end());
  list.erase(std::unique(list.begin(), list.end()), list.end());
}

}  // namespace graspd::nostr
