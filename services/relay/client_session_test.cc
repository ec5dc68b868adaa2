#include "services/relay/client_session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "services/relay/session_test_support.h"

namespace graspd::relay {
namespace {

using nostr::Event;
using nostr::EventBuilder;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

constexpr char kSlowDown[] = "rate-limited: slow down";

// ---- events ----------------------------------------------------------------------------------

TEST_F(SessionTest, AnEventIsAnsweredWhenItIsStored) {
  Start();
  const Event note = Note("x");
  Publish(note);
  EXPECT_THAT(Receive(1), ElementsAre(Ok(note)));
  EXPECT_EQ((*store_->GetStats()).events, 1u);
  Publish(note);
  EXPECT_THAT(Receive(1), ElementsAre(nostr::OkMessage(note.id.ToHex(), true,
                                                       "duplicate: already have this event")));
}

TEST_F(SessionTest, EveryRefusalHasTheFormThatItsMessageAsksFor) {
  Start();
  EXPECT_THAT(Ask("hello", 1), ElementsAre(StartsWith(R"(["NOTICE","invalid: )")));
  EXPECT_THAT(Ask(R"(["EVENT",{"id":"xyz"}])", 1),
              ElementsAre(StartsWith(R"(["OK","xyz",false,"invalid: )")));
  EXPECT_THAT(Ask(R"(["REQ","a",{"kinds":"x"}])", 1),
              ElementsAre(StartsWith(R"(["CLOSED","a","invalid: )")));
  EXPECT_THAT(Ask(R"(["REQ","a",{"search":"x"}])", 1),
              ElementsAre(StartsWith(R"(["CLOSED","a","unsupported: )")));
  EXPECT_THAT(Ask(R"(["NEG-MSG","a","61"])", 1),
              ElementsAre(StartsWith(R"(["NEG-ERR","a","closed: )")));
  Event forged = Note("x");
  forged.sig.bytes[0] ^= 1;
  Publish(forged);
  EXPECT_THAT(Receive(1),
              ElementsAre(nostr::OkMessage(forged.id.ToHex(), false, "invalid: bad signature")));
}

TEST_F(SessionTest, ClientsHaveBudgetsAndOurOwnConnectionHasNone) {
  limits_.events_burst = 2;
  limits_.reqs_burst = 2;
  Start();
  for (const char* text : {"1", "2", "3"}) Publish(Note(text));
  // The refusal does not wait for the others.
  EXPECT_THAT(connection_->sent, ElementsAre(nostr::OkMessage(Note("3").id.ToHex(), false,
                                                              "rate-limited: slow down")));
  Receive(3);
  Send(R"(["REQ","a",{"limit":0}])");
  Send(R"(["COUNT","b",{}])");
  EXPECT_THAT(Ask(R"(["REQ","c",{}])", 3).at(1),
              nostr::ClosedMessage("c", "rate-limited: slow down"));

  session_->OnClosed();
  session_.reset();
  Start(true);
  for (int i = 0; i < 10; ++i) Publish(Note(std::to_string(10 + i)));
  for (const std::string& answer : Receive(10)) EXPECT_THAT(answer, testing::HasSubstr("true"));
}

TEST_F(SessionTest, ConnectionsOfOneAddressShareABudget) {
  limits_.events_burst = limits_.reqs_burst = 2;
  limits_.address_rate_factor = 2;
  Start();
  connection_->peer_value.address = *net::IpAddress::Parse("192.0.2.1");
  const auto again = [&](const char* address) {
    session_->OnClosed();
    connection_->peer_value.address = *net::IpAddress::Parse(address);
    connection_->sent.clear();
    Start();
    Publish(Note("x"));
    Send(R"(["COUNT","c",{}])");
    return Receive(2);
  };
  const std::string slow_event = nostr::OkMessage(Note("x").id.ToHex(), false, kSlowDown),
                    slow_req = nostr::ClosedMessage("c", kSlowDown);
  for (int i = 0; i < 4; ++i) {
    const Strings answers = again("192.0.2.1");
    EXPECT_THAT(answers, testing::Not(testing::Contains(testing::HasSubstr("rate-limited"))));
  }
  EXPECT_THAT(again("192.0.2.1"), ElementsAre(slow_event, slow_req));
  EXPECT_THAT(again("192.0.2.2"), testing::Not(testing::Contains(slow_event)));
  clock_.Advance(std::chrono::seconds(1));
  EXPECT_THAT(again("192.0.2.1"), testing::Not(testing::Contains(slow_event)));
}

// Threats C1: forged events are paid for by the address, so coming back does not help.
TEST_F(SessionTest, WhoForgesEventsAndComesBackFindsTheAddressInDebt) {
  limits_.address_rate_factor = 2;
  Event forged = Note("x");
  forged.sig.bytes[0] ^= 1;
  size_t verified = 0;
  for (int connection = 0; connection < 5; ++connection) {
    if (session_) session_->OnClosed();
    connection_->close_code = 0;
    Start();
    for (int i = 0; i < 150 && connection_->close_code == 0; ++i) {
      Publish(forged);
      for (const std::string& answer : Receive(1)) {
        verified += answer.find("invalid: bad signature") != std::string::npos;
      }
    }
    if (connection == 0) {
      EXPECT_EQ(connection_->close_code, 1008);
    }
  }
  // 1,200 tokens at 11 each, as long as the clock stands still.
  EXPECT_EQ(verified, 110u);
}

// Threats C1.
TEST_F(SessionTest, WhatFollowsTheForgedEventThatWasOneTooManyIsNotChecked) {
  Start();
  Event forged = Note("x");
  forged.sig.bytes[0] ^= 1;
  for (int i = 0; i < 150; ++i) Publish(forged);
  const auto count = [&](const std::string& result) {
    const std::string name = "graspd_ingest_events_total{result=\"" + result + "\"} ";
    const std::string all = metrics_.Serialize();
    return std::stoi(all.substr(all.find(name) + name.size()));
  };
  thread_.RunUntil([&] { return count("invalid") + count("refused") == 150; });
  EXPECT_EQ(count("invalid"), 101);
  EXPECT_EQ(connection_->close_code, 1008);
}

TEST_F(SessionTest, WhoSendsOnlyRubbishIsCutOff) {
  Start();
  for (int i = 0; i < 100; ++i) Send("rubbish");
  EXPECT_EQ(connection_->close_code, 0);
  Send("rubbish");
  EXPECT_EQ(connection_->close_code, 1008);
}

TEST_F(SessionTest, OversizeAndBinaryMessagesCloseTheConnection) {
  limits_.message_bytes = 100;
  Start();
  Send(R"(["NEG-MSG","a",")" + std::string(200, '0') + R"("])");
  EXPECT_EQ(connection_->close_code, 0);
  Send(R"(["REQ","a",{"ids":[")" + std::string(200, '0') + R"("]}])");
  EXPECT_EQ(connection_->close_code, 1009);
  session_->OnBinary();
  EXPECT_EQ(connection_->close_code, 1003);
  for (const char* reason : {"too_long", "binary"}) {
    EXPECT_THAT(metrics_.Serialize(),
                HasSubstr("graspd_relay_unfit_message_closes_total{reason=\"" +
                          std::string(reason) + "\"} 1\n"));
  }
}

class ScriptedSink final : public ingest::EventSink {
 public:
  struct Script {
    size_t credits = 2;
    std::vector<nostr::EventId> submitted;
    Callback on_results;
  };
  std::unique_ptr<ingest::Submitter> Open(Lane, base::Executor&, Callback on_results) override {
    class Scripted final : public ingest::Submitter {
     public:
      explicit Scripted(Script& script) : script_(script) {}
      void Submit(Event event, storage::Source, ingest::Lookup) override {
        script_.submitted.push_back(event.id);
        --script_.credits;
      }
      size_t credits() const override { return script_.credits; }

     private:
      Script& script_;
    };
    script.on_results = std::move(on_results);
    return std::make_unique<Scripted>(script);
  }
  Script script;
};

TEST_F(SessionTest, ReadingStopsWhileNoMoreEventsMayBeInFlight) {
  ScriptedSink sink;
  Start(sink, false);
  Publish(Note("1"));
  EXPECT_TRUE(connection_->reading);
  Publish(Note("2"));
  EXPECT_FALSE(connection_->reading);
  sink.script.credits = 1;
  const ingest::Result result{sink.script.submitted[0], ingest::Code::kStored, ""};
  sink.script.on_results({&result, 1});
  EXPECT_TRUE(connection_->reading);
}

TEST_F(SessionTest, TooMuchOfAnythingIsRefusedWithAPrefix) {
  limits_.filters_per_req = 2;
  limits_.values_per_filter = 3;
  limits_.subscriptions = 2;
  limits_.subscription_id_chars = 10;
  Start();
  EXPECT_THAT(Ask(R"(["REQ","12345678901",{}])", 1),
              ElementsAre(StartsWith(R"(["CLOSED","12345678901","invalid: )")));
  EXPECT_THAT(Ask("[\"REQ\",\"" + Repeated("\u00e9", 10) + "\",{\"limit\":0}]", 1),
              ElementsAre(nostr::EoseMessage(Repeated("\u00e9", 10))));
  Send(nostr::CloseMessage(Repeated("\u00e9", 10)));
  EXPECT_THAT(Ask(R"(["REQ","s",{},{},{}])", 1),
              ElementsAre(StartsWith(R"(["CLOSED","s","invalid: )")));
  EXPECT_THAT(Ask(R"(["REQ","s",{"kinds":[1,2,3,4]}])", 1),
              ElementsAre(StartsWith(R"(["CLOSED","s","invalid: )")));
  EXPECT_THAT(Ask(R"(["COUNT","s",{"kinds":[1,2,3,4]}])", 1),
              ElementsAre(StartsWith(R"(["CLOSED","s","invalid: )")));
  EXPECT_THAT(Ask(R"(["NEG-OPEN","s",{"kinds":[1,2,3,4]},"61"])", 1),
              ElementsAre(StartsWith(R"(["NEG-ERR","s","invalid: )")));
  Ask(R"(["REQ","a",{}])", 1);
  Ask(R"(["REQ","b",{}])", 1);
  EXPECT_THAT(Ask(R"(["REQ","c",{}])", 1),
              ElementsAre(StartsWith(R"(["CLOSED","c","rate-limited: )")));
  EXPECT_THAT(Ask(R"(["REQ","b",{}])", 1), ElementsAre(nostr::EoseMessage("b")));
}

TEST_F(SessionTest, UnderOverloadStoredEventsAreRefusedAndEventsAndLiveOnesGoOn) {
  Start();
  overload_.level = OverloadLevel::kQueues;
  EXPECT_THAT(Ask(R"(["REQ","s",{}])", 1),
              ElementsAre(StartsWith(R"(["CLOSED","s","rate-limited: the relay is overloaded)")));
  EXPECT_THAT(Ask(R"(["COUNT","s",{}])", 1),
              ElementsAre(StartsWith(R"(["CLOSED","s","rate-limited: )")));
  EXPECT_THAT(Ask(R"(["NEG-OPEN","s",{},"61"])", 1),
              ElementsAre(StartsWith(R"(["NEG-ERR","s","rate-limited: )")));
  EXPECT_THAT(Ask(R"(["REQ","live",{"limit":0}])", 1), ElementsAre(nostr::EoseMessage("live")));
  const nostr::Event event = Note("taken");
  Publish(event);
  EXPECT_THAT(Receive(2), testing::UnorderedElementsAre(Ok(event), Delivery("live", event)));
  overload_.level = OverloadLevel::kNone;
  EXPECT_THAT(Ask(R"(["REQ","s",{}])", 2),
              ElementsAre(Delivery("s", event), nostr::EoseMessage("s")));
}

TEST_F(SessionTest, OverloadSparesOurOwnSubscriber) {
  Start(/*own=*/true);
  overload_.level = OverloadLevel::kQueues;
  EXPECT_THAT(Ask(R"(["REQ","s",{}])", 1), ElementsAre(nostr::EoseMessage("s")));
}

TEST_F(SessionTest, IsIdleOnlyWhileNothingIsAskedForOrOnItsWay) {
  Start();
  EXPECT_TRUE(session_->IsIdle());
  Ask(R"(["REQ","s",{}])", 1);
  EXPECT_FALSE(session_->IsIdle());
  Send(R"(["CLOSE","s"])");
  EXPECT_TRUE(session_->IsIdle());
  Publish(Note("on its way"));
  EXPECT_FALSE(session_->IsIdle());
  Receive(1);
  EXPECT_TRUE(session_->IsIdle());
}

TEST_F(SessionTest, AQueryThatFindsNoReaderIsRefused) {
  Start();
  ReadsHold hold(reads_);
  while (reads_.TryRun([] {})) {
  }
  Send(R"(["REQ","s",{}])");
  EXPECT_THAT(connection_->sent, ElementsAre(StartsWith(R"(["CLOSED","s","error: )")));
  EXPECT_EQ(hub_.index().size(), 0u);
}

TEST_F(SessionTest, ARefusedCountLeavesTheReqOfItsId) {
  Start();
  Ask(R"(["REQ","s",{"limit":0}])", 1);
  EXPECT_THAT(Ask(R"(["COUNT","s",{"search":"x"}])", 1),
              ElementsAre(StartsWith(R"(["CLOSED","s","unsupported: )")));
  EXPECT_EQ(meters_.subscriptions, 1);
  const Event event = Note("x");
  Store(event);
  EXPECT_THAT(connection_->sent, ElementsAre(Delivery("s", event)));
}

TEST_F(SessionTest, ExpiredEventsAreNeitherServedNorCounted) {
  Start();
  const Event brief = EventBuilder(1, clock_.UnixNow())
                          .Tag({"expiration", std::to_string(clock_.UnixNow() + 10)})
                          .Sign(key_);
  Store(brief);
  EXPECT_EQ(Ask(R"(["REQ","s",{}])", 2).size(), 2u);
  clock_.Advance(std::chrono::seconds(10));
  EXPECT_THAT(Ask(R"(["REQ","s",{}])", 1), ElementsAre(nostr::EoseMessage("s")));
  EXPECT_THAT(Ask(R"(["COUNT","c",{}])", 1), ElementsAre(nostr::CountMessage("c", 0)));
}

TEST_F(SessionTest, CountIsExactAndLeavesSubscriptionsAlone) {
  Start();
  for (const char* text : {"1", "2", "3"}) Store(Note(text));
  Ask(R"(["REQ","s",{"limit":0}])", 1);
  EXPECT_THAT(Ask(R"(["COUNT","s",{"limit":1},{"kinds":[1]}])", 1),
              ElementsAre(nostr::CountMessage("s", 3)));
  EXPECT_EQ(hub_.index().size(), 1u);
}

TEST_F(SessionTest, EphemeralEventsReachSubscribers) {
  Start();
  Ask(R"(["REQ","s",{"kinds":[20001]}])", 1);
  const Event event = Note("x", 20'001);
  Store(event);
  EXPECT_THAT(Receive(1), ElementsAre(Delivery("s", event)));
}

TEST_F(SessionTest, ShutdownTellsEverySubscription) {
  Start();
  Ask(R"(["REQ","a",{}])", 1);
  Ask(R"(["REQ","b",{}])", 1);
  hub_.Shutdown();
  EXPECT_THAT(connection_->sent, ElementsAre(StartsWith(R"(["CLOSED","a","closed: )"),
                                             StartsWith(R"(["CLOSED","b","closed: )")));
}

TEST_F(SessionTest, AClosedConnectionLeavesNothingBehind) {
  Start();
  Ask(R"(["REQ","a",{"kinds":[1]}])", 1);
  {
    ReadsHold hold(reads_), hold_scans(scans_);
    Send(R"(["REQ","b",{}])");
    Send(R"(["COUNT","c",{}])");
    Send(R"(["NEG-OPEN","n",{},"6100000200"])");
    Publish(Note("x"));
    session_->OnClosed();
  }
  session_.reset();
  connection_->sent.clear();
  pipeline_.Drain();
  reads_.Stop();
  scans_.Stop();
  thread_.RunAll();
  EXPECT_EQ(store_->queries, 1);  // the one before
  EXPECT_EQ(store_->counts + store_->lists, 0);
  EXPECT_EQ(hub_.index().size(), 0u);
  EXPECT_EQ(meters_.subscriptions, 0);
  EXPECT_EQ(meters_.neg_sessions, 0);
  EXPECT_THAT(connection_->sent, IsEmpty());
}

TEST_F(SessionTest, OneSessionTakesFewPlacesOfThePools) {
  Start();
  ReadsHold hold(reads_), hold_scans(scans_);
  for (const char* id : {"a", "b", "c"}) {
    const std::string quoted = '"' + std::string(id) + '"';
    Send("[\"REQ\"," + quoted + ",{}]");
    Send("[\"COUNT\"," + quoted + ",{}]");
    Send("[\"NEG-OPEN\"," + quoted + ",{},\"6100000200\"]");
  }
  EXPECT_EQ(reads_.queued(), 2u);  // the third REQ waits for the first two
  EXPECT_EQ(scans_.queued(), 1u);
  EXPECT_EQ(meters_.reads_waiting, 5);  // COUNTs and NEG-OPENs
  EXPECT_THAT(connection_->sent, IsEmpty());
  hold.Release();
  hold_scans.Release();
  EXPECT_EQ(Receive(9).size(), 9u);
  EXPECT_EQ(meters_.reads_waiting, 0);
}

}  // namespace
}  // namespace graspd::relay
