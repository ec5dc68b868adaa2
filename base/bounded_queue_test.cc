#include "base/bounded_queue.h"

#include <gtest/gtest.h>

#include <memory>
#include <numeric>
#include <thread>

namespace graspd::base {
namespace {

TEST(BoundedQueueTest, RefusesWhenFullAndLeavesTheItem) {
  BoundedQueue<std::unique_ptr<int>> queue(2);
  EXPECT_TRUE(queue.TryPush(std::make_unique<int>(1)));
  EXPECT_TRUE(queue.TryPush(std::make_unique<int>(2)));
  auto third = std::make_unique<int>(3);
  EXPECT_FALSE(queue.TryPush(std::move(third)));
  ASSERT_NE(third, nullptr);
  EXPECT_EQ(queue.size(), 2U);
  EXPECT_EQ(**queue.Pop(), 1);
  EXPECT_TRUE(queue.TryPush(std::move(third)));
}

TEST(BoundedQueueTest, DrainsInOrderAfterCloseThenEnds) {
  BoundedQueue<int> queue(10);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(queue.TryPush(int{i}));
  queue.Close();
  EXPECT_FALSE(queue.TryPush(9));
  EXPECT_EQ(queue.Pop(), 0);
  EXPECT_EQ(queue.PopBatch(2), (std::vector{1, 2}));
  EXPECT_EQ(queue.PopBatch(100), (std::vector{3, 4}));
  EXPECT_TRUE(queue.PopBatch(1).empty());
  EXPECT_EQ(queue.Pop(), std::nullopt);
}

TEST(BoundedQueueTest, CloseWakesEveryWaiter) {
  BoundedQueue<int> queue(1);
  std::thread one([&] { EXPECT_EQ(queue.Pop(), std::nullopt); });
  std::thread other([&] { EXPECT_TRUE(queue.PopBatch(3).empty()); });
  queue.Close();
  one.join();
  other.join();
}

TEST(BoundedQueueTest, NothingIsLostOrDoubledBetweenThreads) {
  constexpr int kItems = 20'000;
  BoundedQueue<int> queue(16);
  std::vector<int> seen(kItems, 0);
  const auto produce = [&](int from, int to) {
    for (int i = from; i < to; ++i) {
      while (!queue.TryPush(int{i})) std::this_thread::yield();
    }
  };
  const auto consume = [&] {
    while (const auto item = queue.Pop()) ++seen[static_cast<size_t>(*item)];
  };
  std::thread consumers[] = {std::thread(consume), std::thread(consume)};
  std::thread producers[] = {std::thread(produce, 0, kItems / 2),
                             std::thread(produce, kItems / 2, kItems)};
  for (auto& thread : producers) thread.join();
  queue.Close();
  for (auto& thread : consumers) thread.join();
  EXPECT_EQ(seen, std::vector<int>(kItems, 1));
}

}  // namespace
}  // namespace graspd::base
