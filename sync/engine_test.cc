#include "sync/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <numeric>

#include "base/log.h"
#include "sync/testing/simulation.h"

namespace graspd::sync {
namespace {

using ::testing::AnyOf;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::Announcement;
using testing::Comment;
using testing::FakeRelay;
using testing::Issue;
using testing::Repo;
using testing::Simulation;
using testing::Url;
using Decision = CandidateSnapshot::Decision;

constexpr char kA[] = "wss://a.example";
constexpr char kB[] = "wss://b.example";
constexpr uint64_t kLongAgo = 1'600'000'000;  // outside every reconnect window
const auto kRepo = Repo("alice", "tool");

std::string Host(int i) { return "wss://r" + std::to_string(i) + ".example"; }

class SyncEngineTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    base::ConfigureLog(base::LogLevel::kError, base::LogFormat::kText);
  }

  EngineOptions options_;
  std::unique_ptr<Simulation> sim_;

  Simulation& Begin() {
    sim_ = std::make_unique<Simulation>(options_);
    return *sim_;
  }
  // Begins with a live connection to `url`, named by kRepo's announcement.
  Simulation& BeginLive(const std::string& url = kA) {
    auto& sim = Begin();
    sim.StoredBefore(Announcement(kRepo, kLongAgo, {url}));
    sim.Start();
    sim.RunFor(seconds(10));
    EXPECT_EQ(sim.State(url), RemoteState::kLive);
    return sim;
  }
  uint64_t UnixNow() { return sim_->now().unix_seconds; }
};

// ---- discovery -------------------------------------------------------------------------------

TEST_F(SyncEngineTest, ANewRelayIsDialledAtOnceAndAKnownOneAfterTheDelay) {
  auto& sim = Begin();
  sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA}));
  sim.Start();
  sim.PublishHere(Announcement(Repo("bob", "lib"), kLongAgo, {kB}));
  sim.RunFor(milliseconds(100));
  EXPECT_THAT(sim.At(kB).dials, SizeIs(1));
  EXPECT_EQ(sim.State(kB), RemoteState::kLive);
  EXPECT_THAT(sim.At(kA).dials, IsEmpty());
  EXPECT_EQ(sim.State(kA), RemoteState::kDiscovered);
  sim.RunFor(milliseconds(4800));
  EXPECT_THAT(sim.At(kA).dials, IsEmpty());
  sim.RunFor(milliseconds(2200));
  EXPECT_THAT(sim.At(kA).dials, SizeIs(1));
}

TEST_F(SyncEngineTest, BootstrapRelaysAreDialledWithoutAnyAnnouncement) {
  options_.bootstrap = {Url(kA)};
  auto& sim = Begin();
  sim.Publish(kA, Announcement(kRepo, kLongAgo, {kB}));
  sim.Start();
  sim.RunFor(seconds(10));
  EXPECT_TRUE(sim.HasAllOf(kA));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  EXPECT_EQ(sim.State(kB), RemoteState::kLive) << "found through the bootstrap relay";
}

TEST_F(SyncEngineTest, ABootstrapRelayThatIsDownAtTheStartIsTriedAgain) {
  options_.bootstrap = {Url(kA)};
  auto& sim = Begin();
  sim.At(kA).up = false;
  sim.Start();
  sim.RunFor(minutes(2));
  EXPECT_EQ(sim.State(kA), RemoteState::kBackoff);
  sim.ComeUp(kA);
  sim.RunFor(minutes(3));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
}

TEST_F(SyncEngineTest, ANewerAnnouncementThatDropsTheRelayDisconnectsIt) {
  auto& sim = BeginLive();
  sim.PublishHere(Announcement(kRepo, kLongAgo + 1, {kB}));
  sim.RunFor(seconds(1));
  EXPECT_FALSE(sim.Remote(kA).has_value());
  EXPECT_EQ(sim.At(kA).connections, 0u);
  EXPECT_FALSE(sim.Candidate(kA).has_value());
  EXPECT_EQ(sim.State(kB), RemoteState::kLive);
}

TEST_F(SyncEngineTest, ADeletedAnnouncementDisconnectsAndStaysSo) {
  auto& sim = BeginLive();
  sim.DeleteHere(Announcement(kRepo, kLongAgo, {kA}).id);
  sim.RunFor(hours(60));
  EXPECT_EQ(sim.open_connections(), 0u);
  EXPECT_THAT(sim.At(kA).dials, SizeIs(1));
  EXPECT_EQ(sim.engine.timer_count(), 0u);
}

TEST_F(SyncEngineTest, UnusableUrlsAreRecordedWithTheirReason) {
  auto& sim = Begin();
  sim.Start();
  sim.PublishHere(Announcement(kRepo, kLongAgo, {"https://web.example", kA}));
  sim.RunFor(seconds(1));
  const auto candidate = sim.Candidate("https://web.example");
  ASSERT_TRUE(candidate.has_value());
  EXPECT_EQ(candidate->decision, Decision::kInvalid);
  EXPECT_FALSE(candidate->reason.empty());
  EXPECT_EQ(sim.Candidate(kA)->decision, Decision::kAccepted);
  EXPECT_EQ(sim.Candidate(kA)->referenced_by, 1u);
}

// ---- ourselves, and forbidden addresses --------------------------------------------------------

TEST_F(SyncEngineTest, OurOwnHostIsNeverDialled) {
  options_.own_hosts = {{"a.example", 443}};
  auto& sim = Begin();
  sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA, "wss://A.example:443/path"}));
  sim.Start();
  sim.PublishHere(Announcement(Repo("bob", "lib"), kLongAgo, {kA, kB}));
  sim.RunFor(hours(1));
  EXPECT_THAT(sim.At(kA).dials, IsEmpty());
  EXPECT_FALSE(sim.Remote(kA).has_value());
  EXPECT_EQ(sim.Candidate(kA)->decision, Decision::kSelf);
  EXPECT_EQ(sim.State(kB), RemoteState::kLive);
}

TEST_F(SyncEngineTest, AnAliasOfOurselvesIsFoundByTheInstanceAndLeft) {
  options_.instance = "nonce-of-this-process";
  auto& sim = Begin();
  sim.At(kA).relay.behaviour.instance = options_.instance;
  sim.At(kB).relay.behaviour.instance = "somebody-else";
  sim.Start();
  sim.PublishHere(Announcement(kRepo, kLongAgo, {kA, kB}));
  sim.RunFor(hours(23));
  EXPECT_THAT(sim.At(kA).dials, SizeIs(1));
  EXPECT_EQ(sim.At(kA).messages, 0u);
  EXPECT_EQ(sim.At(kA).connections, 0u);
  EXPECT_EQ(sim.State(kA), RemoteState::kBlocked);
  EXPECT_EQ(sim.Candidate(kA)->decision, Decision::kSelf);
  EXPECT_EQ(sim.State(kB), RemoteState::kLive);
}

TEST_F(SyncEngineTest, AForbiddenAddressIsTriedOnceADay) {
  auto& sim = Begin();
  sim.At(kA).blocked = true;
  sim.Start();
  sim.PublishHere(Announcement(kRepo, kLongAgo, {kA}));
  sim.RunFor(hours(23));
  EXPECT_THAT(sim.At(kA).dials, SizeIs(1));
  EXPECT_EQ(sim.State(kA), RemoteState::kBlocked);
  EXPECT_EQ(sim.Candidate(kA)->decision, Decision::kForbidden);
  sim.At(kA).blocked = false;
  sim.RunFor(hours(2));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  EXPECT_EQ(sim.Candidate(kA)->decision, Decision::kAccepted);
}

// ---- convergence -------------------------------------------------------------------------------

TEST_F(SyncEngineTest, LayersFollowEachOtherUntilEverythingIsHere) {
  for (const auto negentropy :
       {FakeRelay::Negentropy::kSpoken, FakeRelay::Negentropy::kNegError,
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
    sim.At(Host(i)).relay.Store(Announcement(Repo("owner" + std::to_string(i), "x"), kLongAgo,
                                             {Host(i), Host(i + 1)}));
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
  auto& sim = Begin();
  const auto owner = [](int i) { return Repo("owner", std::to_string(i)); };
  for (int i = 0; i < 100; ++i) {
    sim.StoredBefore(Announcement(owner(i), kLongAgo, {Host(i)}));
  }
  sim.Start();
  sim.RunFor(minutes(5));
  std::vector<size_t> before;
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(sim.State(Host(i)), RemoteState::kLive) << i;
    before.push_back(sim.At(Host(i)).messages);
  }
  sim.PublishHere(Issue({owner(42)}, UnixNow(), "one change"));
  sim.RunFor(minutes(1));
  for (int i = 0; i < 100; ++i) {
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
  // 2000 roots are 20 groups. Ten updates or so, each with a REQ and three reconciliations per group.
  EXPECT_LT(sim.At(kA).messages - before, 500u);
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
}

// ---- reconnect ---------------------------------------------------------------------------------

TEST_F(SyncEngineTest, AReconnectBringsWhatWasPublishedMeanwhileWithoutAskingForTheRest) {
  auto& sim = BeginLive();
  for (int i = 0; i < 100; ++i) sim.At(kA).relay.Store(Issue({kRepo}, kLongAgo, std::to_string(i)));
  sim.RunFor(seconds(1));
  sim.GoDown(kA);
  sim.RunFor(minutes(30));
  EXPECT_EQ(sim.State(kA), RemoteState::kBackoff);
  const auto missed = Issue({kRepo}, UnixNow() - 600, "published while we were away");
  sim.Publish(kA, missed);
  sim.ComeUp(kA);
  sim.RunFor(hours(1));
  EXPECT_TRUE(sim.Has(missed.id));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  EXPECT_EQ(sim.Remote(kA)->counts.gap_filled, 1u);
  // Old events that appear there later are the daily run's.
  EXPECT_FALSE(sim.HasAllOf(kA));
  sim.RunFor(hours(26));
  EXPECT_TRUE(sim.HasAllOf(kA));
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
    const Delivered event{"announcements", {}, 5};
    sim.engine.OnConnected(sim.now(), stale, {});
    sim.engine.OnDelivered(sim.now(), stale, {&event, 1});
    const Judged judged{storage::Source::kLive, ingest::Code::kStored};
    sim.engine.OnJudged(sim.now(), stale, {&judged, 1});
    sim.engine.OnClosed(sim.now(), stale, "announcements", "error: bye");
    sim.engine.OnNotice(sim.now(), stale, "rate limit");
    sim.engine.OnEose(sim.now(), stale, "announcements");
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

// ---- odd remotes -------------------------------------------------------------------------------

TEST_F(SyncEngineTest, ARelayThatAcceptsAndDropsIsNotStormed) {
  auto& sim = Begin();
  sim.At(kA).drops_after = milliseconds(50);
  sim.Start();
  sim.PublishHere(Announcement(kRepo, kLongAgo, {kA}));
  sim.RunFor(minutes(10));
  EXPECT_GE(sim.At(kA).dials.size(), 4u);
  EXPECT_LE(sim.At(kA).dials.size(), 12u);
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
  sim.Say(kA, Closed{"repos-0", "error: we are busy"});
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
    sim.Say(kA, Closed{"repos-0", "auth-required: no"});
    sim.RunFor(minutes(1));
  }
  // 65 s doubling to an hour: about ten times in six hours, ten messages or so each.
  EXPECT_LE(sim.At(kA).messages - before, 200u);
}

TEST_F(SyncEngineTest, AClosedForWhatWeClosedOurselvesIsNoGap) {
  auto& sim = BeginLive();
  for (const char* name : {"page-1-0", "fetch-1-0", "neg-1", "repos-7", "unknown"}) {
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
  options_.bootstrap = {Url(kA)};
  auto& sim = Begin();
  auto& relay = sim.At(kA).relay;
  const auto ghost = Announcement(kRepo, sim.now().unix_seconds, {kA});
  relay.Store(ghost);
  relay.behaviour.ghosts.insert(ghost.id);
  sim.Start();
  for (int i = 0; i < 20; ++i) {  // each reconnect finds it again
    sim.RunFor(minutes(10));
    sim.GoDown(kA);
    sim.ComeUp(kA);
  }
  sim.RunFor(minutes(10));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  EXPECT_LE(relay.stored_requests(), static_cast<size_t>(CatchUpJob::kAttempts));
  // A relay that has it after all can still deliver.
  relay.behaviour.ghosts.clear();
  sim.RunFor(hours(50));
  EXPECT_TRUE(sim.Has(ghost.id));
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

// ---- operators ---------------------------------------------------------------------------------

TEST_F(SyncEngineTest, PauseHangsUpAndHoldsUntilResume) {
  auto& sim = BeginLive();
  EXPECT_TRUE(sim.engine.Pause(sim.now(), Url(kA)));
  EXPECT_FALSE(sim.engine.Pause(sim.now(), Url(kA)));
  sim.Settle();
  EXPECT_EQ(sim.At(kA).connections, 0u);
  const auto missed = Issue({kRepo}, UnixNow(), "meanwhile");
  sim.Publish(kA, missed);
  sim.PublishHere(Announcement(Repo("bob", "lib"), kLongAgo, {kA}));
  sim.engine.DialWaiting(sim.now());
  sim.RunFor(hours(30));
  EXPECT_EQ(sim.State(kA), RemoteState::kPaused);
  EXPECT_THAT(sim.At(kA).dials, SizeIs(1));
  EXPECT_TRUE(sim.engine.Resume(sim.now(), Url(kA), false));
  EXPECT_FALSE(sim.engine.Resume(sim.now(), Url(kA), false));
  sim.RunFor(seconds(5));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  EXPECT_TRUE(sim.Has(missed.id));
}

TEST_F(SyncEngineTest, APauseHoldsForARemoteThatIsNotKnownYet) {
  auto& sim = Begin();
  EXPECT_TRUE(sim.engine.Pause(sim.now(), Url(kA)));
  sim.Start();
  sim.PublishHere(Announcement(kRepo, kLongAgo, {kA}));
  sim.RunFor(hours(1));
  EXPECT_EQ(sim.State(kA), RemoteState::kPaused);
  EXPECT_THAT(sim.At(kA).dials, IsEmpty());
}

TEST_F(SyncEngineTest, PausingWhileItIsDialledFreesTheSlot) {
  options_.concurrent_dials = 1;
  auto& sim = Begin();
  sim.At(kA).dial_time = minutes(10);
  sim.Start();
  sim.PublishHere(Announcement(kRepo, kLongAgo, {kA}));
  sim.RunFor(seconds(1));
  sim.PublishHere(Announcement(Repo("bob", "lib"), kLongAgo, {kB}));
  sim.RunFor(seconds(1));
  EXPECT_THAT(sim.At(kB).dials, IsEmpty());
  sim.engine.Pause(sim.now(), Url(kA));
  sim.RunFor(seconds(1));
  EXPECT_EQ(sim.State(kB), RemoteState::kLive);
}

TEST_F(SyncEngineTest, TriggerSyncReconcilesNowAndSaysWhyIfItCannot) {
  auto& sim = BeginLive();
  const auto old = Issue({kRepo}, kLongAgo, "old");
  sim.At(kA).relay.Store(old);
  const auto jobs = sim.engine.TriggerSync(sim.now(), Url(kA), std::nullopt);
  ASSERT_TRUE(jobs.ok()) << jobs.status();
  EXPECT_THAT(*jobs, SizeIs(5));  // announcements, and three tags and the state of one repository
  sim.RunFor(seconds(1));
  EXPECT_TRUE(sim.Has(old.id));
  const auto job = sim.engine.FindJob(jobs->at(1));
  ASSERT_TRUE(job.has_value());
  EXPECT_EQ(job->state, JobState::kDone);
  EXPECT_EQ(job->source, storage::Source::kManual);
  EXPECT_TRUE(absl::IsNotFound(
      sim.engine.TriggerSync(sim.now(), Url(kB), std::nullopt).status()));
  sim.GoDown(kA);
  EXPECT_TRUE(absl::IsFailedPrecondition(
      sim.engine.TriggerSync(sim.now(), Url(kA), std::nullopt).status()));
}

TEST_F(SyncEngineTest, ResumeWithResetDialsAWaitingRemoteAtOnce) {
  auto& sim = Begin();
  sim.At(kA).up = false;
  sim.Start();
  sim.PublishHere(Announcement(kRepo, kLongAgo, {kA}));
  sim.RunFor(hours(5));
  sim.ComeUp(kA);
  sim.engine.Resume(sim.now(), Url(kA), /*reset_backoff=*/true);
  sim.RunFor(seconds(1));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
}

// ---- bounds ------------------------------------------------------------------------------------

TEST_F(SyncEngineTest, DialsAreFewAtATimeAndNewHostsAreFewAMinute) {
  auto& sim = Begin();
  sim.Start();
  for (int i = 0; i < 300; ++i) {
    sim.At(Host(i)).up = false;
    sim.At(Host(i)).dial_time = seconds(5);
    sim.PublishHere(Announcement(Repo("flood", std::to_string(i)), kLongAgo, {Host(i)}));
  }
  const auto first_dials = [&] {
    int n = 0;
    for (int i = 0; i < 300; ++i) n += !sim.At(Host(i)).dials.empty();
    return n;
  };
  sim.RunFor(seconds(59));
  EXPECT_LE(first_dials(), 60);
  EXPECT_GE(first_dials(), 50);
  sim.RunFor(minutes(1));
  EXPECT_LE(first_dials(), 120);
  sim.RunFor(minutes(6));
  EXPECT_EQ(first_dials(), 300);
  EXPECT_LE(sim.dialling_at_most(), 16u);
}

TEST_F(SyncEngineTest, AFloodOfBlackHolesDoesNotKeepAnHonestRelayOut) {
  auto& sim = Begin();
  sim.Start();
  for (int i = 0; i < 20; ++i) {
    sim.At(Host(i)).up = false;
    sim.At(Host(i)).dial_time = seconds(5);
    sim.PublishHere(Announcement(Repo("flood", std::to_string(i)), kLongAgo, {Host(i)}));
  }
  sim.PublishHere(Announcement(kRepo, kLongAgo, {kA}));
  sim.RunFor(seconds(60));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
}

TEST_F(SyncEngineTest, RemotesAreCappedAndAFreedPlaceIsTaken) {
  options_.max_remotes = 500;
  options_.new_remotes_per_minute = 100'000;
  auto& sim = Begin();
  sim.Start();
  for (int i = 0; i < 520; ++i) {
    sim.PublishHere(Announcement(Repo("many", std::to_string(i)), kLongAgo, {Host(i)}));
  }
  sim.RunFor(minutes(1));
  EXPECT_EQ(sim.engine.Remotes().size(), 500u);
  EXPECT_EQ(sim.open_connections(), 500u);
  EXPECT_EQ(sim.Candidate(Host(519))->decision, Decision::kOverLimit);
  sim.DeleteHere(Announcement(Repo("many", "3"), kLongAgo, {Host(3)}).id);
  sim.RunFor(seconds(5));
  EXPECT_FALSE(sim.Remote(Host(3)).has_value());
  EXPECT_EQ(sim.engine.Remotes().size(), 500u);
  EXPECT_EQ(sim.open_connections(), 500u);
}

TEST_F(SyncEngineTest, CandidatesAreCappedAndForgottenWithTheirAnnouncement) {
  options_.max_remotes = 1;
  options_.max_candidates = 50;
  auto& sim = Begin();
  sim.Start();
  for (int i = 0; i < 200; ++i) {
    sim.PublishHere(Announcement(Repo("many", std::to_string(i)), kLongAgo, {Host(i)}));
  }
  sim.RunFor(seconds(5));
  EXPECT_THAT(sim.engine.Candidates(), SizeIs(50));
  for (int i = 1; i < 200; ++i) {
    sim.DeleteHere(Announcement(Repo("many", std::to_string(i)), kLongAgo, {Host(i)}).id);
  }
  sim.RunFor(seconds(5));
  EXPECT_THAT(sim.engine.Candidates(), SizeIs(1));
}

TEST_F(SyncEngineTest, JobsAreCappedAndARemoteWithManyDoesNotHoldAnotherBack) {
  options_.jobs_in_total = 4;
  options_.jobs_per_remote = 4;
  auto& sim = BeginLive();
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(sim.engine.TriggerSync(sim.now(), Url(kA), std::nullopt).ok());
  }
  ASSERT_GT(sim.Remote(kA)->jobs_waiting, 950u);
  const auto other = Repo("bob", "lib");
  const auto issue = Issue({other}, kLongAgo, "the only one");
  sim.Publish(kB, issue);
  sim.PublishHere(Announcement(other, kLongAgo, {kB}));
  sim.RunFor(milliseconds(500));
  EXPECT_TRUE(sim.Has(issue.id));
  EXPECT_EQ(sim.State(kB), RemoteState::kLive);
  EXPECT_GT(sim.Remote(kA)->jobs_waiting, 500u);
  EXPECT_LE(sim.jobs_at_most(), 4u);
  sim.RunFor(minutes(1));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
}

TEST_F(SyncEngineTest, TheQueueOfJobsIsCappedAndWhatDidNotFitIsMadeGood) {
  options_.queued_jobs_per_remote = 10;
  auto& sim = BeginLive();
  for (int i = 0; i < 400; ++i) {
    const auto issue = Issue({kRepo}, kLongAgo + i, std::to_string(i));
    sim.PublishHere(issue);
    sim.At(kA).relay.Store(Comment(issue.id, kLongAgo, "old"));
  }
  EXPECT_TRUE(absl::IsResourceExhausted([&] {
    absl::Status status;
    for (int i = 0; i < 5; ++i) {
      status.Update(sim.engine.TriggerSync(sim.now(), Url(kA), std::nullopt).status());
    }
    return status;
  }()));
  sim.RunFor(seconds(30));
  EXPECT_LE(sim.Remote(kA)->jobs_waiting, 10u);
  EXPECT_EQ(sim.State(kA), RemoteState::kLiveWithGaps);
}

TEST_F(SyncEngineTest, SlowRemotesDoNotHoldEverySlotForLong) {
  auto& sim = Begin();
  sim.Start();
  for (int i = 0; i < 20; ++i) {
    auto& relay = sim.At(Host(i)).relay;
    for (int n = 0; n < 1100; ++n) {
      relay.Store(Announcement(Repo("made up", std::to_string(n)), kLongAgo, {}));
    }
    relay.behaviour.answers_requests = false;  // reconciles, and delivers nothing
    sim.PublishHere(Announcement(Repo("slow", std::to_string(i)), kLongAgo, {Host(i)}));
  }
  sim.RunFor(seconds(5));
  const auto issue = Issue({kRepo}, kLongAgo, "honest");
  sim.Publish(kA, issue);
  sim.PublishHere(Announcement(kRepo, kLongAgo, {kA}));
  sim.RunFor(minutes(2));
  EXPECT_TRUE(sim.Has(issue.id));
}

TEST_F(SyncEngineTest, TimersDoNotAccumulate) {
  auto& sim = BeginLive();
  for (int i = 0; i < 300; ++i) {
    sim.PublishHere(Issue({kRepo}, UnixNow(), std::to_string(i)));
    sim.Say(kA, Notice{"rate-limited: always"});
    sim.Say(kA, Closed{"repos-0", "rate-limited: always"});
    sim.RunFor(milliseconds(300));
    sim.GoDown(kA);
    sim.ComeUp(kA);
    sim.engine.Resume(sim.now(), Url(kA), true);
    sim.Settle();
  }
  EXPECT_LE(sim.engine.timer_count(), 8u);
  sim.RunFor(hours(1));
  EXPECT_LE(sim.engine.timer_count(), 3u);
}

// ---- everything at once --------------------------------------------------------------------------

// Relays go down and come up, events are published all the time, repositories come and go; when the faults
// end, everything in scope is here in bounded time and then there is silence.
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
          const auto event = Announcement(repo, UnixNow(), {Host(0), Host(1), Host(2), Host(3), Host(4)});
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

}  // namespace
}  // namespace graspd::sync
