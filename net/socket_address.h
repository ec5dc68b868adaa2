#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace graspd::net {

/// An IPv4 or IPv6 address without a zone. A plain value; IPv4-mapped IPv6 stays IPv6 here.
struct IpAddress {
  bool v6 = false;
  std::array<uint8_t, 16> bytes{};  // the first 4 for IPv4, network order
  auto operator<=>(const IpAddress&) const = default;

  /// Strict: dotted quad without leading zeros, or RFC 4291 text without brackets or zone.
  static absl::StatusOr<IpAddress> Parse(std::string_view text);
  [[nodiscard]] std::string ToString() const;  // RFC 5952
  /// ::ffff:a.b.c.d as a.b.c.d, to the kernel the same destination; others as they are.
  [[nodiscard]] IpAddress Unmapped() const;
};

/// Address and port.
struct SocketAddress {
  IpAddress ip;
  uint16_t port = 0;
  auto operator<=>(const SocketAddress&) const = default;

  /// `127.0.0.1:7334` or `[::1]:7334`.
  static absl::StatusOr<SocketAddress> Parse(std::string_view text);
  [[nodiscard]] std::string ToString() const;
};

/// A range of addresses, `10.0.0.0/8` or `fc00::/7`; a bare address is a range of one.
struct Cidr {
  IpAddress base;  // bits behind the prefix do not matter; Parse() clears them
  int prefix = 0;

  static absl::StatusOr<Cidr> Parse(std::string_view text);
  [[nodiscard]] bool Contains(const IpAddress& ip) const;
  [[nodiscard]] std::string ToString() const;
};

/// Where a server listens: a socket address, or a unix socket (`unix:/run/graspd.sock`).
struct ListenAddress {
  std::string unix_path;  // set = unix socket, `tcp` unused
  SocketAddress tcp;

  static absl::StatusOr<ListenAddress> Parse(std::string_view text);
  [[nodiscard]] std::string ToString() const;
  [[nodiscard]] bool is_loopback() const;  // a unix socket counts as loopback
  [[nodiscard]] bool is_wildcard() const;  // 0.0.0.0 or ::
};

}  // namespace graspd::net
