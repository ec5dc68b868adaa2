// SyncEngine: remotes that fail, limit, refuse or lie.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sync/engine.h"
#include "sync/testing/engine_fixture.h"

namespace graspd::sync::testing {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::AnyOf;
using ::testing::SizeIs;

// ---- odd remotes -------------------------------------------------------------------------------

// At once after the upgrade, after a NOTICE, or with a close code of its own.
TEST_F(SyncEngineTest, ARelayThatAcceptsAndDropsIsNotStormed) {
  const std::function<void(Simulation::Site&)> ways[] = {
      [](auto& site) { site.drops_after = milliseconds(50); },
      [](auto& site) { site.drops_after = milliseconds(0); },
      [](auto& site) {
        site.greeting = "ERROR: too many connections";
        site.drops_after = milliseconds(10);
      },
      [](auto& site) {
        site.drops_after = milliseconds(50);
        site.close_code = 4008;
      },
  };
  for (const auto& way : ways) {
    auto& sim = Begin();
    way(sim.At(kA));
    sim.Start();
    sim.PublishHere(Announcement(kRepo, kLongAgo, {kA}));
    sim.RunFor(minutes(10));
    const auto& dials = sim.At(kA).dials;
    EXPECT_GE(dials.size(), 4u);
    EXPECT_LE(dials.size(), 12u);
    base::Duration gap = seconds(5);
    for (size_t i = 1; i < dials.size(); ++i) {
      EXPECT_GT(dials[i] - dials[i - 1], gap) << i;
      gap = dials[i] - dials[i - 1];
    }
  }
}

// In each of the ways in which a relay can say so.
TEST_F(SyncEngineTest, ARelayThatDoesNotWantUsIsLeftForADay) {
  using net::DialError;
  const std::function<void(Simulation::Site&)> ways[] = {
      [](auto& site) { site.fails_with = {.error = DialError::kHttp, .http_status = 403}; },
      [](auto& site) {
        site.drops_after = milliseconds(50);
        site.close_code = 4000;
      },
      [](auto& site) { site.relay.behaviour.blocks = [](const auto&) { return true; }; },
  };
  for (const auto& way : ways) {
    auto& sim = Begin();
    auto& site = sim.At(kA);
    way(site);
    const auto issue = Issue({kRepo}, kLongAgo, "for others");
    site.relay.Store(issue);
    sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA}));
    sim.Start();
    sim.RunFor(hours(23));
    EXPECT_THAT(site.dials, SizeIs(1));
    EXPECT_EQ(sim.State(kA), RemoteState::kBlocked);
    EXPECT_EQ(sim.Remote(kA)->last_error_code, "declined");
    site.fails_with.reset();
    site.drops_after.reset();
    site.relay.behaviour.blocks = nullptr;
    sim.RunFor(hours(2));
    EXPECT_EQ(sim.State(kA), RemoteState::kLive);
    EXPECT_TRUE(sim.Has(issue.id));
  }
}

TEST_F(SyncEngineTest, ARelayThatRefusesSomeFiltersIsFollowedByTheOthers) {
  auto& sim = Begin();
  auto& site = sim.At(kA);
  site.relay.behaviour.blocks = [](const auto& filters) { return filters[0].kinds.has_value(); };
  sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA}));
  sim.Start();
  sim.RunFor(minutes(1));
  EXPECT_EQ(sim.State(kA), RemoteState::kLiveWithGaps);
  EXPECT_EQ(sim.open_connections(), 1u);
}

// What it blocked once and is not asked for any more does not count.
TEST_F(SyncEngineTest,
       ARelayThatServesSomethingIsNotLeftThoughItsRefusalsWereAsManyAsItsSubscriptions) {
  auto& sim = Begin();
  auto& site = sim.At(kA);
  site.relay.behaviour.blocks = [](const auto& filters) {
    return filters[0].limit == 0u && !filters[0].kinds;  // but for the announcements
  };
  const auto issue = Issue({kRepo}, kLongAgo, "the only root");
  sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA}));
  sim.StoredBefore(issue);
  sim.Start();
  sim.RunFor(seconds(10));
  ASSERT_EQ(sim.Remote(kA)->subscriptions, 3u);
  sim.DeleteHere(issue.id);
  sim.RunFor(seconds(5));
  ASSERT_EQ(sim.Remote(kA)->subscriptions, 2u);
  sim.PublishHere(Announcement(Repo("bob", "lib"), kLongAgo, {kA}));
  sim.RunFor(seconds(5));
  EXPECT_EQ(sim.State(kA), RemoteState::kLiveWithGaps);
  EXPECT_EQ(sim.open_connections(), 1u);
  // All of them is all of them still.
  site.relay.behaviour.blocks = [](const auto&) { return true; };
  sim.RunFor(minutes(3));
  EXPECT_EQ(sim.State(kA), RemoteState::kBlocked);
}

TEST_F(SyncEngineTest, ARelayThatIsAskedTooOftenIsNotDialledAgainAtOnce) {
  auto& sim = Begin();
  auto& site = sim.At(kA);
  site.fails_with = {.error = net::DialError::kHttp, .http_status = 429};
  sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA}));
  sim.Start();
  sim.RunFor(seconds(60));
  EXPECT_THAT(site.dials, SizeIs(1));
  sim.RunFor(minutes(5));
  EXPECT_THAT(site.dials, SizeIs(::testing::Gt(1)));
}

TEST_F(SyncEngineTest, ADeadRelayIsTriedOnceADay) {
  auto& sim = Begin();
  sim.At(kA).up = false;
  sim.Start();
  sim.PublishHere(Announcement(kRepo, kLongAgo, {kA}));
  sim.RunFor(hours(26));
  EXPECT_EQ(sim.State(kA), RemoteState::kDead);
  const size_t before = sim.At(kA).dials.size();
  EXPECT_LE(before, 60u);
  sim.RunFor(hours(72));
  EXPECT_LE(sim.At(kA).dials.size() - before, 3u);
}

TEST_F(SyncEngineTest, ARateLimitPausesTheJobsAndNothingIsLost) {
  options_.bootstrap = {Url(kA)};
  for (const auto negentropy : {FakeRelay::Negentropy::kSpoken, FakeRelay::Negentropy::kClosed}) {
    auto& sim = Begin();
    auto& relay = sim.At(kA).relay;
    relay.behaviour.negentropy = negentropy;
    relay.behaviour.rate_limited_requests = 4;
    relay.Store(Announcement(kRepo, kLongAgo, {kA}));
    for (int i = 0; i < 900; ++i) relay.Store(Issue({kRepo}, kLongAgo + i, std::to_string(i)));
    sim.Start();
    sim.RunFor(seconds(15));
    EXPECT_EQ(sim.State(kA), RemoteState::kRateLimited);
    EXPECT_GT(sim.Remote(kA)->rate_limited_until, UnixNow());
    const size_t sent = sim.At(kA).messages;
    sim.RunFor(seconds(40));
    EXPECT_EQ(sim.At(kA).messages, sent) << "nothing new during the cool-down";
    sim.RunFor(minutes(10));
    EXPECT_TRUE(sim.HasAllOf(kA));
    EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  }
}

TEST_F(SyncEngineTest, ARateLimitNoticeCoolsDown) {
  auto& sim = BeginLive();
  sim.Say(kA, Notice{"you are sending too many requests, slow down"});
  sim.RunFor(seconds(1));
  EXPECT_EQ(sim.State(kA), RemoteState::kRateLimited);
  sim.RunFor(seconds(66));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
}

TEST_F(SyncEngineTest, ANoticeThatIsNoRefusalLeavesTheMethodAsItIs) {
  options_.bootstrap = {Url(kA)};
  auto& sim = Begin();
  sim.At(kA).relay.behaviour.greeting = "Welcome to my relay!";
  sim.At(kA).relay.Store(Announcement(kRepo, kLongAgo, {kA}));
  sim.Start();
  sim.RunFor(seconds(10));
  EXPECT_TRUE(sim.HasAllOf(kA));
  EXPECT_EQ(sim.Remote(kA)->method, SyncMethod::kNegentropy);
}

TEST_F(SyncEngineTest, WhateverARelayCallsNegentropyInItsNoticeItIsReadByPagesAtOnce) {
  for (const char* text : {"ERROR: bad msg: negentropy disabled", "invalid: unknown message type",
                           R"(invalid: Invalid literal value, expected "EVENT" at index 0)"}) {
    options_.bootstrap = {Url(kA)};
    auto& sim = Begin();
    sim.At(kA).relay.behaviour.negentropy = FakeRelay::Negentropy::kNotice;
    sim.At(kA).relay.behaviour.unknown_message = text;
    sim.At(kA).relay.Store(Announcement(kRepo, kLongAgo, {kA}));
    sim.Start();
    sim.RunFor(seconds(10));  // less than the patience with a silent relay
    EXPECT_TRUE(sim.HasAllOf(kA)) << text;
    EXPECT_EQ(sim.Remote(kA)->method, SyncMethod::kReq) << text;
  }
}

TEST_F(SyncEngineTest, RateLimitsAreUnderstoodInEitherCase) {
  auto& sim = BeginLive();
  sim.Say(kA, Notice{"Too Many Requests, please wait"});
  sim.RunFor(seconds(1));
  EXPECT_EQ(sim.State(kA), RemoteState::kRateLimited);
}

TEST_F(SyncEngineTest, ARelayThatAlwaysLimitsIsGivenUpForAWhile) {
  options_.bootstrap = {Url(kA)};
  auto& sim = Begin();
  sim.At(kA).relay.behaviour.rate_limited_requests = SIZE_MAX;
  sim.At(kA).relay.behaviour.negentropy = FakeRelay::Negentropy::kClosed;
  sim.Start();
  sim.RunFor(hours(12));
  EXPECT_LE(sim.At(kA).relay.stored_requests(), 12u * 3600 / 65);
  EXPECT_THAT(sim.State(kA), AnyOf(RemoteState::kRateLimited, RemoteState::kLiveWithGaps));
}

TEST_F(SyncEngineTest, AClosedLiveSubscriptionIsOpenedAgainAndItsTimeCaughtUp) {
  auto& sim = BeginLive();
  sim.Say(kA, Closed{"live-1", "error: we are busy"});
  sim.RunFor(seconds(1));
  EXPECT_EQ(sim.State(kA), RemoteState::kLiveWithGaps);
  const auto missed = Issue({kRepo}, UnixNow(), "nobody listens");
  sim.At(kA).relay.Store(missed);
  sim.RunFor(seconds(70));
  EXPECT_TRUE(sim.Has(missed.id));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  EXPECT_THAT(sim.At(kA).dials, SizeIs(1));
}

TEST_F(SyncEngineTest, ASubscriptionThatIsAlwaysClosedIsReopenedEverMoreSeldom) {
  auto& sim = BeginLive();
  const size_t before = sim.At(kA).messages;
  for (int i = 0; i < 6 * 60; ++i) {  // whenever it is open again, it is closed within a minute
    for (int name = 0; name < 40; ++name) {
      sim.Say(kA, Closed{"live-" + std::to_string(name), "auth-required: no"});
    }
    sim.RunFor(minutes(1));
  }
  // 65 s doubling to an hour: about ten times in six hours, ten messages or so each.
  EXPECT_LE(sim.At(kA).messages - before, 200u);
}

TEST_F(SyncEngineTest, AClosedForWhatWeClosedOurselvesIsNoGap) {
  auto& sim = BeginLive();
  for (const char* name : {"page-1-0", "fetch-1-0", "neg-1", "live-7", "unknown"}) {
    sim.Say(kA, Closed{name, "closed: as you asked"});
  }
  sim.RunFor(seconds(1));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
}

TEST_F(SyncEngineTest, AFailedCatchUpIsTriedAgainAndEndsTheGap) {
  options_.bootstrap = {Url(kA)};
  auto& sim = Begin();
  auto& relay = sim.At(kA).relay;
  relay.Store(Announcement(kRepo, kLongAgo, {kA}));
  relay.behaviour.negentropy = FakeRelay::Negentropy::kClosed;
  relay.behaviour.answers_requests = false;
  sim.Start();
  sim.RunFor(minutes(1));
  EXPECT_EQ(sim.State(kA), RemoteState::kLiveWithGaps);
  relay.behaviour.answers_requests = true;
  sim.RunFor(minutes(5));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  EXPECT_TRUE(sim.HasAllOf(kA));
}

TEST_F(SyncEngineTest, GhostsAreAskedForThreeTimesADay) {
  constexpr size_t kGhosts = 1000;
  auto& sim = Begin();
  auto& relay = sim.At(kA).relay;
  sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA}));
  for (size_t i = 0; i < kGhosts; ++i) {
    const auto ghost = Issue({kRepo}, kLongAgo + i, std::to_string(i));
    relay.Store(ghost);
    relay.behaviour.ghosts.insert(ghost.id);
  }
  sim.Start();
  for (int i = 0; i < 46; ++i) {  // each reconnect finds them again
    sim.RunFor(minutes(30));
    sim.GoDown(kA);
    sim.ComeUp(kA);
  }
  EXPECT_EQ(sim.Remote(kA)->counts.received, 0u);
  EXPECT_LE(relay.stored_requests(), CatchUpJob::kAttempts * kGhosts / CatchUpJob::kIdsPerReq);
  sim.RunFor(minutes(10));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  // A relay that has them after all can still deliver.
  relay.behaviour.ghosts.clear();
  sim.RunFor(hours(50));
  EXPECT_TRUE(sim.HasAllOf(kA));
}

// They end the connection, whatever was asked for besides.
TEST_F(SyncEngineTest, EventsTooLongForUsAreFoundAndLeftOutAndTheRestIsSynced) {
  options_.bootstrap = {Url(kA)};
  auto& sim = Begin();
  auto& site = sim.At(kA);
  site.relay.Store(Announcement(kRepo, kLongAgo, {kA}));
  std::vector<nostr::Event> others;
  for (int i = 0; i < 600; ++i) {
    const auto event = Issue({kRepo}, kLongAgo + i, std::to_string(i));
    site.relay.Store(event);
    if (i % 200 == 199) {
      site.too_long.insert(event.id);
    } else {
      others.push_back(event);
    }
  }
  sim.Start();
  sim.RunFor(minutes(15));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  for (const auto& event : others) ASSERT_TRUE(sim.Has(event.id));
  EXPECT_EQ(sim.Remote(kA)->counts.invalid, site.too_long.size());
  EXPECT_LE(site.dials.size(), 2 * site.too_long.size() + 3);
}

// Each takes two connections, of different filters too, and none of these is a failure.
TEST_F(SyncEngineTest, ManyEventsTooLongForUsAreLeftOutSoon) {
  auto& sim = BeginLive();
  auto& site = sim.At(kA);
  sim.GoDown(kA);
  const auto root = Issue({kRepo}, kLongAgo, "root");
  site.relay.Store(root);
  for (int i = 0; i < 10; ++i) {
    for (const auto& event : {Issue({kRepo}, kLongAgo + i, std::to_string(i)),
                              Comment(root.id, kLongAgo + i, std::to_string(i))}) {
      site.relay.Store(event);
      site.too_long.insert(event.id);
    }
  }
  sim.ComeUp(kA);
  const size_t before = site.dials.size();
  sim.RunFor(minutes(15));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  EXPECT_EQ(sim.Remote(kA)->counts.invalid, site.too_long.size());
  EXPECT_LE(site.dials.size() - before, 2 * site.too_long.size() + 3);
}

// It may be what is published at that time.
TEST_F(SyncEngineTest, WhatIsFetchedWhileSomethingTooLongIsPublishedIsNotLeftOut) {
  auto& sim = BeginLive();
  auto& site = sim.At(kA);
  sim.GoDown(kA);
  const auto wanted = Issue({kRepo}, UnixNow(), "wanted");
  site.relay.Store(wanted);
  sim.ComeUp(kA);
  site.drip = milliseconds(200);
  while (sim.Remote(kA)->counts.needed == 0) sim.RunFor(milliseconds(1));
  ASSERT_FALSE(sim.Has(wanted.id));
  const auto published = Issue({kRepo}, UnixNow(), "too long");
  site.too_long.insert(published.id);
  sim.Publish(kA, published);
  sim.RunFor(minutes(1));
  site.drip = {};
  sim.RunFor(minutes(10));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  EXPECT_TRUE(sim.Has(wanted.id));
  EXPECT_EQ(sim.Remote(kA)->counts.invalid, 1u);
}

// Not what is fetched beside: it is reconciliation that does not work.
TEST_F(SyncEngineTest, AnAnswerOfReconciliationTooLongForUsLeadsToPages) {
  auto& sim = Begin();
  auto& site = sim.At(kA);
  sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA}));
  for (int i = 0; i < 3000; ++i) {  // the first answer names a few, the second many
    const auto event = Issue({kRepo}, kLongAgo + i, std::to_string(i));
    const bool missing = i < 200 && i % 10 == 0;
    if (missing || (i >= 200 && i % 2 == 0)) site.relay.Store(event);
    if (!missing) sim.StoredBefore(event);
  }
  site.neg_too_long = 10'000;
  site.message_takes = milliseconds(1);
  sim.Start();
  sim.RunFor(minutes(5));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  EXPECT_EQ(sim.Remote(kA)->method, SyncMethod::kReq);
  EXPECT_LE(site.dials.size(), 6u);
  EXPECT_EQ(sim.Remote(kA)->counts.invalid, 0u);
  EXPECT_TRUE(sim.HasAllOf(kA));
}

TEST_F(SyncEngineTest, ARemoteThatIsNotFollowedWhollyIsAskedForManyAtATimeAgain) {
  auto& sim = Begin();
  auto& site = sim.At(kA);
  site.relay.behaviour.information->max_subscriptions = 2;
  site.relay.behaviour.information->max_filters = 1;
  sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA}));
  for (int i = 0; i < 300; ++i) {
    const auto event = Issue({kRepo}, kLongAgo + i, std::to_string(i));
    site.relay.Store(event);
    if (i == 299) site.too_long.insert(event.id);
  }
  sim.Start();
  while (site.dials.size() < 2) sim.RunFor(milliseconds(10));
  site.too_long.clear();  // deleted there, say
  sim.RunFor(hours(2));
  ASSERT_EQ(sim.State(kA), RemoteState::kLiveWithGaps);
  sim.GoDown(kA);
  for (int i = 0; i < 500; ++i) {
    site.relay.Store(Issue({kRepo}, kLongAgo + 1000 + i, std::to_string(i)));
  }
  sim.ComeUp(kA);
  const size_t before = site.relay.stored_requests();
  sim.RunFor(hours(3));
  EXPECT_TRUE(sim.HasAllOf(kA));
  EXPECT_LE(site.relay.stored_requests() - before, 10u);
}

TEST_F(SyncEngineTest, MessagesOfReconciliationAreNoLongerThanTheRelayAllows) {
  auto& sim = Begin();
  auto& site = sim.At(kA);
  site.hangs_up_beyond = 10'000;
  site.relay.behaviour.information->max_message_length = 10'000;
  sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA}));
  for (int i = 0; i < 3000; ++i) {
    const auto event = Issue({kRepo}, kLongAgo + i, std::to_string(i));
    if (i % 3 != 0) sim.StoredBefore(event);
    if (i % 5 != 0) site.relay.Store(event);
  }
  sim.Start();
  sim.RunFor(minutes(2));
  EXPECT_EQ(sim.Remote(kA)->method, SyncMethod::kNegentropy);
  EXPECT_THAT(site.dials, SizeIs(1));
  EXPECT_TRUE(sim.HasAllOf(kA));
}

TEST_F(SyncEngineTest, ARelayThatHangsUpOnReconciliationIsReadByPages) {
  auto& sim = Begin();
  auto& site = sim.At(kA);
  site.hangs_up_beyond = 1000;  // and does not say so
  sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA}));
  for (int i = 0; i < 300; ++i) {
    const auto event = Issue({kRepo}, kLongAgo + i, std::to_string(i));
    (i % 2 == 0 ? sim.StoredBefore(event) : site.relay.Store(event));
  }
  sim.Start();
  sim.RunFor(minutes(5));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  EXPECT_EQ(sim.Remote(kA)->method, SyncMethod::kReq);
  EXPECT_TRUE(sim.HasAllOf(kA));
  EXPECT_LE(site.dials.size(), 4u);
}

TEST_F(SyncEngineTest, NegentropyIsTriedAgainADayAfterARefusal) {
  options_.bootstrap = {Url(kA)};
  auto& sim = Begin();
  sim.At(kA).relay.behaviour.negentropy = FakeRelay::Negentropy::kNotice;
  sim.Start();
  sim.RunFor(seconds(20));
  EXPECT_EQ(sim.Remote(kA)->method, SyncMethod::kReq);
  sim.At(kA).relay.behaviour.negentropy = FakeRelay::Negentropy::kSpoken;
  sim.GoDown(kA);
  sim.ComeUp(kA);
  sim.RunFor(minutes(1));
  EXPECT_EQ(sim.Remote(kA)->method, SyncMethod::kReq) << "not within the day";
  sim.RunFor(hours(50));
  EXPECT_EQ(sim.Remote(kA)->method, SyncMethod::kNegentropy);
}

// Relays are not equally strict: a stranger publishes there what we cannot read.
TEST_F(SyncEngineTest, WhatOnlyWeCannotReadDoesNotPartUsFromALaxRelay) {
  for (const auto negentropy : {FakeRelay::Negentropy::kSpoken, FakeRelay::Negentropy::kClosed}) {
    auto& sim = Begin();
    auto& relay = sim.At(kA).relay;
    relay.behaviour.negentropy = negentropy;
    std::vector<nostr::Event> good;
    for (int i = 0; i < 1500; ++i) {
      const auto event = About(kRepo, i);
      relay.Store(event);
      if (i < 100) {
        good.push_back(event);
      } else {
        relay.behaviour.unreadable.insert(event.id);  // more than a page, and newer
      }
    }
    sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA}));
    sim.Start();
    sim.RunFor(minutes(1));
    EXPECT_EQ(sim.State(kA), RemoteState::kLive) << sim.Remote(kA)->state_reason;
    for (const auto& event : good) EXPECT_TRUE(sim.Has(event.id));
    const size_t served = relay.events_served();
    sim.GoDown(kA);
    sim.ComeUp(kA);
    sim.RunFor(minutes(1));
    EXPECT_EQ(sim.State(kA), RemoteState::kLive);
    EXPECT_EQ(relay.events_served(), served) << "asked for again";
  }
}

// We slept, or the way to it was cut without a word: the connection ended before we noticed.
TEST_F(SyncEngineTest, PagesAfterAReconnectBeginWhereTheRemoteWasLastHeard) {
  auto& sim = Begin();
  sim.At(kA).relay.behaviour.negentropy = FakeRelay::Negentropy::kClosed;
  sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA}));
  sim.Start();
  sim.RunFor(hours(3));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  const auto issue = Issue({kRepo}, UnixNow() - 3600, "when nobody listened");
  sim.At(kA).relay.Store(issue);
  sim.GoDown(kA, /*silence=*/hours(2));
  sim.ComeUp(kA);
  sim.RunFor(minutes(1));
  EXPECT_TRUE(sim.Has(issue.id));
}

// Strangers date events as they like.
TEST_F(SyncEngineTest, PagesAfterAReconnectBeginAtTheSameTimeHoweverEventsAreDated) {
  auto& sim = Begin();
  auto& behaviour = sim.At(kA).relay.behaviour;
  behaviour.negentropy = FakeRelay::Negentropy::kClosed;
  sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA}));
  const auto issue = Issue({kRepo}, kLongAgo, "an issue");
  sim.StoredBefore(issue);
  constexpr uint64_t kFarAhead = uint64_t{1} << 53;
  sim.judge = [](const nostr::Event& event) {
    return event.created_at == kFarAhead ? ingest::Code::kInvalid : ingest::Code::kStored;
  };
  sim.Start();
  sim.RunFor(hours(3));
  ASSERT_EQ(sim.State(kA), RemoteState::kLive);
  std::set<std::optional<uint64_t>> since;
  behaviour.blocks = [&](const std::vector<nostr::Filter>& filters) {
    for (const auto& filter : filters) {
      if (filter.limit != 0u && !filter.ids) since.insert(filter.since);
    }
    return false;
  };
  const uint64_t left_at = UnixNow();
  sim.GoDown(kA);
  behaviour.answers_requests = false;  // the page; what is live comes
  sim.ComeUp(kA);
  sim.RunFor(std::chrono::seconds(10));
  const auto old = Comment(issue.id, left_at - uint64_t{10} * 365 * 86'400, "ten years back");
  sim.Publish(kA, Comment(issue.id, kFarAhead, "far ahead"));
  sim.Publish(kA, old);
  sim.RunFor(std::chrono::seconds(1));
  EXPECT_TRUE(sim.Has(old.id));
  EXPECT_GE(sim.Remote(kA)->counts.invalid, 1u);
  ASSERT_EQ(sim.State(kA), RemoteState::kSyncing);
  sim.GoDown(kA);
  behaviour.answers_requests = true;
  sim.ComeUp(kA);
  sim.RunFor(minutes(1));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  EXPECT_EQ(since, std::set{std::optional(left_at - options_.reconnect_overlap_seconds)});
}

// ---- what a relay says of itself -------------------------------------------------------------

TEST_F(SyncEngineTest, ARelayWithFewSubscriptionsGetsNoMoreThanItAllows) {
  auto& sim = Begin();
  auto& behaviour = sim.At(kA).relay.behaviour;
  behaviour.subscriptions = 6;
  behaviour.information->max_subscriptions = 6;
  behaviour.information->max_filters = 10;
  sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA}));
  std::vector<nostr::Event> comments;
  for (int i = 0; i < 500; ++i) {
    const auto issue = Issue({kRepo}, kLongAgo + i, std::to_string(i));
    sim.StoredBefore(issue);
    comments.push_back(Comment(issue.id, kLongAgo + 1000 + i, "re"));
    sim.At(kA).relay.Store(comments.back());
  }
  sim.Start();
  sim.RunFor(std::chrono::seconds(30));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive) << sim.Remote(kA)->state_reason;
  EXPECT_TRUE(sim.HasAllOf(kA));
  EXPECT_LE(sim.Remote(kA)->subscriptions, 4u);
}

TEST_F(SyncEngineTest, ARelayThatSaysNothingOfItsFewSubscriptionsIsAskedForLessAtATime) {
  auto& sim = Begin();
  auto& behaviour = sim.At(kA).relay.behaviour;
  behaviour.information.reset();
  behaviour.subscriptions = 5;  // two are the live ones
  for (int i = 0; i < 5000; ++i) sim.At(kA).relay.Store(About(kRepo, i));
  sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA}));
  sim.Start();
  sim.RunFor(minutes(1));
  EXPECT_TRUE(sim.HasAllOf(kA));
}

// It may refuse for an hour; what it has was never asked for in vain.
TEST_F(SyncEngineTest, WhatARelayRefusesToServeIsAskedForAgainSoon) {
  auto& sim = Begin();
  auto& behaviour = sim.At(kA).relay.behaviour;
  behaviour.blocks = [](const auto& filters) { return filters[0].ids.has_value(); };
  const auto issue = Issue({kRepo}, kLongAgo, "an issue");
  sim.At(kA).relay.Store(issue);
  sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA}));
  sim.Start();
  sim.RunFor(minutes(1));
  EXPECT_FALSE(sim.Has(issue.id));
  EXPECT_EQ(sim.State(kA), RemoteState::kLiveWithGaps);
  behaviour.blocks = nullptr;
  sim.RunFor(minutes(2));
  EXPECT_TRUE(sim.Has(issue.id));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
}

TEST_F(SyncEngineTest, ALiveSubscriptionThatIsDroppedIsOpenedAgain) {
  for (const char* notice : {"", "rate-limited: slow down", "ERROR: too many concurrent REQs"}) {
    SCOPED_TRACE(notice);
    auto& sim = Begin();
    auto& behaviour = sim.At(kA).relay.behaviour;
    behaviour.live_dropped = 1;
    behaviour.says_of_dropped = notice;
    sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA}));
    sim.Start();
    sim.RunFor(seconds(30));
    EXPECT_NE(sim.State(kA), RemoteState::kLive) << "not everything is followed";
    sim.RunFor(minutes(4));
    EXPECT_EQ(sim.State(kA), RemoteState::kLive) << sim.Remote(kA)->state_reason;
    const auto issue = Issue({kRepo}, UnixNow(), "live");
    sim.Publish(kA, issue);
    sim.RunFor(seconds(1));
    EXPECT_TRUE(sim.Has(issue.id));
  }
}

// What confirms is the EOSE of the latest one: that of the one before is on its way.
TEST_F(SyncEngineTest, AReplacingSubscriptionThatIsDroppedIsNotTakenForFollowed) {
  const auto late = Repo("carol", "app");
  for (const size_t dropped : {size_t{1}, SIZE_MAX}) {
    auto& sim = BeginLive();
    auto& site = sim.At(kA);
    site.message_takes = seconds(5);
    sim.Say(kA, Notice{"the answers behind this take their time"});
    sim.PublishHere(Announcement(Repo("bob", "lib"), kLongAgo, {kA}));
    sim.RunFor(seconds(1));
    site.relay.behaviour.live_dropped = dropped;
    sim.PublishHere(Announcement(late, kLongAgo, {kA}));
    sim.RunFor(seconds(29));
    site.message_takes = {};
    const auto missed = Issue({late}, UnixNow(), "while nobody listened");
    sim.Publish(kA, missed);
    sim.RunFor(seconds(100));
    if (dropped > 1) {
      EXPECT_EQ(sim.State(kA), RemoteState::kLiveWithGaps);
      continue;
    }
    EXPECT_EQ(sim.State(kA), RemoteState::kLive);
    EXPECT_TRUE(sim.Has(missed.id));
    const auto issue = Issue({late}, UnixNow(), "live");
    sim.Publish(kA, issue);
    sim.RunFor(seconds(1));
    EXPECT_TRUE(sim.Has(issue.id));
  }
}

TEST_F(SyncEngineTest, ARelayThatAnswersTwoSubscriptionsOfOneNameByOneEoseHasNoGap) {
  auto& sim = BeginLive();
  auto& site = sim.At(kA);
  site.relay.behaviour.eoses_left_out = 1;
  sim.PublishHere(Announcement(Repo("bob", "lib"), kLongAgo, {kA}));
  sim.RunFor(seconds(1));
  sim.PublishHere(Announcement(Repo("carol", "app"), kLongAgo, {kA}));
  for (int i = 0; i < 180; ++i) {
    sim.RunFor(seconds(1));
    ASSERT_NE(sim.State(kA), RemoteState::kLiveWithGaps) << i;
  }
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  const size_t quiet = site.messages;
  sim.RunFor(minutes(5));
  EXPECT_EQ(site.messages, quiet);
}

TEST_F(SyncEngineTest, AnEoseThatComesAfterItWasGivenUpConfirmsNothing) {
  auto& sim = Begin();
  auto& site = sim.At(kA);
  site.relay.behaviour.eoses_left_out = 2;
  sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA}));
  sim.Start();
  sim.RunFor(minutes(1));
  ASSERT_EQ(sim.State(kA), RemoteState::kLiveWithGaps);
  site.relay.behaviour.live_dropped = SIZE_MAX;
  while (sim.State(kA) != RemoteState::kSyncing) sim.RunFor(seconds(1));
  for (const char* name : {"live-0", "live-1"}) sim.Say(kA, Eose{name});
  for (int i = 0; i < 60; ++i) {
    sim.RunFor(seconds(1));
    ASSERT_NE(sim.State(kA), RemoteState::kLive);
  }
  site.relay.behaviour.live_dropped = 0;
  sim.RunFor(minutes(5));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
}

// Nor does it confirm what was asked once more because it was missing.
TEST_F(SyncEngineTest, AnEoseThatComesAfterItWasMissedConfirmsNothing) {
  auto& sim = BeginLive();
  auto& site = sim.At(kA);
  site.relay.behaviour.eoses_left_out = 1;
  for (const char* name : {"bob", "carol"}) {
    sim.PublishHere(Announcement(Repo(name, "lib"), kLongAgo, {kA}));
    sim.RunFor(seconds(1));
  }
  sim.RunFor(seconds(40));
  site.relay.behaviour.live_dropped = SIZE_MAX;
  sim.RunFor(seconds(10));
  ASSERT_LT(site.relay.behaviour.live_dropped, SIZE_MAX) << "it was not asked once more";
  sim.Say(kA, Eose{"live-1"});
  sim.RunFor(minutes(1));
  EXPECT_EQ(sim.State(kA), RemoteState::kLiveWithGaps);
}

TEST_F(SyncEngineTest, ARelayThatReplacesNoSubscriptionIsFollowedAllTheSame) {
  auto& sim = BeginLive();
  auto& site = sim.At(kA);
  const auto follows = [&](const nostr::Address& repo) {
    const auto issue = Issue({repo}, UnixNow(), "live");
    sim.Publish(kA, issue);
    sim.RunFor(seconds(1));
    return sim.Has(issue.id);
  };
  // One that is asked once more.
  site.relay.behaviour.eoses_left_out = 1;
  for (const char* name : {"bob", "carol"}) {
    sim.PublishHere(Announcement(Repo(name, "lib"), kLongAgo, {kA}));
    sim.RunFor(seconds(1));
  }
  site.relay.behaviour.replaces = false;
  for (int i = 0; i < 60; ++i) {
    sim.RunFor(seconds(1));
    ASSERT_NE(sim.State(kA), RemoteState::kLiveWithGaps);
  }
  EXPECT_TRUE(follows(Repo("carol", "lib")));
  // A change, the repair of the gap which that makes, and the day after.
  sim.PublishHere(Announcement(Repo("dave", "lib"), kLongAgo, {kA}));
  sim.RunFor(seconds(5));
  EXPECT_EQ(sim.State(kA), RemoteState::kLiveWithGaps);
  for (const auto wait : {base::Duration(minutes(3)), base::Duration(hours(26))}) {
    sim.RunFor(wait);
    EXPECT_EQ(sim.State(kA), RemoteState::kLive) << sim.Remote(kA)->state_reason;
    EXPECT_EQ(sim.SubscriptionsAt(kA), sim.Remote(kA)->subscriptions);
    EXPECT_TRUE(follows(Repo("dave", "lib")));
  }
  EXPECT_EQ(sim.Remote(kA)->counts.gap_filled, 0u);
}

// Changes that come sooner than a missing EOSE is given up do not put that off for ever.
TEST_F(SyncEngineTest, AMissingEoseIsJudgedThoughTheSubscriptionChangesAllTheTime) {
  auto& sim = BeginLive();
  sim.At(kA).relay.behaviour.eoses_left_out = 1;
  int live_at = -1;
  for (int i = 0; i < 20; ++i) {
    sim.PublishHere(Announcement(Repo("bob", std::to_string(i)), kLongAgo, {kA}));
    sim.RunFor(seconds(29));
    if (live_at < 0 && sim.State(kA) == RemoteState::kLive) live_at = i;
  }
  EXPECT_GE(live_at, 0);
  EXPECT_LE(live_at, 6) << "30 s each";
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
}

TEST_F(SyncEngineTest, ASubscriptionThatChangesAllTheTimeAndIsNeverConfirmedIsAGap) {
  auto& sim = BeginLive();
  sim.At(kA).relay.behaviour.eoses_left_out = SIZE_MAX;
  bool gap = false;
  for (int i = 0; i < 20; ++i) {
    sim.PublishHere(Announcement(Repo("bob", std::to_string(i)), kLongAgo, {kA}));
    sim.RunFor(seconds(29));
    gap |= sim.State(kA) == RemoteState::kLiveWithGaps;
  }
  EXPECT_TRUE(gap);
}

// The day after, its document having come too late for the first connection's packing.
TEST_F(SyncEngineTest, WhatIsPackedAnewOnAConnectionIsNotOpenTwice) {
  auto& sim = Begin();
  auto& site = sim.At(kA);
  site.information_takes = std::chrono::seconds(10);
  site.relay.behaviour.information->max_subscriptions = 100;
  site.relay.behaviour.information->max_filters = 3;
  sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA}));
  for (int i = 0; i < 500; ++i) {
    sim.StoredBefore(Issue({kRepo}, kLongAgo + i, std::to_string(i)));
  }
  sim.Start();
  sim.RunFor(std::chrono::seconds(8));
  const size_t before = sim.SubscriptionsAt(kA);
  EXPECT_EQ(before, sim.Remote(kA)->subscriptions);
  sim.RunFor(hours(26));
  EXPECT_NE(sim.Remote(kA)->subscriptions, before) << "nothing was packed anew";
  EXPECT_EQ(sim.SubscriptionsAt(kA), sim.Remote(kA)->subscriptions);
}

TEST_F(SyncEngineTest, WhatARelayDoesNotLetUsFollowIsCaughtUpAgainAndAgain) {
  auto& sim = Begin();
  auto& behaviour = sim.At(kA).relay.behaviour;
  behaviour.subscriptions = 2;
  behaviour.information->max_subscriptions = 2;
  behaviour.information->max_filters = 3;
  sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA}));
  const auto issue = Issue({kRepo}, kLongAgo, "an issue");
  sim.StoredBefore(issue);
  sim.Start();
  sim.RunFor(std::chrono::seconds(30));
  EXPECT_EQ(sim.State(kA), RemoteState::kLiveWithGaps);
  const auto comment = Comment(issue.id, UnixNow(), "re");
  sim.Publish(kA, comment);
  sim.RunFor(std::chrono::seconds(30));
  EXPECT_FALSE(sim.Has(comment.id)) << "it was followed after all";
  sim.RunFor(std::chrono::hours(2));
  EXPECT_TRUE(sim.Has(comment.id));
}

// All jobs of a connection share it: what one asks for may wait for minutes behind what another
// did.
TEST_F(SyncEngineTest, ASlowRelayThatAnswersInOrderIsWaitedFor) {
  auto& sim = Begin();
  auto& site = sim.At(kA);
  site.message_takes = std::chrono::milliseconds(100);
  const auto root = Issue({kRepo}, kLongAgo, "root");
  sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA}));
  sim.StoredBefore(root);
  constexpr size_t kEach = 900;
  for (size_t i = 0; i < kEach; ++i) {
    site.relay.Store(Issue({kRepo}, kLongAgo + i, std::to_string(i)));
    site.relay.Store(Comment(root.id, kLongAgo + i, std::to_string(i)));
  }
  sim.Start();
  sim.RunFor(minutes(15));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive) << sim.Remote(kA)->state_reason;
  EXPECT_TRUE(sim.HasAllOf(kA));
  EXPECT_LE(site.relay.events_served(), 2 * kEach + 100) << "asked for again";
  for (const auto& job : sim.engine.Jobs()) EXPECT_EQ(job.state, JobState::kDone) << job.error;
}

TEST_F(SyncEngineTest, ATimeInWhichOurStoreStandsStillIsNotHeldAgainstTheRelay) {
  auto& sim = Begin();
  sim.credits = 50;
  sim.judging_takes = minutes(5);
  auto& relay = sim.At(kA).relay;
  relay.behaviour.negentropy = FakeRelay::Negentropy::kClosed;
  sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA}));
  for (int i = 0; i < 300; ++i) relay.Store(Issue({kRepo}, kLongAgo + i, std::to_string(i)));
  sim.Start();
  sim.RunFor(hours(1));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive) << sim.Remote(kA)->state_reason;
  EXPECT_TRUE(sim.HasAllOf(kA));
  for (const auto& job : sim.engine.Jobs()) EXPECT_EQ(job.state, JobState::kDone) << job.error;
}

TEST_F(SyncEngineTest, ARelayThatSaysNothingOfItselfIsNotWaitedForLong) {
  auto& sim = Begin();
  sim.At(kA).relay.behaviour.information.reset();
  sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA}));
  sim.Start();
  sim.RunFor(std::chrono::seconds(12));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
}

TEST_F(SyncEngineTest, ShortMessagesAndSmallLimitsAreRespected) {
  auto& sim = Begin();
  auto& behaviour = sim.At(kA).relay.behaviour;
  behaviour.negentropy = FakeRelay::Negentropy::kNotice;
  behaviour.serves_at_most = 50;
  behaviour.information->max_limit = 50;
  behaviour.information->max_message_length = 8192;
  sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA}));
  for (int i = 0; i < 300; ++i) {
    sim.At(kA).relay.Store(Issue({kRepo}, kLongAgo + i, std::to_string(i)));
  }
  sim.Start();
  sim.RunFor(std::chrono::seconds(60));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  EXPECT_TRUE(sim.HasAllOf(kA));
}

}  // namespace
}  // namespace graspd::sync::testing
