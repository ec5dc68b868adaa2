#include "services/relay/overload_guard.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace graspd::relay {
namespace {

constexpr size_t kMemory = 1000, kOutbound = 100;

/// Remembers what it was asked to give up.
class FakeServer final : public net::WebSocketServer {
 public:
  std::vector<net::ListenAddress> addresses() const override { return {}; }
  size_t connection_count() const override { return 0; }
  size_t outbound_bytes() const override { return outbound; }
  void StopAccepting() override {}
  void CloseAll(uint16_t, std::string_view, base::Duration) override {}
  void RefuseNew(bool refuse) override { refusing = refuse; }
  void CloseIdle(base::Duration) override { ++idle_rounds; }
  void CutQueues(size_t) override { ++queue_rounds; }

  size_t outbound = 0;
  bool refusing = false;
  int idle_rounds = 0, queue_rounds = 0;
};

class OverloadGuardTest : public testing::Test {
 protected:
  void CheckAt(size_t memory) {
    memory_ = memory;
    guard_.Check();
  }

  FakeServer server_;
  Overload overload_;
  size_t memory_ = 100;
  int returns_ = 0;
  OverloadGuard guard_{
      {kMemory, kOutbound}, server_, overload_, [this] { return memory_; }, [this] { ++returns_; }};
};

TEST_F(OverloadGuardTest, EachLevelGivesUpMoreAndTakesItBackLater) {
  CheckAt(100);
  EXPECT_FALSE(overload_.sheds_reads());
  EXPECT_EQ(returns_, 0);
  CheckAt(820);
  EXPECT_TRUE(overload_.sheds_reads());
  EXPECT_EQ(returns_, 1);
  EXPECT_FALSE(server_.refusing);
  CheckAt(920);
  EXPECT_TRUE(server_.refusing);
  EXPECT_EQ(server_.idle_rounds, 1);
  EXPECT_EQ(server_.queue_rounds, 0);
  CheckAt(970);
  EXPECT_EQ(server_.idle_rounds, 2);
  EXPECT_EQ(server_.queue_rounds, 1);
  EXPECT_EQ(overload_.level.load(), OverloadLevel::kQueues);
  CheckAt(100);
  EXPECT_FALSE(server_.refusing);
  EXPECT_FALSE(overload_.sheds_reads());
}

TEST_F(OverloadGuardTest, FullQueuesAloneAreOverloadToo) {
  server_.outbound = 96;
  CheckAt(100);
  EXPECT_EQ(server_.queue_rounds, 1);
}

TEST_F(OverloadGuardTest, OnceStoppedItTouchesNothing) {
  guard_.Stop();
  CheckAt(990);
  EXPECT_FALSE(overload_.sheds_reads());
  EXPECT_FALSE(server_.refusing);
}

TEST_F(OverloadGuardTest, FreedMemoryIsReturnedNowAndThenWhileItIsShort) {
  for (int i = 0; i < 11; ++i) CheckAt(850);
  EXPECT_EQ(returns_, 3);
}

TEST_F(OverloadGuardTest, WhatSeemsToBeUsedBesidesIsReturnedEverMoreRarely) {
  CheckAt(100);
  for (int i = 0; i < 4; ++i) CheckAt(300);
  EXPECT_EQ(returns_, 0);
  CheckAt(300);
  EXPECT_EQ(returns_, 1);
  for (int i = 0; i < 10; ++i) CheckAt(300);  // it is used
  EXPECT_EQ(returns_, 2);
  for (int i = 0; i < 10000; ++i) CheckAt(300);
  EXPECT_GT(returns_, 10000 / 300);
  EXPECT_LT(returns_, 10000 / 300 + 10);
}

// As far as the process can tell, nothing has changed when they leave.
TEST_F(OverloadGuardTest, WhatACrowdLeavesIsReturnedAfterAsLongAgainAsItStayed) {
  CheckAt(100);
  for (int i = 0; i < 40; ++i) CheckAt(300);
  const int before = returns_;
  for (int i = 0; i < 40; ++i) CheckAt(300);
  EXPECT_GT(returns_, before);
}

TEST_F(OverloadGuardTest, WhatComesAndGoesIsNotWaitedForLong) {
  CheckAt(100);
  for (int i = 0; i < 1000; ++i) CheckAt(300);
  const int before = returns_;
  for (int i = 0; i < 6; ++i) CheckAt(500);
  EXPECT_EQ(returns_, before + 1);
}

TEST_F(OverloadGuardTest, WhatACrowdLeavesThatWasThereBeforeTheFirstCheckIsReturned) {
  for (int i = 0; i < 5; ++i) CheckAt(300);
  EXPECT_EQ(returns_, 1);
}

TEST_F(OverloadGuardTest, SwingsDoNotPutItOff) {
  CheckAt(100);
  for (int i = 0; i < 50; ++i) {
    CheckAt(300);
    CheckAt(500);
  }
  EXPECT_GT(returns_, 10);
}

}  // namespace
}  // namespace graspd::relay
