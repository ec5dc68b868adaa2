#pragma once

#include <cstdint>
#include <set>
#include <vector>

#include "absl/status/status.h"
#include "nostr/event.h"
#include "storage/event_store.h"

namespace graspd::storage {

/// The batch of 1 to 9 events that begins with event number `first`: by these numbers tests of
/// durability keep account of what was acknowledged. Every fourth is a version of one replaceable
/// event, so that batches also remove.
std::vector<nostr::Event> NumberedBatch(uint64_t first);

/// OK if every event that was acknowledged is stored and found (of the versions: the newest, or one
/// newer), and if the feed has as many as are served. kDataLoss, naming what is missing; the
/// store's errors as they are.
absl::Status FindAcknowledged(EventStore& store, const std::set<uint64_t>& acknowledged);

}  // namespace graspd::storage
