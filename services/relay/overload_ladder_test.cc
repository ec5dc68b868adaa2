#include "services/relay/overload_ladder.h"

#include <gtest/gtest.h>

namespace graspd::relay {
namespace {

using Level = OverloadLevel;

OverloadLadder::Load Memory(size_t used) { return {.memory = {used, 1000}}; }

TEST(OverloadLadderTest, LevelsBeginAtTheirShareOfTheBudget) {
  for (const auto& [used, level] : {std::pair{0u, Level::kNone},
                                    {799u, Level::kNone},
                                    {800u, Level::kReads},
                                    {899u, Level::kReads},
                                    {900u, Level::kConnections},
                                    {949u, Level::kConnections},
                                    {950u, Level::kQueues},
                                    {5000u, Level::kQueues}}) {
    EXPECT_EQ(OverloadLadder().Update(Memory(used)), level) << used;
  }
}

TEST(OverloadLadderTest, ALevelEndsFivePercentBelowItsBegin) {
  OverloadLadder ladder;
  ladder.Update(Memory(990));
  EXPECT_EQ(ladder.Update(Memory(901)), Level::kQueues);
  EXPECT_EQ(ladder.Update(Memory(899)), Level::kConnections);
  EXPECT_EQ(ladder.Update(Memory(851)), Level::kConnections);
  EXPECT_EQ(ladder.Update(Memory(849)), Level::kReads);
  EXPECT_EQ(ladder.Update(Memory(751)), Level::kReads);
  EXPECT_EQ(ladder.Update(Memory(801)), Level::kReads);
  EXPECT_EQ(ladder.Update(Memory(749)), Level::kNone);
  EXPECT_EQ(ladder.Update(Memory(799)), Level::kNone);
}

TEST(OverloadLadderTest, SeveralLevelsMayEndOrBeginAtOnce) {
  OverloadLadder ladder;
  EXPECT_EQ(ladder.Update(Memory(990)), Level::kQueues);
  EXPECT_EQ(ladder.Update(Memory(100)), Level::kNone);
  EXPECT_EQ(ladder.Update(Memory(920)), Level::kConnections);
}

TEST(OverloadLadderTest, TheFullestResourceDecides) {
  EXPECT_EQ(OverloadLadder().Update({.memory = {100, 1000}, .outbound = {96, 100}}),
            Level::kQueues);
  EXPECT_EQ(OverloadLadder().Update({.memory = {850, 1000}, .outbound = {0, 100}}), Level::kReads);
}

TEST(OverloadLadderTest, WithoutABudgetNothingIsEverFull) {
  EXPECT_EQ(OverloadLadder().Update({.memory = {SIZE_MAX, 0}}), Level::kNone);
}

}  // namespace
}  // namespace graspd::relay
