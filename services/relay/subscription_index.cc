#include "services/relay/subscription_index.h"

#include <algorithm>
#include <utility>

namespace graspd::relay {
namespace {

using TagCondition = std::pair<const char, std::vector<std::string>>;

const TagCondition& FewestValues(const std::map<char, std::vector<std::string>>& tags) {
  return *std::min_element(tags.begin(), tags.end(), [](const auto& a, const auto& b) {
    return a.second.size() < b.second.size();
  });
}

}  // namespace

template <typename Visit>
void SubscriptionIndex::ForEachPlace(const nostr::Filter& filter, Visit visit) {
  if (filter.MatchesNothing()) return;
  if (filter.ids) {
    for (const auto& id : *filter.ids) visit(by_id_, id);
  } else if (!filter.tags.empty()) {
    const auto& [letter, values] = FewestValues(filter.tags);
    for (const std::string& value : values) visit(by_tag_, letter + value);
  } else if (filter.authors) {
    for (const auto& author : *filter.authors) visit(by_author_, author);
  } else if (filter.kinds) {
    for (const auto kind : *filter.kinds) visit(by_kind_, kind);
  } else {
    visit(all_, nullptr);
  }
}

void SubscriptionIndex::Insert(Postings& postings, IndexedSubscription& subscription,
                               const nostr::Filter& filter) {
  const auto place = static_cast<uint32_t>(subscription.places.size());
  subscription.places.push_back(static_cast<uint32_t>(postings.size()));
  postings.push_back({&subscription, &filter, place});
}

// The last one takes its seat.
void SubscriptionIndex::Erase(Postings& postings, const IndexedSubscription& subscription,
                              uint32_t place) {
  const uint32_t seat = subscription.places[place];
  const Posting& last = postings.back();
  last.subscription->places[last.place] = seat;
  postings[seat] = last;
  postings.pop_back();
  if (postings.capacity() > 64 && postings.size() < postings.capacity() / 4) {
    postings.shrink_to_fit();
  }
}

void SubscriptionIndex::Add(IndexedSubscription& subscription) {
  ++size_;
  for (const nostr::Filter& filter : subscription.filters) {
    ForEachPlace(filter, [&](auto& map, const auto& key) {
      if constexpr (std::is_same_v<decltype(map), Postings&>) {
        Insert(map, subscription, filter);
      } else {
        Insert(map[key], subscription, filter);
      }
    });
  }
}

void SubscriptionIndex::Remove(IndexedSubscription& subscription) {
  --size_;
  uint32_t place = 0;
  for (const nostr::Filter& filter : subscription.filters) {
    ForEachPlace(filter, [&](auto& map, const auto& key) {
      if constexpr (std::is_same_v<decltype(map), Postings&>) {
        Erase(map, subscription, place++);
      } else {
        const auto it = map.find(key);
        Erase(it->second, subscription, place++);
        if (it->second.empty()) map.erase(it);
      }
    });
  }
  subscription.places.clear();
}

void SubscriptionIndex::Try(const Postings& postings, const nostr::Event& event,
                            std::vector<IndexedSubscription*>& found) {
  for (const Posting& posting : postings) {
    IndexedSubscription& subscription = *posting.subscription;
    if (subscription.found_in == searches_) continue;
    uint64_t& tried_in = subscription.tried_in[posting.filter - subscription.filters.data()];
    if (std::exchange(tried_in, searches_) == searches_) continue;
    ++matches_tried_;
    if (!nostr::Matches(*posting.filter, event, tags_)) continue;
    subscription.found_in = searches_;
    found.push_back(&subscription);
  }
}

void SubscriptionIndex::Find(const nostr::Event& event, std::vector<IndexedSubscription*>& found) {
  ++searches_;
  tags_.Assign(event.tags);
  const auto try_below = [&](const auto& map, const auto& key) {
    if (map.empty()) return;
    if (const auto it = map.find(key); it != map.end()) Try(it->second, event, found);
  };
  Try(all_, event, found);
  try_below(by_id_, event.id);
  try_below(by_author_, event.pubkey);
  try_below(by_kind_, event.kind);
  if (by_tag_.empty()) return;
  for (const auto& [letter, value] : tags_.all()) {
    tag_key_.assign(1, letter).append(value);
    try_below(by_tag_, std::string_view(tag_key_));
  }
}

}  // namespace graspd::relay
