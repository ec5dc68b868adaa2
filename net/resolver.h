#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/executor.h"
#include "net/socket_address.h"

namespace graspd::net {

/// Turns host names into addresses. Thread-safe.
class Resolver {
 public:
  using Callback = std::function<void(absl::StatusOr<std::vector<IpAddress>>)>;
  virtual ~Resolver() = default;
  /// Calls `done` once, on `executor`, with at least one address or an error (kNotFound: no such
  /// name, kUnavailable: try later, kResourceExhausted: too many look-ups under way). The caller
  /// keeps its own deadline: getaddrinfo cannot be cancelled. `executor` outlives the resolver.
  virtual void Resolve(std::string host, base::Executor& executor, Callback done) = 0;
};

/// getaddrinfo on `threads` threads of its own, with at most `queue` waiting.
std::unique_ptr<Resolver> MakeSystemResolver(size_t threads = 4, size_t queue = 256);

}  // namespace graspd::net
