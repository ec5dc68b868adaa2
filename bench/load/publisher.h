#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/load/client.h"
#include "bench/load/event_set.h"
#include "bench/load/latencies.h"
#include "bench/load/progress.h"

namespace graspd::bench {

/// What became of the events.
struct PublishOutcome {
  size_t accepted = 0;    // OK true, duplicates among them
  size_t duplicates = 0;  // OK true with "duplicate:"
  size_t refused = 0;     // OK false
  std::string first_refusal;
  Latencies ok;  // from the send to the OK
};

/// Publishes all of `events` over all connections of `client`, at most `in_flight` of each without
/// their OK, and waits for every OK. Errors: those of the client; kAborted if the relay complains
/// in words other than an OK's, or answers an event twice.
absl::StatusOr<PublishOutcome> Publish(Client& client, const EventSet& events, size_t in_flight,
                                       Progress& progress);

}  // namespace graspd::bench
