#include "services/relay/session_reads.h"

#include <list>
#include <utility>

namespace graspd::relay {
namespace {

constexpr size_t kWaiting = 50;

}  // namespace

struct SessionReads::State : std::enable_shared_from_this<State> {
  struct Read {
    Job job;
    Then if_busy;
  };

  State(base::BlockingPool& p, size_t most, base::Executor& e, std::atomic<int64_t>& t)
      : pool(p), at_once(most), executor(e), total(t) {}
  void StartWaiting();
  [[nodiscard]] bool TryStart(Job job);

  base::BlockingPool& pool;
  const size_t at_once;
  base::Executor& executor;
  std::atomic<int64_t>& total;
  size_t active = 0;
  std::list<Read> waiting;  // unlike a deque, it takes no memory while it is empty
};

void SessionReads::State::StartWaiting() {
  while (active < at_once && !waiting.empty()) {
    Read next = std::move(waiting.front());
    waiting.pop_front();
    --total;
    if (TryStart(std::move(next.job))) {
      ++active;
    } else {
      next.if_busy();
    }
  }
}

bool SessionReads::State::TryStart(Job job) {
  return pool.TryRun([job = std::move(job), weak = weak_from_this(), &to = executor] {
    if (weak.expired()) return;
    to.Post([weak, then = job([weak] { return weak.expired(); })] {
      const auto self = weak.lock();
      if (!self) return;
      --self->active;
      if (then) then();
      self->StartWaiting();
    });
  });
}

SessionReads::SessionReads(base::BlockingPool& pool, size_t at_once, base::Executor& executor,
                           std::atomic<int64_t>& total)
    : state_(std::make_shared<State>(pool, at_once, executor, total)) {}

bool SessionReads::empty() const {
  return !state_ || (state_->active == 0 && state_->waiting.empty());
}

void SessionReads::Run(Job job, const Then& if_busy) {
  if (state_->waiting.size() >= kWaiting) return if_busy();
  state_->waiting.push_back({std::move(job), if_busy});
  ++state_->total;
  state_->StartWaiting();
}

void SessionReads::Close() {
  state_->total -= static_cast<int64_t>(state_->waiting.size());
  state_->waiting.clear();
  state_.reset();
}

}  // namespace graspd::relay
