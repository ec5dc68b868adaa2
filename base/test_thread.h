#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <utility>

#include "base/executor.h"

namespace graspd::base {

/// The test's own thread as an executor: others post, and the test runs what has come, or waits for
/// it. Post from any thread, the rest from the test's. For tests.
class TestThread final : public Executor {
 public:
  void Post(std::function<void()> task) override {
    {
      const std::lock_guard lock(mutex_);
      tasks_.push_back(std::move(task));
    }
    posted_.notify_one();
  }
  /// The next task, waiting for it.
  std::function<void()> Take() {
    std::unique_lock lock(mutex_);
    posted_.wait(lock, [this] { return !tasks_.empty(); });
    auto task = std::move(tasks_.front());
    tasks_.pop_front();
    return task;
  }
  void RunNext() { Take()(); }
  void RunUntil(const std::function<bool()>& done) {
    while (!done()) RunNext();
  }
  /// Until nothing is queued.
  void RunAll() {
    while (HasTask()) RunNext();
  }

 private:
  bool HasTask() {
    const std::lock_guard lock(mutex_);
    return !tasks_.empty();
  }

  std::mutex mutex_;
  std::condition_variable posted_;
  std::deque<std::function<void()>> tasks_;
};

}  // namespace graspd::base
