#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace graspd::admin {

/// An address that the admin server may listen on: loopback TCP, or a unix socket. A plain value.
struct ListenAddress {
  std::string host;       // as written, IPv6 in brackets; "" for a unix socket
  uint16_t port = 0;      // 0: any free one
  std::string unix_path;  // "" for TCP

  /// Parses `127.0.0.1:7335`, `[::1]:7335`, `localhost:7335` and `unix:PATH`. Errors:
  /// kInvalidArgument, also for every address that is reachable from other machines.
  static absl::StatusOr<ListenAddress> Parse(std::string_view text);

  [[nodiscard]] bool is_unix() const { return !unix_path.empty(); }
  [[nodiscard]] std::string ToString() const;
};

/// Makes way for a unix socket at `path`: removes a socket that nobody listens on any more. Errors:
/// kAlreadyExists (a live socket, or a file that is no socket; nothing is removed), kUnavailable.
absl::Status RemoveStaleSocket(const std::string& path);

/// Why gRPC, which does not say, could not listen on `address`: binds it once and lets go of it.
/// kUnavailable with the system's reason, or with none if it works now.
absl::Status ExplainBindFailure(const ListenAddress& address);

}  // namespace graspd::admin
