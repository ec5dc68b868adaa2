#include "base/cpu_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <vector>

namespace graspd::base {
namespace {

using Priority = CpuPool::Priority;
constexpr Priority kAll[] = {Priority::kClientVerify, Priority::kSyncVerify, Priority::kNegentropy};

/// A pool of one thread, held up by its first task until Release().
class HeldPool {
 public:
  HeldPool() {
    std::promise<void> started;
    pool.Run(Priority::kClientVerify, [&, released = release_.get_future().share()] {
      started.set_value();
      released.wait();
    });
    started.get_future().wait();
  }
  void Release() { release_.set_value(); }

 private:
  std::promise<void> release_;

 public:
  CpuPool pool{1};
};

TEST(CpuPoolTest, ClassesShareTheThreadsByWeight) {
  std::vector<Priority> order;
  {
    HeldPool held;
    for (const Priority priority : kAll) {
      for (int i = 0; i < 30; ++i) {
        held.pool.Run(priority, [&order, priority] { order.push_back(priority); });
      }
      EXPECT_EQ(held.pool.queued(priority), 30U);
    }
    held.Release();
  }
  ASSERT_EQ(order.size(), 90U);
  const auto count = [&](size_t from, size_t to, Priority priority) {
    return std::count(order.begin() + static_cast<ptrdiff_t>(from),
                      order.begin() + static_cast<ptrdiff_t>(to), priority);
  };
  // The task that held the pool was the first of eight.
  EXPECT_EQ(count(0, 12, Priority::kClientVerify), 7);
  EXPECT_EQ(count(0, 12, Priority::kSyncVerify), 4);
  EXPECT_EQ(count(0, 12, Priority::kNegentropy), 1);
  EXPECT_EQ(count(12, 25, Priority::kClientVerify), 8);
  EXPECT_EQ(count(12, 25, Priority::kSyncVerify), 4);
  EXPECT_EQ(count(12, 25, Priority::kNegentropy), 1);
}

TEST(CpuPoolTest, OneClassKeepsItsOrderAndMayUseTheWholePool) {
  std::vector<int> order;
  {
    HeldPool held;
    for (int i = 0; i < 50; ++i) {
      held.pool.Run(Priority::kNegentropy, [&order, i] { order.push_back(i); });
    }
    held.Release();
  }
  ASSERT_EQ(order.size(), 50U);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST(CpuPoolTest, DestructionRunsWhatIsQueuedAndWhatThatQueues) {
  std::atomic<int> ran = 0;
  {
    CpuPool pool(3);
    for (int i = 0; i < 100; ++i) {
      pool.Run(kAll[i % 3], [&] {
        ++ran;
        pool.Run(Priority::kSyncVerify, [&] { ++ran; });
      });
    }
  }
  EXPECT_EQ(ran, 200);
}

TEST(CpuPoolTest, AllThreadsWorkAtOnce) {
  constexpr int kThreads = 4;
  std::promise<void> all_here;
  const auto met = all_here.get_future().share();
  std::atomic<int> here = 0;
  CpuPool pool(kThreads);
  EXPECT_EQ(pool.thread_count(), size_t{kThreads});
  for (int i = 0; i < kThreads; ++i) {
    pool.Run(Priority::kClientVerify, [&, met] {
      if (++here == kThreads) all_here.set_value();
      met.wait();
    });
  }
  EXPECT_EQ(met.wait_for(std::chrono::seconds(30)), std::future_status::ready);
}

}  // namespace
}  // namespace graspd::base
