// What is served in the end depends on what arrived, not on the order.
#include <algorithm>
#include <numeric>
#include <set>
#include <utility>

#include "base/random.h"
#include "tests/conformance/event_store_suite.h"

namespace graspd::storage {
namespace {

using nostr::Event;

/// A few events of one author. `author` and ids differ from run to run so that every run can use
/// the same store; ids keep the order of their `n`.
class Story {
 public:
  explicit Story(uint64_t run) : run_(run) {}
  [[nodiscard]] uint64_t author() const { return run_ + 1; }
  [[nodiscard]] nostr::EventId id(uint64_t n) const { return Id(Number(n)); }
  [[nodiscard]] std::string address() const {
    return "30617:" + Author(author()).ToHex() + ":repo";
  }

  [[nodiscard]] Event Note(uint64_t n, uint64_t at) const {
    return MakeEvent(Number(n), 1, at, {}, author());
  }
  [[nodiscard]] Event Version(uint64_t n, uint64_t at) const {
    return MakeEvent(Number(n), 30617, at, {{"d", "repo"}}, author());
  }
  [[nodiscard]] Event ExpiredVersion(uint64_t n, uint64_t at) const {
    return MakeEvent(Number(n), 30617, at, {{"d", "repo"}, {"expiration", "1000"}}, author());
  }
  [[nodiscard]] Event Deletes(uint64_t n, uint64_t at, uint64_t target) const {
    return MakeEvent(Number(n), 5, at, {{"e", id(target).ToHex()}}, author());
  }
  [[nodiscard]] Event DeletesAddress(uint64_t n, uint64_t at) const {
    return MakeEvent(Number(n), 5, at, {{"a", address()}}, author());
  }
  [[nodiscard]] Event StrangerDeletes(uint64_t n, uint64_t at, uint64_t target) const {
    return MakeEvent(Number(n), 5, at, {{"e", id(target).ToHex()}, {"a", address()}},
                     author() + 1'000'000);
  }

 private:
  [[nodiscard]] uint64_t Number(uint64_t n) const { return n << 32 | run_; }
  uint64_t run_;
};

struct History {
  std::string name;
  std::function<std::vector<Event>(const Story&)> events;
  std::vector<uint64_t> served;  // in the end
};

std::vector<History> Histories() {
  using S = const Story&;
  return {
      {"TheNewestVersionStays",
       [](S s) {
         return std::vector{s.Version(3, 10), s.Version(2, 20), s.Version(1, 15)};
       },
       {2}},
      {"OfATieTheLowestIdStays",
       [](S s) {
         return std::vector{s.Version(3, 20), s.Version(1, 20), s.Version(2, 20)};
       },
       {1}},
      {"DeletedNote",
       [](S s) {
         return std::vector{s.Note(1, 10), s.Note(2, 10), s.Deletes(3, 5, 1)};
       },
       {2, 3}},
      {"DeletedVersionDoesNotBringBackAnOlderOne",
       [](S s) {
         return std::vector{s.Version(1, 10), s.Version(2, 20), s.Deletes(3, 30, 2)};
       },
       {3}},
      {"DeletedOldVersionLeavesTheNewer",
       [](S s) {
         return std::vector{s.Version(1, 10), s.Version(2, 20), s.Deletes(3, 30, 1)};
       },
       {2, 3}},
      {"DeletedWinnerOfATieDoesNotBringBackTheLoser",
       [](S s) {
         return std::vector{s.Version(1, 10), s.Version(2, 10), s.Deletes(3, 30, 1)};
       },
       {3}},
      {"DeletedLoserOfATieLeavesTheWinner",
       [](S s) {
         return std::vector{s.Version(1, 10), s.Version(2, 10), s.Deletes(3, 30, 2)};
       },
       {1, 3}},
      {"VersionAfterADeletedOneIsServed",
       [](S s) {
         return std::vector{s.Version(1, 10), s.Version(2, 20), s.Deletes(3, 30, 2),
                            s.Version(4, 25)};
       },
       {3, 4}},
      {"AddressDeletionHoldsUpToItsTime",
       [](S s) {
         return std::vector{s.Version(1, 10), s.DeletesAddress(2, 20), s.Version(3, 20),
                            s.Version(4, 21)};
       },
       {2, 4}},
      {"BothWaysOfDeletion",
       [](S s) {
         return std::vector{s.Version(1, 10), s.Version(2, 20), s.Version(4, 30),
                            s.DeletesAddress(5, 15), s.Deletes(6, 40, 4)};
       },
       {5, 6}},
      {"StrangersDeleteNothing",
       [](S s) {
         return std::vector{s.Note(1, 10), s.Version(2, 10), s.StrangerDeletes(3, 90, 1),
                            s.StrangerDeletes(4, 90, 2)};
       },
       {1, 2, 3, 4}},
      {"DeletionsAreNotDeleted",
       [](S s) {
         return std::vector{s.Note(1, 10), s.Deletes(2, 20, 1), s.Deletes(3, 30, 2)};
       },
       {2, 3}},
      {"ExpiredVersionCountsForNothing",
       [](S s) {
         return std::vector{s.Version(1, 10), s.ExpiredVersion(2, 20), s.Deletes(3, 30, 2)};
       },
       {1, 3}},
  };
}

constexpr uint64_t kMaxEvents = 12;  // of one story

/// The numbers of those of the story's events that are served.
std::vector<uint64_t> Served(EventStore& store, const Story& story) {
  std::vector<uint64_t> served;
  for (uint64_t n = 1; n <= kMaxEvents; ++n) {
    nostr::Filter filter;
    filter.ids = {story.id(n)};
    const auto count = store.Count({filter}, kNow, nullptr);
    EXPECT_TRUE(count.ok()) << count.status();
    if (count.ok() && *count == 1) served.push_back(n);
  }
  return served;
}

TEST_P(EventStoreSuite, EveryArrivalOrderOfAHistoryServesTheSame) {
  uint64_t run = 0;
  for (const History& history : Histories()) {
    std::vector<size_t> order(history.events(Story(0)).size());
    std::iota(order.begin(), order.end(), 0);
    do {
      const Story story(run++);
      const std::vector<Event> events = history.events(story);
      std::vector<Event> batches[2];
      for (size_t i = 0; i < order.size(); ++i) {
        batches[i < run % (order.size() + 1) ? 0 : 1].push_back(events[order[i]]);
      }
      for (const auto& batch : batches) Write(batch);
      ASSERT_EQ(Served(*store_, story), history.served)
          << history.name << ", order " << testing::PrintToString(order);
    } while (std::next_permutation(order.begin(), order.end()));
  }
}

TEST_P(EventStoreSuite, RandomHistoriesServeTheSameInEveryOrder) {
  base::SeededRandom random(1);
  uint64_t run = 0;
  for (int history = 0; history < 60; ++history) {
    const uint64_t size = 4 + random.Below(kMaxEvents - 3);
    std::vector<std::function<Event(const Story&)>> makers;
    for (uint64_t n = 1; n <= size; ++n) {
      const uint64_t at = 10 + random.Below(5);
      const uint64_t target = 1 + random.Below(size);
      switch (random.Below(6)) {
        case 0:
          makers.push_back([=](const Story& s) { return s.Note(n, at); });
          break;
        case 1:
          makers.push_back([=](const Story& s) { return s.DeletesAddress(n, at); });
          break;
        case 2:
        case 3:
          makers.push_back([=](const Story& s) { return s.Deletes(n, at, target); });
          break;
        default:
          makers.push_back([=](const Story& s) { return s.Version(n, at); });
      }
    }
    std::vector<uint64_t> first;
    for (int order = 0; order < 6; ++order) {
      const Story story(run++);
      std::vector<Event> events;
      for (const auto& make : makers) events.push_back(make(story));
      for (size_t i = events.size(); order > 0 && i > 1; --i) {
        std::swap(events[i - 1], events[random.Below(i)]);
      }
      Write(events);
      const std::vector<uint64_t> served = Served(*store_, story);
      if (order == 0) first = served;
      ASSERT_EQ(served, first) << "history " << history;
    }
  }
}

// Threats C23.
TEST_P(EventStoreSuite, TwoReplicasThatHearOfTiesInOppositeOrdersKeepTheLowestIds) {
  constexpr uint64_t kTies = 1000, kVersions = 3, kBatch = 50;
  base::SeededRandom random(23);
  std::vector<Event> events;
  std::set<nostr::EventId> lowest;
  for (uint64_t author = 1; author <= kTies; ++author) {
    std::set<nostr::EventId> ids;
    for (uint64_t n = 0; n < kVersions; ++n) {
      const uint64_t number = random.Below(uint64_t{1} << 32) << 12 | events.size();
      events.push_back(MakeEvent(number, 30617, 10, {{"d", "repo"}}, author));
      ids.insert(events.back().id);
    }
    lowest.insert(*ids.begin());
  }
  for (size_t i = events.size(); i > 1; --i) std::swap(events[i - 1], events[random.Below(i)]);
  const TempDirectory elsewhere;
  auto other = GetParam().open(elsewhere.path());
  ASSERT_TRUE(other.ok()) << other.status();
  for (auto* store : {&store_, &*other}) {
    for (auto batch = events.begin(); batch != events.end(); batch += kBatch) {
      TestJudge judge;
      const auto written = (*store)->Write(Requests({batch, batch + kBatch}), judge, kNow);
      ASSERT_TRUE(written.ok()) << written.status();
    }
    const auto rows = QueryAll(**store, {.filters = {nostr::Filter()}, .unix_now = kNow});
    ASSERT_TRUE(rows.ok()) << rows.status();
    std::set<nostr::EventId> served;
    for (const Row& row : *rows) served.insert(row.id);
    EXPECT_EQ(rows->size(), kTies);
    EXPECT_TRUE(served == lowest);
    std::reverse(events.begin(), events.end());
  }
}

}  // namespace
}  // namespace graspd::storage
