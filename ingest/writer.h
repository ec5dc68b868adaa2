#pragma once

#include <array>
#include <atomic>
#include <deque>
#include <memory>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/mutex.h"
#include "ingest/author_budgets.h"
#include "ingest/event_sink.h"
#include "ingest/gate.h"
#include "ingest/parking_lot.h"
#include "ingest/rejected_index.h"
#include "storage/commit_feed.h"
#include "storage/event_store.h"

namespace graspd::ingest {

class Inbox;

/// One event on its way to the writer: checked, or refused already and only here to keep its place.
struct Arrival {
  std::shared_ptr<Inbox> inbox;  // null: from the parking lot, nobody waits for the answer
  storage::Source source = storage::Source::kDirect;
  nostr::EventPtr event;  // null: `result` is final
  Result result;
  size_t bytes = 0;      // what it counts for in credits
  bool admitted = true;  // counted by the gate
};

/// The single thread that writes events: takes whatever has queued up, judges and commits it once,
/// publishes the commit, answers every submitter once.
///
/// A batch has at most 1,000 events or 8 MiB, taken in turn from clients, sync and the parking lot,
/// so that none waits behind another's backlog. While there are only events of remotes, and more of
/// them are being checked, it waits for a full one, because small commits cost more an event.
/// Failures: what the store cannot take now is
/// answered kError, and what came from the parking lot is tried again after the next write that
/// works or the next sweep; after kDataLoss nothing is written any more. Threading: Push and the
/// sizes from any thread. Lifetime: Stop() before destruction. What the Gate let in must have been
/// answered before Stop().
class Writer {
 public:
  struct Dependencies {
    storage::EventStore& store;
    storage::CommitFeed& feed;
    storage::Judge& judge;
    const base::Clock& clock;
    base::Metrics& metrics;
    Gate& gate;
    RejectedIndex& rejected;
  };
  Writer(Dependencies dependencies, const nostr::Limits& limits);
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  void Push(EventSink::Lane lane, std::vector<Arrival> arrivals);
  /// Removes expired events soon, at most 1,000 between two batches until there are no more.
  void SweepExpired();
  /// The policy has changed: what it refused is forgotten, what is parked is judged again.
  void PolicyChanged();
  /// Writes and answers what is queued, then ends the thread. Later pushes are only answered.
  void Stop();

  [[nodiscard]] size_t queued(EventSink::Lane lane) const;
  /// Events that wait to be judged again: woken in a parking lot.
  [[nodiscard]] size_t queued_again() const;
  [[nodiscard]] size_t authors() const { return authors_.size(); }
  [[nodiscard]] size_t parked() const { return parked_.load(std::memory_order_relaxed); }
  /// What the parking lots hold, estimated.
  [[nodiscard]] size_t parked_bytes() const {
    return parked_bytes_.load(std::memory_order_relaxed);
  }

 private:
  static constexpr size_t kLanes = 3;  // clients, sync, parking lot
  static constexpr size_t kAgainLane = 2;
  using Batch = std::vector<Arrival>;
  struct Meters;

  struct Chores {
    bool sweep = false, rejudge = false;
    [[nodiscard]] bool any() const { return sweep || rejudge; }
  };

  void Run();
  [[nodiscard]] bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  [[nodiscard]] Batch TakeBatch();
  void Ask(bool Chores::*chore);
  void Sweep();
  void JudgeParkedAgain();
  void Process(Batch& batch);
  void Write(Batch& batch);
  void Settle(Arrival& arrival, storage::WriteResult outcome, bool waits);
  void SettleRefused(Arrival& arrival, bool waits);
  [[nodiscard]] ParkingLot* LotFor(const Arrival& arrival);
  void WakeParked(const storage::Commit& commit);
  void Wake(std::vector<storage::WriteRequest> requests);
  void RetryStalled();
  void Fail(Batch& batch, const absl::Status& status);
  void NoteHealth(const absl::Status& status);
  void Answer(Batch batch);
  static void Post(Batch batch);

  const Dependencies deps_;
  const std::unique_ptr<Meters> meters_;

  // The writer's thread only.
  ParkingLot orphans_, announcements_, client_deletions_;
  AuthorBudgets authors_;
  std::vector<storage::WriteRequest> stalled_;  // woken, but the store did not take them
  size_t stalled_bytes_ = 0;
  bool failing_ = false;  // the last write failed
  absl::Status broken_;   // why nothing is written any more
  std::atomic<size_t> parked_{0}, parked_bytes_{0};

  mutable base::Mutex mutex_;
  base::CondVar available_;
  std::array<std::deque<Arrival>, kLanes> lanes_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  Chores due_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: uses everything above
};

}  // namespace graspd::ingest
