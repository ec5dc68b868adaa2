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

void SubscriptionIndex::Add(IndexedSubscription& subscription) {
  ++size_;
  for (const nostr::Filter& filter : subscription.filters) {
    ForEachPlace(filter, [&](auto& map, const auto& key) {
      if constexpr (std::is_same_v<decltype(map), Postings&>) {
        map.push_back({&subscription, &filter});
      } else {
        map[key].push_back({&subscription, &filter});
      }
    });
  }
}

void SubscriptionIndex::Remove(IndexedSubscription& subscription) {
  --size_;
  for (const nostr::Filter& filter : subscription.filters) {
    const auto is_this = [&](const Posting& posting) { return posting.filter == &filter; };
    ForEachPlace(filter, [&](auto& map, const auto& key) {
      if constexpr (std::is_same_v<decltype(map), Postings&>) {
        std::erase_if(map, is_this);
      } else {
        const auto it = map.find(key);
        if (it == map.end()) return;
        std::erase_if(it->second, is_this);
        if (it->second.empty()) map.erase(it);
      }
    });
  }
}

void SubscriptionIndex::Try(const Postings& postings, const nostr::Event& event,
                            std::vector<IndexedSubscription*>& found) {
  for (const Posting& posting : postings) {
    if (posting.subscription->found_in == searches_) continue;
    if (!nostr::Matches(*posting.filter, event)) continue;
    posting.subscription->found_in = searches_;
    found.push_back(posting.subscription);
  }
}

void SubscriptionIndex::Find(const nostr::Event& event, std::vector<IndexedSubscription*>& found) {
  ++searches_;
  const auto try_below = [&](const auto& map, const auto& key) {
    if (map.empty()) return;
    if (const auto it = map.find(key); it != map.end()) Try(it->second, event, found);
  };
  Try(all_, event, found);
  try_below(by_id_, event.id);
  try_below(by_author_, event.pubkey);
  try_below(by_kind_, event.kind);
  if (by_tag_.empty()) return;
  for (const nostr::Tag tag : event.tags) {
    if (tag.name().size() != 1) continue;
    tag_key_.assign(tag.name()).append(tag.value());
    try_below(by_tag_, std::string_view(tag_key_));
  }
}

}  // namespace graspd::relay
