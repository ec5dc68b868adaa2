#pragma once

#include <deque>
#include <functional>
#include <utility>

namespace graspd::base {

/// Somewhere to run a task later, on one particular thread, in the order posted. The border between
/// modules that live on different threads: whoever has to call back does it by Post().
class Executor {
 public:
  virtual ~Executor() = default;
  /// Thread-safe, never blocks, never runs `task` before returning. After the owner has stopped,
  /// tasks are destroyed unrun.
  virtual void Post(std::function<void()> task) = 0;
};

/// Runs tasks when told to, on the caller's thread. Thread-compatible. For tests and simulations.
class ManualExecutor final : public Executor {
 public:
  void Post(std::function<void()> task) override { tasks_.push_back(std::move(task)); }
  /// Runs until nothing is queued, including what the tasks post themselves; returns how many ran.
  size_t RunAll() {
    size_t ran = 0;
    for (; !tasks_.empty(); ++ran) {
      auto task = std::move(tasks_.front());
      tasks_.pop_front();
      task();
    }
    return ran;
  }

 private:
  std::deque<std::function<void()>> tasks_;
};

}  // namespace graspd::base
