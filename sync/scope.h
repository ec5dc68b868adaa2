// What a remote carries that concerns us, and how that changes. Plain values.
#pragma once

#include <map>
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

/// For each value that may have come or gone: whether it is in scope now. Naming a value whose
/// place has not changed is allowed, and costs a look-up.
struct ScopeDelta {
  std::map<nostr::Address, bool> repos;
  std::map<nostr::EventId, bool> roots;

  [[nodiscard]] bool empty() const { return repos.empty() && roots.empty(); }
  /// What `later` says of a value counts.
  void Merge(const ScopeDelta& later) {
    for (const auto& [repo, wanted] : later.repos) repos[repo] = wanted;
    for (const auto& [root, wanted] : later.roots) roots[root] = wanted;
  }
};

}  // namespace graspd::sync
