// Threats C22: the wall clock jumps. What it judges follows at once, and what lasts a while does
// not notice.
#include "base/clock.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "nostr/event_builder.h"
#include "nostr/keys.h"
#include "nostr/message.h"
#include "tests/adversarial/target.h"
#include "tests/e2e/relay_client.h"

namespace graspd::adversarial {
namespace {

using testing::HasSubstr;

constexpr int64_t kHour = 3600, kAhead = 900;  // the default of limits.created_at_ahead

/// The file that says by how much a daemon's wall clock is off.
class ClockOffset {
 public:
  ClockOffset() : path_(dir_ / "clock") {
    const int fd = open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (ftruncate(fd, sizeof(int64_t)) != 0) abort();
    void* page = mmap(nullptr, sizeof(int64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED) abort();
    close(fd);
    offset_ = static_cast<std::atomic<int64_t>*>(page);
  }
  [[nodiscard]] std::vector<std::string> launcher() const {
    return {"/usr/bin/env", "LD_PRELOAD=" CLOCK_PRELOAD, "TEST_CLOCK_OFFSET=" + path_};
  }
  void Set(int64_t seconds) { *offset_ = seconds; }
  [[nodiscard]] int64_t now() const { return std::time(nullptr) + *offset_; }

 private:
  e2e::TempDir dir_;
  std::string path_;
  std::atomic<int64_t>* offset_;
};

/// The answer to an event of that time.
std::string AnswerTo(net::RawClient& client, int64_t created_at) {
  static const auto key = nostr::SecretKey::FromSeed("traveller");
  static int count = 0;
  const auto event = nostr::EventBuilder(1, static_cast<uint64_t>(created_at))
                         .Content(std::to_string(++count))
                         .Sign(key);
  client.SendFrame(kText, nostr::ClientEventMessage(nostr::EventJson(event)));
  return client.ReadFrame().payload;
}

TEST(ClockTest, AfterAStepOfTheWallClockEventsAreJudgedByIt) {
  ClockOffset offset;
  const Target target({}, offset.launcher());
  const auto client = WebSocketClient(target);
  for (const int64_t step : {int64_t{0}, kHour, -kHour, int64_t{0}}) {
    SCOPED_TRACE(step);
    offset.Set(step);
    // A second may pass between the two clocks' readings.
    EXPECT_THAT(AnswerTo(*client, offset.now() + kAhead), HasSubstr(",true,"));
    EXPECT_THAT(AnswerTo(*client, offset.now() + kAhead + 2), HasSubstr(",false,\"invalid:"));
    const auto other = WebSocketClient(target);
    EXPECT_THAT(AnswerTo(*other, offset.now()), HasSubstr(",true,"));
  }
  target.ExpectHealthy();
}

// A remote that ends every connection is tried at once, then after 2.5 to 5 s, and so on: an hour
// gained must not bring the next try forward, nor one lost put it off. The silent client's time
// runs out meanwhile, the answering one's does not.
TEST(ClockTest, WhatLastsAWhileDoesNotNoticeAStep) {
  for (const int64_t step : {kHour, -kHour}) {
    SCOPED_TRACE(step);
    ClockOffset offset;
    base::Mutex mutex;
    std::vector<base::SteadyTime> tries;
    const auto tried = [&] {
      const base::MutexLock lock(mutex);
      return tries;
    };
    net::RawServer remote([&](int fd) {
      const std::string head = net::ReadHead(fd);
      if (head.find("websocket") == std::string::npos) return;  // asks for the document
      const base::MutexLock lock(mutex);
      if (tries.empty()) offset.Set(step);
      tries.push_back(base::SystemClock::Instance().Now());
    });
    const Target target(
        {"--sync-enabled=true", "--sync-startup-delay=1s", "--sync-allow-cidrs=127.0.0.0/8",
         "--sync-bootstrap=ws://" + remote.address().ToString(), "--limits-ping-interval=1s",
         "--limits-pong-timeout=2s"},
        offset.launcher());
    e2e::RelayClient answering(target.relay_url());
    answering.Subscribe("s", {{.limit = 0}});
    const auto silent = WebSocketClient(target);
    EXPECT_TRUE(silent->Ended()) << "it never answered a ping";
    ASSERT_TRUE(e2e::Eventually([&] { return tried().size() >= 2; }));
    EXPECT_GE(tried()[1] - tried()[0], std::chrono::seconds(2)) << "no hour of patience was gained";
    EXPECT_EQ(target.Metric("graspd_relay_silent_client_closes_total"), 1);
    EXPECT_FALSE(answering.heard().end);
    offset.Set(0);  // its event is of the true time
    target.ExpectHealthy();
  }
}

}  // namespace
}  // namespace graspd::adversarial
