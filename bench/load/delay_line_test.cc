#include "bench/load/delay_line.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "base/manual_clock.h"
#include "bench/load/client.h"
#include "bench/load/remote_relay.h"

namespace graspd::bench {
namespace {

using std::chrono::milliseconds;

const base::SteadyTime kStart{};

TEST(DelayQueue, BytesArriveAfterTheDelay) {
  DelayQueue queue(milliseconds(25));
  queue.Push(kStart, "abc");
  EXPECT_EQ(queue.Arrived(kStart + milliseconds(24)), "");
  EXPECT_EQ(queue.NextArrival(), kStart + milliseconds(25));
  EXPECT_EQ(queue.Arrived(kStart + milliseconds(25)), "abc");
}

TEST(DelayQueue, KeepsTheOrderAndWhatWasNotTaken) {
  DelayQueue queue(milliseconds(10));
  queue.Push(kStart, "abc");
  queue.Push(kStart + milliseconds(5), "def");
  const auto later = kStart + milliseconds(15);
  EXPECT_EQ(queue.Arrived(later), "abc");
  queue.Pop(2);
  EXPECT_EQ(queue.Arrived(later), "c");
  queue.Pop(1);
  EXPECT_EQ(queue.Arrived(later - milliseconds(1)), "");
  EXPECT_EQ(queue.Arrived(later), "def");
  queue.Pop(3);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.NextArrival(), std::nullopt);
}

TEST(DelayQueue, IsFullAtItsBound) {
  DelayQueue queue(milliseconds(10));
  const std::string half(DelayQueue::kMaxBytes / 2, 'x');
  queue.Push(kStart, half);
  EXPECT_FALSE(queue.full());
  queue.Push(kStart, half);
  EXPECT_TRUE(queue.full());
  queue.Pop(half.size());
  EXPECT_FALSE(queue.full());
}

TEST(DelayLine, CarriesBothWaysAndNoFasterThanItSays) {
  const auto& clock = base::SystemClock::Instance();
  constexpr auto kDelay = milliseconds(30);
  net::IoPool pool(1);
  const auto remote = RemoteRelay::Start(pool, clock);
  ASSERT_TRUE(remote.ok()) << remote.status();
  const auto line = DelayLine::Start((*remote)->port(), kDelay, clock);
  ASSERT_TRUE(line.ok()) << line.status();
  const auto address = ResolveRelay("ws://127.0.0.1:" + std::to_string((*line)->port()));
  ASSERT_TRUE(address.ok()) << address.status();
  Client client(clock, std::chrono::seconds(20));
  ASSERT_TRUE(client.Open(*address, 1, 1).ok());

  std::string answer;
  client.set_on_text([&](size_t, std::string_view text) {
    answer = text;
    return absl::OkStatus();
  });
  const auto asked = clock.Now();
  client.Send(0, {R"(["REQ","s",{"limit":0}])"});
  ASSERT_TRUE(client.Flush().ok());
  ASSERT_TRUE(client.RunUntil([&] { return !answer.empty(); }).ok());
  EXPECT_EQ(answer, R"(["EOSE","s"])");
  EXPECT_GE(client.read_at() - asked, 2 * kDelay);
}

}  // namespace
}  // namespace graspd::bench
