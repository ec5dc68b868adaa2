// What is accepted while the self-subscription is lost, held up or flooded is acted on all the
// same: its position in the feed is what counts.
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "tests/integration/sync_fixture.h"

namespace graspd {
namespace {

/// Stops a thread from working until it is destroyed.
class Hold {
 public:
  explicit Hold(net::IoThread& thread) {
    thread.Post([state = state_] {
      std::unique_lock lock(state->mutex);
      state->changed.wait(lock, [&] { return state->over; });
    });
  }
  ~Hold() {
    {
      const std::lock_guard lock(state_->mutex);
      state_->over = true;
    }
    state_->changed.notify_all();
  }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    bool over = false;
  };
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

/// Connections of sync have an I/O thread of their own, so that it can be held up alone.
class SelfSubscriptionTest : public SyncFixture {
 protected:
  SelfSubscriptionTest() {
    StartSync([](sync::SyncManager::Options& options) {
      options.self.first_backoff = std::chrono::milliseconds(10);
      options.self.max_backoff = std::chrono::milliseconds(100);
    });
    AwaitSubscribed();
  }
  ~SelfSubscriptionTest() override {
    manager_->Stop();
    ours_.Stop();
    listener_.Stop();
    manager_.reset();  // has a thread of ours
  }
  net::IoPool& ConnectionThreads() override { return listener_; }

  void AwaitSubscribed() {
    const auto deadline = base::SystemClock::Instance().Now() + kPatience;
    while (!manager_->hears_itself()) {
      ASSERT_LT(base::SystemClock::Instance().Now(), deadline);
      std::this_thread::yield();
    }
  }

  /// Announces repositories here whose one issue is there, and waits for none of them.
  void AnnounceMany(int count) {
    for (int i = 0; i < count; ++i) {
      const std::string name = "repo-" + std::to_string(issues_.size());
      issues_.push_back(Issue(name, UnixNow() - 500, "an issue of " + name));
      theirs_.Publish(issues_.back());
      ours_.Publish(Announcement(name, {ours_.url(), theirs_.url()}));
    }
  }
  void ExpectAllIssues() {
    for (const auto& issue : issues_) ours_.WaitFor(issue);
  }

  /// Ends every connection that this process has opened to our relay port, as if the network had.
  int KillConnections() {
    int killed = 0;
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    for (int fd = 3; fd < static_cast<int>(std::min<rlim_t>(limit.rlim_cur, 4096)); ++fd) {
      sockaddr_in peer{};
      socklen_t length = sizeof peer;
      if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &length) != 0) continue;
      if (peer.sin_family != AF_INET || ntohs(peer.sin_port) != ours_.address().port) continue;
      killed += ::shutdown(fd, SHUT_RDWR) == 0 ? 1 : 0;
    }
    return killed;
  }

  net::IoPool listener_{1, "listener"};
  TestRelay theirs_{ingest::PolicyMode::kOpen, "theirs"};
  std::vector<Event> issues_;
};

TEST_F(SelfSubscriptionTest, ConnectionsThatAreKilledLoseNothing) {
  for (int i = 0; i < 5; ++i) {
    // It may not have noticed the end of the one before.
    const auto deadline = base::SystemClock::Instance().Now() + kPatience;
    while (KillConnections() == 0) {
      ASSERT_LT(base::SystemClock::Instance().Now(), deadline);
      std::this_thread::yield();
    }
    AnnounceMany(5);
    AwaitSubscribed();
  }
  ExpectAllIssues();
}

TEST_F(SelfSubscriptionTest, AListenerThatIsHeldUpCatchesUp) {
  {
    const Hold hold(listener_.thread(0));
    AnnounceMany(50);
  }
  ExpectAllIssues();
}

// More than the relay holds for one connection: it ends the subscription.
TEST_F(SelfSubscriptionTest, AFloodWhileNobodyListensIsDealtWithAfterwards) {
  AnnounceMany(1);
  ExpectAllIssues();
  {
    const Hold hold(listener_.thread(0)), sync(sync_io_.thread(0));
    AnnounceMany(20);
    for (int i = 0; i < 400; ++i) {
      ours_.Publish(Issue("repo-0", UnixNow() - i, std::string(60'000, 'x') + std::to_string(i)));
    }
    AnnounceMany(20);
  }
  ExpectAllIssues();
  AwaitSubscribed();
}

}  // namespace
}  // namespace graspd
