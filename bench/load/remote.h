// The other side of sync: a relay that graspd-bench plays itself.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "net/io_pool.h"
#include "net/websocket_server.h"
#include "nostr/event.h"

namespace graspd::bench {

/// Relays of one set of events at many addresses of loopback, for the relay under test to sync
/// from: NIP-01, 11 and 77, nothing is checked and nothing stored. What is asked for is looked up
/// by id or by the values of one tag, so that answers cost a small part of what taking them costs.
///
/// Threading: one I/O thread of its own serves all connections; the methods are for the thread that
/// made it. Lifetime: the destructor ends all connections.
class Remote {
 public:
  /// What has happened so far. Bytes are those of WebSocket messages with their frames.
  struct Counts {
    std::atomic<uint64_t> connections{0};  // upgraded, ever
    std::atomic<uint64_t> open{0};         // of them, now
    std::atomic<uint64_t> live{0};         // REQs that have got their EOSE, ever
    std::atomic<uint64_t> events_sent{0};
    std::atomic<uint64_t> reconciliations_open{0}, reconciliations_closed{0};
    std::atomic<uint64_t> bytes_in{0}, bytes_out{0};
    /// When the latest of any of this happened, and the first request of any kind came since
    /// Rearm(); 0 = not yet. Nanoseconds of the steady clock.
    std::atomic<int64_t> last_activity{0}, first_contact{0};
  };

  /// Listens at `count` ports. Errors: the server's.
  static absl::StatusOr<std::unique_ptr<Remote>> Start(std::vector<nostr::Event> events,
                                                       size_t count);
  ~Remote();
  Remote(const Remote&) = delete;
  Remote& operator=(const Remote&) = delete;

  /// "127.0.0.1:port" of each address.
  [[nodiscard]] const std::vector<std::string>& addresses() const;
  [[nodiscard]] const Counts& counts() const;
  /// The next request is the first again.
  void Rearm();
  /// Delivers a new event to the live subscriptions that it matches; `sent_at` is told when, on the
  /// remote's own thread. It is not kept.
  void Publish(const nostr::Event& event, std::function<void(base::SteadyTime)> sent_at);

 private:
  struct Impl;
  explicit Remote(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace graspd::bench
