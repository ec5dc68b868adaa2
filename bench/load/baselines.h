// What the machine needs for the unavoidable part of a relay's work, measured in the same run:
// machines and their other load differ, ratios to these do not.
#pragma once

#include <cstddef>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "bench/load/event_set.h"

namespace graspd::bench {

/// CPU seconds of one signature verification: BIP-340 alone, on one thread, of the first `count`
/// events.
absl::StatusOr<double> VerifySecondsPerEvent(const EventSet& events, size_t count);

/// CPU seconds of one send() of `bytes` over loopback, on one thread, to `sockets` connections in
/// turn, which another thread reads; about `sends` of them, a turn each `interval`. On loopback a
/// send includes the receiver's half of TCP, as it does for a relay; and after a pause it costs
/// more than in a loop that is always at it, for caches are cold and the reader has to be woken.
absl::StatusOr<double> SendSecondsPerCall(size_t sockets, size_t bytes, size_t sends,
                                          base::Duration interval = {});

}  // namespace graspd::bench
