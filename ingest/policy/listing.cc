#include "ingest/policy/listing.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "base/hex.h"
#include "nostr/nip19.h"

namespace graspd::ingest {
namespace {

bool HostIsOwn(std::string_view url, const std::vector<nostr::HostPort>& own_hosts) {
  const auto host = nostr::ParseHostPort(url);
  return host.ok() && std::find(own_hosts.begin(), own_hosts.end(), *host) != own_hosts.end();
}

std::optional<char> HexPair(std::string_view pair) {
  std::string lower(pair);
  for (char& c : lower) c = c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
  std::array<uint8_t, 1> byte;
  if (!base::HexDecode(lower, byte)) return std::nullopt;
  return static_cast<char>(byte[0]);
}

// Nothing if a '%' is not followed by two hex digits.
std::optional<std::string> PercentDecode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const auto decoded = HexPair(text.substr(i + 1, 2));
    if (!decoded) return std::nullopt;
    out += *decoded;
    i += 2;
  }
  return out;
}

bool NamesKey(std::string_view segment, const nostr::PublicKey& key) {
  if (segment == key.ToHex()) return true;
  const auto decoded = nostr::DecodeNpub(segment);
  return decoded.ok() && *decoded == key;
}

bool IsClonePath(std::string_view path, const nostr::Address& repository) {
  constexpr std::string_view kSuffix = ".git";
  if (path.empty() || path.front() != '/') return false;
  path.remove_prefix(1);
  const size_t slash = path.find('/');
  if (slash == std::string_view::npos || !path.ends_with(kSuffix)) return false;
  if (!NamesKey(path.substr(0, slash), repository.author)) return false;
  path.remove_prefix(slash + 1);
  if (path.size() < kSuffix.size()) return false;
  return PercentDecode(path.substr(0, path.size() - kSuffix.size())) == repository.identifier;
}

}  // namespace

bool ListsService(const nostr::RepositoryAnnouncement& announcement,
                  const std::vector<nostr::HostPort>& own_hosts, bool require_clone) {
  const auto is_own = [&](const std::string& url) { return HostIsOwn(url, own_hosts); };
  if (std::none_of(announcement.relays.begin(), announcement.relays.end(), is_own)) return false;
  if (!require_clone) return true;
  return std::any_of(announcement.clone.begin(), announcement.clone.end(),
                     [&](const std::string& url) {
                       if (!is_own(url)) return false;
                       const auto path = nostr::ParseUrlPath(url);
                       return path.ok() && IsClonePath(*path, announcement.address);
                     });
}

}  // namespace graspd::ingest
