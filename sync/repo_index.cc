#include "sync/repo_index.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "nostr/nip34.h"

namespace graspd::sync {
namespace {

using nostr::Address;
using nostr::RelayUrl;

constexpr size_t kTextBytes = 256;

struct ParsedRelays {
  std::set<RelayUrl> usable;
  std::vector<UnusableRelay> unusable;
};

ParsedRelays ParseRelays(const std::vector<std::string>& texts) {
  ParsedRelays parsed;
  for (const auto& text : texts) {
    auto url = RelayUrl::Parse(text);
    if (!url.ok()) {
      if (parsed.unusable.size() < RepoIndex::kRelaysPerRepo) {
        parsed.unusable.push_back(
            {text.substr(0, kTextBytes), std::string(url.status().message())});
      }
    } else if (parsed.usable.size() < RepoIndex::kRelaysPerRepo || parsed.usable.contains(*url)) {
      parsed.usable.insert(*std::move(url));
    } else if (parsed.unusable.size() < RepoIndex::kRelaysPerRepo) {
      parsed.unusable.push_back(
          {text.substr(0, kTextBytes), "too many relays in one announcement"});
    }
  }
  return parsed;
}

}  // namespace

RepoIndex::Affected RepoIndex::Add(const nostr::Event& event) {
  if (event.kind == nostr::kRepositoryAnnouncement) return AddAnnouncement(event);
  if (nostr::IsRootKind(event.kind)) return AddRoot(event);
  return {};
}

RepoIndex::Affected RepoIndex::AddAnnouncement(const nostr::Event& event) {
  auto announcement = nostr::ParseAnnouncement(event);
  if (!announcement.ok()) return {};
  const Address& address = announcement->address;
  std::set<RelayUrl> before;
  const bool lists_us = !lists_us_ || lists_us_(*announcement);
  bool in_scope = lists_us, leads_no_less = true;
  if (announcement->maintainers.size() > kMaintainersPerRepo) {
    announcement->maintainers.resize(kMaintainersPerRepo);
  }
  if (const auto known = repos_.find(address); known != repos_.end()) {
    Repo& old = known->second;
    if (old.announcement == event.id ||
        nostr::Supersedes(old.created_at, old.announcement, event.created_at, event.id)) {
      return {};
    }
    Unlink(address, old);
    announcements_.erase(old.announcement);
    before = old.scope();
    in_scope = old.in_scope;
    leads_no_less = old.in_scope && old.maintainers == announcement->maintainers;
  }
  auto relays = ParseRelays(announcement->relays);
  const Repo& repo = repos_[address] = {event.id,
                                        event.created_at,
                                        std::move(relays.usable),
                                        std::move(relays.unusable),
                                        std::move(announcement->maintainers),
                                        lists_us,
                                        in_scope};
  announcements_[event.id] = address;
  Link(address, repo);
  Affected affected;
  for (const auto& relay : before) {
    if (!repo.scope().contains(relay)) affected[relay].repos.insert(address);
  }
  for (const auto& relay : repo.scope()) {
    if (!before.contains(relay)) affected[relay].repos.insert(address);
  }
  if (lists_us_) {
    of_name_[address.identifier].insert(address);
    // A popular identifier is everybody's: only what takes something away looks at all of it.
    if (lists_us && leads_no_less) {
      Extend(address, affected);
    } else {
      unsettled_.insert(address.identifier);
    }
  }
  return affected;
}

RepoIndex::Affected RepoIndex::Settle() {
  Affected affected;
  for (const auto& identifier : std::exchange(unsettled_, {})) Rescope(identifier, affected);
  return affected;
}

const std::set<RelayUrl>& RepoIndex::Repo::scope() const {
  static const std::set<RelayUrl> none;
  return in_scope ? relays : none;
}

// The authors, of announcements of one identifier, that those who list us lead to.
std::set<nostr::PublicKey> RepoIndex::Concerning(const std::set<Address>& group) const {
  std::set<nostr::PublicKey> reached;
  std::vector<const Repo*> todo;
  // There may be as many maintainers as a hundred times the group, most of them in vain.
  absl::flat_hash_map<nostr::PublicKey, const Repo*, std::hash<nostr::PublicKey>> by_author;
  for (const Address& address : group) {
    const Repo& repo = repos_.at(address);
    if (repo.lists_us) {
      reached.insert(address.author);
      todo.push_back(&repo);
    } else {
      by_author.emplace(address.author, &repo);
    }
  }
  while (!todo.empty()) {
    const Repo& repo = *todo.back();
    todo.pop_back();
    for (const auto& maintainer : repo.maintainers) {
      const auto found = by_author.find(maintainer);
      if (found == by_author.end()) continue;
      reached.insert(maintainer);
      todo.push_back(found->second);
      by_author.erase(found);
    }
  }
  return reached;
}

// `address`, which concerns us, has come: those whom it leads to do so now.
void RepoIndex::Extend(const Address& from, Affected& affected) {
  std::vector<Address> todo = {from};
  while (!todo.empty()) {
    Address address = std::move(todo.back());
    todo.pop_back();
    for (const auto& maintainer : repos_.at(address).maintainers) {
      Address led_to = address;
      led_to.author = maintainer;
      const auto known = repos_.find(led_to);
      if (known == repos_.end() || known->second.in_scope) continue;
      known->second.in_scope = true;
      Link(led_to, known->second);
      for (const auto& relay : known->second.relays) affected[relay].repos.insert(led_to);
      todo.push_back(std::move(led_to));
    }
  }
}

void RepoIndex::Rescope(const std::string& identifier, Affected& affected) {
  const auto group = of_name_.find(identifier);
  if (group == of_name_.end()) return;
  const auto concerning = Concerning(group->second);
  for (const Address& address : group->second) {
    Repo& repo = repos_.at(address);
    if (repo.in_scope == concerning.contains(address.author)) continue;
    Unlink(address, repo);
    repo.in_scope = !repo.in_scope;
    Link(address, repo);
    for (const auto& relay : repo.relays) affected[relay].repos.insert(address);
  }
}

RepoIndex::Affected RepoIndex::AddRoot(const nostr::Event& event) {
  if (roots_.contains(event.id)) return {};
  std::vector<Address> addresses;
  for (auto& address : nostr::ReferencesOf(event).addresses) {
    if (address.kind != nostr::kRepositoryAnnouncement) continue;
    addresses.push_back(std::move(address));
    if (addresses.size() == kReposPerRoot) break;
  }
  Affected affected;
  for (const auto& address : addresses) {
    roots_of_[address].insert(event.id);
    const auto repo = repos_.find(address);
    if (repo == repos_.end()) continue;
    for (const auto& relay : repo->second.scope()) affected[relay].roots.insert(event.id);
  }
  if (!addresses.empty()) roots_[event.id] = std::move(addresses);
  return affected;
}

RepoIndex::Affected RepoIndex::Remove(const nostr::EventId& id) {
  Affected affected;
  if (const auto found = announcements_.find(id); found != announcements_.end()) {
    const Address address = found->second;
    const Repo repo = std::move(repos_.at(address));
    Unlink(address, repo);
    announcements_.erase(id);
    repos_.erase(address);
    for (const auto& relay : repo.scope()) affected[relay].repos.insert(address);
    if (lists_us_) {
      auto& group = of_name_.at(address.identifier);
      group.erase(address);
      if (group.empty()) of_name_.erase(address.identifier);
      unsettled_.insert(address.identifier);
    }
  } else if (const auto root = roots_.find(id); root != roots_.end()) {
    for (const auto& address : root->second) {
      const auto siblings = roots_of_.find(address);
      siblings->second.erase(id);
      if (siblings->second.empty()) roots_of_.erase(siblings);
      const auto repo = repos_.find(address);
      if (repo == repos_.end()) continue;
      for (const auto& relay : repo->second.scope()) affected[relay].roots.insert(id);
    }
    roots_.erase(root);
  }
  return affected;
}

// A root that belongs to another repository there as well stays when one leaves.
ScopeDelta RepoIndex::Resolve(const RelayUrl& relay, const ScopeChange& change) const {
  ScopeDelta delta;
  for (const auto& root : change.roots) delta.roots[root] = Carries(relay, root);
  for (const auto& address : change.repos) {
    delta.repos[address] = Carries(relay, address);
    const auto roots = roots_of_.find(address);
    if (roots == roots_of_.end()) continue;
    for (const auto& root : roots->second) delta.roots[root] = Carries(relay, root);
  }
  return delta;
}

bool RepoIndex::Carries(const RelayUrl& relay, const Address& address) const {
  const auto repo = repos_.find(address);
  return repo != repos_.end() && repo->second.scope().contains(relay);
}

bool RepoIndex::Carries(const RelayUrl& relay, const nostr::EventId& root) const {
  const auto addresses = roots_.find(root);
  return addresses != roots_.end() &&
         std::any_of(addresses->second.begin(), addresses->second.end(),
                     [&](const Address& address) { return Carries(relay, address); });
}

void RepoIndex::Link(const Address& address, const Repo& repo) {
  for (const auto& relay : repo.scope()) repos_of_[relay].insert(address);
}

void RepoIndex::Unlink(const Address& address, const Repo& repo) {
  for (const auto& relay : repo.scope()) {
    const auto entry = repos_of_.find(relay);
    entry->second.erase(address);
    if (entry->second.empty()) repos_of_.erase(entry);
  }
}

std::vector<RelayUrl> RepoIndex::Relays() const {
  std::vector<RelayUrl> relays;
  relays.reserve(repos_of_.size());
  for (const auto& [relay, addresses] : repos_of_) relays.push_back(relay);
  return relays;
}

bool RepoIndex::AnyRelay(const std::optional<RelayUrl>& after,
                         const std::function<bool(const RelayUrl&)>& wanted) const {
  const auto begin = after ? repos_of_.upper_bound(*after) : repos_of_.begin();
  const auto holds = [&](const auto& entry) { return wanted(entry.first); };
  return std::any_of(begin, repos_of_.end(), holds) || std::any_of(repos_of_.begin(), begin, holds);
}

size_t RepoIndex::ReferencesTo(const RelayUrl& relay) const {
  const auto found = repos_of_.find(relay);
  return found == repos_of_.end() ? 0 : found->second.size();
}

bool RepoIndex::AnyAuthor(const RelayUrl& relay,
                          const std::function<bool(const nostr::PublicKey&)>& wanted) const {
  const auto found = repos_of_.find(relay);
  if (found == repos_of_.end()) return false;
  const nostr::PublicKey* asked = nullptr;  // addresses of one author stand together
  return std::any_of(found->second.begin(), found->second.end(), [&](const Address& address) {
    if (asked != nullptr && *asked == address.author) return false;
    asked = &address.author;
    return wanted(address.author);
  });
}

std::vector<Address> RepoIndex::Repos(const RelayUrl& relay) const {
  const auto found = repos_of_.find(relay);
  if (found == repos_of_.end()) return {};
  return {found->second.begin(), found->second.end()};
}

std::vector<nostr::EventId> RepoIndex::Roots(const RelayUrl& relay) const {
  std::vector<nostr::EventId> roots;
  const auto found = repos_of_.find(relay);
  if (found == repos_of_.end()) return roots;
  for (const auto& address : found->second) {
    const auto of_repo = roots_of_.find(address);
    if (of_repo == roots_of_.end()) continue;
    roots.insert(roots.end(), of_repo->second.begin(), of_repo->second.end());
  }
  std::sort(roots.begin(), roots.end());
  roots.erase(std::unique(roots.begin(), roots.end()), roots.end());
  return roots;
}

std::vector<Address> RepoIndex::ReposOf(const nostr::EventId& root) const {
  const auto found = roots_.find(root);
  return found == roots_.end() ? std::vector<Address>() : found->second;
}

std::vector<UnusableRelay> RepoIndex::UnusableOf(const nostr::EventId& id) const {
  const auto found = announcements_.find(id);
  return found == announcements_.end() ? std::vector<UnusableRelay>()
                                       : repos_.at(found->second).unusable;
}

std::vector<UnusableRelay> RepoIndex::Unusable() const {
  std::vector<UnusableRelay> all;
  for (const auto& [address, repo] : repos_) {
    all.insert(all.end(), repo.unusable.begin(), repo.unusable.end());
  }
  return all;
}

}  // namespace graspd::sync
