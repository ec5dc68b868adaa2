#include "services/relay/session_reads.h"

#include <list>
#include <utility>

namespace graspd::relay {
namespace {

constexpr size_t kWaiting = 50;

}  // namespace

struct SessionReads::State : std::enable_shared_from_this<State> {
  struct Read {
    [[nodiscard]] bool dropped() const { return given_up && given_up(); }
    Job job;
    Then if_busy;
    GivenUp given_up;
  };
  using ReadPtr = std::shared_ptr<const Read>;

  State(base::BlockingPool& p, size_t most, base::Executor& e, std::atomic<int64_t>& t,
        std::shared_ptr<ClientWork> w)
      : pool(p), at_once(most), executor(e), total(t), work(std::move(w)) {}
  void StartWaiting();
  void DropGivenUp();
  [[nodiscard]] bool TryStart(const ReadPtr& read);
  void PutBack(const ReadPtr& read);

  base::BlockingPool& pool;
  const size_t at_once;
  base::Executor& executor;
  std::atomic<int64_t>& total;
  const std::shared_ptr<ClientWork> work;
  size_t active = 0;
  std::list<ReadPtr> waiting;  // unlike a deque, it takes no memory while it is empty
};

void SessionReads::State::StartWaiting() {
  DropGivenUp();
  while (active < at_once && !waiting.empty() && (!work || work->Allows())) {
    const ReadPtr next = std::move(waiting.front());
    waiting.pop_front();
    --total;
    if (TryStart(next)) {
      ++active;
    } else {
      next->if_busy();
    }
  }
}

void SessionReads::State::DropGivenUp() {
  const auto dropped = waiting.remove_if([](const ReadPtr& read) { return read->dropped(); });
  total -= static_cast<int64_t>(dropped);
}

bool SessionReads::State::TryStart(const ReadPtr& read) {
  return pool.TryRun([read, weak = weak_from_this(), work = work, &to = executor] {
    if (weak.expired()) return;
    // Others of the address may have used up its share while this one was queued.
    if (work && !read->dropped() && !work->Allows()) {
      return to.Post([weak, read] {
        if (const auto self = weak.lock()) self->PutBack(read);
      });
    }
    const auto begun = work ? work->clock().Now() : base::SteadyTime();
    Then outcome = read->job([weak] { return weak.expired(); });
    if (work) work->ChargeScan(begun);
    to.Post([weak, then = std::move(outcome)] {
      const auto self = weak.lock();
      if (!self) return;
      --self->active;
      if (then) then();
      self->StartWaiting();
    });
  });
}

void SessionReads::State::PutBack(const ReadPtr& read) {
  --active;
  waiting.push_front(read);
  ++total;
  StartWaiting();
}

SessionReads::SessionReads(base::BlockingPool& pool, size_t at_once, base::Executor& executor,
                           std::atomic<int64_t>& total, std::shared_ptr<ClientWork> work)
    : state_(std::make_shared<State>(pool, at_once, executor, total, std::move(work))) {}

void SessionReads::OnTick() {
  if (state_) state_->StartWaiting();
}

bool SessionReads::empty() const {
  return !state_ || (state_->active == 0 && state_->waiting.empty());
}

void SessionReads::Run(Job job, const Then& if_busy, GivenUp given_up) {
  state_->DropGivenUp();
  if (state_->waiting.size() >= kWaiting) return if_busy();
  state_->waiting.push_back(
      std::make_shared<State::Read>(State::Read{std::move(job), if_busy, std::move(given_up)}));
  ++state_->total;
  state_->StartWaiting();
}

void SessionReads::Close() {
  state_->total -= static_cast<int64_t>(state_->waiting.size());
  state_->waiting.clear();
  state_.reset();
}

}  // namespace graspd::relay
