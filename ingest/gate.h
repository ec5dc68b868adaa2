#pragma once

#include <atomic>
#include <cstddef>

#include "base/mutex.h"

namespace graspd::ingest {

/// Counts the events between Submit and their answer, and can be closed for good.
///
/// Threading: thread-safe. The count is what credits are measured against when the whole process
/// has too much in flight, and what draining waits for.
class Gate {
 public:
  /// False, counting nothing, once closed.
  [[nodiscard]] bool Enter(size_t bytes) {
    events_.fetch_add(1);
    bytes_.fetch_add(bytes);
    if (!closed_.load()) return true;
    Leave(1, bytes);
    return false;
  }

  void Leave(size_t events, size_t bytes) {
    bytes_.fetch_sub(bytes);
    if (events_.fetch_sub(events) != events || !closed_.load()) return;
    base::MutexLock lock(mutex_);
    empty_.NotifyAll();
  }

  /// Returns when everything that had entered has left.
  void CloseAndWait() {
    closed_.store(true);
    base::MutexLock lock(mutex_);
    while (events_.load() != 0) empty_.Wait(mutex_);
  }

  [[nodiscard]] size_t events() const { return events_.load(std::memory_order_relaxed); }
  [[nodiscard]] size_t bytes() const { return bytes_.load(std::memory_order_relaxed); }

 private:
  std::atomic<size_t> events_{0}, bytes_{0};
  std::atomic<bool> closed_{false};
  base::Mutex mutex_;
  base::CondVar empty_;
};

}  // namespace graspd::ingest
