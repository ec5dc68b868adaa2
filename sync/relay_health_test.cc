#include "sync/relay_health.h"

#include <gtest/gtest.h>

#include <set>

namespace graspd::sync {
namespace {

using std::chrono::duration_cast;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

class RelayHealth : public ::testing::Test {
 protected:
  base::Duration Fail() { return health_.Failed(now_, random_); }

  base::SeededRandom random_{7};
  base::SteadyTime now_{hours(1000)};
  RelayHealthTracker health_{HealthOptions()};
};

TEST_F(RelayHealth, BackoffDoublesFromFiveSecondsToAnHourAndJitterOnlyAddsToIt) {
  auto least = base::Duration(seconds(5));
  for (int i = 0; i < 15; ++i) {
    const auto wait = Fail();
    EXPECT_GE(wait, least) << i;
    EXPECT_LE(wait, least + least / 2) << i;
    least = std::min(2 * least, base::Duration(hours(1)));
  }
  EXPECT_EQ(health_.consecutive_failures(), 15u);
}

TEST_F(RelayHealth, RemotesThatFailTogetherDoNotReturnTogether) {
  std::set<base::Duration> waits;
  for (int i = 0; i < 50; ++i)
    waits.insert(RelayHealthTracker(HealthOptions()).Failed(now_, random_));
  EXPECT_GT(waits.size(), 40u);
}

TEST_F(RelayHealth, ABareConnectIsNoRecovery) {
  for (int i = 0; i < 4; ++i) {
    Fail();
    health_.Connected(now_);
    now_ += seconds(59);
  }
  EXPECT_GE(Fail(), seconds(40));
  EXPECT_EQ(health_.consecutive_failures(), 5u);
}

TEST_F(RelayHealth, AnEventMakesAConnectionUseful) {
  for (int i = 0; i < 6; ++i) Fail();
  health_.Connected(now_);
  health_.Useful();
  EXPECT_LE(Fail(), milliseconds(7500));
  EXPECT_EQ(health_.consecutive_failures(), 1u);
}

TEST_F(RelayHealth, AMinuteMakesAConnectionUseful) {
  for (int i = 0; i < 6; ++i) Fail();
  health_.Connected(now_);
  now_ += minutes(1);
  EXPECT_LE(Fail(), milliseconds(7500));
}

TEST_F(RelayHealth, UsefulnessDoesNotLastBeyondItsConnection) {
  health_.Connected(now_);
  health_.Useful();
  Fail();
  health_.Useful();  // a result that comes late
  health_.Connected(now_);
  Fail();
  EXPECT_EQ(health_.consecutive_failures(), 2u);
}

TEST_F(RelayHealth, IsDeadAfterADayOfFailuresAndThenTriedDaily) {
  const auto begin = now_;
  Fail();
  while (now_ - begin < hours(24)) {
    EXPECT_FALSE(health_.IsDead(now_));
    now_ += minutes(30);
    Fail();
  }
  EXPECT_TRUE(health_.IsDead(now_));
  EXPECT_EQ(Fail(), base::Duration(hours(24)));
}

TEST_F(RelayHealth, AUsefulConnectionBringsTheDeadBack) {
  Fail();
  now_ += hours(25);
  Fail();
  ASSERT_TRUE(health_.IsDead(now_));
  health_.Connected(now_);
  health_.Useful();
  EXPECT_LE(Fail(), milliseconds(7500));
  EXPECT_FALSE(health_.IsDead(now_));
}

TEST_F(RelayHealth, AnOperatorMayStartAfresh) {
  for (int i = 0; i < 9; ++i) Fail();
  health_.Reset();
  EXPECT_EQ(health_.consecutive_failures(), 0u);
  EXPECT_LE(Fail(), milliseconds(7500));
}

}  // namespace
}  // namespace graspd::sync
