#include "base/blocking_pool.h"

#include "base/cpu_pool.h"

namespace graspd::base {

BlockingPool::BlockingPool(size_t threads, size_t queue, const std::string& name) : queue_(queue) {
  for (size_t i = 0; i < threads; ++i) {
    threads_.emplace_back([this, name, i] {
      SetThreadName(name + "-" + std::to_string(i));
      while (auto task = queue_.Pop()) (*task)();
    });
  }
}

BlockingPool::~BlockingPool() { Stop(); }

void BlockingPool::Stop() {
  queue_.Close();
  for (auto& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

}  // namespace graspd::base
