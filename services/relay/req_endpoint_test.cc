// A session's REQs: ReqEndpoint behind the door that clients use.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "services/relay/session_test_support.h"

namespace graspd::relay {
namespace {

using nostr::Event;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

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

// The buffer may hold more than the output of a connection.
TEST_F(SessionTest, WhatHasWaitedForEoseComesAtThePaceOfTheReaderAndInOrder) {
  Start();
  std::vector<Event> events;
  {
    ReadsHold hold(reads_);
    Send(R"(["REQ","s",{"kinds":[7]}])");
    for (int i = 0; i < 20; ++i) {
      events.push_back(Note(std::string(300, 'x') + std::to_string(i), 7));
      Store(events.back());
    }
    connection_->nobody_reads = true;
    hold.Release();
  }
  thread_.RunUntil([&] { return bool(connection_->when_drained); });
  thread_.RunAll();
  EXPECT_LT(connection_->pending, 3 * connection_->soft_limit());
  EXPECT_LT(connection_->sent.size(), 10u);
  events.push_back(Note("comes meanwhile", 7));
  Store(events.back());
  connection_->nobody_reads = false;
  connection_->pending = 0;
  std::exchange(connection_->when_drained, nullptr)();
  events.push_back(Note("live", 7));
  Store(events.back());
  const auto received = Receive(1 + events.size());
  EXPECT_EQ(received[0], nostr::EoseMessage("s"));
  for (size_t i = 0; i < events.size(); ++i) EXPECT_EQ(received[i + 1], Delivery("s", events[i]));
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

TEST_F(SessionTest, FiltersHaveALimitForAConnectionAndOneForAll) {
  limits_.message_bytes = 4u << 20;
  limits_.filter_total_bytes = 20u << 20;
  Start();
  const std::string large = R"({"#t":[")" + std::string(3'000'000, 'x') + "\"]}";
  for (const char* id : {"1", "2"}) {
    Send("[\"REQ\",\"" + std::string(id) + "\"," + large + "]");
  }
  EXPECT_GT(*meters_.filter_bytes, 12'000'000);
  EXPECT_THAT(Receive(2), Each(StartsWith("[\"EOSE\"")));
  EXPECT_THAT(Ask("[\"REQ\",\"3\"," + large + "]", 1),
              ElementsAre(HasSubstr("rate-limited: too much in the filters")));
  // Others have taken the rest.
  *meters_.filter_bytes += 8'000'000;
  EXPECT_THAT(Ask("[\"COUNT\",\"c\"," + large + "]", 1), ElementsAre(HasSubstr("rate-limited:")));
  *meters_.filter_bytes -= 8'000'000;
  EXPECT_THAT(Ask("[\"COUNT\",\"c\"," + large + "]", 1), ElementsAre(nostr::CountMessage("c", 0)));
  Send(R"(["CLOSE","1"])");
  session_->OnClosed();
  thread_.RunAll();
  EXPECT_EQ(*meters_.filter_bytes, 0);
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
