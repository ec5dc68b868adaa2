// Events for the tests of this folder. Ids are right, signatures are left out: nothing here
// verifies.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "nostr/event.h"
#include "nostr/keys.h"
#include "nostr/nip34.h"
#include "nostr/relay_url.h"
#include "nostr/rules.h"

namespace graspd::sync::testing {

inline nostr::PublicKey Author(std::string_view name) { return {nostr::Sha256(name)}; }

inline nostr::RelayUrl Url(std::string_view text) { return nostr::RelayUrl::Parse(text).value(); }

inline nostr::Address Repo(std::string_view author, std::string_view identifier) {
  return {nostr::kRepositoryAnnouncement, Author(author), std::string(identifier)};
}

inline nostr::Event Finish(nostr::Event event) {
  event.id = nostr::ComputeId(event);
  return event;
}

inline nostr::Event Announcement(const nostr::Address& repo, uint64_t created_at,
                                 const std::vector<std::string>& relays) {
  nostr::Event event;
  event.kind = nostr::kRepositoryAnnouncement;
  event.pubkey = repo.author;
  event.created_at = created_at;
  event.tags.Add({"d", repo.identifier});
  event.tags.AddElement("relays");
  for (const auto& relay : relays) event.tags.AddElement(relay);
  event.tags.EndTag();
  return Finish(std::move(event));
}

/// An issue in all of `repos`.
inline nostr::Event Issue(const std::vector<nostr::Address>& repos, uint64_t created_at,
                          std::string_view text) {
  nostr::Event event;
  event.kind = nostr::kIssue;
  event.pubkey = Author("reporter");
  event.created_at = created_at;
  event.content = text;
  for (const auto& repo : repos) event.tags.Add({"a", repo.ToString()});
  return Finish(std::move(event));
}

/// In a repository, and no root.
inline nostr::Event About(const nostr::Address& repo, int n, std::string_view text = "") {
  nostr::Event event;
  event.kind = nostr::kComment;
  event.pubkey = Author("reader");
  event.created_at = static_cast<uint64_t>(1'600'000'000 + n);
  event.content = text;
  event.tags.Add({"a", repo.ToString()});
  event.tags.Add({"A", repo.ToString()});
  return Finish(std::move(event));
}

/// A reply that names its root and nothing else.
inline nostr::Event Comment(const nostr::EventId& root, uint64_t created_at,
                            std::string_view text) {
  nostr::Event event;
  event.kind = nostr::kComment;
  event.pubkey = Author("commenter");
  event.created_at = created_at;
  event.content = text;
  event.tags.Add({"E", root.ToHex()});
  return Finish(std::move(event));
}

/// A deletion of one address or one event by its author (NIP-09).
inline nostr::Event Deletion(const nostr::PublicKey& author, uint64_t created_at,
                             std::string_view letter, std::string_view target) {
  nostr::Event event;
  event.kind = nostr::kDeletionKind;
  event.pubkey = author;
  event.created_at = created_at;
  event.tags.Add({letter, target});
  return Finish(std::move(event));
}

}  // namespace graspd::sync::testing
