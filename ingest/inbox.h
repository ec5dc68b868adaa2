#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "base/cpu_pool.h"
#include "base/mutex.h"
#include "ingest/checker.h"
#include "ingest/event_sink.h"
#include "ingest/gate.h"
#include "ingest/writer.h"

namespace graspd::ingest {

/// One submitter's events: checked in parallel on the CPU pool, handed to the writer in the order
/// they were submitted, answered on the owner's thread.
///
/// A burst is checked in chunks, by as many tasks as it keeps busy; a single event costs one task.
/// A submitter begins with small chunks and one task, and goes back to that when it has forged
/// events. Of a client the next one is then checked only when the owner has been told of the forged
/// one; if it ends then, what is not checked yet is not checked any more.
/// Threading: Submit, credits and Close on the owner's thread; PostResults anywhere. Lifetime:
/// shared by the submitter and its events in flight.
class Inbox : public std::enable_shared_from_this<Inbox> {
 public:
  /// The parts of the pipeline that every inbox uses. Whoever holds it keeps them alive.
  struct Shared {
    const Checker& checker;
    base::CpuPool& cpu;
    Writer& writer;
    Gate& gate;
  };
  Inbox(std::shared_ptr<const Shared> shared, EventSink::Lane lane, base::Executor& executor,
        EventSink::Callback on_results);

  void Submit(nostr::Event event, storage::Source source, Lookup lookup);
  [[nodiscard]] size_t credits() const;
  /// No callback comes after this.
  void Close();

  /// Answers events that this inbox handed to the writer; `bytes` is the sum of their costs.
  void PostResults(std::vector<Result> results, size_t bytes);

  [[nodiscard]] EventSink::Lane lane() const { return lane_; }

 private:
  struct Waiting {
    nostr::Event event;
    storage::Source source;
    Lookup lookup;
    size_t bytes;
    bool admitted;  // false: the gate was closed
  };
  [[nodiscard]] bool NeedsTaskLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void CheckSome();
  void RunCheck();
  /// Checks go on that had to wait until the owner was told.
  void GoOn();
  [[nodiscard]] Arrival Check(Waiting waiting, bool discards);
  void PlaceLocked(uint64_t first, std::vector<Arrival> checked)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::shared_ptr<const Shared> shared_;
  const EventSink::Lane lane_;
  base::Executor& executor_;

  // The owner's thread only. The callback is shared so that it survives being closed by itself.
  std::shared_ptr<const EventSink::Callback> on_results_;
  size_t in_flight_ = 0, in_flight_bytes_ = 0;

  base::Mutex mutex_;
  std::deque<Waiting> waiting_ ABSL_GUARDED_BY(mutex_);  // not yet taken by a task
  uint64_t next_to_check_ ABSL_GUARDED_BY(mutex_) = 0;   // sequence number of waiting_.front()
  size_t tasks_ ABSL_GUARDED_BY(mutex_) = 0;             // queued, running or held
  size_t held_tasks_ ABSL_GUARDED_BY(mutex_) = 0;        // of these: wait for GoOn
  size_t chunk_ ABSL_GUARDED_BY(mutex_) = 1;             // events of the next task
  bool forged_lately_ ABSL_GUARDED_BY(mutex_) = false;   // by the latest task
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool discards_ ABSL_GUARDED_BY(mutex_) = false;  // closed, and nobody wants the rest
  std::deque<std::optional<Arrival>> checked_ ABSL_GUARDED_BY(mutex_);  // from next_to_release_ on
  uint64_t next_to_release_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace graspd::ingest
