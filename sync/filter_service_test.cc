#include "sync/filter_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/random.h"
#include "sync/testing/events.h"

namespace graspd::sync {
namespace {

using testing::Author;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::Repo;
using ::testing::SizeIs;

RemoteScope Scope(size_t repos, size_t roots) {
  RemoteScope scope;
  for (size_t i = 0; i < repos; ++i) scope.repos.push_back(Repo("alice", "r" + std::to_string(i)));
  for (size_t i = 0; i < roots; ++i) {
    scope.roots.push_back({nostr::Sha256("root " + std::to_string(i))});
  }
  return scope;
}

// What a relay would hold open after a series of diffs.
class OpenSubscriptions {
 public:
  void Apply(const SubscriptionPlan::Diff& diff) {
    for (const auto& closed : diff.close) EXPECT_EQ(open_.erase(closed), 1u) << closed;
    for (const auto& opened : diff.open) open_[opened.subscription] = opened.filters;
  }
  [[nodiscard]] const std::map<std::string, std::vector<nostr::Filter>>& open() const {
    return open_;
  }
  /// Every value of `letter` with the number of filters it is in.
  [[nodiscard]] std::map<std::string, int> Values(char letter) const {
    std::map<std::string, int> values;
    for (const auto& [subscription, filters] : open_) {
      for (const auto& filter : filters) {
        const auto found = filter.tags.find(letter);
        if (found == filter.tags.end()) continue;
        for (const auto& value : found->second) ++values[value];
      }
    }
    return values;
  }

 private:
  std::map<std::string, std::vector<nostr::Filter>> open_;
};

TEST(SubscriptionPlan, EmptyScopeAsksForAnnouncementsOnly) {
  SubscriptionPlan plan;
  const auto diff = plan.Update({});
  ASSERT_THAT(diff.open, SizeIs(1));
  const auto& filter = diff.open[0].filters.at(0);
  EXPECT_THAT(*filter.kinds, ElementsAre(nostr::kUserGraspList, nostr::kRepositoryAnnouncement));
  EXPECT_EQ(filter.limit, 0u);
  EXPECT_THAT(diff.catch_up, ElementsAre(AnnouncementFilter()));
  EXPECT_FALSE(diff.catch_up[0].limit.has_value());
}

TEST(SubscriptionPlan, LayersAskByTheRightTags) {
  SubscriptionPlan plan;
  const auto scope = Scope(1, 1);
  OpenSubscriptions open;
  open.Apply(plan.Update(scope));
  for (const char letter : {'a', 'A'}) {
    EXPECT_THAT(open.Values(letter), ElementsAre(::testing::Pair(scope.repos[0].ToString(), 1)));
  }
  for (const char letter : {'e', 'E'}) {
    EXPECT_THAT(open.Values(letter), ElementsAre(::testing::Pair(scope.roots[0].ToHex(), 1)));
  }
  EXPECT_EQ(open.Values('q').size(), 2u);
  EXPECT_THAT(open.Values('d'), ElementsAre(::testing::Pair("r0", 1)));
  for (const auto& [subscription, filters] : open.open()) {
    for (const auto& filter : filters) EXPECT_EQ(filter.limit, 0u) << subscription;
  }
}

TEST(SubscriptionPlan, UnchangedScopeSendsNothing) {
  SubscriptionPlan plan;
  plan.Update(Scope(150, 150));
  const auto diff = plan.Update(Scope(150, 150));
  EXPECT_TRUE(diff.empty());
  EXPECT_THAT(diff.catch_up, IsEmpty());
}

TEST(SubscriptionPlan, OneNewRepositoryTouchesOneGroupAndCatchesUpItAlone) {
  SubscriptionPlan plan;
  plan.Update(Scope(350, 350));
  auto scope = Scope(350, 350);
  scope.repos.push_back(Repo("bob", "new"));
  const auto diff = plan.Update(scope);
  EXPECT_THAT(diff.open, SizeIs(1));
  EXPECT_THAT(diff.close, IsEmpty());
  EXPECT_EQ(diff.catch_up, RepoFilters({Repo("bob", "new")}));
}

TEST(SubscriptionPlan, OneRepositoryGoneTouchesOneGroupAndCatchesUpNothing) {
  SubscriptionPlan plan;
  plan.Update(Scope(350, 0));
  auto scope = Scope(350, 0);
  scope.repos.erase(scope.repos.begin() + 170);
  const auto diff = plan.Update(scope);
  EXPECT_THAT(diff.open, SizeIs(1));
  EXPECT_THAT(diff.close, IsEmpty());
  EXPECT_THAT(diff.catch_up, IsEmpty());
}

TEST(SubscriptionPlan, AnEmptiedGroupIsClosed) {
  SubscriptionPlan plan;
  plan.Update(Scope(1, 1));
  const auto diff = plan.Update({});
  EXPECT_THAT(diff.close, SizeIs(2));
  EXPECT_THAT(diff.open, IsEmpty());
  EXPECT_EQ(plan.subscription_count(), 1u);
}

TEST(SubscriptionPlan, NoFilterHoldsMoreThanAHundredValues) {
  SubscriptionPlan plan;
  const auto diff = plan.Update(Scope(1234, 2345));
  for (const auto& open : diff.open) {
    for (const auto& filter : open.filters) EXPECT_LE(filter.ValueCount(), 101u);
  }
  for (const auto& filter : diff.catch_up) EXPECT_LE(filter.ValueCount(), 101u);
  EXPECT_EQ(plan.subscription_count(), 1u + 13 + 24);
  size_t filters = 0;
  for (const auto& open : diff.open) filters += open.filters.size();
  EXPECT_EQ(plan.filter_count(), filters);
}

TEST(SubscriptionPlan, KnowsItsLiveSubscriptions) {
  SubscriptionPlan plan;
  EXPECT_FALSE(plan.IsOpen("announcements"));
  for (const auto& open : plan.Update(Scope(101, 1)).open) {
    EXPECT_TRUE(plan.IsOpen(open.subscription)) << open.subscription;
  }
  for (const char* other : {"", "repos-2", "repos-", "roots-x", "page-1-0", "fetch-1-0", "neg-1"}) {
    EXPECT_FALSE(plan.IsOpen(other)) << other;
  }
  for (const auto& closed : plan.Update({}).close) EXPECT_FALSE(plan.IsOpen(closed)) << closed;
}

// Whatever comes and goes: each wanted value is in exactly one group, nothing else is, what is open
// is what OpenAll would open, and what is new is caught up.
TEST(SubscriptionPlan, RandomChangesKeepThePlanExact) {
  base::SeededRandom random(20261122);
  SubscriptionPlan plan;
  OpenSubscriptions open;
  std::set<size_t> repos, roots;
  for (int step = 0; step < 60; ++step) {
    for (auto* set : {&repos, &roots}) {
      for (uint64_t n = random.Below(40); n > 0; --n) set->insert(random.Below(600));
      for (uint64_t n = random.Below(40); n > 0 && !set->empty(); --n)
        set->erase(random.Below(600));
    }
    if (random.Below(50) == 0) repos.clear();
    RemoteScope scope;
    std::map<std::string, int> wanted_repos, wanted_roots;
    for (const size_t i : repos) {
      scope.repos.push_back(Repo("alice", std::to_string(i)));
      wanted_repos[scope.repos.back().ToString()] = 1;
    }
    for (const size_t i : roots) {
      scope.roots.push_back({nostr::Sha256(std::to_string(i))});
      wanted_roots[scope.roots.back().ToHex()] = 1;
    }
    const auto before = open.Values('a');
    const auto diff = plan.Update(scope);
    open.Apply(diff);
    ASSERT_EQ(open.Values('a'), wanted_repos);
    ASSERT_EQ(open.Values('A'), wanted_repos);
    ASSERT_EQ(open.Values('e'), wanted_roots);
    ASSERT_EQ(open.Values('E'), wanted_roots);
    ASSERT_EQ(open.open().size(), plan.subscription_count());

    std::set<std::string> caught_up;
    for (const auto& filter : diff.catch_up) {
      if (const auto found = filter.tags.find('a'); found != filter.tags.end()) {
        caught_up.insert(found->second.begin(), found->second.end());
      }
    }
    for (const auto& [repo, count] : wanted_repos) {
      ASSERT_EQ(caught_up.contains(repo), !before.contains(repo)) << repo;
    }

    OpenSubscriptions all;
    all.Apply(plan.OpenAll());
    ASSERT_EQ(all.open(), open.open());
  }
}

}  // namespace
}  // namespace graspd::sync
