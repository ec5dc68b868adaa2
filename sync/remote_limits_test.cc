#include "sync/remote_limits.h"

#include <gtest/gtest.h>

namespace graspd::sync {
namespace {

TEST(RemoteLimits, AreNotTakenBeyondWhatIsOfUse) {
  nostr::RelayInformation boastful;
  boastful.max_subscriptions = boastful.max_filters = boastful.max_limit = 1'000'000;
  boastful.max_message_length = 1'000'000'000;
  const RemoteLimits limits = LimitsOf(boastful);
  EXPECT_LE(limits.plan.subscriptions + limits.jobs * limits.job.requests, 200u);
  EXPECT_LE(limits.plan.message_bytes, 128u * 1024);
  EXPECT_EQ(limits.job.page, CatchUpJob::kLargePageSize);
}

TEST(RemoteLimits, LeaveSomethingOfTheLeast) {
  nostr::RelayInformation least;
  least.max_subscriptions = least.max_filters = least.max_limit = least.max_message_length = 1;
  const RemoteLimits limits = LimitsOf(least);
  EXPECT_EQ(limits.plan.subscriptions, 1u);
  EXPECT_EQ(limits.jobs, 1u);
  EXPECT_EQ(limits.job.requests, 1u);
  EXPECT_EQ(limits.job.ids_per_request, 1u);
  EXPECT_EQ(limits.job.page, 1u);
}

TEST(RemoteLimits, NoMoreIdsAreAskedForThanEventsAreServed) {
  nostr::RelayInformation information;
  EXPECT_EQ(LimitsOf(information).job.ids_per_request, CatchUpJob::kIdsPerReq);
  information.max_limit = 20;
  EXPECT_EQ(LimitsOf(information).job.ids_per_request, 20u);
  EXPECT_EQ(LimitsOf(information).job.page, 20u);
}

}  // namespace
}  // namespace graspd::sync
