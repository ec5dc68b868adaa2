#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "net/socket_address.h"
#include "services/graspd/settings.h"

namespace graspd::daemon {

/// graspd as one object: store, ingest, relay, sync, admin and ops, wired together. The only place
/// that knows all of them, and the order in which they start and stop (docs/threads.md).
///
/// Threading: used from main's thread. Lifetime: the destructor stops at once what Drain() has not.
class Daemon {
 public:
  /// Opens the store, listens everywhere, begins to sync. `stop` is asked while that may take long:
  /// true ends it with kCancelled. Errors: the parts', prefixed with what was being started. After
  /// an error nothing is left running.
  static absl::StatusOr<std::unique_ptr<Daemon>> Start(const Settings& settings,
                                                       std::function<bool()> stop);
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  /// One line for people and scripts: where everything listens, with real ports.
  [[nodiscard]] std::string ReadyLine() const;

  /// Graceful end: not ready, no new connections, writes finished, clients told (CLOSED, then Close
  /// 1001), within limits.drain_timeout. Blocks.
  void Drain();

 private:
  struct Parts;
  explicit Daemon(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace graspd::daemon
