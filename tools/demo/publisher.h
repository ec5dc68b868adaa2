#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "net/dialer.h"
#include "nostr/event.h"

namespace graspd::demo {

/// What the relay answered.
struct Published {
  size_t accepted = 0;
  size_t refused = 0;
  std::string first_refusal;
};

/// Sends events to a relay over its WebSocket, as any client would, and waits for every OK.
/// Errors: kUnavailable if the connection fails or ends early, kDeadlineExceeded. Not on an I/O
/// thread.
absl::StatusOr<Published> Publish(net::Dialer& dialer, net::IoThread& thread,
                                  const nostr::RelayUrl& relay,
                                  const std::vector<nostr::Event>& events, base::Duration timeout);

}  // namespace graspd::demo
