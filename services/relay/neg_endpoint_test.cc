#include "services/relay/neg_endpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "nostr/negentropy/item_set.h"
#include "services/relay/session_test_support.h"

namespace graspd::relay {
namespace {

using nostr::Event;
using nostr::EventBuilder;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

class NegTest : public SessionTest {
 protected:
  static constexpr std::string_view kCount = R"(["COUNT","c",{}])";

  // The bytes of a NEG-MSG answer; fails the test on anything else.
  std::string NegAnswer(const std::string& message) {
    auto parsed = nostr::ParseRelayMessage(message);
    const auto* answer = std::get_if<nostr::RelayNegMsg>(&parsed);
    EXPECT_NE(answer, nullptr) << message;
    return answer ? answer->message : "";
  }
  std::string NegOpen(std::string_view id, const std::string& bytes) {
    return nostr::NegOpenMessage(id, nostr::Filter(), bytes);
  }
  void ScansTake(base::Duration time) {
    store_->on_scan = [this, time](const storage::EventStore::Stop&) {
      clock_.Advance(time);
      return absl::OkStatus();
    };
  }
  // Nothing is left of the address's budget for about half a minute.
  void Overdraw() {
    const double half_a_minute = 30 * WorkBudget::kPerSecond;
    const double left = WorkBudget::kBurst + half_a_minute;
    Address().ChargeWork(limits_.address_rate_factor * static_cast<size_t>(left));
  }
  AddressBudgets::Budget& Address() {
    return *addresses_->Get(connection_->peer_value.address, clock_.Now());
  }
  // Another connection of the same address.
  class Client {
   public:
    explicit Client(NegTest& test)
        : session_(ClientSession::Start(*test.context_, test.hub_, connection_)) {}
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;
    ~Client() { session_->OnClosed(); }
    void Send(std::string_view text) {
      const std::string padded = std::string(text) + std::string(64, ' ');
      session_->OnText(std::string_view(padded).substr(0, text.size()));
    }
    [[nodiscard]] size_t received() const { return connection_->sent.size(); }

   private:
    const std::shared_ptr<FakeConnection> connection_ = std::make_shared<FakeConnection>();
    const std::shared_ptr<ClientSession> session_;
  };
  // Whatever the scans have begun is over and was charged.
  void FinishScans() {
    ReadsHold(scans_).Release();
    thread_.RunAll();
  }
  static std::shared_ptr<negentropy::SealedSet> EmptySet() {
    return std::make_shared<negentropy::SealedSet>(std::vector<negentropy::Item>());
  }
  std::string FirstMessage() { return negentropy::Initiator(EmptySet(), {}).Start(); }
};

TEST_F(NegTest, AClientLearnsTheDifference) {
  Start();
  std::set<nostr::EventId> missing;
  std::vector<negentropy::Item> items;
  for (int i = 0; i < 300; ++i) {
    const Event note = Note(std::to_string(i));
    Store(note);
    if (i % 50 == 0) {
      missing.insert(note.id);
    } else {
      items.push_back({note.created_at, note.id});
    }
  }
  negentropy::Initiator initiator(std::make_shared<negentropy::SealedSet>(items), {});
  std::set<nostr::EventId> need;
  std::string message = initiator.Start();
  Send(NegOpen("n", message));
  for (int round = 0; round < 20; ++round) {
    auto step = initiator.Continue(NegAnswer(Receive(1).at(0)));
    ASSERT_TRUE(step.ok()) << step.status();
    EXPECT_TRUE(step->have.empty());
    need.insert(step->need.begin(), step->need.end());
    if (step->message.empty()) break;
    Send(nostr::NegMsgMessage("n", step->message));
  }
  EXPECT_EQ(need, missing);
  EXPECT_EQ(meters_.neg_sessions, 1);
  Send(R"(["NEG-CLOSE","n"])");
  EXPECT_EQ(meters_.neg_sessions, 0);
  clock_.Advance(std::chrono::seconds(30));
  // The last answer's task may still hold the set for a moment.
  while (neg_sets_->bytes() > 0) neg_sets_->Tend();
}

TEST_F(NegTest, SessionsPerConnectionAreLimitedAndReopeningReplaces) {
  limits_.neg_sessions = 2;
  Start();
  for (const char* id : {"a", "b", "a"}) NegAnswer(Ask(NegOpen(id, FirstMessage()), 1).at(0));
  EXPECT_THAT(Ask(NegOpen("c", FirstMessage()), 1),
              ElementsAre(StartsWith(R"(["NEG-ERR","c","blocked: )")));
}

TEST_F(NegTest, AReplacedOrClosedReconciliationIsNotRead) {
  Start();
  {
    ReadsHold hold(scans_);
    for (int i = 0; i < 20; ++i) Send(NegOpen("a", FirstMessage()));
    Send(NegOpen("b", FirstMessage()));
    Send(R"(["NEG-CLOSE","b"])");
    EXPECT_THAT(connection_->sent, IsEmpty());
  }
  NegAnswer(Receive(1).at(0));
  Ask(R"(["COUNT","c",{}])", 1);  // behind everything else
  EXPECT_EQ(store_->lists, 1);
}

TEST_F(NegTest, AReadingStopsWithTheReconciliationAndWithTheConnection) {
  Start();
  for (int i = 0; i < 5; ++i) Store(Note(std::to_string(i)));
  for (const bool connection : {false, true}) {
    bool begun = false;
    std::promise<void> ended;
    store_->on_scan = [&](const storage::EventStore::Stop& stop) {
      EXPECT_FALSE(stop());
      thread_.Post([&] { begun = true; });
      ended.get_future().wait();
      return stop() ? absl::CancelledError("stopped") : absl::OkStatus();
    };
    Send(NegOpen("a", FirstMessage()));
    thread_.RunUntil([&] { return begun; });
    if (connection) {
      session_->OnClosed();
    } else {
      Send(R"(["NEG-CLOSE","a"])");
    }
    ended.set_value();
    thread_.RunUntil([&] { return neg_sets_->kept() == 0; });
  }
  EXPECT_EQ(store_->lists, 2);
  EXPECT_EQ(store_->visited, 0);
}

TEST_F(NegTest, WhatWaitsIsCharged) {
  limits_.filter_total_bytes = 1u << 20;
  limits_.neg_sessions = 10;
  limits_.message_bytes = limits_.neg_message_bytes;
  Start();
  nostr::Filter filter;
  filter.tags['t'] = {std::string(100'000, 'x')};
  const auto open = [&](std::string_view id) {
    return nostr::NegOpenMessage(id, filter, FirstMessage());
  };
  {
    ReadsHold hold(scans_);
    for (const char* id : {"a", "b", "c", "d", "e"}) Send(open(id));
    EXPECT_GT(*meters_.filter_bytes, 900'000);
    EXPECT_THAT(Ask(open("f"), 1), ElementsAre(StartsWith(R"(["NEG-ERR","f","rate-limited: )")));
  }
  EXPECT_EQ(Receive(5).size(), 5u);
  while (*meters_.filter_bytes > 0) std::this_thread::yield();  // they go with their tasks
  NegAnswer(Ask(open("f"), 1).at(0));
}

TEST_F(NegTest, WhatHasEndedHoldsNoPlaceAndNoMemoryWhileOthersWait) {
  limits_.address_rate_factor = 1;
  Start();
  Overdraw();
  for (int i = 0; i < 60; ++i) Send(NegOpen("a", FirstMessage()));
  Send(kCount);
  EXPECT_EQ(meters_.reads_waiting, 2);
  EXPECT_THAT(connection_->sent, IsEmpty());
  Send(R"(["NEG-CLOSE","a"])");
  hub_.Tick(clock_.Now());
  EXPECT_EQ(meters_.reads_waiting, 1);
  EXPECT_FALSE(session_->IsIdle());
  clock_.Advance(std::chrono::minutes(1));
  hub_.Tick(clock_.Now());
  Receive(1);
  Overdraw();
  Send(NegOpen("a", FirstMessage()));
  Send(R"(["NEG-CLOSE","a"])");
  hub_.Tick(clock_.Now());
  EXPECT_EQ(meters_.reads_waiting, 0);
  EXPECT_TRUE(session_->IsIdle());
  // Nor does somebody else wait for its turn.
  clock_.Advance(std::chrono::minutes(1));
  Client other(*this);
  other.Send(kCount);
  thread_.RunUntil([&] { return other.received() == 1; });
}

TEST_F(NegTest, ASetOverTheCapIsBlockedWithTheMaximum) {
  limits_.neg_set_items = 2;
  Start();
  for (const char* text : {"1", "2", "3"}) Store(Note(text));
  const Strings answer = Ask(NegOpen("a", FirstMessage()), 1);
  EXPECT_THAT(answer, ElementsAre(StartsWith(R"(["NEG-ERR","a","blocked: )")));
  EXPECT_THAT(answer[0], testing::EndsWith(",2]"));
}

TEST_F(NegTest, ASetThatTheMemoryOfAllSetsIsTooSmallForIsBlocked) {
  limits_.neg_memory_bytes = 100;
  Start();
  for (const char* text : {"1", "2", "3", "4"}) Store(Note(text));
  EXPECT_THAT(Ask(NegOpen("a", FirstMessage()), 1),
              ElementsAre(StartsWith(R"(["NEG-ERR","a","blocked: )")));
  EXPECT_EQ(neg_sets_->bytes(), 0u);
}

TEST_F(NegTest, WhoAsksTheSameSharesTheSet) {
  Start();
  for (int i = 0; i < 50; ++i) Store(Note(std::to_string(i)));
  NegAnswer(Ask(NegOpen("a", FirstMessage()), 1).at(0));
  const size_t one = neg_sets_->bytes();
  EXPECT_GT(one, 0u);
  NegAnswer(Ask(NegOpen("b", FirstMessage()), 1).at(0));
  EXPECT_EQ(neg_sets_->bytes(), one);
  Store(Note("new"));
  NegAnswer(Ask(NegOpen("c", FirstMessage()), 1).at(0));
  EXPECT_GT(neg_sets_->bytes(), one);
  EXPECT_EQ(store_->lists, 1);
}

TEST_F(NegTest, IdleSessionsEnd) {
  Start();
  NegAnswer(Ask(NegOpen("a", FirstMessage()), 1).at(0));
  clock_.Advance(std::chrono::seconds(29));
  hub_.Tick(clock_.Now());
  EXPECT_THAT(connection_->sent, IsEmpty());
  clock_.Advance(std::chrono::seconds(1));
  hub_.Tick(clock_.Now());
  EXPECT_THAT(connection_->sent, ElementsAre(StartsWith(R"(["NEG-ERR","a","closed: )")));
  EXPECT_EQ(meters_.neg_sessions, 0);
}

TEST_F(NegTest, ASecondMessageBeforeTheAnswerAndAMalformedOneEndTheSession) {
  Start();
  {
    ReadsHold hold(scans_);
    Send(NegOpen("a", FirstMessage()));
    Send(nostr::NegMsgMessage("a", FirstMessage()));
    EXPECT_THAT(connection_->sent, ElementsAre(StartsWith(R"(["NEG-ERR","a","invalid: )")));
  }
  connection_->sent.clear();
  NegAnswer(Ask(NegOpen("b", FirstMessage()), 1).at(0));
  EXPECT_THAT(Ask(nostr::NegMsgMessage("b", "a\xff\xff"), 1),
              ElementsAre(StartsWith(R"(["NEG-ERR","b","invalid: )")));
  EXPECT_EQ(meters_.neg_sessions, 0);
}

// A fingerprint that is wrong for ever, over everything: the cheapest question that makes work.
std::string WrongFingerprint() { return std::string("\x61\0\0\1", 4) + std::string(16, 'x'); }

TEST_F(NegTest, ARoundThatLeadsNowhereIsAnsweredOnlySoOften) {
  Start();
  for (int i = 0; i < 100; ++i) Store(Note(std::to_string(i)));
  NegAnswer(Ask(NegOpen("a", WrongFingerprint()), 1).at(0));
  for (int i = 0; i < negentropy::AskerProgress::kMaxIdleRounds; ++i) {
    NegAnswer(Ask(nostr::NegMsgMessage("a", WrongFingerprint()), 1).at(0));
  }
  EXPECT_THAT(Ask(nostr::NegMsgMessage("a", WrongFingerprint()), 1),
              ElementsAre(StartsWith(R"(["NEG-ERR","a","closed: )")));
  EXPECT_EQ(meters_.neg_sessions, 0);
  EXPECT_THAT(metrics_.Serialize(),
              HasSubstr(R"(graspd_relay_neg_refusals_total{reason="no_progress"} 1)"));
}

TEST_F(NegTest, MessagesOutOfTurnAreCutOffInTheEnd) {
  Start();
  for (int i = 0; i < 101; ++i) Send(nostr::NegMsgMessage("a", WrongFingerprint()));
  EXPECT_EQ(connection_->close_code, 1008);
}

// 91,945 units of work: an answer to each of 40,000 ranges. The budget is overdrawn after eleven.
std::string HeavyMessage() {
  const std::string range = std::string("\1\0\1", 3) + std::string(16, 'x');
  return "a" + Repeated(range, 40'000);
}

TEST_F(NegTest, WorkBeyondTheBudgetWaitsForItsTime) {
  Start();
  NegAnswer(Ask(NegOpen("a", HeavyMessage()), 1).at(0));
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(meters_.neg_waiting, 0);
    NegAnswer(Ask(nostr::NegMsgMessage("a", HeavyMessage()), 1).at(0));
  }
  Send(nostr::NegMsgMessage("a", HeavyMessage()));
  EXPECT_EQ(meters_.neg_waiting, 1);
  clock_.Advance(std::chrono::milliseconds(200));
  hub_.Tick(clock_.Now());
  EXPECT_EQ(meters_.neg_waiting, 1) << "not enough for what is overdrawn";
  clock_.Advance(std::chrono::milliseconds(100));
  hub_.Tick(clock_.Now());
  EXPECT_EQ(meters_.neg_waiting, 0);
  NegAnswer(Receive(1).at(0));
}

// Another `since` each time makes another set each time.
TEST_F(NegTest, ReadingOneSetAfterAnotherWaitsForItsTimeAndSoDoesACount) {
  Start();
  Store(Note("x"));
  ScansTake(std::chrono::milliseconds(400));
  const auto open = [&](std::string_view id, uint64_t since) {
    nostr::Filter filter;
    filter.since = since;
    return nostr::NegOpenMessage(id, filter, FirstMessage());
  };
  int sets = 0;
  while (meters_.neg_waiting == 0) {  // the answers wait, too, once the budget is overdrawn
    ASSERT_LT(sets, 100);
    Send(open("a", ++sets));
    FinishScans();
  }
  connection_->sent.clear();
  Send(open("b", ++sets));
  Send(kCount);
  hub_.Tick(clock_.Now());
  EXPECT_EQ(meters_.reads_waiting, 2);
  EXPECT_EQ(store_->lists, sets - 1);
  EXPECT_EQ(store_->counts, 0);
  clock_.Advance(std::chrono::minutes(1));
  hub_.Tick(clock_.Now());
  EXPECT_EQ(Receive(3).size(), 3u);
  EXPECT_EQ(store_->lists, sets);
  EXPECT_EQ(meters_.reads_waiting, 0);
}

// Who has used up its budget by scans, as we do when we compare everything, hears of each of them
// before it gives up.
TEST_F(NegTest, LongReadingsOneAfterAnotherAreNeverFollowedByLongSilence) {
  limits_.address_rate_factor = 100;
  Start();
  Store(Note("x"));
  ScansTake(std::chrono::milliseconds(800));
  base::Duration longest{};
  for (uint64_t since = 1; since < 200; ++since) {
    nostr::Filter filter;
    filter.since = since;
    const base::SteadyTime asked_at = clock_.Now();
    Send(nostr::NegOpenMessage("a", filter, FirstMessage()));
    FinishScans();
    while (meters_.reads_waiting + meters_.neg_waiting > 0) {
      clock_.Advance(std::chrono::seconds(1));
      hub_.Tick(clock_.Now());
      FinishScans();
    }
    NegAnswer(Receive(1).at(0));
    longest = std::max(longest, clock_.Now() - asked_at);
  }
  EXPECT_GT(longest, std::chrono::seconds(1)) << "nothing had to wait";
  EXPECT_LT(longest, std::chrono::seconds(6));
}

TEST_F(NegTest, ConnectionsOfABusyAddressAreReadInTurn) {
  limits_.address_rate_factor = 10;
  Start();
  Overdraw();
  ScansTake(std::chrono::seconds(3));
  std::vector<std::unique_ptr<Client>> clients;
  while (clients.size() < 4) clients.push_back(std::make_unique<Client>(*this));
  std::vector<size_t> asked(clients.size());
  for (int i = 0; i < 200; ++i) {
    for (size_t client = 0; client < clients.size(); ++client) {
      if (clients[client]->received() < asked[client]) continue;
      clients[client]->Send(kCount);
      ++asked[client];
    }
    clock_.Advance(std::chrono::seconds(1));
    hub_.Tick(clock_.Now());
    FinishScans();
  }
  const auto [fewest, most] = std::minmax_element(asked.begin(), asked.end());
  EXPECT_GT(*fewest, 10u);
  EXPECT_LE(*most, *fewest + 1);
}

TEST_F(NegTest, WhatHasWaitedForWorkForAMinuteIsRefused) {
  limits_.address_rate_factor = 1;
  Start();
  Overdraw();
  Send(kCount);
  Send(NegOpen("a", FirstMessage()));
  clock_.Advance(std::chrono::seconds(20));
  Address().ChargeWork(static_cast<size_t>(60 * WorkBudget::kPerSecond));
  clock_.Advance(std::chrono::seconds(40));
  hub_.Tick(clock_.Now());
  EXPECT_EQ(meters_.reads_waiting, 2);
  clock_.Advance(std::chrono::seconds(1));
  hub_.Tick(clock_.Now());
  EXPECT_THAT(connection_->sent, ElementsAre(StartsWith(R"(["CLOSED","c","rate-limited: )"),
                                             StartsWith(R"(["NEG-ERR","a","rate-limited: )")));
  EXPECT_EQ(meters_.reads_waiting, 0);
  EXPECT_EQ(meters_.neg_sessions, 0);
  EXPECT_TRUE(session_->IsIdle());
  EXPECT_THAT(metrics_.Serialize(),
              HasSubstr(R"(graspd_relay_rate_limited_total{budget="address"} 2)"));
}

TEST_F(NegTest, OneLongReadingIsAnsweredWithoutDelay) {
  Start();
  Store(Note("x"));
  ScansTake(std::chrono::seconds(4));
  NegAnswer(Ask(NegOpen("a", FirstMessage()), 1).at(0));
  EXPECT_THAT(Ask(nostr::NegMsgMessage("a", FirstMessage()), 1),
              ElementsAre(StartsWith(R"(["NEG-MSG","a",)")));
}

TEST_F(NegTest, HangingUpDoesNotRenewTheTimeForScans) {
  limits_.address_rate_factor = 1;
  Start();
  std::promise<void> ended;
  bool begun = false;
  store_->on_scan = [&](const storage::EventStore::Stop& stop) {
    thread_.Post([&] { begun = true; });
    ended.get_future().wait();
    clock_.Advance(std::chrono::seconds(3));
    return stop() ? absl::CancelledError("stopped") : absl::OkStatus();
  };
  Send(kCount);
  thread_.RunUntil([&] { return begun; });
  session_->OnClosed();
  ended.set_value();
  FinishScans();
  store_->on_scan = nullptr;
  session_ = ClientSession::Start(*context_, hub_, connection_);
  Send(kCount);
  EXPECT_EQ(meters_.reads_waiting, 1);
  clock_.Advance(std::chrono::minutes(1));
  hub_.Tick(clock_.Now());
  EXPECT_EQ(Receive(1).size(), 1u);
}

TEST_F(NegTest, WhatIsQueuedWaitsIfOthersOfTheAddressUseUpTheTime) {
  limits_.address_rate_factor = 1;
  Start();
  ScansTake(std::chrono::seconds(3));
  Client other(*this);
  {
    const ReadsHold hold(scans_);
    Send(kCount);
    other.Send(kCount);
    EXPECT_EQ(scans_.queued(), 2u);
  }
  Receive(1);
  thread_.RunUntil([&] { return meters_.reads_waiting == 1; });
  EXPECT_EQ(store_->counts, 1);
  clock_.Advance(std::chrono::minutes(1));
  hub_.Tick(clock_.Now());
  thread_.RunUntil([&] { return other.received() == 1; });
  EXPECT_EQ(store_->counts, 2);
}

TEST_F(NegTest, TheBudgetIsTheConnectionsNotTheSessions) {
  Start();
  NegAnswer(Ask(NegOpen("b", FirstMessage()), 1).at(0));
  for (int i = 0; i < 11; ++i) {
    NegAnswer(Ask(NegOpen("a", HeavyMessage()), 1).at(0));
    Send(R"(["NEG-CLOSE","a"])");
  }
  FinishScans();
  Send(nostr::NegMsgMessage("b", HeavyMessage()));
  EXPECT_EQ(meters_.neg_waiting, 1);
  Send(R"(["NEG-CLOSE","b"])");
  EXPECT_EQ(meters_.neg_waiting, 0);
  Send(NegOpen("a", HeavyMessage()));
  EXPECT_EQ(meters_.reads_waiting, 1);
}

}  // namespace
}  // namespace graspd::relay
