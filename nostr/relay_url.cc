#include "nostr/relay_url.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/status_macros.h"

namespace graspd::nostr {
namespace {

constexpr size_t kMaxUrlBytes = 512;
constexpr size_t kMaxHostBytes = 253;
constexpr size_t kMaxLabelBytes = 63;

absl::Status Refused(const char* why) { return absl::InvalidArgumentError(why); }

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsHexDigit(char c) { return IsDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string Lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) { return Lower(c); });
  return out;
}

// A URL cut into its parts, each checked and canonical.
struct Url {
  bool secure = false;     // wss, https
  bool websocket = false;  // ws, wss
  std::string host;        // without brackets
  bool host_is_ip = false;
  uint16_t port = 0;  // effective
  std::string path;   // as given, at least "/"
  std::string query;  // with its '?', empty if there is nothing after it
};

uint16_t DefaultPort(bool secure) { return secure ? 443 : 80; }

// Everything a URL may consist of: what stands here can neither break out of a request line nor be
// read differently by another parser.
absl::Status CheckCharacters(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c <= ' ' || c > '~') return Refused("space, control or non-ASCII character in a URL");
    if (std::string_view("\"<>\\^`{|}").find(c) != std::string_view::npos) {
      return Refused("forbidden character in a URL");
    }
    if (c == '#') return Refused("a relay URL has no fragment");
    if (c != '%') continue;
    if (i + 2 >= text.size() || !IsHexDigit(text[i + 1]) || !IsHexDigit(text[i + 2])) {
      return Refused("incomplete % escape in a URL");
    }
    const bool control = text[i + 1] < '2' || (text[i + 1] == '7' && Lower(text[i + 2]) == 'f');
    if (control) return Refused("escaped control character in a URL");
  }
  return absl::OkStatus();
}

// Takes `scheme://` off the front of `rest`.
absl::Status TakeScheme(std::string_view& rest, Url& url) {
  const size_t colon = rest.find("://");
  if (colon == std::string_view::npos) return Refused("not an absolute URL");
  const std::string scheme = Lower(rest.substr(0, colon));
  url.websocket = scheme == "ws" || scheme == "wss";
  url.secure = scheme == "wss" || scheme == "https";
  if (!url.websocket && !url.secure && scheme != "http") return Refused("unknown URL scheme");
  rest.remove_prefix(colon + 3);
  return absl::OkStatus();
}

absl::Status ParseIpv6(std::string_view text, Url& url) {
  in6_addr address;
  char canonical[INET6_ADDRSTRLEN];
  // inet_pton takes no zone, and inet_ntop writes RFC 5952's form.
  if (inet_pton(AF_INET6, std::string(text).c_str(), &address) != 1 ||
      inet_ntop(AF_INET6, &address, canonical, sizeof(canonical)) == nullptr) {
    return Refused("not an IPv6 address");
  }
  url.host = canonical;
  url.host_is_ip = true;
  return absl::OkStatus();
}

bool IsLabel(std::string_view label) {
  return !label.empty() && label.size() <= kMaxLabelBytes && label.front() != '-' &&
         label.back() != '-' && std::all_of(label.begin(), label.end(), [](char c) {
           return IsDigit(c) || c == '-' || (c >= 'a' && c <= 'z');
         });
}

// True for labels that resolvers take for (a part of) an IPv4 address: 1, 0177, 0x7f, 0x.
bool IsNumeric(std::string_view label) {
  if (std::all_of(label.begin(), label.end(), IsDigit)) return true;
  return label.substr(0, 2) == "0x" && std::all_of(label.begin() + 2, label.end(), IsHexDigit);
}

absl::Status ParseName(std::string_view text, Url& url) {
  if (!text.empty() && text.back() == '.') text.remove_suffix(1);
  if (text.empty() || text.size() > kMaxHostBytes) return Refused("no host, or it is too long");
  url.host = Lower(text);
  std::string_view rest = url.host;
  std::string_view label;
  do {
    const size_t dot = std::min(rest.find('.'), rest.size());
    label = rest.substr(0, dot);
    if (!IsLabel(label)) return Refused("not a host name (letters, digits and hyphens)");
    rest.remove_prefix(std::min(dot + 1, rest.size()));
  } while (label.end() != url.host.data() + url.host.size());

  in_addr address;
  url.host_is_ip = inet_pton(AF_INET, url.host.c_str(), &address) == 1;
  if (IsNumeric(label) && !url.host_is_ip) return Refused("not a dotted-quad IPv4 address");
  return absl::OkStatus();
}

// `text` is what follows the host: nothing, or a colon and the port.
absl::Status ParsePort(std::string_view text, Url& url) {
  if (text.empty()) {
    url.port = DefaultPort(url.secure);
    return absl::OkStatus();
  }
  text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), url.port);
  if (error != std::errc() || end != text.data() + text.size() || text[0] == '0') {
    return Refused("not a port from 1 to 65535");
  }
  return absl::OkStatus();
}

absl::Status ParseAuthority(std::string_view text, Url& url) {
  if (text.find('@') != std::string_view::npos) return Refused("user information in a URL");
  if (text.empty() || text[0] != '[') {
    const size_t colon = std::min(text.find(':'), text.size());
    GRASPD_RETURN_IF_ERROR(ParseName(text.substr(0, colon), url));
    return ParsePort(text.substr(colon), url);
  }
  const size_t bracket = text.find(']');
  if (bracket == std::string_view::npos) return Refused("not an IPv6 address");
  GRASPD_RETURN_IF_ERROR(ParseIpv6(text.substr(1, bracket - 1), url));
  const std::string_view port = text.substr(bracket + 1);
  if (!port.empty() && port[0] != ':') return Refused("not an IPv6 address");
  return ParsePort(port, url);
}

absl::StatusOr<Url> ParseUrl(std::string_view text) {
  if (text.size() > kMaxUrlBytes) return Refused("URL too long");
  GRASPD_RETURN_IF_ERROR(CheckCharacters(text));
  Url url;
  GRASPD_RETURN_IF_ERROR(TakeScheme(text, url));
  const size_t authority = std::min(text.find_first_of("/?"), text.size());
  GRASPD_RETURN_IF_ERROR(ParseAuthority(text.substr(0, authority), url));
  text.remove_prefix(authority);
  const size_t question = std::min(text.find('?'), text.size());
  url.path = question == 0 ? "/" : std::string(text.substr(0, question));
  if (question + 1 < text.size()) url.query = text.substr(question);
  return url;
}

// `name`, `1.2.3.4` or `[::1]`, with the port unless it is the default.
std::string Authority(std::string_view host, uint16_t port, bool secure) {
  const bool ipv6 = host.find(':') != std::string_view::npos;
  std::string out = ipv6 ? "[" + std::string(host) + "]" : std::string(host);
  if (port != DefaultPort(secure)) out += ":" + std::to_string(port);
  return out;
}

}  // namespace

absl::StatusOr<RelayUrl> RelayUrl::Parse(std::string_view text) {
  GRASPD_ASSIGN_OR_RETURN(Url url, ParseUrl(text));
  if (!url.websocket) return Refused("not a ws or wss URL");
  while (!url.path.empty() && url.path.back() == '/') url.path.pop_back();

  RelayUrl out;
  out.secure_ = url.secure;
  out.host_ = std::move(url.host);
  out.host_is_ip_ = url.host_is_ip;
  out.port_ = url.port;
  out.target_ = (url.path.empty() ? "/" : url.path) + url.query;
  out.text_ = (url.secure ? "wss://" : "ws://") + out.authority();
  if (out.target_ != "/") out.text_ += out.target_;
  return out;
}

std::string RelayUrl::authority() const { return Authority(host_, port_, secure_); }

std::string_view SiteOf(std::string_view host) {
  const size_t last = host.rfind('.');
  if (last == std::string_view::npos || last == 0) return host;
  const size_t before = host.rfind('.', last - 1);
  return before == std::string_view::npos ? host : host.substr(before + 1);
}

absl::StatusOr<HostPort> ParseHostPort(std::string_view url) {
  GRASPD_ASSIGN_OR_RETURN(Url parsed, ParseUrl(url));
  return HostPort{std::move(parsed.host), parsed.port};
}

absl::StatusOr<std::string> ParseUrlPath(std::string_view url) {
  GRASPD_ASSIGN_OR_RETURN(Url parsed, ParseUrl(url));
  return std::move(parsed.path);
}

}  // namespace graspd::nostr
