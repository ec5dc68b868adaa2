#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/blocking_pool.h"
#include "base/clock.h"
#include "base/cpu_pool.h"
#include "base/metrics.h"
#include "base/mutex.h"
#include "base/random.h"
#include "ingest/event_sink.h"
#include "ingest/known_refusals.h"
#include "net/dialer.h"
#include "net/io_pool.h"
#include "nostr/keys.h"
#include "storage/event_store.h"
#include "storage/neg_sets.h"
#include "sync/engine.h"
#include "sync/self_subscriber.h"
#include "sync/status.h"

namespace graspd::sync {

/// Proactive sync as a running thing: the engine on its thread, its connections on the I/O threads,
/// its reconciliations on the pools, fed by the SelfSubscriber.
///
/// Controls may be called from any thread but the sync thread; each posts to it and waits, at most
/// `timeout`; changes to pauses are durable on return. Errors: kNotFound for an unknown remote,
/// kUnavailable after Stop, kDeadlineExceeded if the sync thread did not come to it.
/// Lifetime: all dependencies outlive it, the sync thread included. Connections may still be
/// closing after Stop(): the I/O threads are stopped before the sync thread, the dialler and the
/// sink go.
class SyncManager {
 public:
  struct Dependencies {
    storage::EventStore& store;
    std::weak_ptr<storage::NegSets> neg_sets;  // our threads may end after what it reads
    ingest::EventSink& sink;
    ingest::KnownRefusals& refusals;  // of that sink
    net::Dialer& dialer;
    net::IoPool& io;
    net::IoThread& sync_thread;
    base::BlockingPool& reads;  // of pages, each of which is short
    base::BlockingPool& scans;  // of all that a filter selects
    base::CpuPool& cpu;
    const base::Clock& clock;
    base::Random& random;
    base::Metrics& metrics;
  };
  struct Options {
    EngineOptions engine;
    SelfSubscriber::Options self;
    /// Answers the challenges of remotes (NIP-42); null: nobody does. Sets engine.authenticates.
    std::shared_ptr<const nostr::SecretKey> key;
  };

  SyncManager(Dependencies dependencies, Options options);
  ~SyncManager();

  /// Loads pauses and the index from the store, then begins. Blocks while loading. Call once, when
  /// our relay port is open.
  absl::Status Start();
  /// Hangs up on everyone; returns when the connections have let go. Idempotent. The pools still
  /// run.
  void Stop();

  absl::StatusOr<std::vector<RemoteSnapshot>> Remotes(base::Duration timeout);
  absl::StatusOr<std::vector<CandidateSnapshot>> Candidates(base::Duration timeout);
  absl::StatusOr<JobSnapshot> FindJob(uint64_t id, base::Duration timeout);
  /// True if it was not paused (resumed) before.
  absl::StatusOr<bool> Pause(const nostr::RelayUrl& url, base::Duration timeout);
  absl::StatusOr<bool> Resume(const nostr::RelayUrl& url, bool reset_backoff,
                              base::Duration timeout);
  /// Queues a reconciliation of everything with a connected remote (kFailedPrecondition otherwise),
  /// and returns the jobs.
  absl::StatusOr<std::vector<JobSnapshot>> TriggerSync(const nostr::RelayUrl& url,
                                                       base::Duration timeout);
  /// Reads everything stored once more and dials at once whatever waits. Joins a run that is under
  /// way. Returns when the run has finished or at `timeout` (then with finished_at 0).
  absl::StatusOr<DiscoverySnapshot> TriggerDiscovery(base::Duration timeout);

  /// True while the self-subscription is open: without it discovery is late.
  [[nodiscard]] bool hears_itself() const;
  /// True if every remote that is not paused, blocked or dead is live. Never blocks.
  [[nodiscard]] bool in_sync() const;

 private:
  class Core;
  std::shared_ptr<Core> core_;
  /// Orders pauses and resumes, so that store and engine end up saying the same. Held while both
  /// are told, by callers that may block; the sync thread never takes it.
  base::Mutex pause_mutex_;
  bool stopped_ = false;
};

}  // namespace graspd::sync
