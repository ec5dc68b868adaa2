// What a remote lets us ask, from what it says of itself (NIP-11).
#pragma once

#include "nostr/nip11.h"
#include "sync/catchup_job.h"
#include "sync/filter_service.h"

namespace graspd::sync {

/// How the subscriptions that a remote allows are divided: most follow live, the rest carry the
/// requests of catch-up, which come and go.
struct RemoteLimits {
  /// Of all kinds, however many a remote allows: what all may send together is bounded, too.
  static constexpr uint64_t kMostSubscriptions = 200;
  PlanLimits plan;
  CatchUpJob::Limits job;
  size_t jobs = SIZE_MAX;  // at a time

  /// Largest reconciliation message, in bytes before hex, that a NEG-OPEN with this filter may
  /// carry; 0 where none is possible.
  [[nodiscard]] size_t NegentropyFrame(const nostr::Filter& filter) const;
};

/// Where the document is silent, what relays commonly allow is assumed: 20 subscriptions, 10
/// filters in a REQ, messages of 128 KiB.
[[nodiscard]] RemoteLimits LimitsOf(const nostr::RelayInformation& information);

}  // namespace graspd::sync
