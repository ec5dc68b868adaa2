#pragma once

#include <span>
#include <vector>

#include "nostr/fixed_bytes.h"

namespace graspd::ingest {

/// What sync need not fetch, although it is not stored: it would be refused again, or it is in the
/// parking lot already. About fetching only: whoever sends such an event is judged as ever.
/// Threading: thread-safe, never blocks for long.
class KnownRefusals {
 public:
  virtual ~KnownRefusals() = default;
  /// For each id, in the order asked: true if fetching it now would be in vain.
  [[nodiscard]] virtual std::vector<bool> InVain(std::span<const nostr::EventId> ids) = 0;
};

}  // namespace graspd::ingest
