// The lists of the acceptance policy: what an entry may be, and one state of all lists.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>

#include "absl/status/statusor.h"
#include "nostr/fixed_bytes.h"
#include "nostr/relay_url.h"
#include "nostr/rules.h"

namespace graspd::ingest {

enum class PolicyList : uint8_t {
  kAuthorBlacklist,      // authors: nothing of theirs is taken
  kRepositoryBlacklist,  // repositories: their announcements are never taken
  kRepositoryWhitelist,  // repositories: if not empty, only these may list us
  kArchiveRepositories,  // repositories: taken in archive mode
  kArchiveHosts,         // hosts: repositories that name one are taken in archive mode
};
inline constexpr size_t kPolicyLists = 5;
/// As the settings call it, without "policy.": "author_blacklist", ...
[[nodiscard]] std::string_view PolicyListName(PolicyList list);
/// What entries of the list look like, for error messages and help.
[[nodiscard]] std::string_view PolicyListSyntax(PolicyList list);

/// Reads one entry and gives it back in its one canonical form, which reads back to itself.
///
/// An author is an npub or 64 hex digits; canonical is the hex. A repository is `author`,
/// `author/identifier` or `identifier` (of whatever author); a text that begins with `npub1` or is
/// 64 hex digits is always an author. A host is a name or address, brackets around IPv6, with or
/// without `:port`; without one every port counts. At most 1,024 bytes.
/// Errors: kInvalidArgument, saying what is wrong but not repeating the text.
absl::StatusOr<std::string> CanonicalEntry(PolicyList list, std::string_view text);

/// What all lists hold at one moment. Immutable once shared; look-ups cost no more with long lists.
class ListSnapshot {
 public:
  /// `entry` is canonical.
  void Insert(PolicyList list, std::string entry);

  [[nodiscard]] bool empty(PolicyList list) const { return Of(list).empty(); }
  [[nodiscard]] bool HoldsAuthor(PolicyList list, const nostr::PublicKey& author) const;
  /// By its author, by its identifier, or by both.
  [[nodiscard]] bool HoldsRepository(PolicyList list, const nostr::Address& repository) const;
  [[nodiscard]] bool HoldsHost(PolicyList list, const nostr::HostPort& host) const;

 private:
  using Entries = std::unordered_set<std::string>;
  [[nodiscard]] const Entries& Of(PolicyList list) const {
    return entries_[static_cast<size_t>(list)];
  }
  std::array<Entries, kPolicyLists> entries_;
};

}  // namespace graspd::ingest
