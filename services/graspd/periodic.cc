#include "services/graspd/periodic.h"

#include <utility>

namespace graspd::daemon {

// On its thread only.
struct Periodic::Loop : std::enable_shared_from_this<Loop> {
  Loop(net::IoThread& t, base::Duration i, std::function<void()> what)
      : thread(t), interval(i), task(std::move(what)) {}

  void Run() {
    if (stopped) return;
    task();
    timer = thread.After(interval, [weak = weak_from_this()] {
      if (auto self = weak.lock()) self->Run();
    });
  }
  void Stop() {
    stopped = true;
    timer.reset();
  }

  net::IoThread& thread;
  const base::Duration interval;
  const std::function<void()> task;
  std::unique_ptr<net::IoThread::Timer> timer;
  bool stopped = false;
};

Periodic::Periodic(net::IoThread& thread, base::Duration interval, std::function<void()> task)
    : loop_(std::make_shared<Loop>(thread, interval, std::move(task))) {
  thread.Post([loop = loop_] { loop->Run(); });
}

Periodic::~Periodic() {
  loop_->thread.Post([loop = loop_] { loop->Stop(); });
}

}  // namespace graspd::daemon
