#include "services/relay/subscription_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <set>

#include "base/random.h"

namespace graspd::relay {
namespace {

using nostr::Event;
using nostr::Filter;
using testing::ElementsAre;
using testing::IsEmpty;

// A small world, so that filters and events meet often.
class World {
 public:
  explicit World(uint64_t seed) : random_(seed) {}

  Event MakeEvent() {
    Event event;
    event.id.bytes[0] = Pick(20);
    event.pubkey.bytes[0] = Pick(5);
    event.kind = Pick(4);
    event.created_at = Pick(10);
    for (uint64_t tags = Pick(4); tags > 0; --tags) {
      event.tags.Add({std::string(1, "etx"[Pick(3)]), Value()});
    }
    if (Pick(4) == 0) event.tags.Add({"e"});
    if (Pick(4) == 0) event.tags.Add({"long", Value()});
    return event;
  }

  Filter MakeFilter() {
    Filter filter;
    if (Pick(4) == 0) filter.ids = Several<nostr::EventId>(20);
    if (Pick(3) == 0) filter.authors = Several<nostr::PublicKey>(5);
    if (Pick(3) == 0) filter.kinds = {static_cast<nostr::Kind>(Pick(4))};
    if (Pick(12) == 0) filter.kinds = std::vector<nostr::Kind>();
    if (Pick(2) == 0) filter.tags["etx"[Pick(3)]] = {Value(), Value()};
    if (Pick(4) == 0) filter.tags["etx"[Pick(3)]] = {Value()};
    if (Pick(3) == 0) filter.since = Pick(10);
    if (Pick(3) == 0) filter.until = Pick(10);
    filter.Normalize();
    return filter;
  }
  std::vector<Filter> MakeFilters() {
    std::vector<Filter> filters;
    for (uint64_t n = 1 + Pick(3); n > 0; --n) filters.push_back(MakeFilter());
    return filters;
  }
  uint8_t Pick(uint64_t bound) { return static_cast<uint8_t>(random_.Below(bound)); }

 private:
  std::string Value() { return std::string(1, static_cast<char>('a' + Pick(4))); }
  template <typename Bytes>
  std::vector<Bytes> Several(uint64_t bound) {
    std::vector<Bytes> out(1 + Pick(3));
    for (auto& bytes : out) bytes.bytes[0] = Pick(bound);
    return out;
  }
  base::SeededRandom random_;
};

std::multiset<IndexedSubscription*> Found(SubscriptionIndex& index, const Event& event) {
  std::vector<IndexedSubscription*> found;
  index.Find(event, found);
  return {found.begin(), found.end()};
}

TEST(SubscriptionIndex, FindsExactlyWhatTryingAllFiltersFinds) {
  World world(7);
  SubscriptionIndex index;
  std::vector<std::unique_ptr<IndexedSubscription>> open;
  size_t matches = 0;
  for (int round = 0; round < 3000; ++round) {
    if (world.Pick(2) == 0 || open.empty()) {
      open.push_back(std::make_unique<IndexedSubscription>(world.MakeFilters()));
      index.Add(*open.back());
    } else if (world.Pick(3) == 0) {
      std::swap(open[world.Pick(open.size())], open.back());
      index.Remove(*open.back());
      open.pop_back();
    }
    const Event event = world.MakeEvent();
    std::multiset<IndexedSubscription*> expected;
    for (const auto& subscription : open) {
      if (nostr::MatchesAny(subscription->filters, event)) expected.insert(subscription.get());
    }
    ASSERT_EQ(Found(index, event), expected) << "round " << round;
    matches += expected.size();
    ASSERT_EQ(index.size(), open.size());
  }
  EXPECT_GT(matches, 1000u);
}

// When their clients go all at once, nobody else must wait: with a search of the list for each,
// this would take 5,000,000,000 steps.
TEST(SubscriptionIndex, ManyThatAskTheSameAreRemovedInAnyOrder) {
  constexpr size_t kCount = 100'000;
  Filter filter;
  filter.kinds = {1};
  SubscriptionIndex index;
  std::vector<std::unique_ptr<IndexedSubscription>> open;
  for (size_t i = 0; i < kCount; ++i) {
    open.push_back(std::make_unique<IndexedSubscription>(std::vector{filter}));
    index.Add(*open.back());
  }
  base::SeededRandom random(1);
  while (open.size() > 2) {
    std::swap(open[random.Below(open.size())], open.back());
    index.Remove(*open.back());
    open.pop_back();
  }
  Event event;
  event.kind = 1;
  EXPECT_THAT(Found(index, event), testing::UnorderedElementsAre(open[0].get(), open[1].get()));
}

TEST(SubscriptionIndex, ASubscriptionIsFoundOncePerEvent) {
  Filter kind, all;
  kind.kinds = {1};
  IndexedSubscription subscription({kind, kind, all});
  SubscriptionIndex index;
  index.Add(subscription);
  Event event;
  event.kind = 1;
  EXPECT_THAT(Found(index, event), ElementsAre(&subscription));
  EXPECT_THAT(Found(index, event), ElementsAre(&subscription));
  index.Remove(subscription);
  EXPECT_THAT(Found(index, event), IsEmpty());
}

// Who has many filters and sends events with many tags makes us try each filter once.
TEST(SubscriptionIndex, AFilterIsTriedOncePerEventWhateverTheEventRepeats) {
  constexpr size_t kSubscriptions = 200, kFilters = 20, kTags = 2000;
  Filter under_one, under_many;
  under_one.tags['t'] = {"x"};
  under_one.tags['z'] = {"nothing has this", "nor this"};
  for (size_t i = 0; i < 100; ++i) {
    under_many.tags['t'].push_back(std::to_string(i));
    under_many.tags['z'].push_back("no " + std::to_string(i));
  }
  under_many.Normalize();
  SubscriptionIndex index;
  std::vector<std::unique_ptr<IndexedSubscription>> open;
  for (size_t i = 0; i < kSubscriptions; ++i) {
    open.push_back(std::make_unique<IndexedSubscription>(
        std::vector<Filter>(kFilters, i % 2 == 0 ? under_one : under_many)));
    index.Add(*open.back());
  }
  Event repeats, differs;
  for (size_t i = 0; i < kTags; ++i) {
    repeats.tags.Add({"t", "x"});
    differs.tags.Add({"t", std::to_string(i)});
  }
  EXPECT_THAT(Found(index, repeats), IsEmpty());
  EXPECT_EQ(index.matches_tried(), kSubscriptions / 2 * kFilters);
  EXPECT_THAT(Found(index, differs), IsEmpty());
  EXPECT_EQ(index.matches_tried(), kSubscriptions * kFilters);
}

}  // namespace
}  // namespace graspd::relay
