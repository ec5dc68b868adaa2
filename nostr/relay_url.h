#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/keyed_hash.h"

namespace graspd::nostr {

/// The URL of a relay in one canonical form, so that spellings of the same relay are equal:
/// lower-case scheme and host, no default port, no trailing dot of the host, no trailing slash, no
/// query reordering. A plain value.
///
/// Parse is strict, because these URLs come from strangers: scheme ws or wss; host an LDH name
/// (labels up to 63, at most 253 bytes), a dotted-quad IPv4 address or an IPv6 address in brackets
/// (stored compressed, no zone); a host whose last label is numeric or hex must be a strict dotted
/// quad (so `127.1` and `0x7f.1` are refused); port 1-65535; no user info, no fragment, none of
/// `"<>\^`{|}`, no space, control or non-ASCII characters; `%` only before two hex digits, and not
/// for a control character; at most 512 bytes. Whether the address may be dialled is
/// net/address_guard.h's business, not ours.
class RelayUrl {
 public:
  static absl::StatusOr<RelayUrl> Parse(std::string_view text);

  [[nodiscard]] const std::string& ToString() const { return text_; }  // wss://host[:port][/path]
  [[nodiscard]] bool secure() const { return secure_; }
  [[nodiscard]] const std::string& host() const { return host_; }  // IPv6 without brackets
  [[nodiscard]] bool host_is_ip() const { return host_is_ip_; }
  [[nodiscard]] uint16_t port() const { return port_; }  // effective
  [[nodiscard]] const std::string& target() const {
    return target_;
  }  // path and query, at least "/"
  /// For the Host header: host, brackets if IPv6, port unless it is the scheme's default.
  [[nodiscard]] std::string authority() const;

  bool operator==(const RelayUrl& other) const { return text_ == other.text_; }
  auto operator<=>(const RelayUrl& other) const { return text_ <=> other.text_; }

 private:
  RelayUrl() = default;
  std::string text_, host_, target_;
  uint16_t port_ = 0;
  bool secure_ = false, host_is_ip_ = false;
};

/// The last two labels of a host name ("example.com"), as far as can be told what belongs together:
/// names below a domain that one has cost nothing.
[[nodiscard]] std::string_view SiteOf(std::string_view host);

/// Host and effective port of any ws, wss, http or https URL, canonical as above; how "this
/// announcement lists our service" is decided (never by substring). Port 80 (443) is the default of
/// ws and http (wss and https).
struct HostPort {
  std::string host;
  uint16_t port = 0;
  auto operator<=>(const HostPort&) const = default;
};
absl::StatusOr<HostPort> ParseHostPort(std::string_view url);
/// The path of such a URL, "/" if there is none, without query. Same errors.
absl::StatusOr<std::string> ParseUrlPath(std::string_view url);

}  // namespace graspd::nostr

template <>
struct std::hash<graspd::nostr::RelayUrl> {
  size_t operator()(const graspd::nostr::RelayUrl& url) const noexcept {
    return graspd::base::KeyedHash(url.ToString());
  }
};
