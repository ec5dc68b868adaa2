// What a remote carries that concerns us, and how that changes. Plain values.
#pragma once

#include <map>
#include <set>
#include <vector>

#include "nostr/event.h"
#include "nostr/rules.h"

namespace graspd::sync {

/// The repositories whose announcements name a remote, and their roots (patches, pull requests,
/// issues).
struct RemoteScope {
  std::vector<nostr::Address> repos;
  std::vector<nostr::EventId> roots;
};

/// What may have come into the scope of a remote, or left it. A repository stands for its roots as
/// well, which may be many.
struct ScopeChange {
  std::set<nostr::Address> repos;
  std::set<nostr::EventId> roots;

  void Merge(const ScopeChange& more) {
    repos.insert(more.repos.begin(), more.repos.end());
    roots.insert(more.roots.begin(), more.roots.end());
  }
};

/// The same, and for each value whether it is in scope now. Naming a value whose place has not
/// changed is allowed, and costs a look-up.
struct ScopeDelta {
  std::map<nostr::Address, bool> repos;
  std::map<nostr::EventId, bool> roots;
};

}  // namespace graspd::sync
