#pragma once

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "nostr/relay_url.h"

namespace graspd::relay {

/// The hosts and ports under which others reach this relay. Thread-safe: with port 0 they are known
/// only after sessions can begin.
class OwnHosts {
 public:
  explicit OwnHosts(std::vector<nostr::HostPort> hosts) : hosts_(std::move(hosts)) {}

  void Set(std::vector<nostr::HostPort> hosts) {
    base::MutexLock lock(mutex_);
    hosts_ = std::move(hosts);
  }

  /// True if `url` is a URL whose parsed host and effective port are ours.
  [[nodiscard]] bool Names(std::string_view url) const {
    const auto host = nostr::ParseHostPort(url);
    if (!host.ok()) return false;
    base::MutexLock lock(mutex_);
    return std::find(hosts_.begin(), hosts_.end(), *host) != hosts_.end();
  }

 private:
  mutable base::Mutex mutex_;
  std::vector<nostr::HostPort> hosts_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace graspd::relay
