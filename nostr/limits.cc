#include "nostr/limits.h"

#include <string>

#include "nostr/filter.h"

namespace graspd::nostr {

std::optional<EventLimit> ExceededLimit(const Event& event, size_t json_bytes, const Limits& limits,
                                        uint64_t unix_now) {
  if (json_bytes > limits.event_bytes) return EventLimit::kBytes;
  if (event.tags.size() > limits.event_tags) return EventLimit::kTags;
  // A difference, not a sum: neither side may wrap.
  if (event.created_at > unix_now &&
      event.created_at - unix_now > limits.created_at_ahead_seconds) {
    return EventLimit::kCreatedAt;
  }
  return std::nullopt;
}

std::string LimitMessage(EventLimit limit, const Limits& limits) {
  switch (limit) {
    case EventLimit::kBytes:
      return "invalid: event larger than " + std::to_string(limits.event_bytes) + " bytes";
    case EventLimit::kTags:
      return "invalid: more than " + std::to_string(limits.event_tags) + " tags";
    case EventLimit::kCreatedAt:
      return "invalid: created_at is too far in the future";
  }
  return "invalid: a limit is exceeded";
}

absl::Status CheckFilterLimits(const Filter& filter, const Limits& limits) {
  if (filter.ValueCount() > limits.values_per_filter) {
    return absl::InvalidArgumentError(
        "invalid: more than " + std::to_string(limits.values_per_filter) + " values in a filter");
  }
  return absl::OkStatus();
}

}  // namespace graspd::nostr
