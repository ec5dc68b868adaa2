// What operators can see of the sync engine: plain values, copied out of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "nostr/relay_url.h"
#include "storage/event_store.h"

namespace graspd::sync {

/// Connecting -> Connected (Syncing -> Live | LiveWithGaps) -> Backoff -> Connecting; the rest as
/// named.
enum class RemoteState : uint8_t {
  kDiscovered,    // waits for its first dial
  kConnecting,    // DNS, TCP, TLS, upgrade
  kSyncing,       // connected, catching up
  kLive,          // connected, nothing left to catch up
  kLiveWithGaps,  // connected, but some subscription or catch-up did not succeed
  kBackoff,       // waits after a failure
  kRateLimited,   // connected; asked for nothing new until the cool-down ends
  kPaused,        // by the operator
  kDead,          // failing for 24 h; tried once a day
  kBlocked,       // its address may not be dialled, or it is ourselves
};
inline constexpr size_t kRemoteStates = 10;
[[nodiscard]] std::string_view RemoteStateName(RemoteState state);

enum class RemoteOrigin : uint8_t { kConfig, kDiscovered, kApi };

enum class SyncMethod : uint8_t { kUnknown, kNegentropy, kReq };

/// Events of one remote since the daemon's start.
struct RemoteCounts {
  uint64_t needed = 0;      // events that reconciliation found missing here
  uint64_t received = 0;    // events delivered
  uint64_t stored = 0;      // of those, new here
  uint64_t duplicate = 0;   // already here, or older than what is
  uint64_t rejected = 0;    // by the acceptance policy
  uint64_t invalid = 0;     // id, signature, limits, or not what was asked for
  uint64_t parked = 0;      // wait for their parent
  uint64_t gap_filled = 0;  // brought by a comparison though the live subscription should have
};

struct RemoteSnapshot {
  nostr::RelayUrl url;
  RemoteOrigin origin = RemoteOrigin::kDiscovered;
  RemoteState state = RemoteState::kDiscovered;
  uint64_t state_since = 0;  // all times in seconds since 1970, 0 = never
  std::string state_reason;
  std::string address;  // connected to
  uint64_t connected_at = 0;
  uint64_t last_event_at = 0;
  uint64_t last_full_reconcile_at = 0;
  std::string last_error;       // text of the latest failure
  std::string last_error_code;  // its kind: "dns", "tls", ...
  uint64_t last_error_at = 0;
  uint32_t consecutive_failures = 0;
  uint64_t next_attempt_at = 0;
  uint64_t rate_limited_until = 0;
  uint32_t subscriptions = 0;
  uint32_t filters = 0;
  uint32_t referenced_by = 0;
  uint32_t jobs_waiting = 0, jobs_running = 0;
  SyncMethod method = SyncMethod::kUnknown;
  RemoteCounts counts;
};

/// A relay URL we came across, and what we decided.
struct CandidateSnapshot {
  enum class Decision : uint8_t {
    kAccepted,   // is a remote
    kInvalid,    // not a relay URL we would dial
    kSelf,       // ourselves
    kForbidden,  // resolves to an address that may not be dialled
    kOverLimit,  // too many remotes
    kCrowded,    // too many connections to its address
    kAlias,      // another remote by a second name
  };
  std::string url;
  uint64_t first_seen = 0;
  uint32_t referenced_by = 0;
  Decision decision = Decision::kAccepted;
  std::string reason;
};

enum class JobState : uint8_t { kQueued, kRunning, kDone, kFailed, kCancelled };

struct JobSnapshot {
  uint64_t id = 0;
  nostr::RelayUrl remote;
  std::string filter_json;
  storage::Source source = storage::Source::kManual;
  JobState state = JobState::kQueued;
  SyncMethod method = SyncMethod::kUnknown;
  uint64_t have = 0, need = 0, fetched = 0, missing = 0;
  uint64_t rounds = 0;
  uint64_t bytes = 0;   // of negentropy messages, both directions
  bool joined = false;  // answers a TriggerSync, and existed before it
  std::string error;
  uint64_t created_at = 0, started_at = 0, finished_at = 0;
};

/// One forced look through everything stored.
struct DiscoverySnapshot {
  uint64_t id = 0;
  uint64_t started_at = 0, finished_at = 0;
  uint32_t found = 0;  // relays named by announcements
  uint32_t added = 0;  // of those, not known before
  uint32_t unusable = 0;
  bool joined = false;  // an earlier call's run was under way
};

}  // namespace graspd::sync
