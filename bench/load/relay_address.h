// Where the relay is, and what it says about itself.
#pragma once

#include <netdb.h>
#include <sys/socket.h>

#include <string>

#include "absl/status/statusor.h"

namespace graspd::bench {

/// A relay's URL, resolved. A plain value.
struct RelayAddress {
  sockaddr_storage address{};
  socklen_t address_size = 0;
  std::string authority;  // for the Host header
  std::string target;     // path and query
};

/// Blocking. Errors: kInvalidArgument for what is no ws:// URL, kNotFound for a name without
/// address.
absl::StatusOr<RelayAddress> ResolveRelay(const std::string& url);

/// From the NIP-11 document; empty where it says nothing or there is none.
struct RelayIdentity {
  std::string name, software, version;
};
/// Blocking, for 5 s at most.
[[nodiscard]] RelayIdentity AskIdentity(const RelayAddress& relay);

}  // namespace graspd::bench
