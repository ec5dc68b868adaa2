#include "base/token_bucket.h"

#include <gtest/gtest.h>

namespace graspd::base {
namespace {

using std::chrono::milliseconds;
constexpr SteadyTime kStart{};

TEST(TokenBucket, AllowsTheBurstThenTheRate) {
  TokenBucket bucket(10, 3, kStart);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(bucket.TryTake(kStart));
  EXPECT_FALSE(bucket.TryTake(kStart));
  EXPECT_FALSE(bucket.TryTake(kStart + milliseconds(50)));
  EXPECT_TRUE(bucket.TryTake(kStart + milliseconds(101)));
  EXPECT_FALSE(bucket.TryTake(kStart + milliseconds(101)));
}

TEST(TokenBucket, SavesUpNoMoreThanTheBurst) {
  TokenBucket bucket(10, 3, kStart);
  const auto later = kStart + std::chrono::hours(1);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(bucket.TryTake(later));
  EXPECT_FALSE(bucket.TryTake(later));
}

TEST(TokenBucket, MayOweUpToABurst) {
  TokenBucket bucket(10, 3, kStart);
  bucket.Charge(1000, kStart);
  EXPECT_FALSE(bucket.TryTake(kStart + milliseconds(390)));
  EXPECT_TRUE(bucket.TryTake(kStart + milliseconds(401)));
}

TEST(TokenBucket, GainsNothingFromATimeThatGoesBack) {
  TokenBucket bucket(10, 1, kStart + milliseconds(100));
  EXPECT_TRUE(bucket.TryTake(kStart + milliseconds(100)));
  EXPECT_FALSE(bucket.TryTake(kStart));
  EXPECT_FALSE(bucket.TryTake(kStart + milliseconds(190)));
}

TEST(TokenBucket, ARateOfZeroIsUnlimited) {
  TokenBucket bucket(0, 1, kStart);
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(bucket.TryTake(kStart));
}

}  // namespace
}  // namespace graspd::base
