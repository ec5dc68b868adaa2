#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "nostr/event.h"
#include "nostr/fixed_bytes.h"
#include "nostr/nip34.h"
#include "nostr/relay_url.h"
#include "nostr/rules.h"
#include "sync/scope.h"

namespace graspd::sync {

/// A value of a `relays` tag that names no relay we could dial, and why.
struct UnusableRelay {
  std::string text;  // at most 256 bytes, as the author wrote it
  std::string reason;
};

/// Which repositories are known here, which relays carry each, and which patches, pull requests and
/// issues (roots) belong to each. Fed with every stored event and every removal, in commit order;
/// what a change means for relays is reported, so that work grows with the change and not with the
/// index.
///
/// With a ListsUs, only repositories that concern us are in the scope of relays: those whose
/// announcement lists us, and those of the same identifier whose authors such an announcement names
/// as maintainers, or whom one of these names in turn. The others are kept, but name no relay: a
/// stored announcement whose owner has left us. Where something has been taken away, Settle() looks
/// at all announcements of that identifier.
///
/// Bounds: holds one entry per stored announcement and root, and takes at most kRelaysPerRepo
/// relays and kMaintainersPerRepo maintainers from one announcement, and kReposPerRoot repositories
/// from one root. Threading: thread-compatible; lives on the sync thread.
class RepoIndex {
 public:
  static constexpr size_t kRelaysPerRepo = 20, kMaintainersPerRepo = 100, kReposPerRoot = 20;

  using ListsUs = std::function<bool(const nostr::RepositoryAnnouncement&)>;
  /// Null: every repository concerns us.
  explicit RepoIndex(ListsUs lists_us = nullptr) : lists_us_(std::move(lists_us)) {}

  /// What an input changes in the scopes of relays: no more than those it concerns.
  using Affected = std::map<nostr::RelayUrl, ScopeChange>;

  /// A stored event. Kinds other than announcements and roots change nothing. An announcement
  /// replaces the older version of its address. Adding the same event twice changes nothing.
  Affected Add(const nostr::Event& event);
  /// An event is no longer stored. Unknown ids change nothing.
  Affected Remove(const nostr::EventId& id);
  /// Finds out what concerns us now. To be called after additions and removals, once for many,
  /// before the index is asked.
  Affected Settle();

  [[nodiscard]] std::vector<nostr::RelayUrl> Relays() const;
  /// Whether `wanted` holds for one of them, asked in a circle that begins behind `after`. Stops at
  /// the first.
  bool AnyRelay(const std::optional<nostr::RelayUrl>& after,
                const std::function<bool(const nostr::RelayUrl&)>& wanted) const;
  /// How many announcements name the relay.
  [[nodiscard]] size_t ReferencesTo(const nostr::RelayUrl& relay) const;
  /// Whether `wanted` holds for one of the authors of the announcements that name the relay. Stops
  /// at the first.
  [[nodiscard]] bool AnyAuthor(const nostr::RelayUrl& relay,
                               const std::function<bool(const nostr::PublicKey&)>& wanted) const;
  /// Addresses of the repositories whose announcements name `relay`.
  [[nodiscard]] std::vector<nostr::Address> Repos(const nostr::RelayUrl& relay) const;
  /// Roots that belong to one of those repositories, each once, ascending.
  [[nodiscard]] std::vector<nostr::EventId> Roots(const nostr::RelayUrl& relay) const;
  [[nodiscard]] RemoteScope Scope(const nostr::RelayUrl& relay) const {
    return {Repos(relay), Roots(relay)};
  }
  /// The repositories that a root belongs to; none if it is no root that is known.
  [[nodiscard]] std::vector<nostr::Address> ReposOf(const nostr::EventId& root) const;
  /// What has become of `change` in the scope of `relay`. Costs as much as its repositories have
  /// roots: for relays that are followed, and for several changes at once.
  [[nodiscard]] ScopeDelta Resolve(const nostr::RelayUrl& relay, const ScopeChange& change) const;

  /// What the announcement `id` names that cannot be dialled; empty if it is not the latest
  /// version.
  [[nodiscard]] std::vector<UnusableRelay> UnusableOf(const nostr::EventId& id) const;
  /// The same of all announcements.
  [[nodiscard]] std::vector<UnusableRelay> Unusable() const;

  [[nodiscard]] size_t repo_count() const { return repos_.size(); }
  [[nodiscard]] size_t root_count() const { return roots_.size(); }

 private:
  struct Repo {
    nostr::EventId announcement;
    uint64_t created_at = 0;
    std::set<nostr::RelayUrl> relays;
    std::vector<UnusableRelay> unusable;
    std::vector<nostr::PublicKey> maintainers;
    bool lists_us = true, in_scope = true;
    /// The relays that carry it, as far as it concerns us.
    [[nodiscard]] const std::set<nostr::RelayUrl>& scope() const;
  };

  Affected AddAnnouncement(const nostr::Event& event);
  Affected AddRoot(const nostr::Event& event);
  void Link(const nostr::Address& address, const Repo& repo);
  void Unlink(const nostr::Address& address, const Repo& repo);
  [[nodiscard]] std::set<nostr::PublicKey> Concerning(const std::set<nostr::Address>& group) const;
  void Extend(const nostr::Address& from, Affected& affected);
  void Rescope(const std::string& identifier, Affected& affected);
  [[nodiscard]] bool Carries(const nostr::RelayUrl& relay, const nostr::Address& address) const;
  [[nodiscard]] bool Carries(const nostr::RelayUrl& relay, const nostr::EventId& root) const;

  const ListsUs lists_us_;
  std::map<nostr::Address, Repo> repos_;
  std::map<std::string, std::set<nostr::Address>> of_name_;  // by identifier, with a ListsUs
  std::set<std::string> unsettled_;                          // identifiers
  std::map<nostr::RelayUrl, std::set<nostr::Address>> repos_of_;
  std::unordered_map<nostr::EventId, nostr::Address> announcements_;
  std::unordered_map<nostr::EventId, std::vector<nostr::Address>> roots_;
  // Roots by repository, whether or not its announcement is here (yet).
  std::map<nostr::Address, std::set<nostr::EventId>> roots_of_;
};

}  // namespace graspd::sync
