// What gRPC leaves to its user about listening.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "net/socket_address.h"

namespace graspd::admin {

/// Makes way for a unix socket at `path`: removes a socket that nobody listens on any more. Errors:
/// kAlreadyExists (a live socket, or a file that is no socket; nothing is removed), kUnavailable.
absl::Status RemoveStaleSocket(const std::string& path);

/// Why gRPC, which does not say, could not listen on `address`: binds it once and lets go of it.
/// kUnavailable with the system's reason, or with none if it works now.
absl::Status ExplainBindFailure(const net::ListenAddress& address);

}  // namespace graspd::admin
