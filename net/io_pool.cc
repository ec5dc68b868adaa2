#include "net/io_pool.h"

#include <boost/asio/post.hpp>
#include <future>
#include <string>
#include <utility>

#include "base/cpu_pool.h"
#include "net/asio.h"

namespace graspd::net {
namespace {

class AsioTimer final : public IoThread::Timer {
 public:
  AsioTimer(asio::io_context& io, base::Duration delay, std::function<void()> task)
      : timer_(io.get_executor(), delay),
        task_(std::make_shared<std::function<void()>>(std::move(task))) {
    // A timer that has fired cannot be cancelled any more: the handler asks whether we still exist.
    timer_.async_wait([weak = std::weak_ptr(task_)](ErrorCode error) {
      if (const auto alive = weak.lock(); alive && !error) (*alive)();
    });
  }

 private:
  SteadyTimer timer_;
  std::shared_ptr<std::function<void()>> task_;
};

}  // namespace

IoThread::IoThread() : impl_(std::make_unique<Impl>()) {}
IoThread::~IoThread() = default;

void IoThread::Post(std::function<void()> task) { asio::post(impl_->io, std::move(task)); }

std::unique_ptr<IoThread::Timer> IoThread::After(base::Duration delay, std::function<void()> task) {
  return std::make_unique<AsioTimer>(impl_->io, delay, std::move(task));
}

bool IoThread::IsCurrent() const { return impl_->io.get_executor().running_in_this_thread(); }

void RunOn(IoThread& thread, std::function<void()> task) {
  if (thread.IsCurrent() || thread.impl().stopped) {
    task();
    return;
  }
  std::promise<void> done;
  thread.Post([&] {
    task();
    done.set_value();
  });
  done.get_future().wait();
}

IoPool::IoPool(size_t threads, const std::string& name) {
  for (size_t i = 0; i < threads; ++i) {
    threads_.push_back(std::make_unique<IoThread>());
    runners_.emplace_back([io = &threads_.back()->impl().io, name, i] {
      base::SetThreadName(name + "-" + std::to_string(i));
      io->run();
    });
  }
}

IoPool::~IoPool() { Stop(); }

IoThread& IoPool::Next() { return *threads_[next_++ % threads_.size()]; }

void IoPool::Stop() {
  for (auto& thread : threads_) thread->impl().io.stop();
  for (auto& runner : runners_) runner.join();
  runners_.clear();
  for (auto& thread : threads_) thread->impl().stopped = true;
}

}  // namespace graspd::net
