#pragma once

#include <csignal>
#include <optional>

#include "base/clock.h"

namespace graspd::daemon {

/// SIGINT and SIGTERM, taken by main's thread when it asks and by nobody else. SIGPIPE is ignored.
///
/// Made before the first thread, which inherits the mask. Threading: Wake() from any thread, the
/// rest on main's.
class Signals {
 public:
  Signals();

  /// SIGINT or SIGTERM, 0 after Wake(); nullopt if `timeout` passed (none: waits for ever).
  std::optional<int> Wait(std::optional<base::Duration> timeout = std::nullopt);
  /// True if one of them waits to be taken; it stays.
  [[nodiscard]] bool Pending() const;
  /// Ends one Wait().
  void Wake() const;
  /// From now on they end the process at once.
  void Release() const;

 private:
  const pthread_t main_;
  sigset_t set_;
};

}  // namespace graspd::daemon
