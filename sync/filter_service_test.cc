#include "sync/filter_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/random.h"
#include "nostr/message.h"
#include "sync/testing/events.h"

namespace graspd::sync {
namespace {

using ::testing::_;
using ::testing::AllOf;
using testing::Author;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
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

ScopeDelta Difference(const RemoteScope& before, const RemoteScope& after) {
  ScopeDelta delta;
  for (const auto& repo : before.repos) delta.repos[repo] = false;
  for (const auto& root : before.roots) delta.roots[root] = false;
  for (const auto& repo : after.repos) delta.repos[repo] = true;
  for (const auto& root : after.roots) delta.roots[root] = true;
  return delta;
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

SubscriptionPlan::Diff OpenAll(const SubscriptionPlan& plan) {
  SubscriptionPlan::Diff diff;
  diff.open = plan.OpenAll();
  return diff;
}

std::vector<std::string> ValuesOf(const nostr::Filter& filter, char letter) {
  const auto found = filter.tags.find(letter);
  return found == filter.tags.end() ? std::vector<std::string>() : found->second;
}

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
    EXPECT_THAT(open.Values(letter), ElementsAre(Pair(scope.repos[0].ToString(), 1)));
  }
  for (const char letter : {'e', 'E'}) {
    EXPECT_THAT(open.Values(letter), ElementsAre(Pair(scope.roots[0].ToHex(), 1)));
  }
  EXPECT_EQ(open.Values('q').size(), 2u);
  EXPECT_THAT(open.Values('d'), ElementsAre(Pair("r0", 1)));
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
  EXPECT_FALSE(plan.IsOpen("live-0"));
  for (const auto& open : plan.Update(Scope(101, 1)).open) {
    EXPECT_TRUE(plan.IsOpen(open.subscription)) << open.subscription;
  }
  for (const char* other :
       {"", "live-4", "live-", "live-x", "live-1x", "page-1-0", "fetch-1-0", "neg-1"}) {
    EXPECT_FALSE(plan.IsOpen(other)) << other;
  }
  for (const auto& closed : plan.Update({}).close) EXPECT_FALSE(plan.IsOpen(closed)) << closed;
}

// Nothing that a remote says of a subscription which is closed can be taken for another's.
TEST(SubscriptionPlan, NoNameIsUsedAgain) {
  SubscriptionPlan plan;
  std::set<std::string> closed;
  const auto update = [&](const RemoteScope& scope) {
    const auto diff = plan.Update(scope);
    for (const auto& open : diff.open) {
      EXPECT_FALSE(closed.contains(open.subscription)) << open.subscription;
      EXPECT_TRUE(plan.IsOpen(open.subscription)) << open.subscription;
    }
    closed.insert(diff.close.begin(), diff.close.end());
    return diff.catch_up_all;
  };
  update(Scope(0, 500));
  update(Scope(0, 100));  // those of four groups go
  auto scope = Scope(100, 10'000);
  update(scope);
  const auto all = std::exchange(scope.roots, {});
  for (size_t i = 0; i < all.size(); i += 4) scope.roots.push_back(all[i]);
  EXPECT_TRUE(update(scope)) << "nothing was packed anew";
  EXPECT_GT(closed.size(), 100u);
}

TEST(SubscriptionPlan, ASubscriptionIsOpenedAnewByAnotherName) {
  SubscriptionPlan plan;
  OpenSubscriptions before;
  before.Apply(plan.Update(Scope(150, 150)));
  for (const auto& [name, filters] : before.open()) {
    EXPECT_TRUE(plan.IsOpen(name));
    const auto again = plan.Reopen(name);
    ASSERT_TRUE(again.has_value());
    EXPECT_FALSE(plan.IsOpen(name));
    EXPECT_TRUE(plan.IsOpen(again->subscription));
    EXPECT_FALSE(before.open().contains(again->subscription));
    EXPECT_EQ(again->filters, filters);
  }
  EXPECT_FALSE(plan.Reopen("live-0").has_value());
  EXPECT_EQ(plan.subscription_count(), before.open().size());
  plan.RenameAll();
  OpenSubscriptions all;
  all.Apply(OpenAll(plan));
  EXPECT_EQ(all.open().size(), before.open().size());
  EXPECT_EQ(all.Values('e'), before.Values('e'));
  // What changes later is where it was.
  auto scope = Scope(150, 150);
  scope.repos.pop_back();
  all.Apply(plan.Update(scope));
  EXPECT_EQ(all.Values('a').size(), 149u);
  all.Apply(plan.Update({}));
  EXPECT_EQ(all.open().size(), 1u);
}

TEST(SubscriptionPlan, AFewSubscriptionsHoldSeveralGroupsEach) {
  SubscriptionPlan plan({.subscriptions = 3, .filters_per_req = 10, .message_bytes = 1 << 20});
  OpenSubscriptions open;
  open.Apply(plan.Update(Scope(0, 800)));
  EXPECT_EQ(open.open().size(), 3u);
  EXPECT_EQ(open.Values('e').size(), 800u);
  EXPECT_FALSE(plan.leaves_out());
  for (const auto& [name, filters] : open.open()) EXPECT_LE(filters.size(), 10u) << name;
}

TEST(SubscriptionPlan, WhatFindsNoPlaceIsCaughtUpAndFollowedWhenThereIsRoom) {
  SubscriptionPlan plan({.subscriptions = 1, .filters_per_req = 10, .message_bytes = 1 << 20});
  OpenSubscriptions open;
  const auto diff = plan.Update(Scope(0, 500));
  open.Apply(diff);
  EXPECT_EQ(open.Values('e').size(), 300u) << "three groups beside layer 1";
  EXPECT_TRUE(plan.leaves_out());
  EXPECT_EQ(diff.catch_up.size(), 1u + 5 * 3);

  ScopeDelta gone;
  const auto followed = open.Values('e');
  for (const auto& root : Scope(0, 500).roots) {
    if (followed.contains(root.ToHex())) gone.roots[root] = false;
  }
  const auto placed = plan.Apply(gone);
  open.Apply(placed);
  EXPECT_EQ(open.Values('e').size(), 200u);
  EXPECT_FALSE(plan.leaves_out());
  EXPECT_EQ(placed.catch_up.size(), 2u * 3) << "what came while it was not followed";
}

TEST(SubscriptionPlan, ShortMessagesMakeSmallGroups) {
  SubscriptionPlan plan({.filters_per_req = 10, .message_bytes = 8 * 1024});
  const auto diff = plan.Update(Scope(90, 90));
  for (const auto& open : diff.open) {
    EXPECT_LE(nostr::ReqMessage(open.subscription, open.filters).size(), 8u * 1024);
  }
  for (const auto& filter : diff.catch_up) {
    EXPECT_LE(nostr::ReqMessage("page-123-456", {filter}).size(), 8u * 1024);
  }
}

// A stranger's announcements must not make messages that a relay hangs up on.
TEST(SubscriptionPlan, LongIdentifiersMakeSmallGroupsToo) {
  base::SeededRandom random(20261201);
  SubscriptionPlan plan({.subscriptions = 10, .filters_per_req = 20});
  OpenSubscriptions open;
  RemoteScope scope;
  for (int step = 0; step < 40; ++step) {
    for (int i = 0; i < 10; ++i) {
      const char fill = random.Below(2) == 0 ? 'x' : '\1';  // which JSON writes as six
      const std::string name = std::to_string(step * 10 + i);
      scope.repos.push_back(Repo("alice", name + std::string(random.Below(240), fill)));
      scope.roots.push_back({nostr::Sha256(name)});
    }
    if (step % 4 == 3) scope.repos.erase(scope.repos.begin(), scope.repos.begin() + 20);
    const auto diff = plan.Update(scope);
    open.Apply(diff);
    EXPECT_FALSE(diff.catch_up_all) << step;
    for (const auto& opened : diff.open) {
      EXPECT_LE(nostr::ReqMessage(opened.subscription, opened.filters).size(), 128u * 1024);
    }
    for (const auto& filter : diff.catch_up) {
      EXPECT_LE(nostr::ReqMessage("page-123-456", {filter}).size(), 128u * 1024);
    }
  }
  EXPECT_FALSE(plan.leaves_out());
  EXPECT_EQ(open.Values('a').size(), scope.repos.size());
}

TEST(SubscriptionPlan, WhatIsTooLongForAnyMessageIsLeftOutAlone) {
  SubscriptionPlan plan({.filters_per_req = 20, .message_bytes = 4096});
  RemoteScope scope = Scope(50, 0);
  scope.repos.push_back(Repo("alice", std::string(240, '\1')));
  OpenSubscriptions open;
  open.Apply(plan.Update(scope));
  EXPECT_TRUE(plan.leaves_out());
  EXPECT_EQ(open.Values('a').size(), 50u);
}

TEST(SubscriptionPlan, OtherLimitsPackAnewAndCatchUpNothingNew) {
  SubscriptionPlan plan;
  plan.Update(Scope(300, 300));
  EXPECT_EQ(plan.subscription_count(), 7u);
  plan.SetLimits({.subscriptions = 4, .filters_per_req = 10, .message_bytes = 1 << 20});
  OpenSubscriptions open;
  open.Apply(OpenAll(plan));
  EXPECT_EQ(open.open().size(), 4u);
  EXPECT_EQ(open.Values('a').size(), 300u);
  EXPECT_EQ(open.Values('e').size(), 300u);
  EXPECT_THAT(plan.Update(Scope(300, 300)).catch_up, IsEmpty());
}

TEST(SubscriptionPlan, GroupsThatRemovalsHaveThinnedOutAreMerged) {
  SubscriptionPlan plan;
  OpenSubscriptions open;
  open.Apply(plan.Update(Scope(0, 10'000)));
  EXPECT_EQ(plan.subscription_count(), 101u);
  ScopeDelta thinned;
  const auto roots = Scope(0, 10'000).roots;
  for (size_t i = 0; i < roots.size(); ++i) {
    if (i % 3 != 0) thinned.roots[roots[i]] = false;
  }
  const auto diff = plan.Apply(thinned);
  open.Apply(diff);
  EXPECT_EQ(plan.subscription_count(), 1u + 34);
  EXPECT_EQ(open.Values('e').size(), 3334u);
  EXPECT_TRUE(diff.catch_up_all) << "for the moments between two REQs";
}

// No two of these repositories fit into the short messages of one group.
TEST(SubscriptionPlan, WhatCannotBePackedBetterIsNotPackedAnew) {
  SubscriptionPlan plan({.message_bytes = 1200});
  RemoteScope scope = Scope(0, 1);
  for (int i = 0; i < 100; ++i) {
    scope.repos.push_back(Repo("alice", std::to_string(100 + i) + std::string(41, 'x')));
  }
  plan.Update(scope);
  ASSERT_EQ(plan.filter_count(), 1u + 100 * 4 + 3);
  for (int times = 0; times < 10; ++times) {
    for (const size_t roots : {size_t{2}, size_t{1}}) {
      scope.roots = Scope(0, roots).roots;
      EXPECT_FALSE(plan.Update(scope).catch_up_all) << times;
    }
  }
}

// Whatever the content is: packed anew once, it stays so.
TEST(SubscriptionPlan, TheSameSmallChangeAgainAndAgainPacksNothingAnew) {
  base::SeededRandom random(20261201);
  int packed_anew = 0;
  for (int run = 0; run < 50; ++run) {
    SubscriptionPlan plan({.message_bytes = 700 + random.Below(2000)});
    RemoteScope scope = Scope(0, random.Below(100));
    const size_t shortest = random.Below(100), longest = 1 + random.Below(20);
    for (int i = 0; i < 200; ++i) {
      const std::string name = std::to_string(i);
      const size_t more = shortest + random.Below(longest);
      scope.repos.push_back(Repo("alice", name + std::string(more, 'x')));
    }
    plan.Update(scope);
    // More than half go.
    const uint64_t stays = 1 + random.Below(4);
    std::erase_if(scope.repos, [&](const auto&) { return random.Below(10) > stays; });
    std::erase_if(scope.roots, [&](const auto&) { return random.Below(10) > stays; });
    if (plan.Update(scope).catch_up_all) ++packed_anew;
    const auto other = Repo("bob", std::string(shortest + longest, 'x'));
    for (int times = 0; times < 10; ++times) {
      scope.repos.push_back(other);
      EXPECT_FALSE(plan.Update(scope).catch_up_all) << run << " " << times;
      scope.repos.pop_back();
      EXPECT_FALSE(plan.Update(scope).catch_up_all) << run << " " << times;
    }
  }
  EXPECT_GT(packed_anew, 0);
}

TEST(SubscriptionPlan, ARoundNamesEveryFilterOnceInPortions) {
  SubscriptionPlan plan;
  plan.Update(Scope(250, 450));
  SubscriptionPlan::Round round;
  EXPECT_TRUE(round.done());
  plan.BeginRound(round);
  EXPECT_EQ(round.filters_left(), 1u + 3 * 4 + 5 * 3);
  std::map<std::string, int> repos, roots;
  size_t announcements = 0, filters = 0;
  while (!round.done()) {
    const auto portion = plan.Next(round, 8);
    EXPECT_LE(portion.size(), 8u + 3);
    for (const auto& [filter, position] : portion) {
      EXPECT_FALSE(filter.limit.has_value());
      announcements += filter == AnnouncementFilter() ? 1 : 0;
      for (const auto& value : ValuesOf(filter, 'A')) ++repos[value];
      for (const auto& value : ValuesOf(filter, 'E')) ++roots[value];
    }
    filters += portion.size();
  }
  EXPECT_EQ(filters, 1u + 3 * 4 + 5 * 3);
  EXPECT_EQ(announcements, 1u);
  EXPECT_THAT(repos, AllOf(SizeIs(250), Each(Pair(_, 1))));
  EXPECT_THAT(roots, AllOf(SizeIs(450), Each(Pair(_, 1))));
  EXPECT_EQ(round.filters_left(), 0u);
  EXPECT_THAT(plan.Next(round, 8), IsEmpty());
}

TEST(SubscriptionPlan, RoundsThatAreCutShortGetEverywhere) {
  SubscriptionPlan plan;
  plan.Update(Scope(300, 700));
  SubscriptionPlan::Round round;
  std::set<std::string> repos, roots;
  for (int times = 0; times < 10; ++times) {
    plan.BeginRound(round);
    for (const auto& [filter, position] : plan.Next(round, 4)) {
      for (auto& value : ValuesOf(filter, 'A')) repos.insert(value);
      for (auto& value : ValuesOf(filter, 'E')) roots.insert(value);
    }
    round.Stop();
    EXPECT_EQ(round.filters_left(), 0u);
  }
  EXPECT_THAT(repos, SizeIs(300));
  EXPECT_THAT(roots, SizeIs(700));
}

// Packed anew each time, in groups of the same size or another, of which a portion names one.
TEST(SubscriptionPlan, RoundsThatAreCutShortGetEverywhereHoweverOftenGroupsArePacked) {
  for (const size_t other_limit : {127u << 10, 36'000u}) {
    SubscriptionPlan plan;
    plan.Update(Scope(400, 300));
    SubscriptionPlan::Round round;
    std::set<std::string> repos, roots;
    for (int times = 0; times < 20; ++times) {
      plan.SetLimits({.message_bytes = times % 2 == 0 ? other_limit : 128u << 10});
      plan.BeginRound(round);
      for (const auto& [filter, position] : plan.Next(round, 5)) {
        for (auto& value : ValuesOf(filter, 'A')) repos.insert(value);
        for (auto& value : ValuesOf(filter, 'E')) roots.insert(value);
      }
      round.Stop();
    }
    EXPECT_EQ(repos.size(), 400u) << other_limit;
    EXPECT_EQ(roots.size(), 300u) << other_limit;
    // The same where a few filters of them take place.
    std::set<std::string> a, d, e;
    for (int times = 0; times < 60; ++times) {
      plan.SetLimits({.message_bytes = times % 2 == 0 ? other_limit : 128u << 10});
      plan.BeginRound(round);
      const auto named = plan.Next(round, 16);
      for (size_t i = 1; i < 3; ++i) {
        for (auto& value : ValuesOf(named[i].filter, 'a')) a.insert(value);
        for (auto& value : ValuesOf(named[i].filter, 'd')) d.insert(value);
        for (auto& value : ValuesOf(named[i].filter, 'e')) e.insert(value);
      }
      round.StopBefore(*named[3].position);
    }
    EXPECT_EQ(a.size(), 400u) << other_limit;
    EXPECT_EQ(d.size(), 400u) << other_limit;
    EXPECT_EQ(e.size(), 300u) << other_limit;
  }
}

// Each time a few filters take place of those that were named.
TEST(SubscriptionPlan, ARoundBeginsWithTheFirstFilterThatDidNotTakePlace) {
  SubscriptionPlan plan;
  plan.Update(Scope(300, 400));
  SubscriptionPlan::Round round;
  std::set<SubscriptionPlan::Round::Position> took_place;
  for (int times = 0; times < 12; ++times) {
    plan.BeginRound(round);
    const auto named = plan.Next(round, 16);
    ASSERT_GT(named.size(), 3u);
    for (const auto* step : {&named[1], &named[2]}) took_place.insert(*step->position);
    round.StopBefore(*named[3].position);
  }
  EXPECT_THAT(took_place, SizeIs(3 * 4 + 4 * 3));
  // And a whole one names them all, wherever it begins.
  plan.BeginRound(round);
  std::set<SubscriptionPlan::Round::Position> named;
  size_t filters = 0;
  while (!round.done()) {
    for (const auto& step : plan.Next(round, 5)) {
      ++filters;
      if (step.position) named.insert(*step.position);
    }
  }
  EXPECT_EQ(named, took_place);
  EXPECT_EQ(filters, 1u + 3 * 4 + 4 * 3);
}

// What was there when it began and still is has been named by its end.
TEST(SubscriptionPlan, ARoundMissesNothingWhateverHappensMeanwhile) {
  base::SeededRandom random(20261201);
  const auto all = Scope(0, 9'000).roots;
  int packed_anew = 0;
  for (int run = 0; run < 20; ++run) {
    SubscriptionPlan plan;
    RemoteScope scope;
    scope.roots.assign(all.begin(), all.begin() + 8'000);
    plan.Update(scope);
    SubscriptionPlan::Round round;
    plan.BeginRound(round);
    (void)plan.Next(round, random.Below(300));  // begins anywhere
    plan.BeginRound(round);
    std::set<nostr::EventId> stayed(scope.roots.begin(), scope.roots.end());
    std::set<std::string> named;
    while (!round.done()) {
      for (const auto& [filter, position] : plan.Next(round, 1 + random.Below(60))) {
        for (auto& value : ValuesOf(filter, 'E')) named.insert(value);
      }
      ScopeDelta delta;
      for (uint64_t n = random.Below(1500); n > 0; --n) {
        const auto& root = all[random.Below(all.size())];
        delta.roots[root] = random.Below(8) == 0;
      }
      for (const auto& [root, wanted] : delta.roots) {
        if (!wanted) stayed.erase(root);
      }
      if (!plan.Apply(delta).catch_up_all) continue;
      ++packed_anew;
      plan.BeginRound(round);
    }
    for (const auto& root : stayed) ASSERT_TRUE(named.contains(root.ToHex())) << run;
  }
  EXPECT_GT(packed_anew, 0);
}

// Whatever comes and goes: each wanted value is in exactly one group, nothing else is, what is open
// is what OpenAll would open, and what is new is caught up.
TEST(SubscriptionPlan, RandomChangesKeepThePlanExact) {
  base::SeededRandom random(20261122);
  SubscriptionPlan plan;
  OpenSubscriptions open;
  std::set<size_t> repos, roots;
  RemoteScope before_scope;
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
    // Either way of telling it the same.
    const auto diff =
        step % 2 == 0 ? plan.Update(scope) : plan.Apply(Difference(before_scope, scope));
    before_scope = scope;
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
    all.Apply(OpenAll(plan));
    ASSERT_EQ(all.open(), open.open());
  }
}

}  // namespace
}  // namespace graspd::sync
