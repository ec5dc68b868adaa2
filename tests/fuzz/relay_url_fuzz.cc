// Relay URLs: one canonical form, and parts that agree with it.
#include <algorithm>
#include <string>

#include "net/socket_address.h"
#include "nostr/relay_url.h"
#include "tests/fuzz/fuzz.h"

namespace graspd::fuzz {
namespace {

bool IsHarmless(char c) {
  return c > ' ' && c <= '~' && std::string_view("\"<>\\^`{|}#").find(c) == std::string_view::npos;
}

void CheckUrl(const nostr::RelayUrl& url) {
  const std::string& text = url.ToString();
  FUZZ_CHECK(std::all_of(text.begin(), text.end(), IsHarmless));
  FUZZ_CHECK(text.starts_with(url.secure() ? "wss://" : "ws://"));
  FUZZ_CHECK(url.port() != 0);
  FUZZ_CHECK(url.target().starts_with('/'));
  FUZZ_CHECK(!url.host().empty() && url.host().size() <= 253 && !url.host().ends_with('.'));
  FUZZ_CHECK(url.host().find('@') == std::string::npos);
  FUZZ_CHECK(url.host_is_ip() == net::IpAddress::Parse(url.host()).ok());
  FUZZ_CHECK(std::none_of(url.host().begin(), url.host().end(),
                          [](char c) { return c >= 'A' && c <= 'Z'; }));

  const auto again = nostr::RelayUrl::Parse(text);
  FUZZ_CHECK(again.ok() && *again == url);
  FUZZ_CHECK(again->host() == url.host() && again->port() == url.port() &&
             again->secure() == url.secure() && again->target() == url.target());
  const auto place = nostr::ParseHostPort(text);
  FUZZ_CHECK(place.ok() && place->host == url.host() && place->port == url.port());
  const auto path = nostr::ParseUrlPath(text);
  FUZZ_CHECK(path.ok() && path->starts_with('/'));
}

}  // namespace

FUZZ_TARGET(relay_url) {
  const auto url = nostr::RelayUrl::Parse(bytes);
  if (url.ok()) {
    FUZZ_CHECK(bytes.size() <= 512);
    CheckUrl(*url);
    const auto place = nostr::ParseHostPort(bytes);
    FUZZ_CHECK(place.ok() && place->host == url->host() && place->port == url->port());
  }
  FUZZ_CHECK(nostr::ParseHostPort(bytes).ok() == nostr::ParseUrlPath(bytes).ok());
}

}  // namespace graspd::fuzz
