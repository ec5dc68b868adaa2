#pragma once

#include <functional>
#include <memory>

#include "base/clock.h"
#include "net/io_pool.h"

namespace graspd::daemon {

/// Runs a task on an I/O thread, at once and then every `interval`, until destroyed.
///
/// Threading: made and destroyed on any thread; a run under way at destruction is finished unheard,
/// so the task must own what it uses or outlive the thread. Lifetime: destroy it before the thread
/// stops.
class Periodic {
 public:
  Periodic(net::IoThread& thread, base::Duration interval, std::function<void()> task);
  ~Periodic();
  Periodic(const Periodic&) = delete;
  Periodic& operator=(const Periodic&) = delete;

 private:
  struct Loop;
  std::shared_ptr<Loop> loop_;
};

}  // namespace graspd::daemon
