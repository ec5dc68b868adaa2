#include "net/socket_address.h"

#include <arpa/inet.h>
#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/status_macros.h"

namespace graspd::net {
namespace {

constexpr std::string_view kUnixScheme = "unix:";

absl::Status Invalid(std::string_view what, std::string_view text) {
  return absl::InvalidArgumentError(std::string(what) + ": '" + std::string(text.substr(0, 128)) +
                                    "'");
}

/// A decimal number without sign, blanks or leading zeros, at most `max`.
std::optional<uint32_t> ParseDecimal(std::string_view text, uint32_t max) {
  if (text.empty() || (text.size() > 1 && text.front() == '0')) return std::nullopt;
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value > max) return std::nullopt;
  return value;
}

int AddressBits(const IpAddress& ip) { return ip.v6 ? 128 : 32; }

/// Clears every bit of `ip` behind the first `prefix`.
void ClearHostBits(IpAddress& ip, int prefix) {
  for (int i = 0; i < 16; ++i) {
    const int keep = std::clamp(prefix - 8 * i, 0, 8);
    ip.bytes[i] &= static_cast<uint8_t>(0xff00 >> keep);
  }
}

}  // namespace

absl::StatusOr<IpAddress> IpAddress::Parse(std::string_view text) {
  IpAddress ip;
  ip.v6 = text.find(':') != std::string_view::npos;
  // inet_pton, unlike inet_aton and getaddrinfo, knows no octal, hex or short forms and no zones.
  const std::string copy(text);
  if (text.size() >= INET6_ADDRSTRLEN || copy.find('\0') != std::string::npos ||
      inet_pton(ip.v6 ? AF_INET6 : AF_INET, copy.c_str(), ip.bytes.data()) != 1) {
    return Invalid("not an IP address", text);
  }
  return ip;
}

std::string IpAddress::ToString() const {
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(v6 ? AF_INET6 : AF_INET, bytes.data(), text, sizeof(text));
  return text;
}

IpAddress IpAddress::Unmapped() const {
  constexpr std::array<uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (!v6 || !std::equal(kMapped.begin(), kMapped.end(), bytes.begin())) return *this;
  IpAddress v4;
  std::copy_n(bytes.begin() + kMapped.size(), 4, v4.bytes.begin());
  return v4;
}

absl::StatusOr<SocketAddress> SocketAddress::Parse(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return Invalid("address without port", text);
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  SocketAddress address;
  GRASPD_ASSIGN_OR_RETURN(address.ip, IpAddress::Parse(host));
  if (address.ip.v6 != bracketed) return Invalid("IPv6, and only IPv6, needs brackets", text);
  const auto port = ParseDecimal(text.substr(colon + 1), 65535);
  if (!port) return Invalid("bad port", text);
  address.port = static_cast<uint16_t>(*port);
  return address;
}

std::string SocketAddress::ToString() const {
  return (ip.v6 ? "[" + ip.ToString() + "]" : ip.ToString()) + ":" + std::to_string(port);
}

absl::StatusOr<Cidr> Cidr::Parse(std::string_view text) {
  Cidr cidr;
  const size_t slash = text.find('/');
  GRASPD_ASSIGN_OR_RETURN(cidr.base, IpAddress::Parse(text.substr(0, slash)));
  cidr.prefix = AddressBits(cidr.base);
  if (slash != std::string_view::npos) {
    const auto prefix = ParseDecimal(text.substr(slash + 1), static_cast<uint32_t>(cidr.prefix));
    if (!prefix) return Invalid("bad prefix length", text);
    cidr.prefix = static_cast<int>(*prefix);
  }
  ClearHostBits(cidr.base, cidr.prefix);
  return cidr;
}

bool Cidr::Contains(const IpAddress& ip) const {
  if (ip.v6 != base.v6) return false;
  IpAddress network = ip, wanted = base;
  ClearHostBits(network, prefix);
  ClearHostBits(wanted, prefix);
  return network == wanted;
}

std::string Cidr::ToString() const { return base.ToString() + "/" + std::to_string(prefix); }

absl::StatusOr<ListenAddress> ListenAddress::Parse(std::string_view text) {
  ListenAddress listen;
  if (!text.starts_with(kUnixScheme)) {
    GRASPD_ASSIGN_OR_RETURN(listen.tcp, SocketAddress::Parse(text));
    return listen;
  }
  listen.unix_path = text.substr(kUnixScheme.size());
  if (!listen.unix_path.starts_with('/') ||
      listen.unix_path.size() >= sizeof(sockaddr_un::sun_path) ||
      listen.unix_path.find('\0') != std::string::npos) {
    return Invalid("a unix socket needs an absolute path of at most 107 bytes", text);
  }
  return listen;
}

std::string ListenAddress::ToString() const {
  return unix_path.empty() ? tcp.ToString() : std::string(kUnixScheme) + unix_path;
}

bool ListenAddress::is_loopback() const {
  if (!unix_path.empty()) return true;
  if (!tcp.ip.v6) return tcp.ip.bytes[0] == 127;
  IpAddress loopback{.v6 = true};
  loopback.bytes[15] = 1;
  return tcp.ip == loopback;
}

bool ListenAddress::is_wildcard() const {
  return unix_path.empty() && tcp.ip.bytes == decltype(tcp.ip.bytes){};
}

}  // namespace graspd::net
