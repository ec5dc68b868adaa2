#pragma once

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/bounded_queue.h"

namespace graspd::base {

/// A few threads for work that blocks: store scans, file and name look-ups.
///
/// At most `queue` tasks wait; past that TryRun refuses and the caller sheds the request.
/// Threading: thread-safe. Lifetime: Stop (or the destructor) runs what is queued, then joins; a
/// stopped pool refuses everything, so that tasks of pools which use each other can end in any
/// order.
class BlockingPool {
 public:
  BlockingPool(size_t threads, size_t queue, const std::string& name);
  ~BlockingPool();
  BlockingPool(const BlockingPool&) = delete;
  BlockingPool& operator=(const BlockingPool&) = delete;

  void Stop();
  [[nodiscard]] bool TryRun(std::function<void()> task) { return queue_.TryPush(std::move(task)); }
  [[nodiscard]] size_t queued() const { return queue_.size(); }

 private:
  BoundedQueue<std::function<void()>> queue_;
  std::vector<std::thread> threads_;  // last: its threads use the queue
};

}  // namespace graspd::base
