#include "sync/catchup_job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <memory>

#include "base/overloaded.h"
#include "nostr/negentropy/reconciler.h"
#include "sync/testing/events.h"
#include "sync/testing/fake_relay.h"

namespace graspd::sync {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::FakeRelay;
using ::testing::IsEmpty;
using testing::Issue;
using ::testing::SizeIs;
using Support = CatchUpJob::NegentropySupport;

nostr::Filter Issues() {
  nostr::Filter filter;
  filter.kinds = {nostr::kIssue};
  return filter;
}

nostr::Event NumberedIssue(int number, uint64_t created_at) {
  return Issue({testing::Repo("alice", "tool")}, created_at, std::to_string(number));
}

// A job between a relay and a local set, until neither has anything to say.
class CatchUp : public ::testing::Test {
 protected:
  void Begin(nostr::Filter filter = Issues(), bool try_negentropy = true) {
    job_ = std::make_unique<CatchUpJob>(1, std::move(filter), try_negentropy);
    job_->Start(now_, actions_);
  }
  // Begins, and goes on until the job ends or nothing happens any more.
  void Run(nostr::Filter filter = Issues(), bool try_negentropy = true) {
    Begin(std::move(filter), try_negentropy);
    Settle();
  }
  void Settle() {
    while (!actions_.empty()) {
      for (auto& action : std::exchange(actions_, {})) Carry(action);
    }
  }
  void PassDeadline() {
    now_ = job_->deadline();
    job_->OnDeadline(now_, actions_);
    Settle();
  }
  void Carry(JobAction& action) {
    std::visit(base::Overloaded{
                   [this](StartReconcile&) { StartRound(); },
                   [this](ContinueReconcile& a) { ContinueRound(a.reply); },
                   [this](SendNegOpen& a) {
                     Take(session_.NegOpen(a.subscription, job_->filter(), a.bytes));
                   },
                   [this](SendNegMsg& a) { Take(session_.NegMsg(a.subscription, a.bytes)); },
                   [this](SendNegClose& a) { session_.NegClose(a.subscription); },
                   [this](SendReq& a) {
                     requests_.push_back(a);
                     Take(session_.Req(a.subscription, {a.filter}));
                   },
                   [this](SendClose& a) { session_.Close(a.subscription); },
               },
               action);
  }
  void Take(FakeRelay::Replies replies) {
    for (auto& reply : replies) {
      std::visit(
          base::Overloaded{
              [this](Delivered& r) {
                received_.insert(r.id);
                job_->OnEvent(now_, r.subscription, r.id, r.created_at, actions_);
              },
              [this](Eose& r) { job_->OnEose(now_, r.subscription, actions_); },
              [this](Closed& r) { job_->OnClosed(now_, r.subscription, r.reason, actions_); },
              [this](Notice& r) { job_->OnNegRefused(now_, r.text, true, actions_); },
              [this](NegReply& r) {
                now_ += answer_takes_;
                job_->OnNegMsg(now_, r.bytes, actions_);
              },
              [this](NegRefusal& r) { job_->OnNegRefused(now_, r.reason, false, actions_); },
              [](Authenticated&) {},
              [this](Unreadable& r) {
                job_->OnUnreadable(now_, r.subscription, r.id, r.created_at, actions_);
              },
              [](BadMessage&) {},
          },
          reply);
    }
  }
  void StartRound() {
    std::vector<negentropy::Item> items;
    for (const auto& event : local_) {
      if (nostr::Matches(job_->filter(), event)) items.push_back({event.created_at, event.id});
    }
    initiator_ = std::make_unique<negentropy::Initiator>(
        std::make_shared<negentropy::SealedSet>(std::move(items)),
        negentropy::ReconcileLimits{.frame_bytes = frame_bytes_});
    ReconcileStep step;
    step.message = initiator_->Start();
    step.items = initiator_->items();
    job_->OnReconcileStep(now_, std::move(step), actions_);
  }
  void ContinueRound(const std::string& reply) {
    auto found = initiator_->Continue(reply);
    if (!found.ok()) {
      job_->OnReconcileStep(now_, found.status(), actions_);
      return;
    }
    ReconcileStep step;
    step.message = found->message;
    step.wanted = found->need;
    step.have = found->have.size();
    step.need = found->need.size();
    step.items = initiator_->items();
    job_->OnReconcileStep(now_, std::move(step), actions_);
  }
  [[nodiscard]] size_t MissingHere() const {
    size_t missing = 0;
    for (const auto& entry : relay_.events()) {
      const bool local = std::any_of(local_.begin(), local_.end(), [&](const nostr::Event& event) {
        return event.id == entry.first;
      });
      missing += !local && !received_.contains(entry.first);
    }
    return missing;
  }

  base::SteadyTime now_{seconds(1000)};
  base::Duration answer_takes_{};  // of reconciliation
  size_t frame_bytes_ = 0;         // ours
  FakeRelay relay_;
  FakeRelay::Session session_{relay_};
  std::vector<nostr::Event> local_;
  std::set<nostr::EventId> received_;
  std::vector<SendReq> requests_;
  std::unique_ptr<CatchUpJob> job_;
  std::unique_ptr<negentropy::Initiator> initiator_;
  CatchUpJob::Actions actions_;
};

// ---- reconciliation -------------------------------------------------------------------------

TEST_F(CatchUp, FetchesWhatIsMissingAndNothingElse) {
  for (int i = 0; i < 1200; ++i) relay_.Store(NumberedIssue(i, 1000 + i));
  for (int i = 700; i < 1500; ++i) local_.push_back(NumberedIssue(i, 1000 + i));
  Run();
  EXPECT_TRUE(job_->finished());
  EXPECT_FALSE(job_->failed());
  EXPECT_THAT(received_, SizeIs(700));
  EXPECT_EQ(MissingHere(), 0u);
  EXPECT_EQ(job_->method, SyncMethod::kNegentropy);
  EXPECT_EQ(job_->support(), Support::kYes);
  EXPECT_EQ(job_->need, 700u);
  EXPECT_EQ(job_->have, 300u);
  EXPECT_EQ(job_->fetched, 700u);
  EXPECT_EQ(job_->missing, 0u);
  EXPECT_THAT(session_.open(), IsEmpty()) << "every fetch is closed";
}

TEST_F(CatchUp, EqualSetsCostNoRequest) {
  for (int i = 0; i < 300; ++i) {
    relay_.Store(NumberedIssue(i, 1000));
    local_.push_back(NumberedIssue(i, 1000));
  }
  Run();
  EXPECT_TRUE(job_->finished());
  EXPECT_THAT(requests_, IsEmpty());
}

TEST_F(CatchUp, AnEmptyRemoteIsDoneAtOnce) {
  local_.push_back(NumberedIssue(1, 1000));
  Run();
  EXPECT_TRUE(job_->finished());
  EXPECT_FALSE(job_->failed());
  EXPECT_THAT(requests_, IsEmpty());
}

TEST_F(CatchUp, ManyRoundsOfSmallFramesFindEverything) {
  for (int i = 0; i < 2000; ++i) {
    if (i % 3 != 0) relay_.Store(NumberedIssue(i, 1000 + i / 7));
    if (i % 5 != 0) local_.push_back(NumberedIssue(i, 1000 + i / 7));
  }
  relay_.behaviour.neg_frame_bytes = 4096;
  Run();
  EXPECT_TRUE(job_->finished());
  EXPECT_GT(job_->rounds, 3u);
  EXPECT_EQ(MissingHere(), 0u);
}

TEST_F(CatchUp, FetchesAreChunkedAndPipelined) {
  for (int i = 0; i < 1500; ++i) relay_.Store(NumberedIssue(i, 1000 + i));
  relay_.behaviour.answers_requests = false;
  Run();
  ASSERT_THAT(requests_, SizeIs(CatchUpJob::kReqsInFlight));
  for (const auto& request : requests_) EXPECT_THAT(*request.filter.ids, SizeIs(250));

  // One answer makes room for the next chunk.
  job_->OnEose(now_, requests_[0].subscription, actions_);
  Settle();
  EXPECT_THAT(requests_, SizeIs(CatchUpJob::kReqsInFlight + 1));
}

TEST_F(CatchUp, WhatIsNeverDeliveredIsAskedThreeTimesAndCounted) {
  for (int i = 0; i < 10; ++i) relay_.Store(NumberedIssue(i, 1000 + i));
  for (int i = 0; i < 4; ++i) relay_.behaviour.ghosts.insert(NumberedIssue(i, 1000 + i).id);
  Run();
  EXPECT_TRUE(job_->finished());
  EXPECT_FALSE(job_->failed());
  EXPECT_EQ(job_->missing, 4u);
  EXPECT_EQ(job_->fetched, 6u);
  EXPECT_THAT(requests_, SizeIs(1 + CatchUpJob::kAttempts)) << "the first brings the others";
  for (size_t i = 1; i < requests_.size(); ++i) EXPECT_THAT(*requests_[i].filter.ids, SizeIs(4));
}

// What it really has is read by pages.
TEST_F(CatchUp, ARelayThatNamesGhostsWithoutEndIsReadByPages) {
  constexpr size_t kNamed = 100'000;
  for (size_t i = 0; i < kNamed; ++i) {
    nostr::Event ghost;
    ghost.kind = nostr::kIssue;
    ghost.created_at = i;
    ghost.id = {nostr::Sha256(std::to_string(i))};
    relay_.behaviour.ghosts.insert(ghost.id);
    relay_.Store(std::move(ghost));
  }
  const auto real = NumberedIssue(1, kNamed);
  relay_.Store(real);
  relay_.behaviour.neg_frame_bytes = 200'000;
  Run();
  EXPECT_TRUE(job_->finished());
  EXPECT_FALSE(job_->failed());
  EXPECT_EQ(job_->method, SyncMethod::kReq);
  EXPECT_TRUE(received_.contains(real.id));
  size_t asked = 0;
  for (const auto& request : requests_)
    asked += request.filter.ids ? request.filter.ids->size() : 0;
  EXPECT_LE(asked, CatchUpJob::kGhosts + 2 * CatchUpJob::kReqsInFlight * CatchUpJob::kIdsPerReq);
}

// Each answer in time, and each the beginning of the next.
TEST_F(CatchUp, AReconciliationThatCreepsIsWaitedForNoLongerThanItsItemsAreWorth) {
  constexpr int kItems = 3000;
  for (int i = 0; i < kItems; ++i) {
    relay_.Store(NumberedIssue(i, 1000 + i));
    local_.push_back(NumberedIssue(i, 1000 + i));
  }
  relay_.behaviour.negentropy = FakeRelay::Negentropy::kCreeps;
  for (const auto takes : {milliseconds(4900), milliseconds(1)}) {
    answer_takes_ = takes;
    const auto begin = now_;
    Run();
    EXPECT_TRUE(job_->futile);
    EXPECT_EQ(job_->method, SyncMethod::kReq);
    EXPECT_TRUE(job_->finished());
    EXPECT_FALSE(job_->failed());
    EXPECT_LE(now_ - begin,
              CatchUpJob::kNegPatience + kItems * CatchUpJob::kNegPatiencePerItem + seconds(5));
    EXPECT_LE(job_->rounds, negentropy::Initiator::MaxRounds(kItems) + 1);
  }
}

TEST_F(CatchUp, AnHonestRelayFarAwayWithShortFramesIsWaitedFor) {
  constexpr int kItems = 20'000;
  for (int i = 0; i < kItems; ++i) {
    relay_.Store(NumberedIssue(i, 1000 + i));
    if (i % 2 == 0) local_.push_back(NumberedIssue(i, 1000 + i));
  }
  relay_.behaviour.neg_frame_bytes = frame_bytes_ = 4096;
  answer_takes_ = milliseconds(300);
  const auto begin = now_;
  Run();
  EXPECT_EQ(job_->method, SyncMethod::kNegentropy);
  EXPECT_FALSE(job_->futile);
  EXPECT_THAT(received_, SizeIs(kItems / 2));
  EXPECT_LE(now_ - begin, kItems * CatchUpJob::kNegPatiencePerItem * 6 / 10);
}

TEST_F(CatchUp, TimeThatIsOursAndTimeInWhichEventsComeIsNotWaitedFor) {
  ReconcileStep step;
  step.message = "a message";
  for (const bool events : {false, true}) {
    Begin();
    job_->OnReconcileStep(now_, step, actions_);
    for (int round = 0; round < 100; ++round) {
      for (int i = 0; i < 10; ++i) {
        now_ += seconds(1);
        if (events) {
          job_->OnOthersProgress(now_, seconds(1));
        } else {
          job_->Excuse(seconds(1));
        }
      }
      job_->OnNegMsg(now_, "a reply", actions_);
      job_->OnReconcileStep(now_, step, actions_);
    }
    EXPECT_FALSE(job_->futile);
    now_ += CatchUpJob::kNegPatience + seconds(1);
    job_->OnNegMsg(now_, "a reply", actions_);
    EXPECT_TRUE(job_->futile);
  }
}

TEST_F(CatchUp, ARelayThatServesFewerThanAskedIsAskedForTheRest) {
  for (int i = 0; i < 1000; ++i) relay_.Store(NumberedIssue(i, 1000 + i));
  for (const size_t serves : {1u, 5u, 100u}) {
    relay_.behaviour.serves_at_most = serves;
    received_.clear();
    requests_.clear();
    Run();
    EXPECT_EQ(MissingHere(), 0u) << serves;
    EXPECT_EQ(job_->missing, 0u) << serves;
    EXPECT_EQ(job_->method, SyncMethod::kNegentropy) << serves;
    size_t asked = 0;
    for (const auto& request : requests_) asked += request.filter.ids->size();
    EXPECT_LE(asked, 6000u) << serves << ": it is asked for about as many as it serves";
  }
}

TEST_F(CatchUp, ARelayThatServesSoManyBytesIsAskedForTheRest) {
  for (int i = 0; i < 1000; ++i) {
    // Many small ones, and some larger than what it serves.
    const size_t size = i % 50 == 0 ? 20'000 : i % 10 * 300;
    relay_.Store(Issue({testing::Repo("alice", "tool")}, 1000 + i,
                       std::to_string(i) + std::string(size, '.')));
  }
  relay_.behaviour.serves_bytes = 10'000;
  Run();
  EXPECT_EQ(MissingHere(), 0u);
  EXPECT_EQ(job_->missing, 0u);
  EXPECT_EQ(job_->method, SyncMethod::kNegentropy);
  EXPECT_LE(requests_.size(), 400u);
}

// What is missing there among what is not costs no request of its own.
TEST_F(CatchUp, GhostsAmongEventsAreGivenUpWithFewRequests) {
  for (int i = 0; i < 2000; ++i) {
    relay_.Store(NumberedIssue(i, 1000 + i));
    if (i % 10 == 0) relay_.behaviour.ghosts.insert(NumberedIssue(i, 1000 + i).id);
  }
  Run();
  EXPECT_EQ(job_->missing, 200u);
  EXPECT_EQ(job_->fetched, 1800u);
  EXPECT_LE(requests_.size(), 20u);
}

// Of each request a little, too little in all.
TEST_F(CatchUp, ARelayThatServesOneOfManyAndSlowlyDoesNotHoldItsSlot) {
  for (int i = 0; i < 1000; ++i) relay_.Store(NumberedIssue(i, 1000 + i));
  relay_.behaviour.answers_requests = false;
  const auto begin = now_;
  Run();
  for (size_t i = 0; i < requests_.size() && !job_->finished(); ++i) {
    const SendReq request = requests_[i];
    now_ += seconds(9);
    job_->OnEvent(now_, request.subscription, request.filter.ids->front(), 1000, actions_);
    job_->OnEose(now_, request.subscription, actions_);
    job_->OnDeadline(now_, actions_);
    Settle();
  }
  EXPECT_TRUE(job_->failed());
  EXPECT_LE(now_ - begin, std::chrono::minutes(5));
}

TEST_F(CatchUp, AnEventThatCannotBeReadAndSaysNoTimeDoesNotSpoilThePages) {
  for (int i = 0; i < 700; ++i) relay_.Store(NumberedIssue(i, 1000 + i));
  const auto odd = NumberedIssue(700, 0);
  relay_.Store(odd);
  relay_.behaviour.unreadable = {odd.id};
  relay_.behaviour.unreadable_times = true;
  Run(Issues(), /*try_negentropy=*/false);
  EXPECT_FALSE(job_->failed()) << job_->error;
  EXPECT_EQ(MissingHere(), 1u);
}

// A refusal is no answer: the ids are not given up, and less is asked at a time.
TEST_F(CatchUp, ARelayThatRefusesRequestsFailsTheJobAndNothingIsGivenUp) {
  for (int i = 0; i < 2000; ++i) relay_.Store(NumberedIssue(i, 1000 + i));
  relay_.behaviour.blocks = [](const auto& filters) { return filters[0].ids.has_value(); };
  Run();
  EXPECT_TRUE(job_->failed());
  EXPECT_THAT(job_->given_up, ::testing::IsEmpty());
  EXPECT_LE(requests_.size(), CatchUpJob::kReqsInFlight + 2);
}

TEST_F(CatchUp, ARelayThatReconcilesButNeverDeliversDoesNotHoldItsSlot) {
  for (int i = 0; i < 10'000; ++i) relay_.Store(NumberedIssue(i, 1000 + i));
  relay_.behaviour.answers_requests = false;
  const auto begin = now_;
  Run();
  while (!job_->finished() && now_ - begin < std::chrono::hours(1)) PassDeadline();
  EXPECT_TRUE(job_->failed());
  EXPECT_LE(now_ - begin, std::chrono::minutes(2));
  EXPECT_THAT(session_.open(), IsEmpty());
}

// What reconciliation has found may be of any time, also before a window.
TEST_F(CatchUp, PagesInsteadOfABrokenReconciliationHaveAWindowOnlyIfNothingWasStillWanted) {
  for (const bool wanted : {false, true}) {
    actions_.clear();
    CatchUpJob job(1, Issues(), true, CatchUpJob::Limits(), 1'600'000'000);
    job.Start(now_, actions_);
    ReconcileStep step;
    step.message = "opening";
    job.OnReconcileStep(now_, step, actions_);
    job.OnNegMsg(now_, "reply", actions_);
    if (wanted) step.wanted.push_back(Issue({testing::Repo("alice", "tool")}, 1, "old").id);
    job.OnReconcileStep(now_, step, actions_);
    actions_.clear();
    job.OnNegRefused(now_, "closed: this takes too long", false, actions_);
    const auto* page = std::get_if<SendReq>(&actions_.back());
    ASSERT_NE(page, nullptr);
    EXPECT_EQ(page->filter.since.has_value(), !wanted);
    EXPECT_EQ(job.windowed(), !wanted);
  }
  actions_.clear();
}

TEST_F(CatchUp, ADripOfEventsDoesNotHoldItsSlot) {
  for (int i = 0; i < 250; ++i) relay_.Store(NumberedIssue(i, 1000 + i));
  relay_.behaviour.answers_requests = false;
  const auto begin = now_;
  Run();
  ASSERT_THAT(requests_, SizeIs(1));
  for (const auto& id : *requests_[0].filter.ids) {
    now_ += seconds(9);
    job_->OnEvent(now_, requests_[0].subscription, id, 1000, actions_);
    job_->OnDeadline(now_, actions_);
    if (job_->finished()) break;
  }
  EXPECT_TRUE(job_->failed());
  EXPECT_LE(now_ - begin, std::chrono::minutes(5));
}

TEST_F(CatchUp, OurOwnSlownessIsNotHeldAgainstTheRemote) {
  Begin();
  ASSERT_THAT(actions_, SizeIs(1));  // StartReconcile: the pool is busy
  for (int i = 0; i < 100; ++i) {
    now_ = job_->deadline();
    job_->OnDeadline(now_, actions_);
  }
  EXPECT_FALSE(job_->finished());
  Settle();
  EXPECT_TRUE(job_->finished());
  EXPECT_FALSE(job_->failed());
}

TEST_F(CatchUp, MessagesNobodyWaitsForChangeNothing) {
  for (int i = 0; i < 5; ++i) relay_.Store(NumberedIssue(i, 1000 + i));
  Run();
  ASSERT_TRUE(job_->finished());
  const auto fetched = job_->fetched;
  job_->OnEvent(now_, requests_[0].subscription, NumberedIssue(0, 1000).id, 1000, actions_);
  job_->OnEose(now_, requests_[0].subscription, actions_);
  job_->OnClosed(now_, "neg-1", "error: late", actions_);
  job_->OnNegMsg(now_, "\x61", actions_);
  job_->OnDeadline(now_ + seconds(100), actions_);
  EXPECT_EQ(job_->fetched, fetched);
  EXPECT_FALSE(job_->failed());
  EXPECT_THAT(actions_, IsEmpty());
}

// ---- what makes it page instead -------------------------------------------------------------

TEST_F(CatchUp, EveryKindOfRefusalFallsBackToPages) {
  using Negentropy = FakeRelay::Negentropy;
  for (int i = 0; i < 30; ++i) relay_.Store(NumberedIssue(i, 1000 + i));
  const std::pair<Negentropy, Support> cases[] = {
      {Negentropy::kNegError, Support::kYes},  // it refuses this set, not the protocol
      {Negentropy::kClosed, Support::kNo},
      {Negentropy::kNotice, Support::kNo},
      {Negentropy::kSilent, Support::kNo},
  };
  for (const auto& [negentropy, support] : cases) {
    relay_.behaviour.negentropy = negentropy;
    received_.clear();
    Run();
    if (negentropy == Negentropy::kSilent) {
      EXPECT_FALSE(job_->finished());
      PassDeadline();
    }
    EXPECT_TRUE(job_->finished());
    EXPECT_FALSE(job_->failed());
    EXPECT_EQ(job_->method, SyncMethod::kReq);
    EXPECT_EQ(job_->support(), support);
    EXPECT_EQ(MissingHere(), 0u);
    EXPECT_THAT(session_.open(), IsEmpty());
  }
}

TEST_F(CatchUp, WhoHasAnsweredOnceIsNotTakenToLackNegentropy) {
  for (int i = 0; i < 2000; ++i) relay_.Store(NumberedIssue(i, 1000 + i));
  for (int i = 0; i < 2000; i += 2) local_.push_back(NumberedIssue(i, 1000 + i));
  Begin();
  for (auto& action : std::exchange(actions_, {})) Carry(action);  // builds the set
  for (auto& action : std::exchange(actions_, {})) Carry(action);  // NEG-OPEN and its answer
  ASSERT_EQ(job_->support(), Support::kYes);
  job_->OnClosed(now_, job_->neg_subscription(), "error: going away", actions_);
  Settle();
  EXPECT_EQ(job_->support(), Support::kYes);
  EXPECT_EQ(job_->method, SyncMethod::kReq);
  EXPECT_EQ(MissingHere(), 0u);
}

TEST_F(CatchUp, AFailureOfOurOwnSetFallsBackToPages) {
  for (int i = 0; i < 30; ++i) relay_.Store(NumberedIssue(i, 1000 + i));
  Begin();
  actions_.clear();
  job_->OnReconcileStep(now_, absl::ResourceExhaustedError("too many items"), actions_);
  Settle();
  EXPECT_FALSE(job_->futile) << "the remote is not to blame";
  EXPECT_TRUE(job_->finished());
  EXPECT_EQ(job_->support(), Support::kUnknown);
  EXPECT_EQ(MissingHere(), 0u);
}

// ---- pages -----------------------------------------------------------------------------------

TEST_F(CatchUp, PagesBringEverything) {
  for (int i = 0; i < 1700; ++i) relay_.Store(NumberedIssue(i, 1000 + i / 3));
  Run(Issues(), /*try_negentropy=*/false);
  EXPECT_TRUE(job_->finished());
  EXPECT_FALSE(job_->failed());
  EXPECT_EQ(MissingHere(), 0u);
  EXPECT_EQ(job_->fetched, 1700u);
  EXPECT_LE(relay_.events_served(), 1900u) << "pages overlap by one second, not by more";
}

TEST_F(CatchUp, SmallPagesAreNotTakenForTheEnd) {
  for (int i = 0; i < 95; ++i) relay_.Store(NumberedIssue(i, 1000 + i));
  relay_.behaviour.serves_at_most = 10;
  Run(Issues(), false);
  EXPECT_EQ(MissingHere(), 0u);
}

TEST_F(CatchUp, PagesSurviveASecondThatFillsAPage) {
  relay_.behaviour.serves_at_most = 5000;
  for (int i = 0; i < 200; ++i) relay_.Store(NumberedIssue(i, 3000 + i));
  for (int i = 200; i < 1400; ++i) relay_.Store(NumberedIssue(i, 2000));
  for (int i = 1400; i < 1500; ++i) relay_.Store(NumberedIssue(i, 1000 + i));
  Run(Issues(), false);
  EXPECT_TRUE(job_->finished());
  EXPECT_EQ(MissingHere(), 0u);
}

TEST_F(CatchUp, ASecondTheRelayCannotServeInFullDoesNotStopTheRest) {
  relay_.behaviour.serves_at_most = 50;
  for (int i = 0; i < 80; ++i) relay_.Store(NumberedIssue(i, 2000));
  for (int i = 80; i < 120; ++i) relay_.Store(NumberedIssue(i, 1000));
  Run(Issues(), false);
  EXPECT_TRUE(job_->finished());
  EXPECT_EQ(MissingHere(), 30u) << "of the crowded second only";
}

TEST_F(CatchUp, UnsortedPagesBringEverything) {
  for (int i = 0; i < 900; ++i) relay_.Store(NumberedIssue(i, 1000 + i / 2));
  relay_.behaviour.newest_first = false;
  relay_.behaviour.serves_at_most = 60;
  Run(Issues(), false);
  EXPECT_TRUE(job_->finished());
  EXPECT_EQ(MissingHere(), 0u);
}

TEST_F(CatchUp, EventsOfTheYear1970End) {
  for (int i = 0; i < 20; ++i) relay_.Store(NumberedIssue(i, 0));
  Run(Issues(), false);
  EXPECT_TRUE(job_->finished());
  EXPECT_EQ(MissingHere(), 0u);
}

TEST_F(CatchUp, AWindowIsKept) {
  for (int i = 0; i < 1000; ++i) relay_.Store(NumberedIssue(i, 1000 + i));
  relay_.behaviour.serves_at_most = 70;
  auto window = Issues();
  window.since = 1300;
  window.until = 1799;
  for (const bool negentropy : {false, true}) {
    received_.clear();
    Run(window, negentropy);
    EXPECT_TRUE(job_->finished());
    EXPECT_THAT(received_, SizeIs(500)) << negentropy;
  }
}

TEST_F(CatchUp, ASilentPageFails) {
  relay_.behaviour.answers_requests = false;
  Run(Issues(), false);
  job_->OnDeadline(now_ + CatchUpJob::kProgressTimeout - seconds(1), actions_);
  EXPECT_FALSE(job_->finished());
  PassDeadline();
  EXPECT_TRUE(job_->failed());
  EXPECT_THAT(session_.open(), IsEmpty());
}

TEST_F(CatchUp, AClosedPageFailsWithTheRemotesWords) {
  relay_.behaviour.answers_requests = false;
  Run(Issues(), false);
  job_->OnClosed(now_, requests_.at(0).subscription, "auth-required: who are you", actions_);
  EXPECT_TRUE(job_->failed());
  EXPECT_THAT(job_->error, ::testing::HasSubstr("auth-required"));
}

TEST_F(CatchUp, APageThatNeverEndsFails) {
  relay_.behaviour.answers_requests = false;
  Run(Issues(), false);
  for (uint64_t i = 0; i < 1'000'000 && !job_->finished(); ++i) {
    job_->OnEvent(now_, requests_.at(0).subscription, {nostr::Sha256(std::to_string(i))}, 1000 + i,
                  actions_);
  }
  EXPECT_TRUE(job_->failed());
  EXPECT_LT(job_->fetched, 50'000u);
}

TEST_F(CatchUp, ARelayThatInventsEventsOfOneSecondForEverIsLeft) {
  relay_.behaviour.answers_requests = false;
  Run(Issues(), false);
  uint64_t invented = 0;
  while (!job_->finished() && invented < 3'000'000) {
    const std::string page = requests_.back().subscription;
    for (int i = 0; i < 500; ++i, ++invented) {
      nostr::EventId id;
      std::memcpy(id.bytes.data(), &invented, sizeof invented);
      job_->OnEvent(now_, page, id, 1000, actions_);
    }
    job_->OnEose(now_, page, actions_);
    Settle();
  }
  EXPECT_TRUE(job_->finished());
  EXPECT_LE(invented, 200'000u);
}

TEST_F(CatchUp, ARelayThatRepeatsItselfForEverIsLeft) {
  relay_.behaviour.answers_requests = false;
  Run(Issues(), false);
  uint64_t pages = 0;
  while (!job_->finished() && pages < 100'000) {
    const std::string page = requests_.back().subscription;
    job_->OnEvent(now_, page, NumberedIssue(1, 1000).id, 1000 + pages % 7, actions_);
    job_->OnEose(now_, page, actions_);
    Settle();
    ++pages;
  }
  EXPECT_TRUE(job_->finished());
  EXPECT_LE(pages, CatchUpJob::kMaxPages);
}

}  // namespace
}  // namespace graspd::sync
