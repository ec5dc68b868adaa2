// The event loops that every connection lives on. Keeps Boost.Asio out of the headers that include
// this one (net/asio.h has it).
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"

namespace graspd::net {

/// One event loop on one thread. A connection lives on one IoThread for its whole life, so its
/// state needs neither locks nor strands. Threading: Post and IsCurrent from any thread, the rest
/// as it says. Tasks of one poster run in the order of their posting and must not block; there is
/// no cap on how many wait, so who posts for strangers bounds them (credits, queues of bytes).
class IoThread final : public base::Executor {
 public:
  struct Impl;  // net/asio.h: the io_context

  IoThread();
  ~IoThread() override;
  void Post(std::function<void()> task) override;
  /// Runs `task` on this thread after `delay`, unless the handle is destroyed first. Call it and
  /// destroy the handle on this thread.
  class Timer;
  [[nodiscard]] std::unique_ptr<Timer> After(base::Duration delay, std::function<void()> task);
  [[nodiscard]] bool IsCurrent() const;
  [[nodiscard]] Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

/// Destroying it cancels.
class IoThread::Timer {
 public:
  virtual ~Timer() = default;
};

/// The I/O threads of the process, one per core. Lifetime: outlives all servers and connections;
/// Stop() (or the destructor) ends the loops, after which nothing posted runs; stop the servers
/// first.
class IoPool {
 public:
  /// The threads are called `name`-0, `name`-1, ...
  explicit IoPool(size_t threads, const std::string& name = "io");
  ~IoPool();
  [[nodiscard]] size_t size() const { return threads_.size(); }
  [[nodiscard]] IoThread& thread(size_t i) { return *threads_[i]; }
  /// Round robin. Thread-safe, as all but Stop.
  [[nodiscard]] IoThread& Next();
  void Stop();

 private:
  std::vector<std::unique_ptr<IoThread>> threads_;
  std::vector<std::thread> runners_;
  std::atomic<size_t> next_{0};
};

}  // namespace graspd::net
