#pragma once

#include <array>
#include <cstddef>
#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"

namespace graspd::base {

/// Threads for pure computation: signature checks and negentropy. Tasks must not block.
///
/// Three classes share the threads by weight (8:4:1 while all have work), so that synchronising
/// never starves clients and reconciling never starves either, yet nothing waits for ever.
/// Bounds: the pool does not cap its queues; each submitter holds its own credits (ingest's
/// in-flight limit, negentropy's session limit), which bound what can be queued here.
/// Threading: thread-safe. Lifetime: Stop (or the destructor) runs what is queued, then joins; what
/// a stopped pool is given is destroyed unrun.
class CpuPool {
 public:
  enum class Priority : uint8_t { kClientVerify = 0, kSyncVerify = 1, kNegentropy = 2 };
  static constexpr size_t kPriorities = 3;

  explicit CpuPool(size_t threads, const std::string& name = "cpu");
  ~CpuPool();
  CpuPool(const CpuPool&) = delete;
  CpuPool& operator=(const CpuPool&) = delete;

  void Stop();
  void Run(Priority priority, std::function<void()> task);
  [[nodiscard]] size_t queued(Priority priority) const;
  [[nodiscard]] size_t thread_count() const { return threads_.size(); }

 private:
  void Work();
  std::function<void()> TakeLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable Mutex mutex_;
  CondVar available_;
  std::array<std::deque<std::function<void()>>, kPriorities> queues_ ABSL_GUARDED_BY(mutex_);
  std::array<int, kPriorities> turns_left_ ABSL_GUARDED_BY(mutex_){};
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false, stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;  // last: its threads use everything above
};

/// Names the calling thread (at most 15 characters are kept) for ps, gdb and perf.
void SetThreadName(const std::string& name);

}  // namespace graspd::base
