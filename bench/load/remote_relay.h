// The remote relays that graspd syncs from, played by this tool.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "net/io_pool.h"
#include "nostr/event.h"

namespace graspd::bench {

/// A relay on 127.0.0.1 that answers from memory: NIP-11, REQ (which stays live), NIP-77. It takes
/// no EVENTs. With several ports it is as many relays that hold the same.
///
/// Bounds: 200 subscriptions and as many NIP-77 sessions a connection, 5,000 events an answer.
/// Threading: thread-safe; works on the one thread of its own. Lifetime: the clock and what is
/// added outlive it; it cuts its connections when it goes, not on an I/O thread.
class RemoteRelay {
 public:
  struct Stats {
    size_t connections = 0;  // now, WebSockets alone
    /// When the first request of all, HTTP or WebSocket, had come.
    std::optional<base::SteadyTime> first_contact;
    base::SteadyTime last_traffic;          // of any WebSocket, either way
    uint64_t bytes_in = 0, bytes_out = 0;   // of WebSocket frames, heads included
    uint64_t filter_bytes = 0;              // of bytes_in, the filters of REQ and NEG-OPEN
    size_t neg_opens = 0, neg_running = 0;  // NIP-77 sessions so far, and not yet closed
    size_t delivered = 0;                   // events sent at least once
    size_t sent = 0;                        // events in answers, with repetitions
    size_t subscriptions = 0;               // open now
  };

  /// Errors: those of net::WebSocketServer::Start.
  static absl::StatusOr<std::unique_ptr<RemoteRelay>> Start(net::IoPool& pool,
                                                            const base::Clock& clock,
                                                            size_t ports = 1);
  ~RemoteRelay();

  [[nodiscard]] uint16_t port(size_t i = 0) const;
  [[nodiscard]] std::string url(size_t i = 0) const;

  /// Holds one more event, about which nobody is told. `json` outlives the relay. Errors: those of
  /// nostr::ParseEvent.
  absl::Status Add(std::string_view json);
  /// Sends `event`, which is not kept, to every live subscription that selects it.
  void Publish(nostr::Event event);
  /// Ends every WebSocket, as a relay does that restarts.
  void HangUp();
  /// How many live subscriptions select `event` now; waits for the relay's thread.
  [[nodiscard]] size_t Listeners(const nostr::Event& event) const;
  [[nodiscard]] Stats stats() const;
  /// The events sent for the first time last, at most `most`.
  [[nodiscard]] std::vector<nostr::EventId> LastDelivered(size_t most) const;

 private:
  struct Core;
  class Session;
  class Server;
  explicit RemoteRelay(std::unique_ptr<Server> server);
  std::unique_ptr<Server> server_;
};

}  // namespace graspd::bench
