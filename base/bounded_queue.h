#pragma once

#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "base/mutex.h"

namespace graspd::base {

/// Queue of at most `capacity` items between threads. Thread-safe.
///
/// When full, TryPush refuses and the caller applies its own policy (stop reading, drop, error).
/// After Close() pushes are refused, and pops drain what is left and then report the end.
template <typename T>
class BoundedQueue {
 public:
  explicit BoundedQueue(size_t capacity) : capacity_(capacity) {}

  /// False if full or closed; `item` is then untouched.
  [[nodiscard]] bool TryPush(T&& item) {
    {
      MutexLock lock(mutex_);
      if (closed_ || items_.size() >= capacity_) return false;
      items_.push_back(std::move(item));
    }
    available_.NotifyOne();
    return true;
  }

  /// Waits for an item; nullopt once closed and drained.
  std::optional<T> Pop() {
    MutexLock lock(mutex_);
    while (items_.empty() && !closed_) available_.Wait(mutex_);
    if (items_.empty()) return std::nullopt;
    T item = std::move(items_.front());
    items_.pop_front();
    return item;
  }

  /// Waits for at least one item, then takes up to `max`; empty once closed and drained.
  std::vector<T> PopBatch(size_t max) {
    std::vector<T> batch;
    MutexLock lock(mutex_);
    while (items_.empty() && !closed_) available_.Wait(mutex_);
    while (!items_.empty() && batch.size() < max) {
      batch.push_back(std::move(items_.front()));
      items_.pop_front();
    }
    return batch;
  }

  void Close() {
    {
      MutexLock lock(mutex_);
      closed_ = true;
    }
    available_.NotifyAll();
  }

  [[nodiscard]] size_t size() const {
    MutexLock lock(mutex_);
    return items_.size();
  }

 private:
  const size_t capacity_;
  mutable Mutex mutex_;
  CondVar available_;
  std::deque<T> items_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace graspd::base
