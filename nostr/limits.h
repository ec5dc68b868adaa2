// Every limit on what strangers may send that is a setting (docs/configuration.md, `limits.*`), in
// one struct that all doors use. NIP-11 shows those that it has a name for.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "nostr/event.h"

namespace graspd::nostr {

struct Filter;

/// A plain value. Sizes are in bytes before any compression, counts are inclusive: what is equal to
/// a limit is allowed. Defaults are those of the settings.
struct Limits {
  size_t message_bytes = 512 * 1024;       // of one WebSocket message but NEG-*
  size_t event_bytes = 256 * 1024;         // of the served JSON
  size_t neg_message_bytes = 1536 * 1024;  // of one NEG-OPEN or NEG-MSG, twice its binary size
  size_t event_tags = 2000;
  uint64_t created_at_ahead_seconds = 900;

  size_t filters_per_req = 20;
  size_t values_per_filter = 1000;  // ids, authors, kinds and tag values together
  size_t subscriptions = 200;       // per connection
  size_t subscription_id_chars = 64;
  size_t filter_total_bytes = 256u << 20;  // of all subscriptions, in memory
  size_t limit_default = 500;              // events of a filter that names no limit
  size_t limit_max = 5000;                 // a higher one is lowered to this

  double events_per_second = 60;  // per connection, 0 = unlimited
  double events_burst = 600;
  double reqs_per_second = 50;
  double reqs_burst = 500;
  size_t address_rate_factor = 10;  // all connections of an address: so many times those of one
  size_t author_rate_factor = 10;   // events by one key that are new here: likewise; 0 = unlimited

  size_t connections = 10'000;
  size_t connections_per_address = 100;

  size_t neg_sessions = 4;  // per connection
  size_t neg_set_items = 5'000'000;
  size_t neg_memory_bytes = 512u << 20;  // of all sets
  std::chrono::seconds neg_idle{30};

  size_t outbound_bytes = 4u << 20;          // queued for one connection; more closes it
  size_t inbound_total_bytes = 256u << 20;   // of messages that have not come to their end
  size_t outbound_total_bytes = 256u << 20;  // queued for all
  std::chrono::seconds ping_interval{30};
  std::chrono::seconds pong_timeout{60};
  std::chrono::seconds handshake_timeout{5};  // TLS, headers, first byte

  size_t live_buffer_events = 10'000;  // of one subscription during its stored scan
  size_t live_buffer_bytes = 8u << 20;
  std::chrono::seconds drain_timeout{10};
};

/// What an event whose shape is right may have too much of: bytes of its JSON, tags, or seconds by
/// which its created_at is ahead.
enum class EventLimit : uint8_t { kBytes, kTags, kCreatedAt };

/// The first of the limits that the event exceeds, if any.
std::optional<EventLimit> ExceededLimit(const Event& event, size_t json_bytes, const Limits& limits,
                                        uint64_t unix_now);
/// The refusal, with its NIP-01 prefix.
std::string LimitMessage(EventLimit limit, const Limits& limits);

/// Checks one filter as every door must (REQ, COUNT, NEG-OPEN, admin): how many values it has.
/// Errors: kInvalidArgument, message starts with its NIP-01 prefix. All of these are thread-safe.
absl::Status CheckFilterLimits(const Filter& filter, const Limits& limits);

}  // namespace graspd::nostr
