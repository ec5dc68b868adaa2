#include "sync/self_subscriber.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "net/address_guard.h"
#include "net/io_pool.h"
#include "nostr/message.h"
#include "sync/testing/events.h"

namespace graspd::sync {
namespace {

using ::testing::HasSubstr;

constexpr char kEose[] = R"(["EOSE","self"])";

/// Our relay port: counts connections, and does with the last one what the test says.
class FakeRelay final : public net::Dialer {
 public:
  class Connection final : public net::DialledConnection {
   public:
    Connection(FakeRelay& relay, net::IoThread& thread) : relay_(relay), thread_(thread) {}
    bool SendText(std::string_view message) override {
      relay_.Note([&] { relay_.request = message; });
      return true;
    }
    size_t pending_bytes() const override { return 0; }
    void PauseReading() override {}
    void ResumeReading() override {}
    void Close() override {
      relay_.Note([&] { ++relay_.closed; });
    }
    void FetchDocument(DocumentCallback) override {}
    net::IoThread& thread() override { return thread_; }

   private:
    FakeRelay& relay_;
    net::IoThread& thread_;
  };

  std::shared_ptr<net::DialledConnection> Dial(net::DialOptions,
                                               std::shared_ptr<net::DialHandler> dialled,
                                               net::IoThread& thread) override {
    Note([&] {
      handler = std::move(dialled);
      ++dials;
    });
    return std::make_shared<Connection>(*this, thread);
  }

  template <typename Change>
  void Note(Change change) {
    const std::lock_guard lock(mutex_);
    change();
    changed_.notify_all();
  }
  template <typename Condition>
  void Await(Condition condition) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, condition);
  }

  std::shared_ptr<net::DialHandler> handler;
  std::string request;
  int dials = 0, closed = 0, signals = 0;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
};

/// Time that passes when the test says so.
class Timers {
 public:
  SelfSubscriber::Options::Timer After(base::Duration delay, std::function<void()> task) {
    class Timer final : public net::IoThread::Timer {};
    relay_.Note([&] {
      delays.push_back(delay);
      due = std::move(task);
    });
    return std::make_unique<Timer>();
  }
  explicit Timers(FakeRelay& relay) : relay_(relay) {}
  std::vector<base::Duration> delays;
  std::function<void()> due;

 private:
  FakeRelay& relay_;
};

class SelfSubscriberTest : public ::testing::Test {
 protected:
  SelfSubscriberTest() {
    subscriber_.Start();
    relay_.Await([&] { return relay_.dials == 1; });
  }
  ~SelfSubscriberTest() override {
    subscriber_.Stop();
    io_.Stop();
    relay_.handler = nullptr;  // has a timer of the I/O thread, which goes before the relay
  }

  SelfSubscriber::Options Options() {
    const auto address = net::SocketAddress::Parse("127.0.0.1:7334").value();
    guard_.AddOwnEndpoint(address);
    return {.url = testing::Url("ws://127.0.0.1:7334"),
            .permit = guard_.IssueSelfDialPermit(address),
            .secret_header = {"Secret", "x"},
            .first_backoff = std::chrono::milliseconds(1),
            .max_backoff = std::chrono::milliseconds(4)};
  }
  // On the I/O thread, as the dialler would.
  void Open() {
    io_.thread(0).Post([this] { relay_.handler->OnOpen({}); });
  }
  void Hear(std::string text) {
    io_.thread(0).Post([this, text = std::move(text)] { relay_.handler->OnText(text); });
  }
  void Lose() {
    io_.thread(0).Post([this] { relay_.handler->OnClosed({net::DialError::kTcp, "reset"}); });
  }
  void AwaitSignals(int count) {
    relay_.Await([&] { return relay_.signals >= count; });
  }

  FakeRelay relay_;
  net::AddressGuard guard_{{}};
  net::IoPool io_{1};
  SelfSubscriber subscriber_{relay_, io_.thread(0), Options(),
                             [this] { relay_.Note([this] { ++relay_.signals; }); }};
};

TEST_F(SelfSubscriberTest, AsksForNewEventsAndSignalsEachAndTheBeginning) {
  Open();
  relay_.Await([&] { return !relay_.request.empty(); });
  EXPECT_THAT(relay_.request, HasSubstr(R"("kinds":[5,1617,1618,1621,30617])"));
  EXPECT_FALSE(subscriber_.connected());
  Hear(kEose);
  AwaitSignals(1);
  EXPECT_TRUE(subscriber_.connected());
  const auto event = testing::Announcement(testing::Repo("alice", "tool"), 1, {"wss://a.example"});
  Hear(nostr::EventMessagePrefix("self") + nostr::EventJson(event) + "]");
  AwaitSignals(2);
}

// What was committed in between is found because each connection begins with a signal.
TEST_F(SelfSubscriberTest, HoweverOftenItLosesTheConnectionItComesBackAndSignals) {
  for (int i = 1; i <= 20; ++i) {
    relay_.Await([&] { return relay_.dials == i; });
    if (i % 3 == 0) {  // refused
      Lose();
      continue;
    }
    Open();
    if (i % 3 == 1) {
      Hear(kEose);
      AwaitSignals(i / 3 + 1);
      EXPECT_TRUE(subscriber_.connected());
    }
    Lose();
  }
  relay_.Await([&] { return relay_.dials == 21; });
  EXPECT_FALSE(subscriber_.connected());
}

TEST_F(SelfSubscriberTest, WaitsOneSecondThenTwiceAsLongUpToAMinuteAndAgainOneOnceItWasSubscribed) {
  Timers timers(relay_);
  auto options = Options();
  options.first_backoff = std::chrono::seconds(1);
  options.max_backoff = std::chrono::seconds(60);
  options.after = [&](auto delay, auto task) { return timers.After(delay, std::move(task)); };
  SelfSubscriber patient(relay_, io_.thread(0), std::move(options), [] {});
  const int before = relay_.dials;
  patient.Start();
  for (int i = 1; i <= 9; ++i) {
    relay_.Await([&] { return relay_.dials == before + i; });
    if (i == 9) {
      Open();
      Hear(kEose);
    }
    Lose();
    relay_.Await([&] { return timers.delays.size() == static_cast<size_t>(i); });
    if (i < 9) io_.thread(0).Post(std::exchange(timers.due, nullptr));
  }
  std::vector<int> seconds;
  for (const auto delay : timers.delays) {
    seconds.push_back(
        static_cast<int>(std::chrono::duration_cast<std::chrono::seconds>(delay).count()));
  }
  EXPECT_THAT(seconds, ::testing::ElementsAre(1, 2, 4, 8, 16, 32, 60, 60, 1));
  patient.Stop();
}

// As when more comes at once than the relay holds for one subscription.
TEST_F(SelfSubscriberTest, ASubscriptionThatTheRelayClosesIsMadeAnew) {
  Open();
  Hear(kEose);
  Hear(R"(["CLOSED","self","error: too many new events during the stored ones"])");
  relay_.Await([&] { return relay_.closed == 1; });
  Lose();
  relay_.Await([&] { return relay_.dials == 2; });
  Open();
  Hear(kEose);
  AwaitSignals(2);
  EXPECT_TRUE(subscriber_.connected());
}

}  // namespace
}  // namespace graspd::sync
