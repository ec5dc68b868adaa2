#include "base/cpu_pool.h"

#include <pthread.h>

#include <utility>

namespace graspd::base {
namespace {

constexpr std::array<int, CpuPool::kPriorities> kTurns = {8, 4, 1};

}  // namespace

void SetThreadName(const std::string& name) {
  pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
}

CpuPool::CpuPool(size_t threads, const std::string& name) {
  for (size_t i = 0; i < threads; ++i) {
    threads_.emplace_back([this, name, i] {
      SetThreadName(name + "-" + std::to_string(i));
      Work();
    });
  }
}

CpuPool::~CpuPool() { Stop(); }

void CpuPool::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  available_.NotifyAll();
  for (auto& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
  MutexLock lock(mutex_);
  for (auto& queue : queues_) queue.clear();
  stopped_ = true;
}

void CpuPool::Run(Priority priority, std::function<void()> task) {
  {
    MutexLock lock(mutex_);
    if (stopped_) return;
    queues_[static_cast<size_t>(priority)].push_back(std::move(task));
  }
  available_.NotifyOne();
}

size_t CpuPool::queued(Priority priority) const {
  MutexLock lock(mutex_);
  return queues_[static_cast<size_t>(priority)].size();
}

// Weighted round robin: each class may take its turns, then the next; when no class that has work
// has turns left, all get theirs back.
std::function<void()> CpuPool::TakeLocked() {
  for (int round = 0; round < 2; ++round) {
    for (size_t i = 0; i < kPriorities; ++i) {
      if (queues_[i].empty() || turns_left_[i] == 0) continue;
      --turns_left_[i];
      auto task = std::move(queues_[i].front());
      queues_[i].pop_front();
      return task;
    }
    turns_left_ = kTurns;
  }
  return nullptr;
}

void CpuPool::Work() {
  for (;;) {
    std::function<void()> task;
    {
      MutexLock lock(mutex_);
      while (!(task = TakeLocked())) {
        if (stopping_) return;
        available_.Wait(mutex_);
      }
    }
    task();
  }
}

}  // namespace graspd::base
