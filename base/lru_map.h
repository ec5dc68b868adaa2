#pragma once

#include <cstddef>
#include <list>
#include <unordered_map>
#include <utility>

namespace graspd::base {

/// A map of at most `capacity` entries, which forgets the one that was asked for longest ago.
///
/// Thread-compatible. A reference it gave lasts until the next call.
template <typename Key, typename Value, typename Hash = std::hash<Key>>
class LruMap {
 public:
  /// Requires capacity > 0.
  explicit LruMap(size_t capacity) : capacity_(capacity) {}

  /// The entry of `key`, now the last to be forgotten; made by `make()` if there is none.
  template <typename Make>
  Value& GetOrMake(const Key& key, Make&& make) {
    if (const auto it = places_.find(key); it != places_.end()) {
      entries_.splice(entries_.begin(), entries_, it->second);
      return it->second->second;
    }
    if (entries_.size() == capacity_) {
      places_.erase(entries_.back().first);
      entries_.pop_back();
    }
    entries_.emplace_front(key, make());
    places_.emplace(key, entries_.begin());
    return entries_.front().second;
  }

  [[nodiscard]] size_t size() const { return entries_.size(); }

 private:
  using Entries = std::list<std::pair<Key, Value>>;  // the one asked for last comes first
  const size_t capacity_;
  Entries entries_;
  std::unordered_map<Key, typename Entries::iterator, Hash> places_;
};

}  // namespace graspd::base
