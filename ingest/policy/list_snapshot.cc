#include "ingest/policy/list_snapshot.h"

#include <utility>

#include "base/status_macros.h"
#include "nostr/nip19.h"

namespace graspd::ingest {
namespace {

constexpr size_t kEntryBytes = 1024;
constexpr std::string_view kNpub = "npub1";

absl::Status Wrong(const char* why) { return absl::InvalidArgumentError(why); }

std::string Lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

// True for what can only be meant as a key, so that a mistyped one is not taken for an identifier.
bool LooksLikeKey(std::string_view text) {
  return Lower(text.substr(0, kNpub.size())) == kNpub ||
         nostr::PublicKey::FromHex(Lower(text)).has_value();
}

absl::StatusOr<std::string> CanonicalAuthor(std::string_view text) {
  if (const auto key = nostr::PublicKey::FromHex(Lower(text))) return key->ToHex();
  if (Lower(text.substr(0, kNpub.size())) != kNpub) return Wrong("not an npub or 64 hex digits");
  GRASPD_ASSIGN_OR_RETURN(const auto key, nostr::DecodeNpub(text));
  return key.ToHex();
}

absl::Status CheckIdentifier(std::string_view text) {
  constexpr std::string_view kForbidden("/\\\0", 3);
  if (text.empty() || text == "." || text == ".." ||
      text.find_first_of(kForbidden) != std::string_view::npos) {
    return Wrong("no repository has this identifier");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> CanonicalRepository(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) {
    if (LooksLikeKey(text)) return CanonicalAuthor(text);
    GRASPD_RETURN_IF_ERROR(CheckIdentifier(text));
    return std::string(text);
  }
  GRASPD_ASSIGN_OR_RETURN(std::string entry, CanonicalAuthor(text.substr(0, slash)));
  GRASPD_RETURN_IF_ERROR(CheckIdentifier(text.substr(slash + 1)));
  return std::move(entry.append(text.substr(slash)));
}

std::string Bracketed(const std::string& host) {
  return host.find(':') == std::string::npos ? host : "[" + host + "]";
}

// A port that is given is the same for both schemes; one that is not is each scheme's own.
absl::StatusOr<std::string> CanonicalHost(std::string_view text) {
  if (text.find_first_of("/?#@") != std::string_view::npos) {
    return Wrong("a host is a name or address, without scheme and path");
  }
  GRASPD_ASSIGN_OR_RETURN(const auto plain, nostr::ParseHostPort("http://" + std::string(text)));
  GRASPD_ASSIGN_OR_RETURN(const auto secure, nostr::ParseHostPort("https://" + std::string(text)));
  std::string entry = Bracketed(plain.host);
  if (plain.port == secure.port) entry += ":" + std::to_string(plain.port);
  return entry;
}

}  // namespace

std::string_view PolicyListName(PolicyList list) {
  switch (list) {
    case PolicyList::kAuthorBlacklist:
      return "author_blacklist";
    case PolicyList::kRepositoryBlacklist:
      return "repository_blacklist";
    case PolicyList::kRepositoryWhitelist:
      return "repository_whitelist";
    case PolicyList::kArchiveRepositories:
      return "archive_repositories";
    case PolicyList::kArchiveHosts:
      return "archive_hosts";
  }
  return "unknown";
}

std::string_view PolicyListSyntax(PolicyList list) {
  switch (list) {
    case PolicyList::kAuthorBlacklist:
      return "authors (npub or hex)";
    case PolicyList::kArchiveHosts:
      return "hosts such as git.example or git.example:8443";
    default:
      return "repositories: npub, npub/identifier or identifier (hex for npub)";
  }
}

absl::StatusOr<std::string> CanonicalEntry(PolicyList list, std::string_view text) {
  if (text.empty() || text.size() > kEntryBytes) return Wrong("an entry has 1 to 1,024 bytes");
  switch (list) {
    case PolicyList::kAuthorBlacklist:
      return CanonicalAuthor(text);
    case PolicyList::kArchiveHosts:
      return CanonicalHost(text);
    default:
      return CanonicalRepository(text);
  }
}

void ListSnapshot::Insert(PolicyList list, std::string entry) {
  entries_[static_cast<size_t>(list)].insert(std::move(entry));
}

bool ListSnapshot::HoldsAuthor(PolicyList list, const nostr::PublicKey& author) const {
  return !empty(list) && Of(list).contains(author.ToHex());
}

// An identifier is looked up by itself only if it could be an entry for itself: one that reads like
// "key" or "key/identifier" would hit an entry about somebody else.
bool ListSnapshot::HoldsRepository(PolicyList list, const nostr::Address& repository) const {
  const Entries& entries = Of(list);
  if (entries.empty()) return false;
  std::string key = repository.author.ToHex();
  if (entries.contains(key)) return true;
  const std::string& identifier = repository.identifier;
  if (entries.contains(key + "/" + identifier)) return true;
  return identifier.find('/') == std::string::npos && !LooksLikeKey(identifier) &&
         entries.contains(identifier);
}

bool ListSnapshot::HoldsHost(PolicyList list, const nostr::HostPort& host) const {
  const Entries& entries = Of(list);
  if (entries.empty()) return false;
  const std::string name = Bracketed(host.host);
  return entries.contains(name) || entries.contains(name + ":" + std::to_string(host.port));
}

}  // namespace graspd::ingest
