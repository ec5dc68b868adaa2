#pragma once

#include <cstdint>

#include "base/clock.h"
#include "base/random.h"

namespace graspd::sync {

/// How patient we are with a remote that fails.
struct HealthOptions {
  base::Duration first_backoff = std::chrono::seconds(5);
  base::Duration max_backoff = std::chrono::hours(1);
  base::Duration dead_after = std::chrono::hours(24);  // of continuous failures
  base::Duration dead_retry = std::chrono::hours(24);
  base::Duration useful_after = std::chrono::seconds(60);  // connected that long = useful
};

/// When a remote may be dialled again: exponential backoff with jitter, ending in one try a day.
///
/// A connection that was merely accepted does not count as recovery: the backoff is reset only by
/// one that brought an event or lasted a minute, so a relay that accepts and then drops us is not
/// stormed. Threading: thread-compatible. Time: passed in.
class RelayHealthTracker {
 public:
  explicit RelayHealthTracker(const HealthOptions& options) : options_(options) {}

  void Connected(base::SteadyTime now);
  /// The present connection has brought something we wanted.
  void Useful();
  /// A dial failed or a connection ended by the other side; returns how long to wait.
  base::Duration Failed(base::SteadyTime now, base::Random& random);
  /// We hung up for what the remote did: whatever the connection brought, it was no recovery.
  base::Duration Misbehaved(base::SteadyTime now, base::Random& random);
  /// We have ended the connection, for no fault of the remote.
  void Left(base::SteadyTime now);
  /// An operator wants a fresh start.
  void Reset();

  [[nodiscard]] uint32_t consecutive_failures() const { return failures_; }
  [[nodiscard]] bool IsDead(base::SteadyTime now) const {
    return failures_ > 0 && now - first_failure_ >= options_.dead_after;
  }

 private:
  HealthOptions options_;
  uint32_t failures_ = 0;
  base::SteadyTime first_failure_{};
  base::SteadyTime connected_since_{};
  bool connected_ = false, useful_ = false;
};

}  // namespace graspd::sync
