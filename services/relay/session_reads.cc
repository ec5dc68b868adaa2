#include "services/relay/session_reads.h"

#include <chrono>
#include <list>
#include <utility>

#include "services/relay/session_context.h"

namespace graspd::relay {
namespace {

using Kind = ClientWork::Kind;

constexpr size_t kWaiting = 50;
constexpr auto kMostWaiting = std::chrono::seconds(60);  // for a share of work

}  // namespace

struct SessionReads::State : std::enable_shared_from_this<State> {
  struct Read {
    [[nodiscard]] bool dropped() const { return given_up && given_up(); }
    Job job;
    Refuse refuse;
    GivenUp given_up;
    base::SteadyTime asked_at;
  };
  using ReadPtr = std::shared_ptr<const Read>;

  State(base::BlockingPool& p, size_t most, base::Executor& e, Meters& m,
        std::shared_ptr<ClientWork> w)
      : pool(p), at_once(most), executor(e), meters(m), work(std::move(w)) {}
  void StartWaiting();
  [[nodiscard]] bool WaitsForWork();
  void DropGivenUp();
  void RefuseOverdue(Meters::Budget budget);
  [[nodiscard]] ReadPtr TakeFirst();
  [[nodiscard]] bool TryStart(const ReadPtr& read);
  void PutBack(const ReadPtr& read);

  base::BlockingPool& pool;
  const size_t at_once;
  base::Executor& executor;
  Meters& meters;
  const std::shared_ptr<ClientWork> work;
  size_t active = 0;
  std::list<ReadPtr> waiting;  // unlike a deque, it takes no memory while it is empty
};

void SessionReads::State::StartWaiting() {
  DropGivenUp();
  while (active < at_once && !waiting.empty() && !WaitsForWork()) {
    const ReadPtr next = TakeFirst();
    if (TryStart(next)) {
      ++active;
    } else {
      next->refuse(kBusy);
    }
  }
  if (work && waiting.empty() && active == 0) work->Withdraw(Kind::kScan);
}

bool SessionReads::State::WaitsForWork() {
  if (!work) return false;
  const auto budget = work->MustWaitFor(Kind::kScan);
  if (budget) RefuseOverdue(*budget);
  return budget.has_value();
}

void SessionReads::State::DropGivenUp() {
  const auto dropped = waiting.remove_if([](const ReadPtr& read) { return read->dropped(); });
  meters.reads_waiting -= static_cast<int64_t>(dropped);
}

void SessionReads::State::RefuseOverdue(Meters::Budget budget) {
  const base::SteadyTime now = work->clock().Now();
  while (!waiting.empty() && now - waiting.front()->asked_at > kMostWaiting) {
    meters.RateLimited(budget);
    TakeFirst()->refuse(kTooMuchWork);
  }
}

SessionReads::State::ReadPtr SessionReads::State::TakeFirst() {
  ReadPtr first = std::move(waiting.front());
  waiting.pop_front();
  --meters.reads_waiting;
  return first;
}

bool SessionReads::State::TryStart(const ReadPtr& read) {
  return pool.TryRun([read, weak = weak_from_this(), work = work, &to = executor] {
    if (weak.expired()) return;
    // Others of the address may have used up its share while this one was queued.
    const bool dropped = read->dropped();
    if (work && !dropped && work->MustWaitFor(Kind::kScan)) {
      return to.Post([weak, read] {
        if (const auto self = weak.lock()) self->PutBack(read);
      });
    }
    Then outcome;
    if (!dropped) {
      if (work) work->Begin(Kind::kScan);
      const auto begun = work ? work->clock().Now() : base::SteadyTime();
      outcome = read->job([weak] { return weak.expired(); });
      if (work) work->ChargeScan(begun);
    }
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
  ++meters.reads_waiting;
  StartWaiting();
}

SessionReads::SessionReads(base::BlockingPool& pool, size_t at_once, base::Executor& executor,
                           Meters& meters, std::shared_ptr<ClientWork> work)
    : state_(std::make_shared<State>(pool, at_once, executor, meters, std::move(work))) {}

void SessionReads::OnTick() {
  if (state_) state_->StartWaiting();
}

bool SessionReads::empty() const {
  return !state_ || (state_->active == 0 && state_->waiting.empty());
}

void SessionReads::Run(Job job, Refuse refuse, GivenUp given_up) {
  state_->DropGivenUp();
  if (state_->waiting.size() >= kWaiting) return refuse(kBusy);
  const auto now = state_->work ? state_->work->clock().Now() : base::SteadyTime();
  state_->waiting.push_back(std::make_shared<State::Read>(
      State::Read{std::move(job), std::move(refuse), std::move(given_up), now}));
  ++state_->meters.reads_waiting;
  state_->StartWaiting();
}

void SessionReads::Close() {
  state_->meters.reads_waiting -= static_cast<int64_t>(state_->waiting.size());
  state_->waiting.clear();
  state_.reset();
}

}  // namespace graspd::relay
