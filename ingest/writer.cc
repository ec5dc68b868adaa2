#include "ingest/writer.h"

#include <chrono>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/cpu_pool.h"
#include "base/log.h"
#include "ingest/checker.h"
#include "ingest/inbox.h"
#include "nostr/nip34.h"
#include "nostr/rules.h"

namespace graspd::ingest {
namespace {

constexpr size_t kBatchEvents = 1000, kBatchBytes = 8u << 20;
constexpr size_t kSweepEvents = 1000;
constexpr char kUnavailable[] = "error: could not store the event now, try again later";
constexpr char kDeletionWaits[] =
    "restricted: deletes nothing that is stored here, by nobody known here; it is kept in memory "
    "for what may come";
constexpr char kAuthorTooFast[] = "rate-limited: too many events by this author, slow down";
constexpr char kBroken[] = "error: the store has failed, nothing can be stored";

// Passes on what the judge says, holds authors to their budgets, and remembers which refusals may
// be lifted by a later event.
class NotingJudge final : public storage::Judge {
 public:
  NotingJudge(storage::Judge& judge, AuthorBudgets& authors, base::SteadyTime now)
      : judge_(judge), authors_(authors), now_(now) {}
  absl::StatusOr<Verdict> Decide(const nostr::Event& event, storage::Source source,
                                 const storage::ReadView& view) override {
    auto verdict = judge_.Decide(event, source, view);
    if (!verdict.ok()) return verdict;
    if (verdict->accept && source == storage::Source::kDirect &&
        !authors_.TryTake(event.pubkey, now_)) {
      return Verdict{false, kAuthorTooFast};
    }
    if (!verdict->accept && verdict->waits) waiting_.insert(event.id);
    return verdict;
  }
  [[nodiscard]] bool waits(const nostr::EventId& id) const { return waiting_.contains(id); }

 private:
  storage::Judge& judge_;
  AuthorBudgets& authors_;
  const base::SteadyTime now_;
  std::unordered_set<nostr::EventId> waiting_;
};

double Seconds(base::Duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

struct Writer::Meters {
  explicit Meters(base::Metrics& metrics)
      : batch_events(metrics.MakeHistogram("graspd_ingest_batch_events",
                                           "Events written by one commit.",
                                           {1, 3, 10, 30, 100, 300, 1000})),
        commit_seconds(metrics.MakeHistogram("graspd_ingest_commit_seconds",
                                             "Time to judge, write and sync one batch.",
                                             {.0003, .001, .003, .01, .03, .1, .3, 1, 3})),
        failures(metrics.MakeCounter("graspd_ingest_write_failures_total",
                                     "Batches that the store did not take.")),
        woken(metrics.MakeCounter("graspd_ingest_unparked_total",
                                  "Events taken out of the parking lot to be judged again.")) {
    for (size_t i = 0; i < kCodes; ++i) {
      results[i] =
          &metrics.MakeCounter("graspd_ingest_events_total", "Events by what became of them.",
                               {{"result", std::string(CodeName(static_cast<Code>(i)))}});
    }
  }
  prometheus::Histogram& batch_events;
  prometheus::Histogram& commit_seconds;
  prometheus::Counter& failures;
  prometheus::Counter& woken;
  std::array<prometheus::Counter*, kCodes> results;
};

// Announcements wait apart: a remote has thousands that do not concern us, and they would push out
// the patches that wait for the next message. So do the deletions of clients, which cost them
// nothing to send.
Writer::Writer(Dependencies dependencies, const nostr::Limits& limits)
    : deps_(dependencies),
      meters_(std::make_unique<Meters>(dependencies.metrics)),
      orphans_(ParkingLot::Limits{}, &dependencies.rejected),
      announcements_(ParkingLot::Limits{.bytes = 16u << 20}, &dependencies.rejected),
      client_deletions_(ParkingLot::Limits{.events = 1000, .bytes = 2u << 20}),
      authors_(limits),
      thread_([this] {
        base::SetThreadName("writer");
        Run();
      }) {}

Writer::~Writer() { Stop(); }

void Writer::Push(EventSink::Lane lane, std::vector<Arrival> arrivals) {
  bool wake = true;
  {
    base::MutexLock lock(mutex_);
    if (!stopped_) {
      auto& queue = lanes_[static_cast<size_t>(lane)];
      for (Arrival& arrival : arrivals) queue.push_back(std::move(arrival));
      arrivals.clear();
      wake = HasWork();
    }
  }
  if (arrivals.empty()) {
    if (wake) available_.NotifyOne();
    return;
  }
  Post(std::move(arrivals));  // final already: the gate was closed before the writer stopped
}

void Writer::Stop() {
  {
    base::MutexLock lock(mutex_);
    stopping_ = true;
  }
  available_.NotifyOne();
  if (thread_.joinable()) thread_.join();
}

size_t Writer::queued(EventSink::Lane lane) const {
  base::MutexLock lock(mutex_);
  return lanes_[static_cast<size_t>(lane)].size();
}

size_t Writer::queued_again() const {
  base::MutexLock lock(mutex_);
  return lanes_[kAgainLane].size();
}

void Writer::SweepExpired() { Ask(&Chores::sweep); }
void Writer::PolicyChanged() { Ask(&Chores::rejudge); }

void Writer::Ask(bool Chores::*chore) {
  {
    base::MutexLock lock(mutex_);
    due_.*chore = true;
  }
  available_.NotifyOne();
}

void Writer::Run() {
  for (;;) {
    Batch batch = TakeBatch();
    Chores chores;
    {
      base::MutexLock lock(mutex_);
      chores = std::exchange(due_, {});
    }
    if (chores.rejudge) JudgeParkedAgain();
    if (chores.sweep) Sweep();
    if (batch.empty() && !chores.any()) return;  // stopped
    if (batch.empty()) continue;
    Process(batch);
    Answer(std::move(batch));
  }
}

// Between two batches: what was refused by the old policy is in the index by now, and what is
// judged from now on is judged by the new one.
void Writer::JudgeParkedAgain() {
  deps_.rejected.Clear();
  for (ParkingLot* lot : {&announcements_, &orphans_, &client_deletions_}) Wake(lot->TakeAll());
}

// Where an expired version was, an older one may be stored again.
void Writer::Sweep() {
  RetryStalled();
  if (!broken_.ok()) return;
  auto removed = deps_.store.RemoveExpired(deps_.clock.UnixNow(), kSweepEvents);
  if (removed.ok() && removed->changes.empty()) return;  // says nothing about writing
  NoteHealth(removed.status());
  if (!removed.ok()) return;
  if (removed->changes.size() >= kSweepEvents) SweepExpired();
  for (const storage::Change& change : removed->changes) {
    if (nostr::ClassOf(change.kind) == nostr::KindClass::kRegular) continue;
    deps_.rejected.Clear();
    break;
  }
  deps_.feed.Publish(std::make_shared<const storage::Commit>(*std::move(removed)));
}

// What the gate has let in is here or being checked, and whatever is being checked will be pushed:
// waiting for it needs no deadline.
bool Writer::HasWork() const {
  if (stopping_ || due_.any()) return true;
  if (!lanes_[0].empty() || !lanes_[kAgainLane].empty()) return true;
  const size_t synced = lanes_[1].size();
  return synced >= kBatchEvents || (synced > 0 && synced >= deps_.gate.events());
}

// One event from each lane in turn. Empty: stopped, or a chore is due.
Writer::Batch Writer::TakeBatch() {
  const auto idle = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return lanes_[0].empty() && lanes_[1].empty() && lanes_[2].empty();
  };
  Batch batch;
  size_t bytes = 0;
  base::MutexLock lock(mutex_);
  while (!HasWork()) available_.Wait(mutex_);
  for (size_t lane = 0; !idle() && batch.size() < kBatchEvents && bytes < kBatchBytes;
       lane = (lane + 1) % kLanes) {
    if (lanes_[lane].empty()) continue;
    batch.push_back(std::move(lanes_[lane].front()));
    lanes_[lane].pop_front();
    if (batch.back().event) bytes += batch.back().event->json.size();
  }
  stopped_ = batch.empty() && !due_.any();
  return batch;
}

void Writer::Process(Batch& batch) {
  const auto now = deps_.clock.Now();
  for (ParkingLot* lot : {&announcements_, &orphans_, &client_deletions_}) lot->Expire(now);
  if (broken_.ok()) {
    Write(batch);
  } else {
    Fail(batch, broken_);
  }
  parked_.store(
      orphans_.size() + announcements_.size() + client_deletions_.size() + stalled_.size(),
      std::memory_order_relaxed);
  parked_bytes_.store(
      orphans_.bytes() + announcements_.bytes() + client_deletions_.bytes() + stalled_bytes_,
      std::memory_order_relaxed);
}

void Writer::Write(Batch& batch) {
  std::vector<storage::WriteRequest> requests;
  std::vector<size_t> places;  // of the requests in the batch
  for (size_t i = 0; i < batch.size(); ++i) {
    if (!batch[i].event) {
      // A remote's, refused for what it is (NIP-70): no use in fetching it again.
      const bool remote = batch[i].source != storage::Source::kDirect;
      if (remote && batch[i].result.code == Code::kRefused) deps_.rejected.Add(batch[i].result.id);
      continue;
    }
    requests.push_back({batch[i].event, batch[i].source});
    places.push_back(i);
  }
  if (requests.empty()) return;

  const auto started = deps_.clock.Now();
  NotingJudge judge(deps_.judge, authors_, started);
  auto written = deps_.store.Write(requests, judge, deps_.clock.UnixNow());
  meters_->commit_seconds.Observe(Seconds(deps_.clock.Now() - started));
  meters_->batch_events.Observe(static_cast<double>(requests.size()));
  NoteHealth(written.status());
  if (!written.ok()) return Fail(batch, written.status());

  for (size_t i = 0; i < places.size(); ++i) {
    Arrival& arrival = batch[places[i]];
    const bool waits = judge.waits(arrival.event->event.id);
    Settle(arrival, std::move(written->results[i]), waits);
  }
  RetryStalled();
  if (written->commit.changes.empty()) return;
  const auto commit = std::make_shared<const storage::Commit>(std::move(written->commit));
  deps_.feed.Publish(commit);
  WakeParked(*commit);
}

void Writer::Settle(Arrival& arrival, storage::WriteResult outcome, bool waits) {
  Result& result = arrival.result;
  switch (outcome.outcome) {
    case storage::Outcome::kStored:
      result.code = Code::kStored;
      return;
    case storage::Outcome::kDuplicate:
      result.code = Code::kDuplicate;
      result.message = "duplicate: already have this event";
      return;
    case storage::Outcome::kOlder:
      if (arrival.source != storage::Source::kDirect) deps_.rejected.Add(result.id);
      result.code = Code::kOlder;
      result.message = "duplicate: have a newer version";
      return;
    case storage::Outcome::kDeleted:
      result.code = Code::kDeleted;
      result.message = "blocked: deleted";
      return;
    case storage::Outcome::kExpired:
      if (arrival.source != storage::Source::kDirect) deps_.rejected.Add(result.id);
      result.code = Code::kExpired;
      result.message = kExpiredMessage;
      return;
    case storage::Outcome::kRefused:
      result.code = Code::kRefused;
      result.message = std::move(outcome.message);
      SettleRefused(arrival, waits);
      return;
  }
}

void Writer::SettleRefused(Arrival& arrival, bool waits) {
  const bool client = arrival.source == storage::Source::kDirect;
  ParkingLot* const lot = waits ? LotFor(arrival) : nullptr;
  if (lot) {
    lot->Park({arrival.event, arrival.source}, deps_.clock.Now());
    // What is only in memory must not be acknowledged.
    if (client) {
      arrival.result.message = kDeletionWaits;
    } else {
      arrival.result.code = Code::kParked;
    }
  } else if (!waits && !client) {
    deps_.rejected.Add(arrival.result.id);
  }
}

// A client is told at once, and may always come back; but a deletion has to find its target in
// whatever order the two arrive. Who imports a file keeps what is refused and hands it in again. An
// ephemeral event means nothing later.
ParkingLot* Writer::LotFor(const Arrival& arrival) {
  const nostr::Kind kind = arrival.event->event.kind;
  if (nostr::ClassOf(kind) == nostr::KindClass::kEphemeral) return nullptr;
  if (arrival.source == storage::Source::kImport) return nullptr;
  if (arrival.source == storage::Source::kDirect) {
    return kind == nostr::kDeletionKind ? &client_deletions_ : nullptr;
  }
  return kind == nostr::kRepositoryAnnouncement ? &announcements_ : &orphans_;
}

// In the same batch a child may have been judged, and parked, before its parent was stored.
void Writer::WakeParked(const storage::Commit& commit) {
  for (const storage::Change& change : commit.changes) {
    if (change.type != storage::Change::Type::kAdded || change.ephemeral) continue;
    for (ParkingLot* lot : {&announcements_, &orphans_, &client_deletions_}) {
      Wake(lot->TakeWaitingFor(change.event->event));
    }
  }
}

// Queues them to be judged again.
void Writer::Wake(std::vector<storage::WriteRequest> requests) {
  if (requests.empty()) return;
  meters_->woken.Increment(static_cast<double>(requests.size()));
  base::MutexLock lock(mutex_);
  for (storage::WriteRequest& request : requests) {
    Arrival& arrival = lanes_[kAgainLane].emplace_back();
    arrival.result.id = request.event->event.id;
    arrival.event = std::move(request.event);
    arrival.source = request.source;
  }
}

// Not at once after a failure: a full disk would be asked in a loop. At most what the lots held.
void Writer::RetryStalled() {
  stalled_bytes_ = 0;
  Wake(std::exchange(stalled_, {}));
}

// What was woken has nobody who would send it again.
void Writer::Fail(Batch& batch, const absl::Status& status) {
  meters_->failures.Increment();
  for (Arrival& arrival : batch) {
    if (!arrival.event) continue;
    if (!arrival.inbox && broken_.ok()) {
      stalled_bytes_ += arrival.event->json.size();
      stalled_.push_back({arrival.event, arrival.source});
    }
    arrival.result.code = Code::kError;
    arrival.result.message = absl::IsDataLoss(status) ? kBroken : kUnavailable;
  }
}

// One line when the store begins to fail and one when it works again, not one per batch.
void Writer::NoteHealth(const absl::Status& status) {
  if (absl::IsDataLoss(status)) broken_ = status;
  if (status.ok() == !failing_) return;
  failing_ = !status.ok();
  if (failing_) {
    base::LogError("ingest", "the store takes no events", {{"reason", status}});
  } else {
    base::LogInfo("ingest", "the store takes events again");
  }
}

void Writer::Answer(Batch batch) {
  size_t events = 0, bytes = 0;
  for (const Arrival& arrival : batch) {
    meters_->results[static_cast<size_t>(arrival.result.code)]->Increment();
    if (!arrival.inbox || !arrival.admitted) continue;
    ++events;
    bytes += arrival.bytes;
  }
  Post(std::move(batch));
  if (events > 0) deps_.gate.Leave(events, bytes);
}

void Writer::Post(Batch batch) {
  struct Answers {
    std::vector<Result> results;
    size_t bytes = 0;
  };
  std::unordered_map<std::shared_ptr<Inbox>, Answers> answers;
  for (Arrival& arrival : batch) {
    if (!arrival.inbox) continue;
    Answers& own = answers[arrival.inbox];
    own.results.push_back(std::move(arrival.result));
    own.bytes += arrival.bytes;
  }
  for (auto& [inbox, own] : answers) inbox->PostResults(std::move(own.results), own.bytes);
}

}  // namespace graspd::ingest
