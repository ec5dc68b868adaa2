// Between our address values and the kernel's structures.
#pragma once

#include <sys/socket.h>

#include <optional>

#include "net/socket_address.h"

namespace graspd::net {

struct Sockaddr {
  sockaddr_storage storage{};
  socklen_t length = 0;
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

Sockaddr ToSockaddr(const SocketAddress& address);
Sockaddr ToSockaddr(const ListenAddress& address);

/// nullopt if `address` is of another family than IPv4 and IPv6.
std::optional<SocketAddress> FromSockaddr(const sockaddr* address);

}  // namespace graspd::net
