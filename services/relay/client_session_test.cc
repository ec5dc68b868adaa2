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
using testing::Each;
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
    for (int i = 0; i < 150; ++i) {
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
      void Submit(Event event, storage::Source) override {
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

// ---- subscriptions ---------------------------------------------------------------------------

TEST_F(SessionTest, AReqGetsStoredEventsNewestFirstThenEoseThenNewOnes) {
  Start();
  const Event old_note = Note("old");
  clock_.Advance(std::chrono::seconds(1));
  const Event new_note = Note("new");
  Store(old_note);
  Store(new_note);
  EXPECT_THAT(
      Ask(R"(["REQ","s",{"kinds":[1]}])", 3),
      ElementsAre(Delivery("s", new_note), Delivery("s", old_note), nostr::EoseMessage("s")));
  const Event live = Note("live"), other = Note("other kind", 2);
  Store(other);
  Store(live);
  EXPECT_THAT(Receive(1), ElementsAre(Delivery("s", live)));
}

TEST_F(SessionTest, AnEventThatSeveralFiltersMatchComesOnce) {
  Start();
  const Event note = Note("x");
  Store(note);
  EXPECT_THAT(Ask(R"(["REQ","s",{"kinds":[1]},{},{"ids":[")" + note.id.ToHex() + R"("]}])", 2),
              ElementsAre(Delivery("s", note), nostr::EoseMessage("s")));
  const Event live = Note("live");
  Store(live);
  EXPECT_THAT(Receive(1), ElementsAre(Delivery("s", live)));
}

TEST_F(SessionTest, LimitsApplyToStoredEventsOnly) {
  limits_.limit_default = 2;
  limits_.limit_max = 3;
  Start();
  for (const char* text : {"1", "2", "3", "4", "5"}) Store(Note(text));
  EXPECT_EQ(Ask(R"(["REQ","a",{}])", 3).size(), 3u);
  EXPECT_EQ(Ask(R"(["REQ","b",{"limit":100}])", 4).size(), 4u);
  EXPECT_EQ(Ask(R"(["REQ","c",{"limit":1}])", 2).size(), 2u);
  // Nothing is read, so the answer is there at once.
  Send(R"(["REQ","d",{"limit":0}])");
  Send(R"(["REQ","e",{"ids":[]}])");
  EXPECT_THAT(connection_->sent, ElementsAre(nostr::EoseMessage("d"), nostr::EoseMessage("e")));
  connection_->sent.clear();
  Store(Note("live"));
  EXPECT_EQ(Receive(4).size(), 4u);  // to a, b, c and d
}

TEST_F(SessionTest, CloseEndsASubscriptionAndAnotherReqReplacesIt) {
  Start();
  Ask(R"(["REQ","s",{"kinds":[1]}])", 1);
  Ask(R"(["REQ","s",{"kinds":[2]}])", 1);
  Store(Note("x", 1));
  const Event second = Note("y", 2);
  Store(second);
  EXPECT_THAT(Receive(1), ElementsAre(Delivery("s", second)));
  Send(R"(["CLOSE","s"])");
  Store(Note("z", 2));
  EXPECT_THAT(connection_->sent, IsEmpty());
  EXPECT_EQ(hub_.index().size(), 0u);
  EXPECT_EQ(meters_.subscriptions, 0);
}

TEST_F(SessionTest, AReplacedOrClosedScanIsNotHeardOfAgain) {
  Start();
  Store(Note("x"));
  ReadsHold hold(reads_);
  Send(R"(["REQ","s",{"kinds":[1]}])");
  Send(R"(["REQ","s",{"kinds":[2]}])");
  Send(R"(["REQ","t",{}])");
  Send(R"(["CLOSE","t"])");
  hold.Release();
  EXPECT_THAT(Receive(1), ElementsAre(nostr::EoseMessage("s")));
  Ask(R"(["REQ","c",{"kinds":[3]}])", 1);  // behind everything else
  EXPECT_THAT(connection_->sent, IsEmpty());
  EXPECT_EQ(store_->queries, 2);
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

TEST_F(SessionTest, ReadsArePagesWhichCountsAndWholeSetsDoNotHoldUp) {
  Start();
  const Event event = Note("x");
  Store(event);
  const ReadsHold hold(scans_);
  Send(R"(["COUNT","c",{}])");
  Send(R"(["NEG-OPEN","n",{},"6100000200"])");
  EXPECT_THAT(Ask(R"(["REQ","s",{}])", 2),
              ElementsAre(Delivery("s", event), nostr::EoseMessage("s")));
}

TEST_F(SessionTest, AScanThatFindsNothingForLongGoesOnInItsNextTurn) {
  Start();
  const Event event = Note("x");
  Store(event);
  store_->fruitless_queries = 3;
  EXPECT_THAT(Ask(R"(["REQ","s",{}])", 2),
              ElementsAre(Delivery("s", event), nostr::EoseMessage("s")));
  EXPECT_EQ(store_->queries, 4);
}

TEST_F(SessionTest, RowsWaitWhileTheOutputIsFull) {
  Start();
  for (int i = 0; i < 1200; ++i) Store(Note(std::to_string(i)));
  connection_->nobody_reads = true;
  Send(R"(["REQ","s",{"limit":2000}])");
  thread_.RunUntil([&] { return bool(connection_->when_drained); });
  thread_.RunAll();
  EXPECT_EQ(connection_->sent.size(), 500u);
  connection_->nobody_reads = false;
  connection_->pending = 0;
  std::exchange(connection_->when_drained, nullptr)();
  EXPECT_EQ(Receive(1201).size(), 1201u);
}

// Each page may be 256 KiB, and a connection is cut at 4 MiB.
TEST_F(SessionTest, ManyReqsOfASlowReaderComePageByPageInTurn) {
  constexpr size_t kReqs = 40, kRows = 30;
  Start();
  for (size_t i = 0; i < kRows; ++i) Store(Note(std::string(8000, 'x') + std::to_string(i)));
  connection_->nobody_reads = true;
  for (size_t i = 0; i < kReqs; ++i) Send("[\"REQ\",\"" + std::to_string(i) + "\",{}]");
  size_t most = 0;
  std::set<std::string> done;
  while (done.size() < kReqs) {
    thread_.RunUntil([&] { return bool(connection_->when_drained) || !connection_->sent.empty(); });
    thread_.RunAll();
    most = std::max(most, connection_->pending);
    for (const auto& message : std::exchange(connection_->sent, {})) {
      if (message.starts_with("[\"EOSE")) done.insert(message);
    }
    connection_->pending = 0;
    if (auto ready = std::exchange(connection_->when_drained, nullptr)) ready();
  }
  EXPECT_LT(most, 3 * kRows * 9000);
  EXPECT_EQ(meters_.reads_waiting, 0);
}

TEST_F(SessionTest, AClosedReqDoesNotWaitForTheReader) {
  limits_.reqs_per_second = 0;
  Start();
  Store(Note("x"));
  connection_->pending = 2000;
  for (int i = 0; i < 1000; ++i) Send(R"(["REQ","s",{}])");
  Send(R"(["CLOSE","s"])");
  connection_->pending = 0;
  std::exchange(connection_->when_drained, nullptr)();
  EXPECT_THAT(Ask(R"(["COUNT","c",{}])", 1), ElementsAre(nostr::CountMessage("c", 1)));
  EXPECT_EQ(store_->queries, 0);
}

TEST_F(SessionTest, ARefusedCountLeavesTheReqOfItsId) {
  Start();
  Ask(R"(["REQ","s",{"limit":0}])", 1);
  EXPECT_THAT(Ask(R"(["COUNT","s",{"search":"x"}])", 1),
              ElementsAre(StartsWith(R"(["CLOSED","s","unsupported: )")));
  EXPECT_EQ(meters_.subscriptions, 1);
}

TEST_F(SessionTest, FiltersHaveALimitForAConnectionAndOneForAll) {
  limits_.message_bytes = 4u << 20;
  limits_.filter_total_bytes = 20u << 20;
  Start();
  const std::string large = R"({"#t":[")" + std::string(3'000'000, 'x') + "\"]}";
  for (const char* id : {"1", "2"}) {
    Send("[\"REQ\",\"" + std::string(id) + "\"," + large + "]");
  }
  EXPECT_GT(meters_.filter_bytes, 12'000'000);
  EXPECT_THAT(Receive(2), Each(StartsWith("[\"EOSE\"")));
  EXPECT_THAT(Ask("[\"REQ\",\"3\"," + large + "]", 1),
              ElementsAre(HasSubstr("rate-limited: too much in the filters")));
  // Others have taken the rest.
  meters_.filter_bytes += 8'000'000;
  EXPECT_THAT(Ask("[\"COUNT\",\"c\"," + large + "]", 1), ElementsAre(HasSubstr("rate-limited:")));
  meters_.filter_bytes -= 8'000'000;
  EXPECT_THAT(Ask("[\"COUNT\",\"c\"," + large + "]", 1), ElementsAre(nostr::CountMessage("c", 0)));
  Send(R"(["CLOSE","1"])");
  session_->OnClosed();
  thread_.RunAll();
  EXPECT_EQ(meters_.filter_bytes, 0);
}

TEST_F(SessionTest, NewEventsWaitForTheStoredOnesAndTooManyEndTheSubscription) {
  limits_.live_buffer_events = 2;
  Start();
  const Event before = Note("before"), during = Note("during"), more = Note("more");
  Store(before);
  {
    ReadsHold hold(reads_);
    Send(R"(["REQ","s",{}])");
    Store(during);
    Store(more);
    EXPECT_THAT(connection_->sent, IsEmpty());
    EXPECT_EQ(meters_.live_buffer_bytes,
              nostr::EventJson(during).size() + nostr::EventJson(more).size());
  }
  EXPECT_THAT(Receive(4), ElementsAre(Delivery("s", before), nostr::EoseMessage("s"),
                                      Delivery("s", during), Delivery("s", more)));
  EXPECT_EQ(meters_.live_buffer_bytes, 0);
  {
    ReadsHold hold(reads_);
    Send(R"(["REQ","t",{}])");
    Send(R"(["CLOSE","s"])");
    for (const char* text : {"1", "2", "3"}) Store(Note(text));
    EXPECT_EQ(meters_.live_buffer_bytes, 0);
    Send(R"(["REQ","u",{}])");
    Store(Note("4"));
    EXPECT_GT(meters_.live_buffer_bytes, 0);
    Send(R"(["CLOSE","u"])");
    EXPECT_EQ(meters_.live_buffer_bytes, 0);
  }
  EXPECT_THAT(Receive(1), ElementsAre(StartsWith(R"(["CLOSED","t","error: )")));
  EXPECT_EQ(hub_.index().size(), 0u);
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
  EXPECT_EQ(scans_.queued(), 2u);
  EXPECT_EQ(meters_.reads_waiting, 4);  // COUNTs and NEG-OPENs
  EXPECT_THAT(connection_->sent, IsEmpty());
  hold.Release();
  hold_scans.Release();
  EXPECT_EQ(Receive(9).size(), 9u);
  EXPECT_EQ(meters_.reads_waiting, 0);
}

// Threats C30: while a writer commits, REQs open one after the other; each must see each event
// exactly once, as a stored or as a live one.
TEST_F(SessionTest, NoEventIsLostOrDoubledBetweenStoredAndLive) {
  constexpr int kEvents = 400, kReqs = 100;
  limits_.subscriptions = 1000;
  limits_.reqs_burst = 1000;
  limits_.live_buffer_events = kEvents + 1;
  Start();
  std::vector<Event> events;
  for (int i = 0; i < kEvents; ++i) events.push_back(Note(std::to_string(i)));

  // The two keep about the same pace, so that every scan has commits before, during and after it.
  std::atomic<int> written{0}, opened{0};
  std::thread writer([&] {
    ingest::Policy judge({ingest::PolicyMode::kOpen, {}, true});
    for (size_t next = 0; next < events.size();) {
      while (opened < std::min<int>(next / 4, kReqs)) std::this_thread::yield();
      std::vector<storage::WriteRequest> batch;
      for (size_t n = 1 + next % 3; n > 0 && next < events.size(); --n) {
        batch.push_back({nostr::MakeRecord(events[next++]), storage::Source::kDirect});
      }
      auto result = store_->Write(batch, judge, clock_.UnixNow());
      ASSERT_TRUE(result.ok());
      feed_.Publish(std::make_shared<const storage::Commit>(std::move(result->commit)));
      written += static_cast<int>(batch.size());
    }
  });
  while (opened < kReqs) {
    while (opened > written / 4 + 10 && written < kEvents) thread_.RunAll();
    Send("[\"REQ\",\"" + std::to_string(opened) + "\",{\"limit\":5000}]");
    ++opened;
    thread_.RunAll();
  }
  writer.join();
  const size_t expected = size_t{kReqs} * (kEvents + 1);  // and an EOSE each
  thread_.RunUntil([&] { return connection_->sent.size() >= expected; });
  thread_.RunAll();
  EXPECT_EQ(connection_->sent.size(), expected);

  const std::set<std::string> distinct(connection_->sent.begin(), connection_->sent.end());
  EXPECT_EQ(distinct.size(), expected);
}

}  // namespace
}  // namespace graspd::relay
