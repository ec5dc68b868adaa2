// SyncEngine: whom it talks to, what operators can do, its bounds.
#include "sync/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sync/testing/engine_fixture.h"

namespace graspd::sync::testing {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::AnyOf;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Decision = CandidateSnapshot::Decision;

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
  // Not more often for being named anew.
  for (uint64_t i = 1; i < 24; ++i) {
    std::vector<std::string> relays = {kB};
    if (i % 2 == 0) relays.push_back(kA);
    sim.PublishHere(Announcement(kRepo, kLongAgo + i, relays));
    sim.RunFor(hours(2));
  }
  EXPECT_LE(sim.At(kA).dials.size(), 3u) << "in 69 hours";
  EXPECT_EQ(sim.At(kA).messages, 0u);
}

// Behind a proxy that strips the header from the upgrade.
TEST_F(SyncEngineTest, AnAliasOfOurselvesIsFoundByItsDocumentToo) {
  options_.instance = "nonce-of-this-process";
  for (const auto takes :
       {base::Duration(milliseconds(1)), Simulation::kLatency, base::Duration(seconds(8))}) {
    auto& sim = Begin();
    sim.At(kA).relay.behaviour.document_instance = options_.instance;
    sim.At(kA).information_takes = takes;
    sim.Start();
    sim.PublishHere(Announcement(kRepo, kLongAgo, {kA}));
    sim.RunFor(hours(1));
    EXPECT_THAT(sim.At(kA).dials, SizeIs(1));
    EXPECT_EQ(sim.open_connections(), 0u);
    EXPECT_EQ(sim.State(kA), RemoteState::kBlocked);
    EXPECT_EQ(sim.Candidate(kA)->decision, Decision::kSelf);
  }
}

// ---- one relay by several names ----------------------------------------------------------------

class AliasTest : public SyncEngineTest {
 protected:
  // Two relays that call themselves the same; A is known first.
  Simulation& BeginTwins() {
    auto& sim = Begin();
    for (const auto* url : {kA, kB}) sim.At(url).relay.behaviour.instance = "the same";
    sim.Start();
    sim.PublishHere(Announcement(kRepo, kLongAgo, {kA}));
    sim.RunFor(seconds(10));
    EXPECT_EQ(sim.State(kA), RemoteState::kLive);
    return sim;
  }
  void NameBoth(Simulation& sim) {
    sim.PublishHere(Announcement(kRepo, kLongAgo + 1, {kA, kB}));
    sim.RunFor(seconds(10));
  }
};

TEST_F(AliasTest, OneOfThemIsFollowed) {
  auto& sim = BeginTwins();
  NameBoth(sim);
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  EXPECT_EQ(sim.State(kB), RemoteState::kBlocked);
  EXPECT_EQ(sim.Candidate(kB)->decision, Decision::kAlias);
  EXPECT_EQ(sim.At(kB).connections, 0u);
  EXPECT_EQ(sim.At(kB).messages, 0u);
}

// Behind a proxy that strips the header from the upgrade. The document may come before that.
TEST_F(AliasTest, OneOfThemIsFollowedThoughOnlyTheirDocumentsSayWhoTheyAre) {
  for (const auto takes : {base::Duration(milliseconds(1)), base::Duration(seconds(1))}) {
    auto& sim = Begin();
    for (const auto* url : {kA, kB}) {
      sim.At(url).relay.behaviour.document_instance = "the same";
      sim.At(url).information_takes = takes;
    }
    sim.Start();
    sim.PublishHere(Announcement(kRepo, kLongAgo, {kA}));
    sim.RunFor(seconds(10));
    NameBoth(sim);
    EXPECT_EQ(sim.State(kA), RemoteState::kLive);
    EXPECT_EQ(sim.State(kB), RemoteState::kBlocked);
    // The document is not fetched each time.
    sim.GoDown(kA);
    sim.ComeUp(kA);
    sim.RunFor(hours(12));
    EXPECT_EQ(sim.open_connections(), 1u);
  }
}

TEST_F(AliasTest, WhenItIsNamedNoMoreTheOtherIsFollowedThoughThatWasForgottenToo) {
  auto& sim = BeginTwins();
  NameBoth(sim);
  sim.PublishHere(Announcement(kRepo, kLongAgo + 2, {kA}));
  sim.RunFor(seconds(10));
  sim.PublishHere(Announcement(kRepo, kLongAgo + 3, {kB}));
  sim.RunFor(minutes(1));
  EXPECT_EQ(sim.State(kB), RemoteState::kLive);
}

TEST_F(AliasTest, WhenItFailsTheOtherTakesItsPlace) {
  auto& sim = BeginTwins();
  NameBoth(sim);
  sim.GoDown(kA);
  sim.RunFor(seconds(20));
  EXPECT_EQ(sim.State(kB), RemoteState::kLive);
  EXPECT_EQ(sim.Candidate(kB)->decision, Decision::kAccepted);
  sim.ComeUp(kA);
  sim.RunFor(minutes(5));
  EXPECT_EQ(sim.State(kA), RemoteState::kBlocked);
  EXPECT_EQ(sim.State(kB), RemoteState::kLive);
}

TEST_F(AliasTest, WhoIsPausedIsReplacedToo) {
  auto& sim = BeginTwins();
  NameBoth(sim);
  sim.engine.Pause(sim.now(), Url(kA));
  sim.RunFor(seconds(10));
  EXPECT_EQ(sim.State(kB), RemoteState::kLive);
}

// Who repeats what an honest relay calls itself cannot keep it from being heard.
TEST_F(AliasTest, WhatTheOtherHasAloneIsFetchedAllTheSame) {
  auto& sim = BeginTwins();
  const auto issue = Issue({kRepo}, kLongAgo, "of the second alone");
  sim.At(kB).relay.Store(issue);
  NameBoth(sim);
  EXPECT_FALSE(sim.Has(issue.id));
  sim.RunFor(hours(1));
  EXPECT_TRUE(sim.Has(issue.id));
  EXPECT_EQ(sim.State(kB), RemoteState::kBlocked) << "left again when everything was compared";
  const auto later = Issue({kRepo}, kLongAgo, "later");
  sim.At(kB).relay.Store(later);
  sim.RunFor(hours(25));
  EXPECT_TRUE(sim.Has(later.id));
  EXPECT_THAT(sim.At(kB).dials, SizeIs(3));
}

TEST_F(AliasTest, FromAnotherAddressItIsAnotherRelay) {
  auto& sim = BeginTwins();
  sim.At(kB).address = "192.0.2.2";
  NameBoth(sim);
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
  EXPECT_TRUE(absl::IsNotFound(sim.engine.TriggerSync(sim.now(), Url(kB), std::nullopt).status()));
  sim.GoDown(kA);
  EXPECT_TRUE(absl::IsFailedPrecondition(
      sim.engine.TriggerSync(sim.now(), Url(kA), std::nullopt).status()));
}

TEST_F(SyncEngineTest, TriggerSyncJoinsJobsThatWaitToCompareTheSame) {
  auto& sim = BeginLive();
  const auto first = sim.engine.TriggerSync(sim.now(), Url(kA), std::nullopt);
  const auto second = sim.engine.TriggerSync(sim.now(), Url(kA), std::nullopt);
  ASSERT_TRUE(first.ok() && second.ok());
  ASSERT_THAT(*second, SizeIs(first->size()));
  EXPECT_NE(first->front(), second->front()) << "runs already, who knows since when";
  EXPECT_EQ(first->back(), second->back());
  sim.RunFor(seconds(1));
  const auto third = sim.engine.TriggerSync(sim.now(), Url(kA), std::nullopt);
  ASSERT_TRUE(third.ok());
  EXPECT_GT(third->front(), second->front());
}

// Whatever gives them up: the remote asks who we are, hangs up, or is paused.
TEST_F(SyncEngineTest, AJobByHandThatIsGivenUpBeforeItBeganSaysSo) {
  using End = void (*)(Simulation&);
  options_.authenticates = true;
  for (const End end : {
           End([](Simulation& sim) {
             sim.Say(kA, Closed{"live-1", "auth-required: members only"});
             sim.Say(kA, Authenticated{true, ""});
           }),
           End([](Simulation& sim) { sim.GoDown(kA); }),
           End([](Simulation& sim) { sim.engine.Pause(sim.now(), Url(kA)); }),
       }) {
    auto& sim = BeginLive();
    const auto jobs = sim.engine.TriggerSync(sim.now(), Url(kA), std::nullopt);
    ASSERT_TRUE(jobs.ok());
    ASSERT_EQ(sim.engine.FindJob(jobs->back())->state, JobState::kQueued);
    end(sim);
    sim.RunFor(seconds(1));
    for (const uint64_t id : *jobs) {
      const auto job = sim.engine.FindJob(id);
      ASSERT_TRUE(job.has_value());
      EXPECT_THAT(job->state, AnyOf(JobState::kFailed, JobState::kCancelled));
      EXPECT_NE(job->error, "");
      EXPECT_GT(job->finished_at, 0u);
    }
    EXPECT_EQ(sim.engine.FindJob(jobs->back())->state, JobState::kCancelled);
  }
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
  EXPECT_EQ(first_dials(), 30) << "one author has half of 60";
  sim.RunFor(minutes(1));
  EXPECT_LE(first_dials(), 60);
  sim.RunFor(minutes(11));
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

// Though the list of candidates had no room to remember it.
TEST_F(SyncEngineTest, AFreedPlaceGoesToWhoHasNoneYet) {
  options_.max_remotes = 5;
  options_.max_candidates = 8;
  options_.new_remotes_per_minute = 100'000;
  auto& sim = Begin();
  sim.Start();
  for (int i = 0; i < 20; ++i) {
    sim.PublishHere(Announcement(Repo("many", std::to_string(i)), kLongAgo, {Host(i)}));
  }
  sim.RunFor(minutes(1));
  const std::string late = "wss://zz.another.org";
  sim.PublishHere(Announcement(Repo("bob", "lib"), kLongAgo, {late}));
  sim.RunFor(seconds(5));
  ASSERT_FALSE(sim.Remote(late).has_value());
  ASSERT_FALSE(sim.Candidate(late).has_value());
  sim.DeleteHere(Announcement(Repo("many", "3"), kLongAgo, {Host(3)}).id);
  sim.RunFor(seconds(5));
  EXPECT_EQ(sim.State(late), RemoteState::kLive);
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
  for (uint64_t since = 1; since <= 1000; ++since) {
    auto filter = AnnouncementFilter();
    filter.since = since;
    ASSERT_TRUE(sim.engine.TriggerSync(sim.now(), Url(kA), filter).ok());
  }
  ASSERT_GT(sim.Remote(kA)->jobs_waiting, 950u);
  EXPECT_EQ(sim.engine.jobs_waiting(), sim.Remote(kA)->jobs_waiting);
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

TEST_F(SyncEngineTest, MoreThanMayWaitIsComparedInPortions) {
  options_.queued_jobs_per_remote = 10;
  options_.jobs_per_portion = 5;
  auto& sim = Begin();
  std::vector<nostr::Event> comments;
  for (int i = 0; i < 1500; ++i) {
    const auto issue = Issue({kRepo}, kLongAgo + i, std::to_string(i));
    sim.PublishHere(issue);
    comments.push_back(Comment(issue.id, kLongAgo, "old"));
    sim.Publish(kA, comments.back());
  }
  sim.PublishHere(Announcement(kRepo, kLongAgo, {kB}));
  sim.Start();
  sim.RunFor(seconds(30));
  // All of it comes into the scope of a connected remote at once.
  sim.PublishHere(Announcement(Repo("bob", "lib"), kLongAgo, {kA}));
  sim.RunFor(seconds(30));
  ASSERT_EQ(sim.State(kA), RemoteState::kLive);
  ASSERT_FALSE(sim.Has(comments.front().id));
  sim.PublishHere(Announcement(kRepo, kLongAgo + 1, {kA}));
  uint32_t most_waiting = 0;
  for (int i = 0; i < 1000; ++i) {
    sim.RunFor(milliseconds(30));
    most_waiting = std::max(most_waiting, sim.Remote(kA)->jobs_waiting);
  }
  EXPECT_GT(most_waiting, 40u) << "what is not queued yet waits too";
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  EXPECT_EQ(sim.Remote(kA)->jobs_waiting, 0u);
  for (const auto& comment : comments) ASSERT_TRUE(sim.Has(comment.id));
}

// A repository that comes and goes at remotes which do not answer.
TEST_F(SyncEngineTest, WhatComesAndGoesAgainAndAgainWaitsOnce) {
  constexpr int kIssues = 450, kRemotes = RepoIndex::kRelaysPerRepo;
  for (const size_t in_total : {10'000u, 100u}) {
    options_.queued_jobs_in_total = in_total;
    auto& sim = Begin();
    std::vector<std::string> all;
    for (int i = 0; i < kRemotes; ++i) {
      all.push_back(Host(i));
      auto& behaviour = sim.At(Host(i)).relay.behaviour;
      behaviour.negentropy = FakeRelay::Negentropy::kSilent;
      behaviour.answers_requests = false;
      sim.StoredBefore(Announcement(Repo("other", std::to_string(i)), kLongAgo, {Host(i)}));
    }
    const auto honest = Repo("honest", "tool");
    sim.StoredBefore(Announcement(honest, kLongAgo, {"wss://honest.example"}));
    for (int i = 0; i < kIssues; ++i) {
      sim.StoredBefore(Issue({kRepo}, kLongAgo, std::to_string(i)));
      sim.StoredBefore(Issue({honest}, kLongAgo, std::to_string(i)));
    }
    sim.Start();
    sim.RunFor(seconds(20));
    for (uint64_t n = 1; n <= 100; ++n) {
      sim.PublishHere(
          Announcement(kRepo, kLongAgo + n, n % 2 == 0 ? std::vector<std::string>() : all));
      sim.RunFor(milliseconds(100));
    }
    uint32_t waiting = 0;
    for (const auto& remote : sim.engine.Remotes()) {
      EXPECT_LE(remote.jobs_waiting, 3u * (1 + 4 + 5 * 3)) << remote.url.ToString();
      waiting += remote.jobs_waiting;
    }
    EXPECT_GT(waiting, 200u) << "what is not queued yet waits too";
    EXPECT_LE(sim.engine.queued_jobs(), in_total + kRemotes * options_.jobs_per_portion);
    // Who has little to do does that, not everything.
    const size_t before = sim.At("wss://honest.example").messages;
    sim.PublishHere(Issue({honest}, UnixNow(), "new"));
    sim.RunFor(minutes(2));  // slots come round
    EXPECT_LE(sim.At("wss://honest.example").messages, before + 12);
    EXPECT_EQ(sim.State("wss://honest.example"), RemoteState::kLive);
  }
}

TEST_F(SyncEngineTest, ADailyRunQueuesNothingWhileOtherJobsWait) {
  options_.queued_jobs_per_remote = 10;
  options_.jobs_per_portion = 5;
  auto& sim = BeginLive();
  sim.RunFor(hours(22) + minutes(50));
  // Whoever is limited runs nothing.
  for (uint64_t since = 1; since <= 10; ++since) {
    sim.Say(kA, Notice{"rate-limited: slow down"});
    auto filter = AnnouncementFilter();
    filter.since = since;
    ASSERT_TRUE(sim.engine.TriggerSync(sim.now(), Url(kA), filter).ok());
  }
  const auto before = sim.Remote(kA)->last_full_reconcile_at;
  for (int i = 0; i < 140; ++i) {
    sim.Say(kA, Notice{"rate-limited: slow down"});
    sim.RunFor(minutes(1));
    ASSERT_LE(sim.engine.queued_jobs(), 10u) << i;
  }
  sim.RunFor(minutes(5));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  EXPECT_GT(sim.Remote(kA)->last_full_reconcile_at, before);
}

TEST_F(SyncEngineTest, MoreJobsByHandThanMayWaitAreRefused) {
  options_.queued_jobs_per_remote = 10;
  options_.jobs_per_portion = 5;
  auto& sim = BeginLive();
  absl::Status status;
  for (uint64_t since = 1; since <= 20; ++since) {
    auto filter = AnnouncementFilter();
    filter.since = since;
    status.Update(sim.engine.TriggerSync(sim.now(), Url(kA), filter).status());
  }
  EXPECT_TRUE(absl::IsResourceExhausted(status));
  EXPECT_EQ(sim.Remote(kA)->jobs_waiting, 10u);
  sim.RunFor(seconds(30));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
}

// A remote that hangs up again and again, each time before a comparison of everything is over.
TEST_F(SyncEngineTest, ComparisonsThatAreCutShortGoOnWhereTheyWere) {
  options_.jobs_per_portion = 5;
  options_.host_pace = {};
  auto& sim = Begin();
  std::vector<nostr::Event> comments;
  for (int i = 0; i < 3000; ++i) {
    const auto issue = Issue({kRepo}, kLongAgo + i, std::to_string(i));
    sim.StoredBefore(issue);
    comments.push_back(Comment(issue.id, kLongAgo, "old"));
    sim.Publish(kA, comments.back());
  }
  sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA}));
  const auto here = [&] {
    return std::count_if(comments.begin(), comments.end(),
                         [&](const auto& comment) { return sim.Has(comment.id); });
  };
  sim.At(kA).drops_after = milliseconds(200);
  sim.Start();
  sim.RunFor(seconds(8));
  ASSERT_LT(here(), 1500);
  for (int times = 0; times < 40; ++times) {
    sim.engine.Resume(sim.now(), Url(kA), true);
    sim.Settle();
    sim.RunFor(milliseconds(250));
  }
  EXPECT_EQ(here(), 3000);
  EXPECT_NE(sim.State(kA), RemoteState::kLive);
}

// The same with less time than a portion takes.
TEST_F(SyncEngineTest, ComparisonsOfAFewFiltersEachGetEverywhere) {
  options_.host_pace = {};
  auto& sim = Begin();
  std::vector<nostr::Event> comments;  // of ten groups with the repository, five to a portion
  for (int i = 0; i < 900; ++i) {
    const auto issue = Issue({kRepo}, kLongAgo + i, std::to_string(i));
    sim.StoredBefore(issue);
    comments.push_back(Comment(issue.id, kLongAgo, "old"));
    sim.Publish(kA, comments.back());
  }
  sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA}));
  sim.At(kA).drops_after = milliseconds(45);
  sim.Start();
  for (int times = 0; times < 60; ++times) {
    sim.RunFor(milliseconds(250));
    sim.engine.Resume(sim.now(), Url(kA), true);
    sim.Settle();
  }
  for (const auto& comment : comments) ASSERT_TRUE(sim.Has(comment.id));
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
    sim.Say(kA, Closed{"live-1", "rate-limited: always"});
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

}  // namespace
}  // namespace graspd::sync::testing
