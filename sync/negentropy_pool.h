#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "absl/status/statusor.h"
#include "base/blocking_pool.h"
#include "base/clock.h"
#include "base/cpu_pool.h"
#include "base/executor.h"
#include "ingest/known_refusals.h"
#include "nostr/filter.h"
#include "storage/event_store.h"
#include "storage/neg_sets.h"
#include "sync/catchup_job.h"

namespace graspd::sync {

/// Computes the rounds of reconciliations off the sync thread: gets our real set, turns each reply
/// into the next message, and leaves out of the wanted ids what is known here already and what was
/// refused before.
///
/// Sets are the shared ones that are kept (NegSets), so that to compare again, or with another
/// remote, costs no scan; where these have no room, one is listed for the session alone.
///
/// Bounds: one step at a time per session; a set that is listed for a session holds at most
/// kMaxItems items (40 bytes each), and a session collects at most kMaxIds ids. Once a reply has
/// come, kResourceExhausted means that the remote exceeds what Initiator bounds. How many sessions
/// exist is the engine's business. Threading: called on the executor's thread, destroyed there too,
/// and calls back there. Lifetime: steps under way when it is destroyed are finished unheard.
class NegentropyPool {
 public:
  static constexpr size_t kMaxItems = 5'000'000;
  static constexpr size_t kMaxIds = 5'000'000;
  using Callback = std::function<void(uint64_t session, absl::StatusOr<ReconcileStep>)>;

  NegentropyPool(storage::EventStore& store, std::weak_ptr<storage::NegSets> sets,
                 ingest::KnownRefusals& refusals, base::BlockingPool& scans, base::CpuPool& cpu,
                 const base::Clock& clock, base::Executor& executor, Callback on_step);
  ~NegentropyPool();

  /// Messages are of at most `frame_bytes`; they double in hex.
  void Start(uint64_t session, const nostr::Filter& filter, size_t frame_bytes);
  void Continue(uint64_t session, std::string reply);
  /// Forgets the session; a step under way is not reported.
  void Drop(uint64_t session);

 private:
  struct Session;
  struct Shared;

  std::shared_ptr<Shared> shared_;
  std::unordered_map<uint64_t, std::shared_ptr<Session>> sessions_;
};

}  // namespace graspd::sync
