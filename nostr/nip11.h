// What a relay says of itself (NIP-11), as far as a client acts on it.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace graspd::nostr {

/// A plain value; what the remote claims, so nothing here is more than a hint.
struct RelayInformation {
  /// From `limitation`; nothing where the document does not say, or says something impossible.
  std::optional<uint64_t> max_message_length;  // bytes of one message
  std::optional<uint64_t> max_subscriptions;   // open at a time
  std::optional<uint64_t> max_filters;         // in one REQ
  std::optional<uint64_t> max_limit;           // events for one filter
  bool auth_required = false;                  // before anything else (NIP-42)
  std::vector<uint64_t> supported_nips;        // at most 1,000
};

/// Reads an information document of any size (net::Dialer fetches at most 64 KiB). Lenient: unknown
/// members and members of the wrong type count as absent. Thread-safe. Errors: kInvalidArgument if
/// it is not a JSON object, or not JSON as nostr/json_reader.h has it.
absl::StatusOr<RelayInformation> ParseRelayInformation(std::string_view json);

}  // namespace graspd::nostr
