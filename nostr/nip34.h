// Views of git collaboration events (NIP-34, GRASP-01). They read tags, and keep nothing else.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "nostr/event.h"
#include "nostr/rules.h"

namespace graspd::nostr {

inline constexpr Kind kPatch = 1617, kPullRequest = 1618, kPullRequestUpdate = 1619, kIssue = 1621,
                      kLegacyReply = 1622, kStatusOpen = 1630, kStatusApplied = 1631,
                      kStatusClosed = 1632, kStatusDraft = 1633, kComment = 1111,
                      kUserGraspList = 10317, kRepositoryAnnouncement = 30617,
                      kRepositoryState = 30618;

/// True for patches, pull requests and issues: the events that threads hang on (sync layer 3).
[[nodiscard]] bool IsRootKind(Kind kind);

/// A repository announcement, kind 30617. All values of all `relays`, `clone` and `maintainers`
/// tags are read, since several tags occur in the wild. Strings are as the author wrote them.
struct RepositoryAnnouncement {
  Address address;  // kind 30617, author, d
  std::vector<std::string> relays;
  std::vector<std::string> clone;
  std::vector<PublicKey> maintainers;  // those that are 64 hex digits
};

/// Errors: kInvalidArgument if the kind is another, `d` is missing or given twice, or the
/// identifier is empty, longer than 251 bytes, ".", ".." or holds '/', '\' or NUL.
absl::StatusOr<RepositoryAnnouncement> ParseAnnouncement(const Event& event);

/// What an event refers to, by the tags that count for acceptance and sync: a, A, q (with ':') as
/// addresses, e, E, q (64 hex) as ids. Each once.
struct References {
  std::vector<Address> addresses;
  std::vector<EventId> ids;
};
[[nodiscard]] References ReferencesOf(const Event& event);

}  // namespace graspd::nostr
