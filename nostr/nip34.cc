#include "nostr/nip34.h"

#include <utility>

#include "nostr/sort_unique.h"

namespace graspd::nostr {
namespace {

constexpr size_t kLongestIdentifier = 251;  // with ".git" behind it a file name of 255 bytes

absl::Status CheckIdentifier(std::string_view identifier) {
  constexpr std::string_view kForbidden("/\\\0", 3);
  if (identifier.empty() || identifier.size() > kLongestIdentifier || identifier == "." ||
      identifier == ".." || identifier.find_first_of(kForbidden) != std::string_view::npos) {
    return absl::InvalidArgumentError("the identifier (d) must be usable as a file name");
  }
  return absl::OkStatus();
}

void AppendValues(Tag tag, std::vector<std::string>& out) {
  for (size_t i = 1; i < tag.size(); ++i) out.emplace_back(tag[i]);
}

void AppendKeys(Tag tag, std::vector<PublicKey>& out) {
  for (size_t i = 1; i < tag.size(); ++i) {
    if (const auto key = PublicKey::FromHex(tag[i])) out.push_back(*key);
  }
}

}  // namespace

bool IsRootKind(Kind kind) { return kind == kPatch || kind == kPullRequest || kind == kIssue; }

absl::StatusOr<RepositoryAnnouncement> ParseAnnouncement(const Event& event) {
  if (event.kind != kRepositoryAnnouncement) {
    return absl::InvalidArgumentError("not a repository announcement");
  }
  RepositoryAnnouncement announcement;
  announcement.address = {event.kind, event.pubkey, ""};
  int identifiers = 0;
  for (const Tag tag : event.tags) {
    const std::string_view name = tag.name();
    if (name == "d" && ++identifiers == 1) announcement.address.identifier = tag.value();
    if (name == "relays") AppendValues(tag, announcement.relays);
    if (name == "clone") AppendValues(tag, announcement.clone);
    if (name == "maintainers") AppendKeys(tag, announcement.maintainers);
  }
  if (identifiers != 1) return absl::InvalidArgumentError("exactly one d tag is needed");
  if (absl::Status checked = CheckIdentifier(announcement.address.identifier); !checked.ok()) {
    return checked;
  }
  return announcement;
}

References ReferencesOf(const Event& event) {
  References references;
  for (const Tag tag : event.tags) {
    const std::string_view name = tag.name();
    const bool quote = name == "q";
    if (quote || name == "a" || name == "A") {
      if (auto address = ParseAddress(tag.value())) {
        references.addresses.push_back(*std::move(address));
      }
    }
    if (quote || name == "e" || name == "E") {
      if (const auto id = EventId::FromHex(tag.value())) references.ids.push_back(*id);
    }
  }
  SortAndDedupe(references.addresses);
  SortAndDedupe(references.ids);
  return references;
}

}  // namespace graspd::nostr
