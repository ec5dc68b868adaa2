// What the admin API needs from the rest of graspd, as plain values and abstract classes.
//
// services/graspd implements the controls over the sync engine; tests implement them over maps. No
// gRPC and no protobuf here, so that the adapter compiles without either.
//
// Every control method is thread-safe, called on the admin server's own threads, and may block up
// to `timeout` (it posts to the engine's thread and waits). Past that it returns EngineBusy()
// (services/admin/errors.h). Errors are made with AdminError(); any other absl::Status keeps its
// code and gets the reason that comes nearest. Relay URLs are canonical (nostr::RelayUrl) on both
// sides of this border. Times are seconds since 1970; 0 means never.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"

namespace graspd::admin {

/// Where a remote stands. Values and names are those of graspd.admin.v1.RemoteState.
enum class RemoteState : uint8_t {
  kDiscovered = 1,
  kConnecting,
  kSyncingHistory,
  kLive,
  kLiveWithGaps,
  kBackingOff,
  kRateLimited,
  kPaused,
  kDead,
  kBlocked,
};
enum class RemoteSource : uint8_t { kConfig = 1, kDiscovered, kApi };
/// How history is fetched; kUnknown until the remote's ability has been seen.
enum class SyncMethod : uint8_t { kUnknown = 0, kNegentropy, kReq };

struct RemoteError {
  std::string code;     // class of the failure, as in the metrics: "dns", "tcp", "tls", ...
  std::string message;  // for people; may quote the remote
  base::UnixSeconds at = 0;
};

/// Events of one remote since this process started, by what became of them.
struct RemoteCounts {
  uint64_t received = 0;    // EVENT messages
  uint64_t stored = 0;      // new here
  uint64_t duplicate = 0;   // already here, or older than what is
  uint64_t parked = 0;      // wait for their parent
  uint64_t rejected = 0;    // refused by the policy
  uint64_t invalid = 0;     // wrong id, signature or shape
  uint64_t gap_filled = 0;  // found by catch-up although the live subscription should have had it
  uint64_t needed = 0;      // ids that reconciliation found missing here
};

/// One remote relay.
struct RemoteInfo {
  std::string url;      // canonical
  std::string address;  // ip:port of the open connection, "" if none
  RemoteSource source = RemoteSource::kDiscovered;
  RemoteState state = RemoteState::kDiscovered;
  base::UnixSeconds state_since = 0;
  std::string state_reason;  // why it is in that state, a short sentence; may be empty
  base::UnixSeconds connected_at = 0;
  base::UnixSeconds last_event_at = 0;
  base::UnixSeconds last_full_reconcile_at = 0;
  RemoteError last_error;  // at == 0: none so far
  uint32_t consecutive_failures = 0;
  base::UnixSeconds next_attempt_at = 0;
  base::UnixSeconds rate_limited_until = 0;
  uint32_t subscriptions = 0;  // open on the connection
  uint32_t filters = 0;        // in those subscriptions
  SyncMethod method = SyncMethod::kUnknown;
  RemoteCounts counts;
};

/// "r-" and 16 hex digits of the URL's SHA-256: short to type, the same on every replica. The admin
/// API shows it, and takes it wherever it takes a URL.
std::string RemoteId(std::string_view canonical_url);

/// Some remotes: one, by URL, or all.
struct RemoteSelector {
  std::string url;  // canonical; unused if `all`
  bool all = false;
};

/// The outcome of pausing or resuming.
struct RemoteChange {
  std::vector<RemoteInfo> remotes;  // the selected ones, as they are now
  bool changed = false;             // false if all of them were in the wanted state already
};

class RemoteControl {
 public:
  virtual ~RemoteControl() = default;
  /// Every remote (at most the engine's cap, 500 by default), in any order.
  virtual absl::StatusOr<std::vector<RemoteInfo>> ListRemotes(base::Duration timeout) = 0;
  /// Errors: RemoteNotFound.
  virtual absl::StatusOr<RemoteInfo> GetRemote(const std::string& url, base::Duration timeout) = 0;
  /// Disconnects and stays away until resumed, restarts included: durable when this returns. OK if
  /// paused already. Errors: RemoteNotFound (never with `all`), kStoreUnavailable.
  virtual absl::StatusOr<RemoteChange> PauseRemotes(const RemoteSelector& which,
                                                    base::Duration timeout) = 0;
  /// Undoes a pause; `reset_backoff` also makes the next attempt due now, for remotes that were not
  /// paused but wait in backoff too. Errors as PauseRemotes.
  virtual absl::StatusOr<RemoteChange> ResumeRemotes(const RemoteSelector& which,
                                                     bool reset_backoff,
                                                     base::Duration timeout) = 0;
};

enum class CandidateDecision : uint8_t {
  kAdded = 1,  // it is a remote now
  kWaiting,    // allowed, but held back by a cap; tried again later
  kRefused,    // will not be dialled
};

/// A relay URL that was seen somewhere, and what was decided about it.
struct CandidateInfo {
  std::string url;  // canonical, or as found if it is not a valid relay URL; unique in the list
  base::UnixSeconds first_seen = 0;
  uint32_t referenced_by = 0;  // repositories that name it
  CandidateDecision decision = CandidateDecision::kWaiting;
  std::string reason;   // UPPER_SNAKE, from a closed set: "SELF", "REMOTE_LIMIT"; "" if added
  std::string message;  // the same for people; may be empty
};

/// One pass over all known announcements.
struct DiscoveryRunInfo {
  std::string id;
  base::UnixSeconds started_at = 0;
  base::UnixSeconds finished_at = 0;  // 0 while it runs
  uint32_t found = 0;                 // distinct URLs seen
  uint32_t added = 0;                 // remotes that are new because of this pass
  uint32_t refused = 0;               // URLs that will not be dialled
  bool joined = false;                // a pass was already running and this is it
};

class DiscoveryControl {
 public:
  virtual ~DiscoveryControl() = default;
  /// Starts a pass now, or joins the one that runs. Returns when it is finished or at `timeout`,
  /// whichever is first (then with finished_at == 0, which is not an error).
  /// Errors: kSyncDisabled.
  virtual absl::StatusOr<DiscoveryRunInfo> TriggerDiscovery(base::Duration timeout) = 0;
  /// Every candidate (bounded by the engine), in any order.
  virtual absl::StatusOr<std::vector<CandidateInfo>> ListCandidates(base::Duration timeout) = 0;
};

enum class SyncJobState : uint8_t { kQueued = 1, kRunning, kSucceeded, kFailed, kCancelled };

/// One reconciliation with one remote: a batch of filters.
struct SyncJobInfo {
  std::string id;
  std::string remote_url;
  std::string filter_json;  // what is compared, as in a REQ
  SyncJobState state = SyncJobState::kQueued;
  SyncMethod method = SyncMethod::kUnknown;
  bool joined = false;   // the job existed before this call
  uint64_t have = 0;     // ids only we hold
  uint64_t need = 0;     // ids only the remote holds
  uint64_t fetched = 0;  // events received of those
  uint64_t missing = 0;  // asked for, and never delivered
  uint64_t rounds = 0;   // negentropy round trips, or REQ pages
  uint64_t bytes = 0;    // of negentropy messages, both directions
  std::string error;     // empty unless failed
  base::UnixSeconds created_at = 0;
  base::UnixSeconds started_at = 0;   // 0 while queued
  base::UnixSeconds finished_at = 0;  // 0 until finished
};

class SyncControl {
 public:
  virtual ~SyncControl() = default;
  /// Queues a full reconciliation of the selected remotes, one job for each batch of filters; a
  /// batch that has an active job keeps it (`joined`). With `all`, remotes that are paused, blocked
  /// dead or not connected are left out. Does not wait for the jobs. Errors: RemoteNotFound,
  /// kRemotePaused, kRemoteDead, kRemoteBlocked, kRemoteNotConnected, kJobQueueFull, kSyncDisabled.
  virtual absl::StatusOr<std::vector<SyncJobInfo>> TriggerSync(const RemoteSelector& which,
                                                               base::Duration timeout) = 0;
};

enum class ComponentStatus : uint8_t {
  kOk = 1,
  kDegraded,  // works, but somebody should look
  kFailed,    // does not do its work
  kDisabled,  // switched off by configuration
};

/// Health of one part of graspd: "store", "ingest", "listener", "sync", "discovery", ...
struct ComponentHealth {
  std::string name;
  ComponentStatus status = ComponentStatus::kOk;
  base::UnixSeconds since = 0;    // of this status
  base::UnixSeconds last_ok = 0;  // now, if OK
  std::string message;            // what is wrong and what to do, a sentence; empty if OK
  std::map<std::string, std::string> details;
};

/// What Kubernetes asks. They must not lie either way: liveness is about our own event loops only,
/// readiness about the store and the accept loop, and remotes are in neither.
struct Probes {
  bool live = false;
  bool ready = false;
  bool started = false;
  bool in_sync = false;  // every remote that is not paused, blocked or dead is live
};

class HealthControl {
 public:
  virtual ~HealthControl() = default;
  /// Reads flags that others maintain: must not block, is called once a second and at every check.
  virtual Probes GetProbes() = 0;
  /// All components. The overall verdict is the worst of them.
  virtual absl::StatusOr<std::vector<ComponentHealth>> GetComponents(base::Duration timeout) = 0;
};

/// What this binary is; fixed at start.
struct BuildInfo {
  std::string version;  // "0.1.0"
  std::string commit;   // abbreviated hash, "" if unknown
  bool dirty = false;   // built from a changed work tree
  std::string compiler;
  std::map<std::string, std::string> libraries;  // name -> version; the admin server adds its own
  uint32_t schema_version = 0;                   // of the store's format; 0 if it keeps none
  std::vector<std::string> features;             // "storage.lmdb", "sync", ...
  std::vector<uint32_t> nips;                    // as in the NIP-11 document
  std::vector<std::string> grasps;
};

}  // namespace graspd::admin
