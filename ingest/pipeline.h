#pragma once

#include <memory>

#include "base/clock.h"
#include "base/cpu_pool.h"
#include "base/metrics.h"
#include "ingest/event_sink.h"
#include "ingest/known_refusals.h"
#include "nostr/limits.h"
#include "storage/commit_feed.h"
#include "storage/event_store.h"

namespace graspd::ingest {

/// The ingest path: limits, id, duplicate, signature on the CPU pool, then the writer, which judges
/// and commits whatever has queued up, and publishes each commit (docs/life-of-an-event.md).
///
/// Events of one submitter keep their order. Verification may be skipped only for an event whose id
/// and signature are stored already. Bounds: in flight per client submitter 256 events or 4 MiB,
/// per synchronising one 4,096 or 32 MiB; past 50,000 events or 256 MiB of all together each
/// submitter is held to one at a time. A batch is at most 1,000 events or 8 MiB. Threads: owns the
/// writer thread. Lifetime: the destructor finishes what is queued; nothing is submitted after it
/// has begun. The CPU pool may outlive it.
class Pipeline final : public EventSink {
 public:
  struct Dependencies {
    storage::EventStore& store;
    storage::CommitFeed& feed;
    storage::Judge& judge;
    base::CpuPool& cpu;
    const base::Clock& clock;
    base::Metrics& metrics;
  };
  Pipeline(Dependencies dependencies, const nostr::Limits& limits);
  ~Pipeline() override;

  std::unique_ptr<Submitter> Open(Lane lane, base::Executor& executor,
                                  Callback on_results) override;

  /// Has the writer remove what has expired (NIP-40), between two batches. Thread-safe, never
  /// blocks.
  void SweepExpired();

  /// Tells that the policy would now decide differently: what it refused is forgotten, what waits
  /// for another event is judged again. Thread-safe, never blocks.
  void PolicyChanged();

  /// What sync need not fetch. As long-lived as the pipeline.
  [[nodiscard]] KnownRefusals& known_refusals();

  /// Takes nothing more (further events get kError), finishes and answers what is queued. Blocks,
  /// and needs the executors of open client submitters to run until then.
  void Drain();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace graspd::ingest
