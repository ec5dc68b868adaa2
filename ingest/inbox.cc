#include "ingest/inbox.h"

#include <algorithm>
#include <utility>

namespace graspd::ingest {
namespace {

// Events a task checks before others get their turn, about 1 ms; of who is new here or has just
// forged some, fewer, so that many such connections do not keep the others waiting.
constexpr size_t kChunk = 16;

// In flight per submitter, and for all together before each is held to one event at a time.
constexpr size_t kClientEvents = 256, kSyncEvents = 4096;
constexpr size_t kClientBytes = 4u << 20, kSyncBytes = 32u << 20;
constexpr size_t kAllEvents = 50'000, kAllBytes = 256u << 20;

base::CpuPool::Priority PriorityOf(EventSink::Lane lane) {
  return lane == EventSink::Lane::kClient ? base::CpuPool::Priority::kClientVerify
                                          : base::CpuPool::Priority::kSyncVerify;
}

// About what the event occupies, the cost of keeping it included.
size_t CostOf(const nostr::Event& event) {
  size_t bytes = sizeof event + event.content.size();
  for (const nostr::Tag tag : event.tags) {
    for (size_t i = 0; i < tag.size(); ++i) bytes += tag[i].size() + sizeof(uint32_t);
  }
  return bytes;
}

}  // namespace

Inbox::Inbox(std::shared_ptr<const Shared> shared, EventSink::Lane lane, base::Executor& executor,
             EventSink::Callback on_results)
    : shared_(std::move(shared)),
      lane_(lane),
      executor_(executor),
      on_results_(std::make_shared<const EventSink::Callback>(std::move(on_results))) {}

void Inbox::Submit(nostr::Event event, storage::Source source, Lookup lookup) {
  const size_t bytes = CostOf(event);
  const bool admitted = shared_->gate.Enter(bytes);
  ++in_flight_;
  in_flight_bytes_ += bytes;
  bool start = false;
  {
    base::MutexLock lock(mutex_);
    waiting_.push_back({std::move(event), source, lookup, bytes, admitted});
    start = NeedsTaskLocked();
    if (start) ++tasks_;
  }
  if (start) RunCheck();
}

bool Inbox::NeedsTaskLocked() const {
  const size_t most = chunk_ < kChunk ? 1 : shared_->cpu.thread_count();
  return tasks_ < most && waiting_.size() > tasks_ * kChunk;
}

size_t Inbox::credits() const {
  const bool client = lane_ == EventSink::Lane::kClient;
  const bool full = in_flight_bytes_ >= (client ? kClientBytes : kSyncBytes) ||
                    shared_->gate.events() >= kAllEvents || shared_->gate.bytes() >= kAllBytes;
  // When full, one is still allowed: without anything in flight nothing would call the owner back.
  const size_t most = full ? 1 : client ? kClientEvents : kSyncEvents;
  return most - std::min(most, in_flight_);
}

void Inbox::Close() {
  on_results_ = nullptr;
  {
    base::MutexLock lock(mutex_);
    closed_ = true;
    discards_ = (forged_lately_ || held_tasks_ > 0) && lane_ == EventSink::Lane::kClient;
  }
  GoOn();
}

void Inbox::PostResults(std::vector<Result> results, size_t bytes) {
  executor_.Post([self = shared_from_this(), results = std::move(results), bytes] {
    self->in_flight_ -= results.size();
    self->in_flight_bytes_ -= bytes;
    if (const auto callback = self->on_results_) (*callback)(results);
    if (std::any_of(results.begin(), results.end(), [](const Result& r) { return r.forged; })) {
      self->GoOn();
    }
  });
}

void Inbox::GoOn() {
  size_t tasks = 0;
  {
    base::MutexLock lock(mutex_);
    tasks = std::exchange(held_tasks_, 0);
    if (waiting_.empty()) tasks_ -= std::exchange(tasks, 0);
  }
  for (; tasks > 0; --tasks) RunCheck();
}

void Inbox::RunCheck() {
  shared_->cpu.Run(PriorityOf(lane_), [self = shared_from_this()] { self->CheckSome(); });
}

// Goes on as a new task while there is more, so that submitters share the pool chunk by chunk; who
// has just forged an event, only when its owner knows, who may have had enough of it. Not a remote:
// the writer may wait for more of its events first.
void Inbox::CheckSome() {
  std::vector<Waiting> chunk;
  uint64_t first = 0;
  bool discards = false;
  {
    base::MutexLock lock(mutex_);
    first = next_to_check_;
    discards = discards_;
    while (!waiting_.empty() && chunk.size() < (discards ? kChunk : chunk_)) {
      chunk.push_back(std::move(waiting_.front()));
      waiting_.pop_front();
    }
    next_to_check_ += chunk.size();
  }
  std::vector<Arrival> checked;
  checked.reserve(chunk.size());
  bool forged = false;
  for (Waiting& waiting : chunk) {
    checked.push_back(Check(std::move(waiting), discards));
    forged |= checked.back().result.forged;
  }

  bool more = false, start = false;
  {
    base::MutexLock lock(mutex_);
    if (!checked.empty()) {  // else another task has taken everything
      chunk_ = forged ? 1 : std::min(2 * chunk_, kChunk);
      forged_lately_ = forged;
    }
    PlaceLocked(first, std::move(checked));
    const bool client_forged = forged && lane_ == EventSink::Lane::kClient;
    if (client_forged && !closed_) {
      ++held_tasks_;
    } else {
      discards_ |= client_forged;
      more = !waiting_.empty();
      if (!more) --tasks_;
      start = more && NeedsTaskLocked();
      if (start) ++tasks_;
    }
  }
  if (more) RunCheck();
  if (start) RunCheck();
}

Arrival Inbox::Check(Waiting waiting, bool discards) {
  Arrival arrival;
  arrival.inbox = shared_from_this();
  arrival.source = waiting.source;
  arrival.bytes = waiting.bytes;
  arrival.admitted = waiting.admitted;
  if (!waiting.admitted) {
    arrival.result = {waiting.event.id, Code::kError, "error: the relay is shutting down"};
    return arrival;
  }
  if (discards) {
    arrival.result = {waiting.event.id, Code::kRefused, "blocked: forged events came before it"};
    return arrival;
  }
  Checker::Checked checked =
      shared_->checker.Check(std::move(waiting.event), waiting.source, waiting.lookup);
  arrival.event = std::move(checked.event);
  arrival.result = std::move(checked.result);
  return arrival;
}

// The writer is called under the lock: two tasks must not swap what they release.
void Inbox::PlaceLocked(uint64_t first, std::vector<Arrival> checked) {
  if (checked.empty()) return;  // others took everything; `first` may be released already
  const size_t begin = first - next_to_release_;
  if (checked_.size() < begin + checked.size()) checked_.resize(begin + checked.size());
  for (size_t i = 0; i < checked.size(); ++i) checked_[begin + i] = std::move(checked[i]);

  std::vector<Arrival> ready;
  while (!checked_.empty() && checked_.front()) {
    ready.push_back(*std::move(checked_.front()));
    checked_.pop_front();
  }
  next_to_release_ += ready.size();
  if (!ready.empty()) shared_->writer.Push(lane_, std::move(ready));
}

}  // namespace graspd::ingest
