#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/keyed_hash.h"
#include "nostr/filter.h"

namespace graspd::relay {

/// What the index knows of a subscription: its filters, normalised and constant while it is
/// indexed.
struct IndexedSubscription {
  explicit IndexedSubscription(std::vector<nostr::Filter> f) : filters(std::move(f)) {}
  const std::vector<nostr::Filter> filters;

 private:
  friend class SubscriptionIndex;
  uint64_t found_in = 0;  // the search that last found it: each is found once per event
  std::vector<uint64_t> tried_in =
      std::vector<uint64_t>(filters.size());  // the same, of each filter
  std::vector<uint32_t> places;  // where its postings are in their lists, in the order of adding
};

/// Finds the subscriptions that match an event without trying all of them.
///
/// Each filter stands below the values of its most selective condition (ids, a tag, authors, kinds)
/// or, without any, in a list that is always tried. Candidates are checked with nostr::Matches.
/// Cost: proportional to the event's tags and the candidates' values, each of them tried once,
/// whatever the event repeats; of adding and removing, to the values of the filters, however many
/// subscriptions share them. Threading: thread-compatible, one
/// index per I/O thread. Lifetime: a subscription is removed before it is destroyed.
class SubscriptionIndex {
 public:
  void Add(IndexedSubscription& subscription);
  void Remove(IndexedSubscription& subscription);
  /// Appends each subscription that matches `event` to `found`, once, in no particular order.
  void Find(const nostr::Event& event, std::vector<IndexedSubscription*>& found);
  [[nodiscard]] size_t size() const { return size_; }
  /// Filters tried so far.
  [[nodiscard]] uint64_t matches_tried() const { return matches_tried_; }

 private:
  struct Posting {
    IndexedSubscription* subscription;
    const nostr::Filter* filter;
    uint32_t place;  // which of the subscription's places this is
  };
  using Postings = std::vector<Posting>;
  template <typename Key>
  using Map = std::unordered_map<Key, Postings>;
  using TagMap = std::unordered_map<std::string, Postings, base::KeyedStringHash, std::equal_to<>>;

  // Calls visit(map, key) for each place where `filter` stands; the list `all_` has the key
  // nullptr.
  template <typename Visit>
  void ForEachPlace(const nostr::Filter& filter, Visit visit);
  static void Insert(Postings& postings, IndexedSubscription& subscription,
                     const nostr::Filter& filter);
  /// Erases the posting that is the subscription's place number `place`.
  static void Erase(Postings& postings, const IndexedSubscription& subscription, uint32_t place);
  void Try(const Postings& postings, const nostr::Event& event,
           std::vector<IndexedSubscription*>& found);

  Map<nostr::EventId> by_id_;
  TagMap by_tag_;  // the letter, then the value
  Map<nostr::PublicKey> by_author_;
  Map<nostr::Kind> by_kind_;
  Postings all_;
  uint64_t searches_ = 0, matches_tried_ = 0;
  size_t size_ = 0;
  nostr::TagValues tags_;  // of the event that is searched for
  std::string tag_key_;    // kept for its memory
};

}  // namespace graspd::relay
