#include "sync/relay_health.h"

#include <algorithm>

namespace graspd::sync {

void RelayHealthTracker::Connected(base::SteadyTime now) {
  connected_ = true;
  useful_ = false;
  connected_since_ = now;
}

void RelayHealthTracker::Useful() { useful_ = connected_; }

void RelayHealthTracker::Left(base::SteadyTime now) {
  if (connected_ && (useful_ || now - connected_since_ >= options_.useful_after)) failures_ = 0;
  connected_ = false;
}

base::Duration RelayHealthTracker::Failed(base::SteadyTime now, base::Random& random) {
  Left(now);
  if (failures_++ == 0) first_failure_ = now;
  if (IsDead(now)) return options_.dead_retry;
  const uint32_t doublings = std::min<uint32_t>(failures_ - 1, 20);
  const auto backoff =
      std::min(options_.first_backoff * (int64_t{1} << doublings), options_.max_backoff);
  // Up to half of it more, so that remotes which failed together do not return together.
  return backoff + base::Duration(static_cast<base::Duration::rep>(
                       random.Below(static_cast<uint64_t>(backoff.count() / 2) + 1)));
}

base::Duration RelayHealthTracker::Misbehaved(base::SteadyTime now, base::Random& random) {
  connected_ = false;
  return Failed(now, random);
}

void RelayHealthTracker::Reset() {
  failures_ = 0;
  useful_ = false;
}

}  // namespace graspd::sync
