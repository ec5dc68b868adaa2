// What kinds and tags mean for storage: replaceable, addressable, ephemeral (NIP-01), deletion
// (NIP-09), expiration (NIP-40), protected (NIP-70). Pure functions of an event.
#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nostr/event.h"

namespace graspd::nostr {

enum class KindClass { kRegular, kReplaceable, kEphemeral, kAddressable };
[[nodiscard]] KindClass ClassOf(Kind kind);

inline constexpr Kind kDeletionKind = 5;
inline constexpr Kind kRepostKind = 6, kGenericRepostKind = 16;  // NIP-18
inline constexpr Kind kAuthKind = 22242;                         // NIP-42, never stored

/// What identifies all versions of a replaceable or addressable event. `identifier` is the value of
/// the first `d` tag, empty for replaceable kinds and where there is none.
struct Address {
  Kind kind = 0;
  PublicKey author;
  std::string identifier;
  auto operator<=>(const Address&) const = default;
  /// `kind:pubkey:identifier`, as in `a` tags.
  [[nodiscard]] std::string ToString() const;
};

/// The event's address, or nothing for regular and ephemeral kinds.
[[nodiscard]] std::optional<Address> AddressOf(const Event& event);

/// Reads `kind:pubkey:identifier`. The identifier may hold `:` itself and may be empty; the last
/// colon may be missing for replaceable kinds, which have no identifier. Nothing if it is not of
/// that form or the kind is neither replaceable nor addressable.
[[nodiscard]] std::optional<Address> ParseAddress(std::string_view text);

/// Of two versions of the same address: true if (created_at, id) `a` replaces `b`. The newer one
/// wins, on a tie the lower id.
[[nodiscard]] bool Supersedes(uint64_t created_at_a, const EventId& a, uint64_t created_at_b,
                              const EventId& b);

/// What a kind 5 event asks to delete. Only what its own author may delete counts: addresses of
/// other authors are left out here; for ids the storage compares authors.
struct DeletionTargets {
  std::vector<EventId> ids;
  std::vector<Address> addresses;  // versions up to the deletion's created_at
};
[[nodiscard]] DeletionTargets DeletionTargetsOf(const Event& deletion);

/// NIP-40: the value of the first `expiration` tag if it is a plain decimal integer, else nothing.
[[nodiscard]] std::optional<uint64_t> ExpirationOf(const Event& event);
/// True if `event` has expired at `unix_now` (expiration <= now).
[[nodiscard]] bool IsExpired(const Event& event, uint64_t unix_now);

/// NIP-70: carries a tag `-`.
[[nodiscard]] bool IsProtected(const Event& event);
/// NIP-70: a repost whose content is the JSON of a protected event, which no relay should take.
[[nodiscard]] bool EmbedsProtected(const Event& repost);

}  // namespace graspd::nostr
