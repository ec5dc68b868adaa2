#include "net/io_pool.h"

#include "net/test_support.h"

namespace graspd::net {
namespace {

TEST(IoPoolTest, TimerRunsUnlessItsHandleIsDestroyed) {
  IoPool pool(1);
  IoThread& thread = pool.thread(0);
  std::promise<void> ran;
  std::unique_ptr<IoThread::Timer> kept, dropped;
  std::atomic<bool> dropped_ran{false};
  thread.Post([&] {
    dropped = thread.After(std::chrono::milliseconds(1), [&] { dropped_ran = true; });
    kept = thread.After(std::chrono::milliseconds(30), [&] {
      EXPECT_TRUE(thread.IsCurrent());
      ran.set_value();
    });
    dropped.reset();
  });
  Await(ran.get_future());
  EXPECT_FALSE(dropped_ran);
  EXPECT_FALSE(thread.IsCurrent());
  On(thread, [&] { return kept.reset(), 0; });
}

}  // namespace
}  // namespace graspd::net
