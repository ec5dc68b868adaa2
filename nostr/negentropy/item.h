#pragma once

#include <compare>
#include <cstdint>

#include "nostr/fixed_bytes.h"

namespace graspd::negentropy {

/// What reconciliation knows of an event: 40 bytes, ordered by (created_at, id).
struct Item {
  uint64_t created_at = 0;
  nostr::EventId id;
  auto operator<=>(const Item&) const = default;
};

}  // namespace graspd::negentropy
