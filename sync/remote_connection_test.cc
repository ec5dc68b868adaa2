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
#include "base/manual_clock.h"
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

  void FetchDocument(DocumentCallback done) override { document = std::move(done); }
  DocumentCallback document;  // is wanted
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
    void Submit(nostr::Event event, storage::Source source, ingest::Lookup) override {
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
  void OnRemoteInformation(ConnectionId, const absl::StatusOr<nostr::RelayInformation>& got,
                           const std::string& by) override {
    information.push_back(got);
    instance = by;
  }
  std::string instance;
  std::vector<absl::StatusOr<nostr::RelayInformation>> information;
  int opened = 0, closed = 0;
  size_t delivered_at_first_verdict = 0;
  std::vector<RemoteNote> notes;
  std::vector<Judged> judged;
};

// The I/O thread is a real one; Turn() waits for it, so that a test is one straight line.
class RemoteConnectionTest : public ::testing::Test {
 protected:
  RemoteConnectionTest() { Use(nullptr); }
  // A new connection, open and subscribed to issues.
  void Use(std::shared_ptr<const nostr::SecretKey> key) {
    connection_ = std::make_shared<RemoteConnection>(ConnectionId{7}, io_.thread(0), sync_,
                                                     std::weak_ptr<RemoteListener>(listener_),
                                                     clock_, std::move(key));
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
  void Say(const std::string& text) {
    On([&] { dialer_.handler->OnText(text); });
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
  base::ManualClock clock_;
  std::shared_ptr<RemoteConnection> connection_;
  int next_ = 0;
};

TEST_F(RemoteConnectionTest, WhatWasAskedForGoesToIngestWithItsSource) {
  EXPECT_THAT(dialer_.connection->sent, ElementsAre(StartsWith(R"(["REQ","live")")));
  const auto issue = NextIssue();
  Hear("live", issue);
  EXPECT_THAT(sink_.submitted, ElementsAre(std::pair(issue.id, storage::Source::kLive)));
  On([this, id = issue.id] {
    const ingest::Result result{id, ingest::Code::kStored, ""};
    sink_.on_results({&result, 1});
  });
  ASSERT_EQ(listener_->Count<Delivered>(), 1u);
  EXPECT_EQ(std::get<Delivered>(listener_->notes[0]).id, issue.id);
  ASSERT_THAT(listener_->judged, SizeIs(1));
  EXPECT_EQ(listener_->judged[0].source, storage::Source::kLive);
}

TEST_F(RemoteConnectionTest, DeliveriesAreReportedTogether) {
  for (size_t i = 1; i < RemoteConnection::kNotesAtOnce; ++i) Hear("live", NextIssue());
  EXPECT_EQ(listener_->Count<Delivered>(), 0u);
  Hear("live", NextIssue());
  EXPECT_EQ(listener_->Count<Delivered>(), RemoteConnection::kNotesAtOnce);
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

// Some relays look at kinds and times alone when they tell of new events.
TEST_F(RemoteConnectionTest, ASubscriptionThatBringsStrangeEventsEndsAndTheConnectionGoesOn) {
  for (uint64_t i = 0; i < RemoteConnection::kStrays; ++i) {
    EXPECT_EQ(listener_->Count<Closed>(), 0u);
    Hear("live", testing::Comment(NextIssue().id, i, "matches no filter"));
  }
  EXPECT_THAT(sink_.submitted, IsEmpty());
  EXPECT_EQ(listener_->Count<BadMessage>(), RemoteConnection::kStrays);
  EXPECT_TRUE(std::get<BadMessage>(listener_->notes[0]).stray);
  EXPECT_EQ(listener_->Count<Closed>(), 1u);
  EXPECT_EQ(dialer_.connection->sent.back(), nostr::CloseMessage("live"));
  EXPECT_FALSE(dialer_.connection->closed);
}

TEST_F(RemoteConnectionTest, WhatNothingAskedForIsDroppedAndReported) {
  Hear("never opened", NextIssue());
  EXPECT_EQ(listener_->Count<BadMessage>(), 1u);
  EXPECT_FALSE(std::get<BadMessage>(listener_->notes[0]).stray);
  EXPECT_THAT(sink_.submitted, IsEmpty());
}

TEST_F(RemoteConnectionTest, MoreThanWasAskedForIsDroppedAndReported) {
  const auto issue = NextIssue();
  nostr::Filter filter;
  filter.ids = {issue.id};
  Send(Subscribe{{7}, "fetch", {filter}, storage::Source::kStartup});
  for (int i = 0; i < 5; ++i) Hear("fetch", issue);
  EXPECT_THAT(sink_.submitted, SizeIs(2));
  EXPECT_EQ(listener_->Count<BadMessage>(), 3u);
}

TEST_F(RemoteConnectionTest, APageThatNeverEndsIsDroppedWhereTheJobHasGivenItUp) {
  nostr::Filter filter;
  filter.kinds = {nostr::kIssue};
  filter.limit = 500;
  Send(Subscribe{{7}, "page", {filter}, storage::Source::kStartup});
  const std::string text = nostr::EventMessagePrefix("page") + nostr::EventJson(NextIssue()) + "]";
  On([this, &text] {
    for (size_t i = 0; i < CatchUpJob::kPageOverrun + 11; ++i) dialer_.handler->OnText(text);
  });
  EXPECT_EQ(listener_->Count<Delivered>(), CatchUpJob::kPageOverrun + 1);
  EXPECT_EQ(listener_->Count<BadMessage>(), 10u);
}

TEST_F(RemoteConnectionTest, AForgedEventIsReportedAsSuch) {
  const auto issue = NextIssue();
  Hear("live", issue);
  On([this, id = issue.id] {
    const ingest::Result result{id, ingest::Code::kInvalid, "invalid: bad signature", true};
    sink_.on_results({&result, 1});
  });
  ASSERT_THAT(listener_->judged, SizeIs(1));
  EXPECT_TRUE(listener_->judged[0].forged);
  EXPECT_EQ(listener_->judged[0].id, issue.id);
}

TEST_F(RemoteConnectionTest, LateEventsOfASubscriptionWeClosedAreNoOffence) {
  Send(Unsubscribe{{7}, "live"});
  const std::string text = nostr::EventMessagePrefix("live") + nostr::EventJson(NextIssue()) + "]";
  const auto hear = [this, &text](size_t times) {
    On([this, &text, times] {
      for (size_t i = 0; i < times; ++i) dialer_.handler->OnText(text);
    });
  };
  hear(RemoteConnection::kLateLive);
  EXPECT_THAT(sink_.submitted, SizeIs(RemoteConnection::kLateLive));
  hear(RemoteConnection::kUnwanted);
  EXPECT_THAT(sink_.submitted, SizeIs(RemoteConnection::kLateLive));
  EXPECT_EQ(listener_->Count<BadMessage>(), 0u);
  hear(10);  // by now it should have heard of it
  EXPECT_EQ(listener_->Count<BadMessage>(), 10u);
}

// What is published while all is opened again by other names comes by the old ones alone.
TEST_F(RemoteConnectionTest, WhatIsOnItsWayWhenSubscriptionsAreRenamedIsTaken) {
  nostr::Filter issues;
  issues.kinds = {nostr::kIssue};
  Send(Subscribe{{7}, "fetch", {issues}, storage::Source::kDaily});
  Send(Unsubscribe{{7}, "fetch"});
  constexpr int kLive = 176;
  for (const std::string name : {"live-", "again-"}) {
    for (int i = 0; i < kLive; ++i) {
      if (name == "again-") Send(Unsubscribe{{7}, "live-" + std::to_string(i)});
      Send(Subscribe{{7}, name + std::to_string(i), {issues}, storage::Source::kLive});
    }
  }
  const auto published = NextIssue(), fetched = NextIssue();
  Hear("live-0", published);
  Hear("fetch", fetched);
  EXPECT_THAT(sink_.submitted, ElementsAre(std::pair(published.id, storage::Source::kLive),
                                           std::pair(fetched.id, storage::Source::kDaily)));
}

// An announcement that drops the relay closes all of them at once, and some relays answer each.
TEST_F(RemoteConnectionTest, AsManyAnswersToOurClosesAsSubscriptionsMayBeOpenAreNoOffence) {
  constexpr int kLive = 176, kRequests = 24;
  nostr::Filter filter;
  filter.kinds = {nostr::kIssue};
  std::vector<std::string> names;
  for (int i = 0; i < kLive; ++i) names.push_back("live-" + std::to_string(i));
  for (int i = 0; i < kRequests; ++i) names.push_back("fetch-" + std::to_string(i));
  for (const auto& name : names) {
    connection_->Send(Subscribe{{7}, name, {filter}, storage::Source::kLive});
  }
  for (const auto& name : names) connection_->Send(Unsubscribe{{7}, name});
  Turn();
  for (const auto& name : names) Say(R"(["CLOSED",")" + name + R"(",""])");
  EXPECT_EQ(listener_->Count<BadMessage>(), 0u);
}

// Our REQ that replaces one has crossed the end of the old one: the relay follows it.
TEST_F(RemoteConnectionTest, WhatARelayServesOfASubscriptionItHasClosedIsTaken) {
  nostr::Filter issues;
  issues.kinds = {nostr::kIssue};
  Send(Subscribe{{7}, "live", {issues}, storage::Source::kLive});
  Say(R"(["CLOSED","live","error: shutting down idle subscription"])");
  ASSERT_EQ(listener_->Count<Closed>(), 1u)
      << "a gap: it may as well be the new one that is closed";
  constexpr size_t kEvents = 200;
  for (size_t i = 0; i < kEvents; ++i) Hear("live", NextIssue());
  Hear("live", testing::Comment(NextIssue().id, 1, "matches no filter"));
  Say(R"(["EOSE","live"])");
  EXPECT_THAT(sink_.submitted, SizeIs(kEvents));
  EXPECT_EQ(listener_->Count<BadMessage>(), 0u);
  // When it is closed by us, too, what is on its way.
  Send(Unsubscribe{{7}, "live"});
  for (size_t i = 0; i <= RemoteConnection::kLateLive; ++i) Hear("live", NextIssue());
  EXPECT_THAT(sink_.submitted, SizeIs(kEvents + RemoteConnection::kLateLive));
  EXPECT_EQ(listener_->Count<BadMessage>(), 0u);
}

TEST_F(RemoteConnectionTest, WhatARelayRefusesTwiceIsNoOffence) {
  Send(NegOpen{{7}, "neg", nostr::Filter(), "\x61"});
  Say(R"(["NEG-MSG","neg","61"])");
  Send(NegMsg{{7}, "neg", "\x61"});  // crosses the end of the session
  for (int i = 0; i < 2; ++i) Say(R"(["NEG-ERR","neg","closed: no session"])");
  EXPECT_EQ(listener_->Count<BadMessage>(), 0u);
}

// They were asked for, and are here: to ask again later would bring them a second time.
TEST_F(RemoteConnectionTest, LateEventsOfARequestWeClosedAreTakenAllTheSame) {
  std::vector<nostr::Event> wanted;
  nostr::Filter filter;
  filter.ids.emplace();
  for (int i = 0; i < 3; ++i) {
    wanted.push_back(NextIssue());
    filter.ids->push_back(wanted.back().id);
  }
  filter.Normalize();
  Send(Subscribe{{7}, "fetch", {filter}, storage::Source::kDaily});
  Send(Unsubscribe{{7}, "fetch"});
  for (const auto& event : wanted) Hear("fetch", event);
  Hear("fetch", NextIssue());  // not asked for
  ASSERT_THAT(sink_.submitted, SizeIs(3));
  EXPECT_THAT(sink_.submitted[0], ::testing::Pair(wanted[0].id, storage::Source::kDaily));
  for (int i = 0; i < 3; ++i) Hear("fetch", wanted[0]);
  Hear("fetch", wanted[0]);  // more often than may be
  EXPECT_THAT(sink_.submitted, SizeIs(6));
  EXPECT_EQ(listener_->Count<BadMessage>(), 0u);
}

TEST_F(RemoteConnectionTest, ANegentropyMessageThatAnswersNoneOfOursIsDroppedAndReported) {
  const auto hear = [this](const char* text) { On([=, this] { dialer_.handler->OnText(text); }); };
  hear(R"(["NEG-MSG","live","61"])");  // not a reconciliation
  EXPECT_EQ(listener_->Count<BadMessage>(), 1u);
  Send(NegOpen{{7}, "neg", nostr::Filter(), "\x61"});
  for (int i = 0; i < 3; ++i) hear(R"(["NEG-MSG","neg","61"])");
  EXPECT_EQ(listener_->Count<NegReply>(), 1u);
  EXPECT_EQ(listener_->Count<BadMessage>(), 3u);
  Send(NegMsg{{7}, "neg", "\x61"});
  hear(R"(["NEG-MSG","neg","61"])");
  EXPECT_EQ(listener_->Count<NegReply>(), 2u);
  Send(NegMsg{{7}, "neg", "\x61"});
  Send(NegClose{{7}, "neg"});
  hear(R"(["NEG-MSG","neg","61"])");  // was on its way
  EXPECT_EQ(listener_->Count<NegReply>(), 2u);
  EXPECT_EQ(listener_->Count<BadMessage>(), 3u);
}

TEST_F(RemoteConnectionTest, AnswersToNothingAndEndlessNoticesAreReported) {
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
  hear(R"(["NOTICE","hello"])");
  EXPECT_EQ(listener_->Count<BadMessage>(), 4u);
}

class AuthenticatingConnectionTest : public RemoteConnectionTest {
 protected:
  AuthenticatingConnectionTest() {
    Use(std::make_shared<nostr::SecretKey>(nostr::SecretKey::FromSeed("sync")));
    dialer_.connection->sent.clear();
  }
  void Challenge(const std::string& challenge) {
    On([this, text = nostr::AuthChallengeMessage(challenge)] { dialer_.handler->OnText(text); });
  }
  // The event in the AUTH we sent last.
  nostr::Event Sent() {
    const auto message = nostr::ParseClientMessage(dialer_.connection->sent.back());
    return std::get<nostr::ClientAuth>(message).event;
  }
  void Answer(const nostr::EventId& id, bool accepted) {
    On([this, text = nostr::OkMessage(id.ToHex(), accepted, "restricted: no")] {
      dialer_.handler->OnText(text);
    });
  }
};

TEST_F(AuthenticatingConnectionTest, AChallengeIsAnsweredForTheUrlThatWasDialled) {
  Challenge("abc");
  const auto event = Sent();
  EXPECT_EQ(event.kind, nostr::kAuthKind);
  EXPECT_EQ(event.created_at, clock_.UnixNow());
  EXPECT_EQ(event.tags.FirstValue("relay"), "wss://a.example");
  EXPECT_EQ(event.tags.FirstValue("challenge"), "abc");
  EXPECT_EQ(event.id, nostr::ComputeId(event));
  EXPECT_TRUE(nostr::VerifySignature(event));
  EXPECT_EQ(event.pubkey, nostr::SecretKey::FromSeed("sync").public_key());

  Answer(NextIssue().id, true);  // not to our AUTH
  EXPECT_EQ(listener_->Count<Authenticated>(), 0u);
  Answer(event.id, false);
  Answer(event.id, true);  // too late to think otherwise
  ASSERT_EQ(listener_->Count<Authenticated>(), 1u);
  EXPECT_FALSE(std::get<Authenticated>(listener_->notes.back()).accepted);
  EXPECT_EQ(std::get<Authenticated>(listener_->notes.back()).message, "restricted: no");
}

TEST_F(AuthenticatingConnectionTest, TenThousandChallengesGetOneSignature) {
  Challenge(std::string(RemoteConnection::kChallengeBytes + 1, 'x'));
  Challenge(std::string(1 << 20, 'x'));
  EXPECT_THAT(dialer_.connection->sent, IsEmpty());
  On([this] {
    for (int i = 0; i < 10'000; ++i) {
      dialer_.handler->OnText(nostr::AuthChallengeMessage(std::to_string(i)));
    }
  });
  EXPECT_THAT(dialer_.connection->sent, SizeIs(1));
  EXPECT_GT(listener_->Count<BadMessage>(), 9'000u);
}

TEST_F(RemoteConnectionTest, WithoutAKeyAChallengeStaysUnanswered) {
  const size_t before = dialer_.connection->sent.size();
  On([this] { dialer_.handler->OnText(nostr::AuthChallengeMessage("abc")); });
  EXPECT_THAT(dialer_.connection->sent, SizeIs(before));
}

TEST_F(RemoteConnectionTest, WhatTheRelaySaysOfItselfIsFetchedAndReported) {
  const auto answer = [this](absl::StatusOr<net::RelayDocument> document) {
    Send(FetchInformation{testing::Url("wss://a.example"), {7}});
    On([&] { dialer_.connection->document(std::move(document)); });
    return listener_->information.back();
  };
  EXPECT_TRUE(
      answer(net::RelayDocument{R"({"limitation":{"auth_required":true}})", "n"})->auth_required);
  EXPECT_EQ(listener_->instance, "n");
  EXPECT_FALSE(answer(net::RelayDocument{"no JSON", ""}).ok());
  EXPECT_TRUE(absl::IsNotFound(answer(absl::NotFoundError("HTTP status 404")).status()));
}

// Relays are not equally strict, and strangers write what they store.
TEST_F(RemoteConnectionTest, AnEventThatCannotBeReadIsReportedAndNoOffence) {
  const auto id = NextIssue().id;
  const std::string event = R"({"id":")" + id.ToHex() + R"(","created_at":1700,"tags":[[]]})";
  Say(R"(["EVENT","live",)" + event + "]");
  ASSERT_EQ(listener_->Count<Unreadable>(), 1u);
  const auto& note = std::get<Unreadable>(listener_->notes.back());
  EXPECT_EQ(note.subscription, "live");
  EXPECT_EQ(note.id, id);
  EXPECT_EQ(note.created_at, 1700u);
  EXPECT_EQ(listener_->Count<BadMessage>(), 0u);
  Say(R"(["EVENT","of nobody",)" + event + "]");
  EXPECT_EQ(listener_->Count<BadMessage>(), 1u);
}

TEST_F(RemoteConnectionTest, ASubscriptionEndsOnce) {
  On([this] {
    for (size_t i = 0; i <= RemoteConnection::kChatter; ++i) {
      dialer_.handler->OnText(R"(["EOSE","live"])");
    }
  });
  EXPECT_EQ(listener_->Count<Eose>(), 1u);
  EXPECT_EQ(listener_->Count<BadMessage>(), 0u);
  Say(R"(["EOSE","live"])");
  EXPECT_EQ(listener_->Count<BadMessage>(), 1u);
}

// The answers to what it replaces are on their way.
TEST_F(RemoteConnectionTest, ASubscriptionThatIsReplacedEndsAsOftenAsItWasAskedFor) {
  constexpr size_t kTimes = 2 * RemoteConnection::kChatter;
  nostr::Filter filter;
  filter.limit = 0;
  for (size_t i = 0; i < kTimes; ++i) {
    Send(Subscribe{{7}, "often", {filter}, storage::Source::kLive});
  }
  On([this] {
    for (size_t i = 0; i < kTimes; ++i) dialer_.handler->OnText(R"(["EOSE","often"])");
  });
  EXPECT_EQ(listener_->Count<Eose>(), kTimes);
  EXPECT_EQ(listener_->Count<BadMessage>(), 0u);
}

TEST_F(RemoteConnectionTest, APageFullOfWhatCannotBeReadIsNoOffence) {
  constexpr size_t kEvents = RemoteConnection::kUnwanted + 100;
  Send(Subscribe{{7}, "page", {nostr::Filter()}, storage::Source::kStartup});
  const std::string event =
      R"(["EVENT","page",{"id":")" + NextIssue().id.ToHex() + R"(","tags":[[]]}])";
  On([&] {
    for (size_t i = 0; i < kEvents; ++i) dialer_.handler->OnText(event);
  });
  EXPECT_EQ(listener_->Count<Unreadable>(), kEvents);
  EXPECT_EQ(listener_->Count<BadMessage>(), 0u);
}

TEST_F(RemoteConnectionTest, ReadingStopsWhileTheSyncThreadIsBehind) {
  On([this] {
    for (size_t i = 0; i < RemoteConnection::kNotesInFlight; ++i) {
      dialer_.handler->OnText(R"(["EOSE","of nobody"])");
    }
  });
  EXPECT_EQ(listener_->Count<BadMessage>(), RemoteConnection::kNotesInFlight);
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
