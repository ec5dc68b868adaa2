// SyncEngine: remotes that forge, flood, stall or ask who we are. What each may cost us is bounded,
// and an honest relay beside them gets what it needs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nostr/event_builder.h"
#include "sync/engine.h"
#include "sync/testing/engine_fixture.h"

namespace graspd::sync::testing {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using Auth = FakeRelay::Behaviour::Auth;

// ---- offences ----------------------------------------------------------------------------------

TEST_F(SyncEngineTest, ARemoteThatForgesIsLeftAndWhatElseItHasIsKept) {
  options_.bootstrap = {Url(kA)};
  auto& sim = Begin();
  auto& relay = sim.At(kA).relay;
  relay.Store(Announcement(kRepo, kLongAgo, {kA}));
  std::vector<nostr::Event> honest, forged;
  for (int i = 0; i < 1000; ++i) {
    const auto issue = Issue({kRepo}, kLongAgo + i, std::to_string(i));
    relay.Store(issue);
    (i % 100 == 0 ? forged : honest).push_back(issue);
  }
  for (const auto& event : forged) relay.behaviour.forged.insert(event.id);
  sim.Start();
  sim.RunFor(seconds(12));
  EXPECT_EQ(sim.State(kA), RemoteState::kBackoff);
  EXPECT_THAT(sim.Remote(kA)->state_reason, HasSubstr("wrong ids or signatures"));
  EXPECT_EQ(sim.Remote(kA)->last_error_code, "misbehaved");
  EXPECT_EQ(sim.open_connections(), 0u);
  // It comes back, and each forged event is asked for once a day at most: all that is honest gets
  // here.
  sim.RunFor(hours(1));
  for (const auto& event : honest) ASSERT_TRUE(sim.Has(event.id)) << event.content;
  for (const auto& event : forged) EXPECT_FALSE(sim.Has(event.id));
  EXPECT_EQ(sim.Remote(kA)->counts.invalid, forged.size());
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
}

TEST_F(SyncEngineTest, WhoForgesAgainAndAgainIsDialledEverMoreSeldomHoweverUsefulItIs) {
  auto& sim = BeginLive();
  auto& site = sim.At(kA);
  for (int i = 0; i < 12 * 60;
       ++i) {  // whenever it is connected: something new, and five forgeries
    sim.Publish(kA, Issue({kRepo}, UnixNow(), "new " + std::to_string(i)));
    for (int n = 0; n < 5; ++n) {
      const auto forgery = Issue({kRepo}, UnixNow(), std::to_string(i) + "/" + std::to_string(n));
      site.relay.behaviour.forged.insert(forgery.id);
      sim.Publish(kA, forgery);
    }
    sim.RunFor(minutes(1));
  }
  EXPECT_LE(site.dials.size(), 25u);
  EXPECT_GT(sim.Remote(kA)->consecutive_failures, 9u);
}

TEST_F(SyncEngineTest, OffencesAreForgivenInTimeOnly) {
  auto& sim = BeginLive();
  for (int i = 0; i < 24 * 60; ++i) {  // ten a minute, which is what time forgives
    for (int n = 0; n < 10; ++n) sim.Say(kA, BadMessage{});
    sim.RunFor(minutes(1));
  }
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  EXPECT_THAT(sim.At(kA).dials, SizeIs(1));
  for (int n = 0; n < 100; ++n) sim.Say(kA, BadMessage{});
  sim.RunFor(seconds(1));
  EXPECT_EQ(sim.State(kA), RemoteState::kBackoff);
  EXPECT_THAT(sim.Remote(kA)->state_reason, HasSubstr("nobody asked for"));
  // A new connection does not begin with a clean slate.
  sim.RunFor(seconds(20));
  ASSERT_EQ(sim.State(kA), RemoteState::kLive);
  for (int n = 0; n < 10; ++n) sim.Say(kA, BadMessage{});
  sim.RunFor(seconds(1));
  EXPECT_EQ(sim.State(kA), RemoteState::kBackoff);
}

TEST_F(SyncEngineTest, EventsBeyondOurLimitsAreNoOffenceAndFetchedOnceADay) {
  options_.bootstrap = {Url(kA)};
  auto& sim = Begin();
  auto& relay = sim.At(kA).relay;
  relay.Store(Announcement(kRepo, kLongAgo, {kA}));
  for (int i = 0; i < 50; ++i) relay.Store(Issue({kRepo}, kLongAgo + i, "too long"));
  sim.judge = [](const nostr::Event& event) {
    return event.content == "too long" ? ingest::Code::kInvalid : ingest::Code::kStored;
  };
  sim.Start();
  sim.RunFor(minutes(1));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  EXPECT_EQ(sim.Remote(kA)->counts.invalid, 50u);
  for (int i = 0; i < 5; ++i) {
    sim.GoDown(kA);
    sim.ComeUp(kA);
    sim.RunFor(minutes(10));
  }
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  EXPECT_EQ(sim.Remote(kA)->counts.invalid, 50u);
}

TEST_F(SyncEngineTest, WhatIsDatedAheadIsFetchedAgainUntilItsTimeHasCome) {
  auto& sim = Begin();
  auto& site = sim.At(kA);
  site.drops_after = minutes(10);
  sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA}));
  const auto issue = Issue({kRepo}, UnixNow() + 1800, "by a clock that is fast");
  site.relay.Store(issue);
  sim.judge = [&](const nostr::Event& event) {
    return event.created_at > UnixNow() + 900 ? ingest::Code::kInvalid : ingest::Code::kStored;
  };
  sim.Start();
  sim.RunFor(minutes(9));
  EXPECT_EQ(sim.Remote(kA)->counts.invalid, 1u);
  sim.RunFor(minutes(30));
  EXPECT_TRUE(sim.Has(issue.id));
}

// ---- one that lies among honest ones -----------------------------------------------------------

// It is always first: it claims all that they have, delivers some of it forged, and the rest never;
// and forges what they are about to send live.
TEST_F(SyncEngineTest, ALiarKeepsNothingAwayThatHonestRelaysHave) {
  const std::string honest[] = {Host(1), Host(2), Host(3), Host(4)};
  for (const auto negentropy : {FakeRelay::Negentropy::kSpoken, FakeRelay::Negentropy::kClosed}) {
    auto& sim = Begin();
    auto& liar = sim.At(kA);
    liar.relay.behaviour.negentropy = negentropy;
    const auto claim = [&](const nostr::Event& event, bool delivers) {
      auto& behaviour = liar.relay.behaviour;
      (delivers ? behaviour.forged : behaviour.ghosts).insert(event.id);
    };
    std::vector<nostr::Event> events;
    for (int i = 0; i < 400; ++i) {
      events.push_back(Issue({kRepo}, kLongAgo + i, std::to_string(i)));
      liar.relay.Store(events.back());
      claim(events.back(), i % 100 == 0);
      sim.At(honest[i % 4]).relay.Store(events.back());  // of one alone
    }
    std::vector<std::string> relays = {kA};
    for (const auto& url : honest) {
      sim.At(url).dial_time = seconds(3);
      relays.push_back(url);
    }
    sim.StoredBefore(Announcement(kRepo, kLongAgo, relays));
    sim.Start();
    sim.RunFor(minutes(1));
    for (const auto& event : events) ASSERT_TRUE(sim.Has(event.id)) << event.content;
    // What is published now, with the liar connected or not.
    for (int i = 0; i < 40; ++i) {
      const auto event = Issue({kRepo}, UnixNow(), "live " + std::to_string(i));
      claim(event, true);
      sim.Publish(kA, event);
      sim.RunFor(milliseconds(500));
      sim.Publish(honest[i % 4], event);
      sim.RunFor(seconds(10));
      ASSERT_TRUE(sim.Has(event.id)) << event.content;
    }
    EXPECT_GT(sim.Remote(kA)->counts.invalid, 10u);
    for (const auto& url : honest) EXPECT_EQ(sim.State(url), RemoteState::kLive);
  }
}

// ---- reconciliation --------------------------------------------------------------------------

TEST_F(SyncEngineTest, EndlessReconciliationIsGivenUpForPages) {
  options_.bootstrap = {Url(kA)};
  auto& sim = Begin();
  auto& relay = sim.At(kA).relay;
  relay.behaviour.negentropy = FakeRelay::Negentropy::kEndless;
  relay.Store(Announcement(kRepo, kLongAgo, {kA}));
  for (int i = 0; i < 100; ++i) {
    const auto issue = Issue({kRepo}, kLongAgo + i, std::to_string(i));
    relay.Store(issue);
    if (i % 2 == 0) sim.StoredBefore(issue);
  }
  sim.Start();
  sim.RunFor(minutes(2));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  EXPECT_TRUE(sim.HasAllOf(kA));
  for (const auto& job : sim.engine.Jobs()) EXPECT_LE(job.rounds, 64u);
}

// An item a round, and each round answered in time.
TEST_F(SyncEngineTest, AReconciliationThatCreepsEndsInPagesAndIsNotTriedAgainThatDay) {
  constexpr int kEvents = 5000;
  auto& sim = Begin();
  auto& site = sim.At(kA);
  site.relay.behaviour.negentropy = FakeRelay::Negentropy::kCreeps;
  sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA}));
  for (int n = 0; n < kEvents; ++n) {
    const auto event = About(kRepo, n);
    site.relay.Store(event);
    if (n % 2 == 0) sim.StoredBefore(event);
  }
  for (const auto takes : {milliseconds(2400), milliseconds(0)}) {
    site.message_takes = takes;
    if (takes.count() > 0) sim.Start();
    sim.RunFor(minutes(5));
    EXPECT_EQ(sim.Remote(kA)->method, SyncMethod::kReq);
  }
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  EXPECT_TRUE(sim.HasAllOf(kA));
  for (int i = 0; i < 5; ++i) {
    sim.GoDown(kA);
    sim.ComeUp(kA);
    sim.RunFor(minutes(10));
  }
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  EXPECT_EQ(sim.Remote(kA)->method, SyncMethod::kReq);
  uint64_t rounds = 0;
  for (const auto& job : sim.engine.Jobs()) rounds += job.rounds;
  EXPECT_LE(rounds, 3 * negentropy::Initiator::MaxRounds(kEvents));
}

TEST_F(SyncEngineTest, WhoClaimsToHaveNothingIsSentNothing) {
  auto& sim = Begin();
  auto& site = sim.At(kA);
  site.relay.behaviour.negentropy = FakeRelay::Negentropy::kListsNothing;
  sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA}));
  for (int i = 0; i < 1000; ++i) sim.StoredBefore(Issue({kRepo}, kLongAgo + i, std::to_string(i)));
  sim.Start();
  sim.RunFor(minutes(1));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  EXPECT_EQ(sim.stored_count(), 1001u);
  EXPECT_EQ(site.relay.stored_requests(), 0u);  // there is no action by which it could be sent more
}

// ---- stalling --------------------------------------------------------------------------------

TEST_F(SyncEngineTest, SilenceEndsEachPhaseInTimeAndOthersAreServedMeanwhile) {
  struct Case {
    const char* what;
    std::function<void(FakeRelay::Behaviour&)> spoil;
  };
  const Case cases[] = {
      {"no answer to NEG-OPEN, nor to REQ",
       [](auto& b) {
         b.negentropy = FakeRelay::Negentropy::kSilent;
         b.answers_requests = false;
       }},
      {"no events and no EOSE", [](auto& b) { b.answers_requests = false; }},
      {"no document, no answer to anything",
       [](auto& b) {
         b.information.reset();
         b.negentropy = FakeRelay::Negentropy::kSilent;
         b.answers_requests = false;
       }},
  };
  for (const auto& c : cases) {
    auto& sim = Begin();
    auto& relay = sim.At(kA).relay;
    c.spoil(relay.behaviour);
    const auto wanted = Issue({kRepo}, kLongAgo, "honest");
    relay.Store(wanted);
    sim.At(kB).relay.Store(wanted);
    sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA, kB}));
    sim.Start();
    sim.RunFor(seconds(10));
    EXPECT_EQ(sim.State(kB), RemoteState::kLive) << c.what;
    EXPECT_TRUE(sim.Has(wanted.id)) << c.what;
    sim.RunFor(2 * CatchUpJob::kProgressTimeout * CatchUpJob::kAttempts);
    for (const auto& job : sim.engine.Jobs()) {
      EXPECT_LE(job.finished_at - job.started_at, 3u * 15 + 3) << c.what;
    }
  }
}

// In the middle of a reconciliation, of a page, between two of them, and so on.
TEST_F(SyncEngineTest, SilenceAfterAnyNumberOfMessagesEndsInTimeAndNothingIsLost) {
  options_.jobs_in_total = 3;
  for (const auto negentropy : {FakeRelay::Negentropy::kSpoken, FakeRelay::Negentropy::kClosed}) {
    for (size_t messages = 0; messages < 60; ++messages) {
      auto& sim = Begin();
      auto& site = sim.At(kA);
      site.silent_after = messages;
      site.relay.behaviour.negentropy = negentropy;
      site.relay.behaviour.neg_frame_bytes = 4096;
      site.relay.behaviour.serves_at_most = 20;
      sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA, kB}));
      for (int i = 0; i < 50; ++i) site.relay.Store(Issue({kRepo}, kLongAgo + i, "a"));
      const auto wanted = Issue({kRepo}, kLongAgo, "honest");
      sim.At(kB).relay.Store(wanted);
      sim.Start();
      sim.RunFor(minutes(2));
      EXPECT_TRUE(sim.Has(wanted.id)) << messages;
      EXPECT_EQ(sim.State(kB), RemoteState::kLive) << messages;
      for (const auto& job : sim.engine.Jobs()) {
        if (job.finished_at == 0) continue;
        EXPECT_LE(job.finished_at - job.started_at, 2u * 45 + 5) << messages << job.error;
      }
      // As soon as it speaks again, all that it has comes.
      site.silent_after = SIZE_MAX;
      sim.GoDown(kA);
      sim.ComeUp(kA);
      sim.RunFor(minutes(10));
      ASSERT_TRUE(sim.HasAllOf(kA)) << messages;
      ASSERT_EQ(sim.State(kA), RemoteState::kLive) << messages;
    }
  }
}

TEST_F(SyncEngineTest, WhoDripsHoldsASlotForMinutesOnly) {
  options_.jobs_in_total = 1;
  for (const auto negentropy : {FakeRelay::Negentropy::kSpoken, FakeRelay::Negentropy::kClosed}) {
    auto& sim = Begin();
    auto& site = sim.At(kA);
    site.drip = seconds(9);  // an event, within every deadline on progress
    site.relay.behaviour.negentropy = negentropy;
    for (int i = 0; i < 100; ++i) {
      site.relay.Store(Issue({kRepo}, kLongAgo + i, std::to_string(i)));
    }
    const auto wanted = Issue({kRepo}, kLongAgo, "honest");
    sim.At(kB).relay.Store(wanted);
    sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA}));
    sim.Start();
    sim.RunFor(seconds(30));
    sim.PublishHere(Announcement(Repo("bob", "lib"), kLongAgo, {kB}));
    sim.PublishHere(Announcement(kRepo, kLongAgo + 1, {kA, kB}));
    sim.RunFor(minutes(30));  // in turn with all that has to be asked of the other
    EXPECT_TRUE(sim.Has(wanted.id));
    EXPECT_EQ(sim.State(kB), RemoteState::kLive);
    for (const auto& job : sim.engine.Jobs()) {
      if (job.finished_at == 0) continue;
      EXPECT_LE(job.finished_at - job.started_at, 5u * 60) << job.error;
    }
  }
}

// Each just fast enough to be let go on for ever: more than an event a second.
TEST_F(SyncEngineTest, RemotesThatAreNeverDoneDoNotKeepTheSlots) {
  options_.jobs_in_total = 3;
  auto& sim = Begin();
  std::vector<std::string> relays = {kA, Host(1), Host(2)};
  for (const auto& url : relays) {
    auto& site = sim.At(url);
    site.drip = std::chrono::milliseconds(800);
    for (int n = 0; n < 700; ++n) site.relay.Store(About(kRepo, n));
  }
  const auto wanted = About(kRepo, -1);
  sim.At(kB).relay.Store(wanted);
  sim.StoredBefore(Announcement(kRepo, kLongAgo, relays));
  sim.Start();
  sim.RunFor(seconds(30));
  relays.push_back(kB);
  sim.PublishHere(Announcement(kRepo, kLongAgo + 1, relays));
  sim.RunFor(minutes(4));
  EXPECT_TRUE(sim.Has(wanted.id));
  EXPECT_EQ(sim.State(kB), RemoteState::kLive) << sim.Remote(kB)->state_reason;
  // And what the others have goes on coming.
  sim.RunFor(minutes(20));
  EXPECT_TRUE(sim.HasAllOf(kA));
}

TEST_F(SyncEngineTest, WhatAllRemotesHaveClaimedIsBounded) {
  options_.claims_in_total = 100;
  auto& sim = Begin();
  for (const auto& url : {Host(1), Host(2)}) {
    for (int n = 0; n < 2000; ++n) sim.At(url).relay.Store(About(kRepo, n, url));
  }
  sim.StoredBefore(Announcement(kRepo, kLongAgo, {Host(1), Host(2)}));
  sim.Start();
  size_t most = 0;
  for (int i = 0; i < 2000; ++i) {
    sim.RunFor(std::chrono::milliseconds(5));
    most = std::max(most, sim.engine.claims());
  }
  EXPECT_EQ(most, 100u);
  EXPECT_EQ(sim.engine.claims(), 0u);
  EXPECT_TRUE(sim.HasAllOf(Host(1)) && sim.HasAllOf(Host(2)));
}

// Each brings an event now and then, for ever.
TEST_F(SyncEngineTest, ManySlowRemotesTakeTurnsWithTheOneThatComesLast) {
  constexpr int kSlow = 5;
  constexpr char kLast[] = "wss://z.example";
  options_.jobs_in_total = 3;
  auto& sim = Begin();
  std::vector<std::string> relays = {kLast};
  for (int i = 0; i < kSlow; ++i) {
    relays.push_back(Host(i));
    auto& site = sim.At(Host(i));
    site.drip = std::chrono::milliseconds(800);
    for (int n = 0; n < 10'000; ++n) site.relay.Store(About(kRepo, n, Host(i)));
  }
  const auto wanted = About(kRepo, 0, kLast);
  sim.At(kLast).relay.Store(wanted);
  sim.At(kLast).dial_time = seconds(10);  // comes when the slots are taken
  sim.StoredBefore(Announcement(kRepo, kLongAgo, relays));
  sim.Start();
  sim.RunFor(minutes(10));
  EXPECT_TRUE(sim.Has(wanted.id));
}

// ---- authentication --------------------------------------------------------------------------

class AuthTest : public SyncEngineTest {
 protected:
  // Begins with one issue at a relay that wants to know who asks.
  Simulation& BeginWith(Auth auth) {
    auto& sim = Begin();
    auto& relay = sim.At(kA).relay;
    relay.behaviour.auth = auth;
    relay.Store(issue_);
    sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA}));
    return sim;
  }
  const nostr::Event issue_ = Issue({kRepo}, kLongAgo, "for members");
};

TEST_F(AuthTest, WhatWasRefusedIsAskedAgainOnceTheRemoteHasTakenOurAuthentication) {
  options_.authenticates = true;
  for (const bool says_so : {false, true}) {
    for (const auto auth : {Auth::kAtOnce, Auth::kOnRefusal}) {
      auto& sim = BeginWith(auth);
      sim.At(kA).relay.behaviour.information->auth_required = says_so;
      sim.Start();
      sim.RunFor(seconds(20));
      EXPECT_EQ(sim.State(kA), RemoteState::kLive) << sim.Remote(kA)->state_reason;
      EXPECT_TRUE(sim.Has(issue_.id));
      EXPECT_EQ(sim.At(kA).relay.authentications(), 1u);
      const auto more = Issue({kRepo}, UnixNow(), "followed live");
      sim.Publish(kA, more);
      sim.RunFor(seconds(1));
      EXPECT_TRUE(sim.Has(more.id));
      // Each connection anew.
      sim.GoDown(kA);
      sim.ComeUp(kA);
      sim.RunFor(minutes(1));
      EXPECT_EQ(sim.State(kA), RemoteState::kLive);
      EXPECT_EQ(sim.At(kA).relay.authentications(), 2u);
    }
  }
}

TEST_F(AuthTest, WithoutAKeyItIsAGapThatSaysWhy) {
  auto& sim = BeginWith(Auth::kAtOnce);
  sim.Start();
  sim.RunFor(seconds(20));
  EXPECT_EQ(sim.State(kA), RemoteState::kLiveWithGaps);
  EXPECT_THAT(sim.Remote(kA)->state_reason,
              HasSubstr("requires authentication and there is no key"));
  // Whom a remote refuses does not tell that it cannot reconcile.
  sim.At(kA).relay.behaviour.auth = Auth::kNone;
  sim.RunFor(minutes(3));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  EXPECT_EQ(sim.Remote(kA)->method, SyncMethod::kNegentropy);
  EXPECT_TRUE(sim.Has(issue_.id));
}

TEST_F(AuthTest, ARefusedKeyIsAGapWithTheRemotesWords) {
  options_.authenticates = true;
  auto& sim = BeginWith(Auth::kOnRefusal);
  sim.At(kA).relay.behaviour.accepts_auth = false;
  sim.Start();
  sim.RunFor(seconds(20));
  EXPECT_EQ(sim.State(kA), RemoteState::kLiveWithGaps);
  EXPECT_THAT(sim.Remote(kA)->state_reason,
              HasSubstr("requires authentication: restricted: not on the list"));
  const size_t before = sim.At(kA).messages;
  sim.RunFor(hours(12));
  EXPECT_LE(sim.At(kA).messages - before, 330u) << "asked ever more seldom";
  EXPECT_EQ(sim.At(kA).relay.authentications(), 1u);
}

TEST_F(AuthTest, AnAuthenticationThatIsRateLimitedIsACoolDown) {
  options_.authenticates = true;
  for (const bool says_so : {false, true}) {
    auto& sim = BeginWith(Auth::kAtOnce);
    auto& behaviour = sim.At(kA).relay.behaviour;
    behaviour.information->auth_required = says_so;
    behaviour.accepts_auth = false;
    behaviour.refuses_auth = "rate-limited: too many AUTHs, slow down";
    sim.Start();
    sim.RunFor(seconds(10));
    EXPECT_EQ(sim.State(kA), RemoteState::kBackoff);
    EXPECT_THAT(sim.Remote(kA)->last_error, HasSubstr("rate-limited:"));
    const size_t before = sim.At(kA).messages;
    sim.RunFor(seconds(50));
    EXPECT_EQ(sim.At(kA).messages, before) << "nothing is asked meanwhile";
    // A connection authenticates once: it is another that is let in.
    behaviour.accepts_auth = true;
    sim.RunFor(seconds(20));
    EXPECT_EQ(sim.State(kA), RemoteState::kLive);
    EXPECT_TRUE(sim.Has(issue_.id));
  }
}

TEST_F(AuthTest, WhoNeverHasTimeForOurAuthenticationIsDeadInTheEnd) {
  options_.authenticates = true;
  auto& sim = BeginWith(Auth::kAtOnce);
  auto& behaviour = sim.At(kA).relay.behaviour;
  behaviour.accepts_auth = false;
  behaviour.refuses_auth = "rate-limited: slow down";
  sim.Start();
  sim.RunFor(hours(30));
  EXPECT_EQ(sim.State(kA), RemoteState::kDead);
  EXPECT_EQ(sim.Remote(kA)->last_error_code, "rate-limited");
}

TEST_F(AuthTest, WhoServesUsWithoutItIsNotLeftForTheRateOfOurAuthentications) {
  options_.authenticates = true;
  auto& sim = BeginLive();
  sim.Say(kA, Authenticated{false, "rate-limited: slow down"});
  sim.RunFor(seconds(1));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  // Unless it wants to know later on: that takes another connection.
  sim.Say(kA, Closed{"live-0", "auth-required: members only"});
  sim.RunFor(seconds(1));
  EXPECT_EQ(sim.State(kA), RemoteState::kBackoff);
  EXPECT_EQ(sim.Remote(kA)->last_error_code, "rate-limited");
  sim.RunFor(seconds(50));
  EXPECT_EQ(sim.State(kA), RemoteState::kBackoff);
  sim.RunFor(minutes(1));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
}

// Until we hung up nothing was missing.
TEST_F(AuthTest, WhoIsLeftWhileItWasLiveIsReadFromThereOn) {
  options_.authenticates = true;
  options_.declined_retry = hours(1);
  for (const bool declines : {false, true}) {
    auto& sim = Begin();
    auto& relay = sim.At(kA).relay;
    relay.behaviour.negentropy = FakeRelay::Negentropy::kClosed;
    relay.behaviour.information->max_subscriptions = 2;
    sim.StoredBefore(Announcement(kRepo, kLongAgo, {kA}));
    sim.Start();
    sim.RunFor(hours(1));
    sim.Publish(kA, Issue({kRepo}, UnixNow(), "followed live"));
    sim.RunFor(hours(2));
    ASSERT_TRUE(sim.HasAllOf(kA));
    const size_t served = relay.events_served();
    ASSERT_EQ(sim.Remote(kA)->subscriptions, 1u);
    sim.Say(kA, Authenticated{false, "rate-limited: slow down"});
    sim.Say(kA, Closed{"live-0", declines ? "blocked: go away" : "auth-required: members only"});
    sim.RunFor(seconds(1));
    EXPECT_EQ(sim.Remote(kA)->last_error_code, declines ? "declined" : "rate-limited");
    sim.RunFor(hours(2));
    EXPECT_EQ(sim.State(kA), RemoteState::kLive);
    EXPECT_EQ(relay.events_served(), served) << "read again";
  }
}

TEST_F(AuthTest, WhoRefusesAndNeverChallengesIsNotWaitedForLong) {
  options_.authenticates = true;
  for (const bool says_so : {false, true}) {
    auto& sim = BeginWith(Auth::kNoChallenge);
    sim.At(kA).relay.behaviour.information->auth_required = says_so;
    sim.Start();
    sim.RunFor(seconds(25));
    EXPECT_EQ(sim.State(kA), RemoteState::kLiveWithGaps);
    EXPECT_THAT(sim.Remote(kA)->state_reason, HasSubstr("requires authentication"));
  }
}

}  // namespace
}  // namespace graspd::sync::testing
