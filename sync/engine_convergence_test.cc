// SyncEngine: that everything comes here, whatever happened in between.
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
using ::testing::IsEmpty;
using ::testing::SizeIs;

// ---- convergence -------------------------------------------------------------------------------

TEST_F(SyncEngineTest, LayersFollowEachOtherUntilEverythingIsHere) {
  for (const auto negentropy : {FakeRelay::Negentropy::kSpoken, FakeRelay::Negentropy::kNegError,
                                FakeRelay::Negentropy::kClosed, FakeRelay::Negentropy::kNotice,
                                FakeRelay::Negentropy::kSilent}) {
    options_.bootstrap = {Url(kA)};
    auto& sim = Begin();
    auto& relay = sim.At(kA).relay;
    relay.behaviour.negentropy = negentropy;
    for (int r = 0; r < 3; ++r) {
      const auto repo = Repo("alice", std::to_string(r));
      relay.Store(Announcement(repo, kLongAgo, {kA}));
      for (int i = 0; i < 250; ++i) {
        const auto issue = Issue({repo}, kLongAgo + i, std::to_string(i));
        relay.Store(issue);
        relay.Store(Comment(issue.id, kLongAgo + i + 1, "comment"));
      }
    }
    sim.Start();
    sim.RunFor(minutes(2));
    EXPECT_TRUE(sim.HasAllOf(kA)) << static_cast<int>(negentropy);
    EXPECT_EQ(sim.State(kA), RemoteState::kLive);
    EXPECT_EQ(sim.Remote(kA)->counts.stored, 3u * 501);
  }
}

TEST_F(SyncEngineTest, RelaysThatNameEachOtherAllFillUs) {
  auto& sim = Begin();
  for (int i = 0; i < 10; ++i) {
    sim.At(Host(i)).relay.Store(
        Announcement(Repo("owner" + std::to_string(i), "x"), kLongAgo, {Host(i), Host(i + 1)}));
    sim.At(Host(i)).relay.Store(
        Issue({Repo("owner" + std::to_string(i), "x")}, kLongAgo, "of relay " + std::to_string(i)));
  }
  sim.Start();
  sim.PublishHere(Announcement(kRepo, kLongAgo, {Host(0)}));
  sim.RunFor(minutes(1));
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(sim.HasAllOf(Host(i))) << i;
  EXPECT_EQ(sim.engine.Remotes().size(), 11u);
}

TEST_F(SyncEngineTest, ASecondSyncMovesOnlyTheDifference) {
  auto& sim = Begin();
  sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA}));
  for (int i = 0; i < 500; ++i) {
    const auto issue = Issue({kRepo}, kLongAgo + i, std::to_string(i));
    sim.At(kA).relay.Store(issue);
    if (i != 77) sim.StoredBefore(issue);
  }
  sim.Start();
  sim.RunFor(seconds(20));
  EXPECT_TRUE(sim.HasAllOf(kA));
  EXPECT_EQ(sim.At(kA).relay.events_served(), 1u);
}

TEST_F(SyncEngineTest, AnEventThatSeveralFiltersSelectIsFetchedOnce) {
  auto& sim = Begin();
  sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA}));
  const auto issue = Issue({kRepo}, kLongAgo, "issue");
  sim.StoredBefore(issue);
  for (int i = 0; i < 50; ++i) {
    auto comment = Comment(issue.id, kLongAgo + 1, std::to_string(i));
    comment.tags.Add({"E", issue.id.ToHex()});
    comment.tags.Add({"A", kRepo.ToString()});
    sim.At(kA).relay.Store(Finish(std::move(comment)));
  }
  sim.Start();
  sim.RunFor(seconds(20));
  EXPECT_TRUE(sim.HasAllOf(kA));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  EXPECT_EQ(sim.Remote(kA)->counts.needed, 50u);
  EXPECT_EQ(sim.At(kA).relay.events_served(), 50u);
}

TEST_F(SyncEngineTest, LiveMeansThatWhatWasDeliveredIsStored) {
  auto& sim = Begin();
  sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA}));
  sim.At(kA).relay.Store(Issue({kRepo}, kLongAgo, "issue"));
  sim.judging_takes = seconds(5);
  sim.Start();
  sim.RunFor(seconds(10));
  EXPECT_EQ(sim.State(kA), RemoteState::kSyncing);
  EXPECT_EQ(sim.Remote(kA)->jobs_running, 0u);
  sim.RunFor(seconds(10));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  EXPECT_EQ(sim.Remote(kA)->counts.stored, 1u);
}

TEST_F(SyncEngineTest, LiveEventsArriveAtOnceAndLayersGrowWithThem) {
  auto& sim = BeginLive();
  const auto issue = Issue({kRepo}, UnixNow(), "live");
  sim.Publish(kA, issue);
  sim.RunFor(milliseconds(20));
  EXPECT_TRUE(sim.Has(issue.id));
  sim.RunFor(milliseconds(200));
  const auto comment = Comment(issue.id, UnixNow(), "live too");
  sim.Publish(kA, comment);
  sim.RunFor(milliseconds(20));
  EXPECT_TRUE(sim.Has(comment.id));
  EXPECT_EQ(sim.Remote(kA)->counts.stored, 2u);
}

TEST_F(SyncEngineTest, ANewRepositoryOnALiveConnectionIsCaughtUp) {
  auto& sim = BeginLive();
  const auto other = Repo("bob", "lib");
  const auto issue = Issue({other}, kLongAgo, "was there before");
  sim.At(kA).relay.Store(issue);
  sim.At(kA).relay.Store(Comment(issue.id, kLongAgo, "and this"));
  sim.PublishHere(Announcement(other, kLongAgo, {kA}));
  sim.RunFor(seconds(1));
  EXPECT_TRUE(sim.HasAllOf(kA));
  EXPECT_THAT(sim.At(kA).dials, SizeIs(1));
}

TEST_F(SyncEngineTest, AChangeReachesOnlyTheRemotesItConcerns) {
  constexpr int kRemotes = 500;
  options_.max_remotes = options_.new_remotes_per_minute = 2 * kRemotes + 1;  // one owner's share
  auto& sim = Begin();
  const auto owner = [](int i) { return Repo("owner", std::to_string(i)); };
  for (int i = 0; i < kRemotes; ++i) {
    sim.StoredBefore(Announcement(owner(i), kLongAgo, {Host(i)}));
  }
  sim.Start();
  sim.RunFor(minutes(5));
  std::vector<size_t> before;
  for (int i = 0; i < kRemotes; ++i) {
    ASSERT_EQ(sim.State(Host(i)), RemoteState::kLive) << i;
    before.push_back(sim.At(Host(i)).messages);
  }
  sim.PublishHere(Issue({owner(42)}, UnixNow(), "one change"));
  sim.RunFor(minutes(1));
  for (int i = 0; i < kRemotes; ++i) {
    const size_t sent = sim.At(Host(i)).messages - before[static_cast<size_t>(i)];
    if (i == 42) {
      EXPECT_GT(sent, 0u);
      EXPECT_LE(sent, 10u);
    } else {
      EXPECT_EQ(sent, 0u) << i;
    }
  }
}

TEST_F(SyncEngineTest, ABurstOfChangesIsCoalesced) {
  auto& sim = BeginLive();
  const size_t before = sim.At(kA).messages;
  for (int i = 0; i < 2000; ++i) {
    sim.PublishHere(Issue({kRepo}, UnixNow(), std::to_string(i)));
    sim.RunFor(milliseconds(5));
  }
  sim.RunFor(seconds(20));
  // 2000 roots are 20 groups. Ten updates or so, each with a REQ and three reconciliations per
  // group.
  EXPECT_LT(sim.At(kA).messages - before, 500u);
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
}

// ---- reconnect ---------------------------------------------------------------------------------

struct Missed {
  nostr::Event dated_then, dated_long_ago;
};
// Relay A is away for half an hour, in which it takes two issues, and comes back.
Missed Leave(Simulation& sim, uint64_t now) {
  sim.GoDown(kA);
  sim.RunFor(minutes(30));
  Missed missed{Issue({kRepo}, now + 1200, "published while we were away"),
                Issue({kRepo}, kLongAgo, "written long ago and published as late")};
  sim.Publish(kA, missed.dated_then);
  sim.Publish(kA, missed.dated_long_ago);
  sim.ComeUp(kA);
  sim.RunFor(hours(1));
  return missed;
}

TEST_F(SyncEngineTest, AReconnectBringsAllThatWasPublishedMeanwhileHoweverOldItSaysItIs) {
  auto& sim = BeginLive();
  const Missed missed = Leave(sim, UnixNow());
  EXPECT_TRUE(sim.Has(missed.dated_then.id));
  EXPECT_TRUE(sim.Has(missed.dated_long_ago.id));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  EXPECT_EQ(sim.Remote(kA)->counts.gap_filled, 0u) << "we were away: nobody's fault";
  EXPECT_EQ(sim.Remote(kA)->counts.duplicate, 0u) << "the rest was compared, not fetched";
}

TEST_F(SyncEngineTest, WithoutNegentropyAReconnectReadsTheTimeOfAbsenceAndTheDailyRunTheRest) {
  auto& sim = BeginLive();
  sim.At(kA).relay.behaviour.negentropy = FakeRelay::Negentropy::kNegError;
  const Missed missed = Leave(sim, UnixNow());
  EXPECT_TRUE(sim.Has(missed.dated_then.id));
  EXPECT_FALSE(sim.Has(missed.dated_long_ago.id));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  sim.RunFor(hours(26));
  EXPECT_TRUE(sim.Has(missed.dated_long_ago.id));
}

TEST_F(SyncEngineTest, WhatTheLiveSubscriptionShouldHaveBroughtIsCountedAsAGap) {
  auto& sim = BeginLive();
  sim.RunFor(hours(1));
  const auto untold = Issue({kRepo}, UnixNow(), "the relay told nobody");
  sim.At(kA).relay.Store(untold);
  sim.At(kA).relay.Store(Issue({kRepo}, kLongAgo, "perhaps it came to the relay by a side door"));
  sim.RunFor(hours(26));  // the daily run
  EXPECT_TRUE(sim.Has(untold.id));
  EXPECT_EQ(sim.Remote(kA)->counts.gap_filled, 1u);
  EXPECT_EQ(sim.engine.gaps(), 1u);
  // Found after a reconnect, though from a time when we were connected.
  sim.At(kA).relay.Store(Issue({kRepo}, UnixNow(), "nor of this"));
  sim.RunFor(minutes(10));
  sim.GoDown(kA);
  sim.At(kA).relay.Store(Issue({kRepo}, UnixNow() + 600, "while it was down"));
  sim.RunFor(minutes(20));
  sim.ComeUp(kA);
  sim.RunFor(hours(1));
  EXPECT_TRUE(sim.HasAllOf(kA));
  EXPECT_EQ(sim.Remote(kA)->counts.gap_filled, 2u);
}

TEST_F(SyncEngineTest, ALongAbsenceIsCaughtUpInFull) {
  auto& sim = BeginLive();
  sim.GoDown(kA);
  sim.RunFor(hours(4 * 24));
  EXPECT_EQ(sim.State(kA), RemoteState::kDead);
  const auto old = Issue({kRepo}, kLongAgo, "old");
  sim.Publish(kA, old);
  sim.ComeUp(kA);
  sim.RunFor(hours(25));
  EXPECT_TRUE(sim.Has(old.id));
}

TEST_F(SyncEngineTest, ARepositoryThatCameUpMeanwhileIsCaughtUpInFullAtTheReconnect) {
  auto& sim = BeginLive();
  sim.GoDown(kA);
  sim.RunFor(minutes(1));
  const auto other = Repo("bob", "lib");
  const auto old = Issue({other}, kLongAgo, "old");
  sim.Publish(kA, old);
  sim.PublishHere(Announcement(other, kLongAgo, {kA}));
  sim.RunFor(minutes(1));
  sim.ComeUp(kA);
  sim.RunFor(minutes(10));
  EXPECT_TRUE(sim.Has(old.id));
}

TEST_F(SyncEngineTest, ACatchUpThatWasCutOffIsRepeatedInFull) {
  auto& sim = BeginLive();
  const auto other = Repo("bob", "lib");
  const auto old = Issue({other}, kLongAgo, "old");
  sim.Publish(kA, old);
  sim.PublishHere(Announcement(other, kLongAgo, {kA}));
  sim.RunFor(milliseconds(15));  // its jobs are under way
  ASSERT_EQ(sim.State(kA), RemoteState::kSyncing);
  sim.GoDown(kA);
  sim.ComeUp(kA);
  sim.RunFor(minutes(1));
  EXPECT_TRUE(sim.Has(old.id));
}

TEST_F(SyncEngineTest, AFailureOfOurStoreIsMadeGoodOnTheSameConnection) {
  options_.bootstrap = {Url(kA)};
  auto& sim = Begin();
  bool works = false;
  sim.judge = [&](const nostr::Event&) {
    return works ? ingest::Code::kStored : ingest::Code::kError;
  };
  sim.At(kA).relay.Store(Announcement(kRepo, kLongAgo, {kA}));
  sim.Start();
  sim.RunFor(seconds(30));
  EXPECT_EQ(sim.State(kA), RemoteState::kLiveWithGaps);
  works = true;
  sim.RunFor(minutes(10));
  EXPECT_TRUE(sim.HasAllOf(kA));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  EXPECT_THAT(sim.At(kA).dials, SizeIs(1));
}

TEST_F(SyncEngineTest, AManualSyncOfAPartDoesNotForgetWhatIsStillMissing) {
  auto& sim = BeginLive();
  const auto other = Repo("bob", "lib");
  const auto old = Issue({other}, kLongAgo, "old");
  sim.Publish(kA, old);
  sim.At(kA).relay.behaviour.negentropy = FakeRelay::Negentropy::kNegError;
  sim.At(kA).relay.behaviour.answers_requests = false;
  sim.PublishHere(Announcement(other, kLongAgo, {kA}));
  sim.RunFor(seconds(60));
  ASSERT_EQ(sim.State(kA), RemoteState::kLiveWithGaps);
  sim.At(kA).relay.behaviour = {};
  nostr::Filter part;
  part.kinds = {nostr::kPatch};
  ASSERT_TRUE(sim.engine.TriggerSync(sim.now(), Url(kA), part).ok());
  sim.Settle();
  sim.RunFor(seconds(1));
  EXPECT_EQ(sim.State(kA), RemoteState::kLiveWithGaps);
  sim.GoDown(kA);
  sim.ComeUp(kA);
  sim.RunFor(minutes(1));
  EXPECT_TRUE(sim.Has(old.id));
}

TEST_F(SyncEngineTest, TheDailyRunIsFullAndComesOnceADayPerRemote) {
  auto& sim = BeginLive();
  const auto first = sim.Remote(kA)->last_full_reconcile_at;
  EXPECT_GT(first, 0u);
  sim.RunFor(hours(22));
  EXPECT_EQ(sim.Remote(kA)->last_full_reconcile_at, first);
  sim.RunFor(hours(4));
  const auto second = sim.Remote(kA)->last_full_reconcile_at;
  EXPECT_GE(second - first, 23u * 3600);
  EXPECT_LE(second - first, 25u * 3600 + 60);
}

TEST_F(SyncEngineTest, AFullRunThatOvertakesPagesOfAReconnectIsFullAllTheSame) {
  auto& sim = BeginLive();
  auto& relay = sim.At(kA).relay;
  relay.behaviour.negentropy = FakeRelay::Negentropy::kClosed;
  sim.GoDown(kA);
  sim.ComeUp(kA);
  for (int i = 0; i < 30; ++i) relay.Store(Issue({kRepo}, UnixNow(), std::to_string(i)));
  sim.At(kA).drip = milliseconds(100);
  while (sim.State(kA) != RemoteState::kSyncing) sim.RunFor(milliseconds(10));
  sim.RunFor(milliseconds(500));
  ASSERT_GT(sim.Remote(kA)->jobs_running, 0u);
  const auto full = UnixNow();
  ASSERT_TRUE(sim.engine.TriggerSync(sim.now(), Url(kA), std::nullopt).ok());
  sim.RunFor(minutes(2));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  EXPECT_GE(sim.Remote(kA)->last_full_reconcile_at, full);
}

TEST_F(SyncEngineTest, ADailyRunThatFallsIntoAnAbsenceIsMadeUpFor) {
  auto& sim = BeginLive();
  sim.RunFor(hours(22));
  sim.GoDown(kA);
  sim.RunFor(hours(4));
  const auto old = Issue({kRepo}, kLongAgo, "old");
  sim.Publish(kA, old);
  sim.ComeUp(kA);
  sim.RunFor(hours(2));
  EXPECT_TRUE(sim.Has(old.id));
}

TEST_F(SyncEngineTest, ARelayThatComesAndGoesHasOneDailyRun) {
  auto& sim = BeginLive();
  for (int i = 1; i <= 20; ++i) {
    sim.PublishHere(Announcement(kRepo, kLongAgo + 2 * i, {kB}));
    sim.RunFor(seconds(5));
    sim.PublishHere(Announcement(kRepo, kLongAgo + 2 * i + 1, {kA}));
    sim.RunFor(seconds(5));
  }
  const size_t before = sim.At(kA).messages;
  sim.RunFor(hours(26));
  EXPECT_LE(sim.At(kA).messages - before, 30u);
}

TEST_F(SyncEngineTest, StaleConnectionIdsAreIgnored) {
  auto& sim = BeginLive();
  sim.GoDown(kA);
  sim.ComeUp(kA);
  sim.RunFor(minutes(1));
  ASSERT_EQ(sim.State(kA), RemoteState::kLive);
  const auto counts = sim.Remote(kA)->counts;
  for (const uint64_t id : {0u, 1u, 77u}) {
    const ConnectionId stale{id};
    const Delivered event{"live-0", {}, 5};
    sim.engine.OnConnected(sim.now(), stale, {});
    sim.engine.OnDelivered(sim.now(), stale, {&event, 1});
    const Judged judged{storage::Source::kLive, ingest::Code::kStored};
    sim.engine.OnJudged(sim.now(), stale, {&judged, 1});
    sim.engine.OnClosed(sim.now(), stale, "live-0", "error: bye");
    sim.engine.OnNotice(sim.now(), stale, "rate limit");
    sim.engine.OnEose(sim.now(), stale, "live-0");
    sim.engine.OnNegErr(sim.now(), stale, "neg-1", "closed:");
    sim.engine.OnBadMessages(sim.now(), stale, 5);
    sim.engine.OnDisconnected(sim.now(), stale, {});
  }
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  EXPECT_EQ(sim.Remote(kA)->counts.received, counts.received);
  EXPECT_EQ(sim.Remote(kA)->counts.invalid, counts.invalid);
  EXPECT_THAT(sim.engine.TakeActions(), IsEmpty());
  EXPECT_EQ(sim.engine.Remotes().size(), 1u);
}

// ---- everything at once ------------------------------------------------------------------------

// Relays go down and come up, events are published all the time, repositories come and go; when the
// faults end, everything in scope is here in bounded time and then there is silence.
TEST_F(SyncEngineTest, AfterFaultsEndEverythingConvergesAndIsQuiet) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(seed);
    options_.health.max_backoff = minutes(2);
    sim_ = std::make_unique<Simulation>(options_, seed);
    auto& sim = *sim_;
    base::SeededRandom random(seed);
    constexpr int kRelays = 5;
    std::vector<nostr::EventId> roots;
    for (int i = 0; i < kRelays; ++i) {
      auto& behaviour = sim.At(Host(i)).relay.behaviour;
      behaviour.negentropy = static_cast<FakeRelay::Negentropy>(random.Below(5));
      behaviour.serves_at_most = 5 + random.Below(500);
      behaviour.rate_limited_requests = random.Below(3);
    }
    sim.Start();
    for (int step = 0; step < 150; ++step) {
      const int at = static_cast<int>(random.Below(kRelays));
      const auto repo = Repo("owner", std::to_string(random.Below(4)));
      switch (random.Below(6)) {
        case 0: {
          const auto event =
              Announcement(repo, UnixNow(), {Host(0), Host(1), Host(2), Host(3), Host(4)});
          random.Below(2) ? sim.PublishHere(event) : sim.Publish(Host(at), event);
          break;
        }
        case 1:
        case 2: {
          const auto issue = Issue({repo}, UnixNow(), std::to_string(step));
          roots.push_back(issue.id);
          sim.Publish(Host(at), issue);
          break;
        }
        case 3:
          if (!roots.empty()) {
            sim.Publish(Host(at), Comment(roots[random.Below(roots.size())], UnixNow(),
                                          std::to_string(step)));
          }
          break;
        case 4:
          sim.GoDown(Host(at));
          break;
        case 5:
          sim.ComeUp(Host(at));
          break;
      }
      sim.RunFor(milliseconds(10 + random.Below(20'000)));
    }
    for (int i = 0; i < kRelays; ++i) sim.ComeUp(Host(i));
    for (int r = 0; r < 4; ++r) {
      sim.PublishHere(Announcement(Repo("owner", std::to_string(r)), UnixNow(),
                                   {Host(0), Host(1), Host(2), Host(3), Host(4)}));
    }
    sim.RunFor(minutes(20));
    size_t messages = 0;
    for (int i = 0; i < kRelays; ++i) {
      EXPECT_EQ(sim.State(Host(i)), RemoteState::kLive) << Host(i);
      for (const auto& [id, event] : sim.At(Host(i)).relay.events()) {
        if (event.kind != nostr::kRepositoryAnnouncement) {
          EXPECT_TRUE(sim.Has(id)) << Host(i) << " kind " << event.kind;
        }
      }
      messages += sim.At(Host(i)).messages;
    }
    sim.RunFor(hours(1));
    for (int i = 0; i < kRelays; ++i) messages -= sim.At(Host(i)).messages;
    EXPECT_EQ(messages, 0u) << "silence once all is here";
  }
}

// ---- failures ----------------------------------------------------------------------------------

// What our store could not take while a comparison goes on is asked for again by the next one, even
// if that begins before the first has ended.
TEST_F(SyncEngineTest, ASyncByHandDoesNotRelyOnAComparisonThatLostSomething) {
  for (const bool by_hand : {true, false}) {
    auto& sim = Begin();
    sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA}));
    for (int i = 0; i < 300; ++i) sim.Publish(kA, Issue({kRepo}, kLongAgo, std::to_string(i)));
    sim.At(kA).drip = milliseconds(20);  // so that all of it takes a while
    std::optional<nostr::EventId> lost;
    sim.judge = [&](const nostr::Event& event) {
      if (lost) return ingest::Code::kStored;
      lost = event.id;
      return ingest::Code::kError;
    };
    sim.Start();
    while (!lost) sim.RunFor(milliseconds(10));
    sim.RunFor(milliseconds(10));  // the engine has heard of it
    ASSERT_EQ(sim.State(kA), RemoteState::kSyncing);
    if (by_hand) {
      ASSERT_TRUE(sim.engine.TriggerSync(sim.now(), Url(kA), std::nullopt).ok());
    }
    while (sim.State(kA) == RemoteState::kSyncing) sim.RunFor(milliseconds(10));
    EXPECT_EQ(sim.State(kA) == RemoteState::kLive, sim.Has(*lost));
    sim.RunFor(minutes(3));
    EXPECT_EQ(sim.State(kA), RemoteState::kLive);
    EXPECT_TRUE(sim.Has(*lost));
  }
}

// Found by a reconciliation after a reconnect, which has no window, but not fetched before the
// remote stopped reconciling.
TEST_F(SyncEngineTest, WhatASuspendedReconciliationHasFoundIsFetchedByPages) {
  auto& sim = BeginLive();
  sim.GoDown(kA);
  sim.ComeUp(kA);
  const auto old = Issue({kRepo}, kLongAgo, "old");
  auto& relay = sim.At(kA).relay;
  relay.Store(old);
  relay.behaviour.rate_limited_requests = 1;
  while (sim.State(kA) != RemoteState::kRateLimited) sim.RunFor(milliseconds(10));
  relay.behaviour.negentropy = FakeRelay::Negentropy::kNegError;
  sim.RunFor(minutes(5));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  EXPECT_TRUE(sim.Has(old.id));
}

// Events whose judging we do not hear of, because the connection ends, may not be here.
TEST_F(SyncEngineTest, WhatWasNotJudgedWhenAConnectionEndedIsNotTakenForStored) {
  auto& sim = BeginLive();
  sim.At(kA).relay.behaviour.negentropy = FakeRelay::Negentropy::kClosed;
  sim.GoDown(kA);
  sim.ComeUp(kA);
  sim.RunFor(minutes(1));
  ASSERT_EQ(sim.Remote(kA)->method, SyncMethod::kReq);
  const auto other = Repo("bob", "lib");
  const auto issue = Issue({other}, kLongAgo, "old");
  sim.Publish(kA, issue);
  sim.judging_takes = seconds(1);
  sim.PublishHere(Announcement(other, kLongAgo, {kA}));
  bool is_full = true, failed = false;
  sim.judge = [&](const nostr::Event&) {
    failed |= is_full;
    return is_full ? ingest::Code::kError : ingest::Code::kStored;
  };
  sim.RunFor(milliseconds(800));
  ASSERT_TRUE(failed);
  is_full = false;
  sim.GoDown(kA);
  sim.ComeUp(kA);
  sim.RunFor(minutes(5));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  EXPECT_TRUE(sim.Has(issue.id));
}

// A relay that lets us follow little is compared with again and again, but not read in full.
TEST_F(SyncEngineTest, PagesOfARemoteThatCannotBeFollowedAreNotReadAgainAndAgain) {
  auto& sim = Begin();
  nostr::RelayInformation few;
  few.max_subscriptions = 2;
  few.max_filters = 1;
  sim.At(kA).relay.behaviour.information = few;
  sim.At(kA).relay.behaviour.negentropy = FakeRelay::Negentropy::kClosed;
  for (int i = 0; i < 200; ++i) sim.Publish(kA, Issue({kRepo}, kLongAgo, std::to_string(i)));
  sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA}));
  sim.Start();
  sim.RunFor(minutes(3));
  ASSERT_EQ(sim.State(kA), RemoteState::kLiveWithGaps);
  ASSERT_TRUE(sim.HasAllOf(kA));
  const size_t before = sim.At(kA).relay.events_served();
  sim.RunFor(hours(5));
  EXPECT_LE(sim.At(kA).relay.events_served(), before + 20);
  const auto issue = Issue({kRepo}, UnixNow() - 30, "new");
  sim.Publish(kA, issue);
  sim.RunFor(hours(2));
  EXPECT_TRUE(sim.Has(issue.id));
}

}  // namespace
}  // namespace graspd::sync::testing
