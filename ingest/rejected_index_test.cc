#include "ingest/rejected_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/manual_clock.h"

namespace graspd::ingest {
namespace {

using testing::ElementsAre;

nostr::EventId Id(uint8_t number) {
  nostr::EventId id;
  id.bytes[0] = number;
  return id;
}

class RejectedIndexTest : public testing::Test {
 protected:
  bool InVain(uint8_t number) { return index_.InVain({{Id(number)}})[0]; }
  base::ManualClock clock_;
  RejectedIndex index_{clock_, {.ids = 3, .keep = std::chrono::hours(24)}};
};

TEST_F(RejectedIndexTest, AnswersInTheOrderAskedAndCountsWhatItSpares) {
  index_.Add(Id(1));
  index_.Hold(Id(3));
  const std::vector<nostr::EventId> asked = {Id(3), Id(2), Id(1)};
  EXPECT_THAT(index_.InVain(asked), ElementsAre(true, false, true));
  EXPECT_EQ(index_.hits(), 2u);
}

TEST_F(RejectedIndexTest, TheOldestLeaveWhenItIsFull) {
  for (uint8_t i = 1; i <= 4; ++i) index_.Add(Id(i));
  EXPECT_EQ(index_.size(), 3u);
  EXPECT_FALSE(InVain(1));
  EXPECT_TRUE(InVain(4));
}

TEST_F(RejectedIndexTest, ARefusalIsForgottenAfterItsTimeThoughItCameAgain) {
  index_.Add(Id(1));
  clock_.Advance(std::chrono::hours(23));
  index_.Add(Id(1));
  EXPECT_TRUE(InVain(1));
  clock_.Advance(std::chrono::hours(1));
  EXPECT_FALSE(InVain(1));
  EXPECT_EQ(index_.size(), 0u);
}

TEST_F(RejectedIndexTest, WhatWaitsStaysUntilReleasedWhateverIsCleared) {
  index_.Add(Id(1));
  index_.Hold(Id(2));
  index_.Clear();
  EXPECT_FALSE(InVain(1));
  EXPECT_TRUE(InVain(2));
  index_.Release(Id(2));
  EXPECT_FALSE(InVain(2));
}

}  // namespace
}  // namespace graspd::ingest
