#include "ingest/policy/policy.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <optional>
#include <string_view>

#include "base/status_macros.h"
#include "ingest/policy/listing.h"
#include "nostr/nip34.h"
#include "nostr/rules.h"

namespace graspd::ingest {

struct Policy::Refusal {
  PolicyReason reason;
  std::string message;
  bool waits = false;  // another event may lift it
};

namespace {

using Refusal = Policy::Refusal;
using MaybeRefusal = std::optional<Refusal>;
constexpr std::nullopt_t kAccept = std::nullopt;

// What one event may cost the writer, whatever a stranger puts into it or has stored before.
constexpr size_t kMaxLookups = 500;
constexpr size_t kMaxAnnouncements = 1000, kMaxAnnouncementBytes = 4u << 20;
constexpr size_t kMaxReferrers = 2000;  // by each letter
// Events that share an identifier; of others than announcements few are looked at.
constexpr size_t kMaxNamesakes = 5000;
constexpr size_t kMaxOfAuthor = 1000;
constexpr size_t kGraspListBytes = 16 * 1024;

Refusal Refuse(PolicyReason reason, std::string message) {
  return {reason, std::move(message), false};
}
Refusal RefuseForNow(PolicyReason reason, std::string message) {
  return {reason, std::move(message), true};
}

// A list of grasp servers is taken from anyone and a deletion may name anything: neither makes an
// event acceptable that it refers to, or that refers to it.
constexpr nostr::Kind kOpenNoDoor[] = {nostr::kUserGraspList, nostr::kDeletionKind};

bool OpensTheDoor(nostr::Kind kind) {
  return std::find(std::begin(kOpenNoDoor), std::end(kOpenNoDoor), kind) == std::end(kOpenNoDoor);
}

// ---- announcements and states ----------------------------------------------------------------

struct Naming {
  bool announced = false;  // some announcement of that identifier is stored
  bool named = false;      // one by somebody else lists the author as maintainer
};

// An author is in the recursive maintainer set of some stored announcement exactly if one is theirs
// or names them: whoever a chain leads to is named by its last link. That a repository's own
// announcement names its author says nothing.
absl::StatusOr<Naming> FindNaming(const std::string& identifier, const nostr::PublicKey& author,
                                  const storage::ReadView& view) {
  const std::string author_hex = author.ToHex();
  Naming naming;
  size_t announcements = 0, bytes = 0;
  const auto names_author = [&](const std::string& json) {
    if (json.find(author_hex) == std::string::npos) return false;  // spares the parsing
    const auto event = nostr::ParseEvent(json);
    if (!event.ok()) return false;
    const auto announcement = nostr::ParseAnnouncement(*event);
    if (!announcement.ok() || announcement->address.author == author) return false;
    const auto& names = announcement->maintainers;
    return std::find(names.begin(), names.end(), author) != names.end();
  };
  const auto visit = [&](const std::string& json) {
    naming.announced = true;
    ++announcements;
    bytes += json.size();
    naming.named = names_author(json);
    return !naming.named && announcements < kMaxAnnouncements && bytes < kMaxAnnouncementBytes;
  };
  GRASPD_RETURN_IF_ERROR(
      view.VisitTagged(nostr::kRepositoryAnnouncement, 'd', identifier, kMaxNamesakes, visit));
  return naming;
}

absl::StatusOr<MaybeRefusal> RuleState(const nostr::Event& event, const storage::ReadView& view) {
  if (!event.tags.Has("d")) {
    return Refuse(PolicyReason::kMalformed, "invalid: a repository state needs a d tag");
  }
  const std::string identifier(event.tags.FirstValue("d"));
  // Their own announcement is the usual case and one look-up.
  GRASPD_ASSIGN_OR_RETURN(
      const bool own,
      view.Contains(nostr::Address{nostr::kRepositoryAnnouncement, event.pubkey, identifier}));
  if (own) return kAccept;
  GRASPD_ASSIGN_OR_RETURN(const Naming naming, FindNaming(identifier, event.pubkey, view));
  if (naming.named) return kAccept;
  if (naming.announced) {
    return RefuseForNow(PolicyReason::kNoMaintainer,
                        "restricted: the author is no maintainer of this repository");
  }
  return RefuseForNow(PolicyReason::kNoAnnouncement,
                      "invalid: no announcement of this repository is accepted here");
}

// ---- deletions -------------------------------------------------------------------------------

// The author being known covers the addresses, which are their own, and every id that counts.
absl::StatusOr<MaybeRefusal> RuleDeletion(const nostr::Event& event,
                                          const storage::ReadView& view) {
  GRASPD_ASSIGN_OR_RETURN(const bool author_known, view.AnyBy(event.pubkey, kMaxOfAuthor));
  if (author_known) return kAccept;
  const auto targets = nostr::DeletionTargetsOf(event);
  for (size_t i = 0; i < std::min(targets.ids.size(), kMaxLookups); ++i) {
    GRASPD_ASSIGN_OR_RETURN(const auto stored, view.FindKind(targets.ids[i]));
    if (stored) return kAccept;
  }
  return RefuseForNow(PolicyReason::kUnknownDeletion,
                      "restricted: deletes nothing that is stored here, by nobody known here");
}

// ---- everything else: by reference -----------------------------------------------------------

absl::StatusOr<bool> RefersToStored(const nostr::References& references,
                                    const storage::ReadView& view) {
  for (size_t i = 0; i < std::min(references.addresses.size(), kMaxLookups); ++i) {
    const nostr::Address& address = references.addresses[i];
    if (!OpensTheDoor(address.kind)) continue;
    GRASPD_ASSIGN_OR_RETURN(const bool stored, view.Contains(address));
    if (stored) return true;
  }
  for (size_t i = 0; i < std::min(references.ids.size(), kMaxLookups); ++i) {
    GRASPD_ASSIGN_OR_RETURN(const auto kind, view.FindKind(references.ids[i]));
    if (kind && OpensTheDoor(*kind)) return true;
  }
  return false;
}

absl::StatusOr<bool> TaggedByStored(std::string_view letters, const std::string& value,
                                    const storage::ReadView& view) {
  for (const char letter : letters) {
    GRASPD_ASSIGN_OR_RETURN(const bool found,
                            view.AnyTagged(letter, value, kOpenNoDoor, kMaxReferrers));
    if (found) return true;
  }
  return false;
}

absl::StatusOr<bool> IsReferredTo(const nostr::Event& event, const storage::ReadView& view) {
  GRASPD_ASSIGN_OR_RETURN(const bool by_id, TaggedByStored("eEq", event.id.ToHex(), view));
  if (by_id) return true;
  const auto address = nostr::AddressOf(event);
  if (!address) return false;
  const std::string coordinate = address->ToString();
  GRASPD_ASSIGN_OR_RETURN(const bool by_address, TaggedByStored("aAq", coordinate, view));
  if (by_address || nostr::ClassOf(event.kind) != nostr::KindClass::kReplaceable) return by_address;
  // Replaceable kinds end in an empty identifier, and are also written without that last colon.
  return TaggedByStored("aAq", coordinate.substr(0, coordinate.size() - 1), view);
}

absl::StatusOr<MaybeRefusal> RuleRelated(const nostr::Event& event, const storage::ReadView& view) {
  GRASPD_ASSIGN_OR_RETURN(const bool child, RefersToStored(nostr::ReferencesOf(event), view));
  if (child) return kAccept;
  GRASPD_ASSIGN_OR_RETURN(const bool parent, IsReferredTo(event, view));
  if (parent) return kAccept;
  return RefuseForNow(PolicyReason::kOrphan, std::string(kOrphanRefusal));
}

// The whitelist and the hosts together say what is archived; if there are none, everything is.
bool IsArchived(const nostr::RepositoryAnnouncement& announcement, const ListSnapshot& lists) {
  using enum PolicyList;
  if (lists.empty(kArchiveRepositories) && lists.empty(kArchiveHosts)) return true;
  if (lists.HoldsRepository(kArchiveRepositories, announcement.address)) return true;
  const auto is_listed = [&lists](const std::string& url) {
    const auto host = nostr::ParseHostPort(url);
    return host.ok() && lists.HoldsHost(kArchiveHosts, *host);
  };
  return std::any_of(announcement.clone.begin(), announcement.clone.end(), is_listed) ||
         std::any_of(announcement.relays.begin(), announcement.relays.end(), is_listed);
}

// Before everything else, in every mode. An announcement that cannot be parsed has an address too.
MaybeRefusal RuleBlacklists(const nostr::Event& event, const ListSnapshot& lists) {
  if (lists.HoldsAuthor(PolicyList::kAuthorBlacklist, event.pubkey)) {
    return Refuse(PolicyReason::kBlockedAuthor, "blocked: nothing of this author is taken here");
  }
  if (event.kind != nostr::kRepositoryAnnouncement) return kAccept;
  const auto address = nostr::AddressOf(event);
  if (address && lists.HoldsRepository(PolicyList::kRepositoryBlacklist, *address)) {
    return Refuse(PolicyReason::kBlockedRepository, "blocked: this repository is not taken here");
  }
  return kAccept;
}

}  // namespace

std::string_view PolicyReasonName(PolicyReason reason) {
  switch (reason) {
    case PolicyReason::kBlockedAuthor:
      return "blocked_author";
    case PolicyReason::kBlockedRepository:
      return "blocked_repository";
    case PolicyReason::kMalformed:
      return "malformed";
    case PolicyReason::kNotListed:
      return "not_listed";
    case PolicyReason::kNotOnWhitelist:
      return "not_on_whitelist";
    case PolicyReason::kNotArchived:
      return "not_archived";
    case PolicyReason::kNoAnnouncement:
      return "no_announcement";
    case PolicyReason::kNoMaintainer:
      return "no_maintainer";
    case PolicyReason::kListTooLarge:
      return "list_too_large";
    case PolicyReason::kUnknownDeletion:
      return "unknown_deletion";
    case PolicyReason::kOrphan:
      return "orphan";
  }
  return "unknown";
}

Policy::Policy(PolicyOptions options)
    : options_(std::move(options)), own_hosts_(options_.own_hosts) {
  if (!options_.metrics) return;
  judged_ = &options_.metrics->MakeCounter("graspd_ingest_policy_judged_total",
                                           "Events that the acceptance policy has judged.");
  for (size_t i = 0; i < kPolicyReasons; ++i) {
    refused_[i] = &options_.metrics->MakeCounter(
        "graspd_ingest_policy_refusals_total",
        "Of these, refused by reason; what waits for another event counts each time.",
        {{"reason", std::string(PolicyReasonName(static_cast<PolicyReason>(i)))}});
  }
}

absl::StatusOr<storage::Judge::Verdict> Policy::Decide(const nostr::Event& event, storage::Source,
                                                       const storage::ReadView& view) {
  GRASPD_ASSIGN_OR_RETURN(MaybeRefusal refusal, Rule(event, view));
  if (judged_) judged_->Increment();
  if (!refusal) return Verdict{};
  if (auto* counter = refused_[static_cast<size_t>(refusal->reason)]) counter->Increment();
  return Verdict{false, std::move(refusal->message), refusal->waits};
}

absl::StatusOr<MaybeRefusal> Policy::Rule(const nostr::Event& event,
                                          const storage::ReadView& view) const {
  static const auto no_lists = std::make_shared<const ListSnapshot>();
  const auto lists = options_.lists ? options_.lists->snapshot() : no_lists;
  if (auto refusal = RuleBlacklists(event, *lists)) return refusal;
  if (options_.mode == PolicyMode::kOpen) return kAccept;
  switch (event.kind) {
    case nostr::kRepositoryAnnouncement:
      return RuleAnnouncement(event, *lists, view);
    case nostr::kRepositoryState:
      return RuleState(event, view);
    case nostr::kUserGraspList:
      if (nostr::EventJson(event).size() <= kGraspListBytes) return kAccept;
      return Refuse(PolicyReason::kListTooLarge,
                    "restricted: a list of grasp servers may have 16 KiB");
    case nostr::kDeletionKind:
      return RuleDeletion(event, view);
    default:
      return RuleRelated(event, view);
  }
}

void Policy::SetOwnHosts(std::vector<nostr::HostPort> own_hosts) {
  base::MutexLock lock(mutex_);
  own_hosts_ = std::move(own_hosts);
}

bool Policy::ListsUs(const nostr::RepositoryAnnouncement& announcement) const {
  base::MutexLock lock(mutex_);
  return ListsService(announcement, own_hosts_, options_.require_clone);
}

absl::StatusOr<MaybeRefusal> Policy::RuleAnnouncement(const nostr::Event& event,
                                                      const ListSnapshot& lists,
                                                      const storage::ReadView& view) const {
  const auto announcement = nostr::ParseAnnouncement(event);
  if (!announcement.ok()) {
    return Refuse(PolicyReason::kMalformed,
                  "invalid: " + std::string(announcement.status().message()));
  }
  const nostr::Address& address = announcement->address;
  const bool lists_us = ListsUs(*announcement);
  if (lists_us && (lists.empty(PolicyList::kRepositoryWhitelist) ||
                   lists.HoldsRepository(PolicyList::kRepositoryWhitelist, address))) {
    return kAccept;
  }
  if (options_.mode == PolicyMode::kArchive && IsArchived(*announcement, lists)) return kAccept;
  // Whoever leaves is heard: else the version that still lists us would be served for ever.
  GRASPD_ASSIGN_OR_RETURN(const bool replaces, view.Contains(address));
  if (replaces) return kAccept;
  GRASPD_ASSIGN_OR_RETURN(const Naming naming, FindNaming(address.identifier, event.pubkey, view));
  if (naming.named) return kAccept;
  return RefuseAnnouncement(lists_us);
}

// Another announcement may name the author as a maintainer, or be the version that this replaces.
Refusal Policy::RefuseAnnouncement(bool lists_us) const {
  if (lists_us) {
    return RefuseForNow(PolicyReason::kNotOnWhitelist,
                        "restricted: this relay serves other repositories only");
  }
  if (options_.mode == PolicyMode::kArchive) {
    return RefuseForNow(PolicyReason::kNotArchived,
                        "restricted: this repository is not among those that are archived here");
  }
  return RefuseForNow(PolicyReason::kNotListed,
                      options_.require_clone
                          ? "restricted: the announcement does not list this service in both "
                            "relays and clone"
                          : "restricted: the announcement does not list this service in relays");
}

}  // namespace graspd::ingest
