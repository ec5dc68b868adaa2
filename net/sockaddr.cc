#include "net/sockaddr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>

namespace graspd::net {

Sockaddr ToSockaddr(const SocketAddress& address) {
  Sockaddr out;
  if (address.ip.v6) {
    auto& in6 = reinterpret_cast<sockaddr_in6&>(out.storage);
    in6.sin6_family = AF_INET6;
    in6.sin6_port = htons(address.port);
    std::memcpy(&in6.sin6_addr, address.ip.bytes.data(), 16);
    out.length = sizeof(in6);
  } else {
    auto& in4 = reinterpret_cast<sockaddr_in&>(out.storage);
    in4.sin_family = AF_INET;
    in4.sin_port = htons(address.port);
    std::memcpy(&in4.sin_addr, address.ip.bytes.data(), 4);
    out.length = sizeof(in4);
  }
  return out;
}

Sockaddr ToSockaddr(const ListenAddress& address) {
  if (address.unix_path.empty()) return ToSockaddr(address.tcp);
  Sockaddr out;
  auto& un = reinterpret_cast<sockaddr_un&>(out.storage);
  un.sun_family = AF_UNIX;
  std::memcpy(un.sun_path, address.unix_path.data(), address.unix_path.size());  // rest is zero
  out.length =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.unix_path.size() + 1);
  return out;
}

std::optional<SocketAddress> FromSockaddr(const sockaddr* address) {
  SocketAddress out;
  if (address->sa_family == AF_INET) {
    const auto& in4 = *reinterpret_cast<const sockaddr_in*>(address);
    std::memcpy(out.ip.bytes.data(), &in4.sin_addr, 4);
    out.port = ntohs(in4.sin_port);
  } else if (address->sa_family == AF_INET6) {
    const auto& in6 = *reinterpret_cast<const sockaddr_in6*>(address);
    out.ip.v6 = true;
    std::memcpy(out.ip.bytes.data(), &in6.sin6_addr, 16);
    out.port = ntohs(in6.sin6_port);
  } else {
    return std::nullopt;
  }
  return out;
}

}  // namespace graspd::net
