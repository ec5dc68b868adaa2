#include "sync/remote_connection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/executor.h"
#include "net/io_pool.h"
#include "sync/testing/events.h"

namespace graspd::sync {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

class FakeConnection final : public net::DialledConnection {
 public:
  explicit FakeConnection(net::IoThread& thread) : thread_(thread) {}
  bool SendText(std::string_view message) override {
    sent.emplace_back(message);
    return true;
  }
  size_t pending_bytes() const override { return 0; }
  void PauseReading() override { paused = was_paused = true; }
  void ResumeReading() override { paused = false; }
  void Close() override { closed = true; }
  net::IoThread& thread() override { return thread_; }

  std::vector<std::string> sent;
  bool paused = false, was_paused = false, closed = false;

 private:
  net::IoThread& thread_;
};

class FakeDialer final : public net::Dialer {
 public:
  std::shared_ptr<net::DialledConnection> Dial(net::DialOptions,
                                               std::shared_ptr<net::DialHandler> dialled,
                                               net::IoThread& thread) override {
    handler = std::move(dialled);
    connection = std::make_shared<FakeConnection>(thread);
    return connection;
  }
  void FetchDocument(net::DialOptions, DocumentCallback, net::IoThread&) override {}
  std::shared_ptr<net::DialHandler> handler;
  std::shared_ptr<FakeConnection> connection;
};

class FakeSink final : public ingest::EventSink {
 public:
  std::unique_ptr<ingest::Submitter> Open(Lane lane, base::Executor&, Callback callback) override {
    EXPECT_EQ(lane, Lane::kSync);
    on_results = std::move(callback);
    return std::make_unique<Submitter>(*this);
  }
  struct Submitter final : ingest::Submitter {
    explicit Submitter(FakeSink& s) : sink(s) {}
    void Submit(nostr::Event event, storage::Source source) override {
      sink.submitted.emplace_back(event.id, source);
    }
    size_t credits() const override { return sink.credits; }
    FakeSink& sink;
  };
  std::vector<std::pair<nostr::EventId, storage::Source>> submitted;
  size_t credits = 1000;
  Callback on_results;
};

class Listener final : public RemoteListener {
 public:
  void OnRemoteOpen(ConnectionId, const net::DialSuccess&) override { ++opened; }
  void OnRemoteClosed(ConnectionId, const net::DialFailure&) override { ++closed; }
  void OnRemoteNotes(ConnectionId, std::vector<RemoteNote> more) override {
    for (auto& note : more) notes.push_back(std::move(note));
  }
  void OnRemoteJudged(ConnectionId, std::vector<Judged> more) override {
    if (judged.empty()) delivered_at_first_verdict = Count<Delivered>();
    judged.insert(judged.end(), more.begin(), more.end());
  }
  template <typename Note>
  [[nodiscard]] size_t Count() const {
    return static_cast<size_t>(std::count_if(notes.begin(), notes.end(), [](const auto& note) {
      return std::holds_alternative<Note>(note);
    }));
  }
  int opened = 0, closed = 0;
  size_t delivered_at_first_verdict = 0;
  std::vector<RemoteNote> notes;
  std::vector<Judged> judged;
};

// The I/O thread is a real one; Turn() waits for it, so that a test is one straight line.
class RemoteConnectionTest : public ::testing::Test {
 protected:
  RemoteConnectionTest() {
    connection_->Start(dialer_, sink_, net::DialOptions(testing::Url("wss://a.example")));
    Turn();
    dialer_.handler->OnOpen({});
    nostr::Filter issues;
    issues.kinds = {nostr::kIssue};
    Send(Subscribe{{7}, "live", {issues}, storage::Source::kLive});
  }
  ~RemoteConnectionTest() override {
    Turn();
    io_.Stop();
  }
  // Everything posted to the I/O thread has run; then what it reported.
  void Turn() {
    for (int i = 0; i < 2; ++i) {  // a task may post one more
      std::promise<void> done;
      io_.thread(0).Post([&] { done.set_value(); });
      done.get_future().wait();
    }
    sync_.RunAll();
  }
  // On the I/O thread, as the dialler would.
  template <typename Work>
  void On(Work work) {
    io_.thread(0).Post(std::move(work));
    Turn();
  }
  void Send(Action action) {
    connection_->Send(std::move(action));
    Turn();
  }
  void Hear(const std::string& subscription, const nostr::Event& event) {
    On([this, text = nostr::EventMessagePrefix(subscription) + nostr::EventJson(event) + "]"] {
      dialer_.handler->OnText(text);
    });
  }
  nostr::Event NextIssue() {
    return testing::Issue({testing::Repo("alice", "tool")}, 1000, std::to_string(next_++));
  }

  net::IoPool io_{1};
  base::ManualExecutor sync_;
  FakeDialer dialer_;
  FakeSink sink_;
  std::shared_ptr<Listener> listener_ = std::make_shared<Listener>();
  std::shared_ptr<RemoteConnection> connection_ = std::make_shared<RemoteConnection>(
      ConnectionId{7}, io_.thread(0), sync_, std::weak_ptr<RemoteListener>(listener_));
  int next_ = 0;
};

TEST_F(RemoteConnectionTest, WhatWasAskedForGoesToIngestWithItsSource) {
  EXPECT_THAT(dialer_.connection->sent, ElementsAre(StartsWith(R"(["REQ","live")")));
  const auto issue = NextIssue();
  Hear("live", issue);
  EXPECT_THAT(sink_.submitted, ElementsAre(std::pair(issue.id, storage::Source::kLive)));
  ASSERT_EQ(listener_->Count<Delivered>(), 1u);
  EXPECT_EQ(std::get<Delivered>(listener_->notes[0]).id, issue.id);
  On([this, id = issue.id] {
    const ingest::Result result{id, ingest::Code::kStored, ""};
    sink_.on_results({&result, 1});
  });
  ASSERT_THAT(listener_->judged, SizeIs(1));
  EXPECT_EQ(listener_->judged[0].source, storage::Source::kLive);
}

TEST_F(RemoteConnectionTest, ADeliveryIsReportedBeforeItsVerdictHoweverQuickThatIs) {
  const auto issue = NextIssue();
  On([this, &issue] {  // in one turn of the loop
    dialer_.handler->OnText(nostr::EventMessagePrefix("live") + nostr::EventJson(issue) + "]");
    const ingest::Result result{issue.id, ingest::Code::kStored, ""};
    sink_.on_results({&result, 1});
  });
  EXPECT_EQ(listener_->delivered_at_first_verdict, 1u);
}

TEST_F(RemoteConnectionTest, WhatNothingAskedForIsDroppedAndInTheEndCutsTheConnection) {
  for (uint64_t i = 0; i < RemoteConnection::kStrikes; ++i) {
    EXPECT_FALSE(dialer_.connection->closed);
    Hear("never opened", NextIssue());
  }
  EXPECT_TRUE(dialer_.connection->closed);
  EXPECT_THAT(sink_.submitted, IsEmpty());
}

// Some relays look at kinds and times alone when they tell of new events.
TEST_F(RemoteConnectionTest, ASubscriptionThatBringsStrangeEventsEndsAndTheConnectionGoesOn) {
  for (uint64_t i = 0; i < RemoteConnection::kStrays; ++i) {
    EXPECT_EQ(listener_->Count<Closed>(), 0u);
    Hear("live", testing::Comment(NextIssue().id, i, "matches no filter"));
  }
  EXPECT_THAT(sink_.submitted, IsEmpty());
  EXPECT_EQ(listener_->Count<BadMessage>(), RemoteConnection::kStrays);
  EXPECT_EQ(listener_->Count<Closed>(), 1u);
  EXPECT_EQ(dialer_.connection->sent.back(), nostr::CloseMessage("live"));
  EXPECT_FALSE(dialer_.connection->closed);
}

TEST_F(RemoteConnectionTest, EventsOfClosedSubscriptionsThatNeverEndCutTheConnection) {
  Send(Unsubscribe{{7}, "live"});
  On([this] {
    const auto text = nostr::EventMessagePrefix("live") + nostr::EventJson(NextIssue()) + "]";
    for (uint64_t i = 0; i < RemoteConnection::kUnwanted; ++i) {
      EXPECT_FALSE(dialer_.connection->closed);
      dialer_.handler->OnText(text);
    }
  });
  EXPECT_TRUE(dialer_.connection->closed);
}

TEST_F(RemoteConnectionTest, LateEventsOfASubscriptionWeClosedAreNoOffence) {
  Send(Unsubscribe{{7}, "live"});
  for (uint64_t i = 0; i < 2 * RemoteConnection::kStrikes; ++i) Hear("live", NextIssue());
  EXPECT_THAT(sink_.submitted, IsEmpty());
  EXPECT_EQ(listener_->Count<BadMessage>(), 0u);
  EXPECT_FALSE(dialer_.connection->closed);
}

TEST_F(RemoteConnectionTest, AnswersToNothingAndEndlessNoticesCutTheConnection) {
  const auto hear = [this](const char* text) { On([=, this] { dialer_.handler->OnText(text); }); };
  hear(R"(["EOSE","never opened"])");
  hear(R"(["CLOSED","never opened","error: x"])");
  hear(R"(["NEG-MSG","never opened","61"])");
  EXPECT_EQ(listener_->Count<BadMessage>(), 3u);
  EXPECT_THAT(listener_->notes, SizeIs(3));
  On([this] {
    for (uint64_t i = 0; i < RemoteConnection::kChatter; ++i) {
      dialer_.handler->OnText(R"(["NOTICE","hello"])");
    }
  });
  EXPECT_EQ(listener_->Count<BadMessage>(), 3u);
  On([this] {
    for (uint64_t i = 3; i < RemoteConnection::kStrikes; ++i) {
      EXPECT_FALSE(dialer_.connection->closed);
      dialer_.handler->OnText(R"(["NOTICE","hello"])");
    }
  });
  EXPECT_TRUE(dialer_.connection->closed);
}

TEST_F(RemoteConnectionTest, ReadingStopsWhileTheSyncThreadIsBehind) {
  On([this] {
    for (size_t i = 0; i < RemoteConnection::kNotesInFlight; ++i) {
      dialer_.handler->OnText(R"(["EOSE","live"])");
    }
  });
  EXPECT_EQ(listener_->Count<Eose>(), RemoteConnection::kNotesInFlight);
  EXPECT_TRUE(dialer_.connection->was_paused);
  Turn();
  EXPECT_FALSE(dialer_.connection->paused);
}

TEST_F(RemoteConnectionTest, ReadingStopsWhileIngestHasNoCredit) {
  sink_.credits = 0;
  const auto issue = NextIssue();
  Hear("live", issue);
  EXPECT_TRUE(dialer_.connection->paused);
  sink_.credits = 5;
  On([this, id = issue.id] {
    const ingest::Result result{id, ingest::Code::kStored, ""};
    sink_.on_results({&result, 1});
  });
  EXPECT_FALSE(dialer_.connection->paused);
}

TEST_F(RemoteConnectionTest, AClosedConnectionReportsLastAndTheListenerMayGoFirst) {
  On([this] {
    dialer_.handler->OnText(R"(["NOTICE","bye"])");
    dialer_.handler->OnClosed({});
  });
  EXPECT_EQ(listener_->Count<Notice>(), 1u);
  EXPECT_EQ(listener_->closed, 1);
  listener_.reset();
  Send(Unsubscribe{{7}, "live"});  // nothing to send it on any more
}

}  // namespace
}  // namespace graspd::sync
