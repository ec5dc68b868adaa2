#pragma once

#include <string>
#include <vector>

#include "nostr/event.h"

namespace graspd::demo {

/// A made-up repository with a life: issues, patches, pull requests and their updates, statuses,
/// comments and a state, by several keys. The same on every call (keys, times and texts are fixed),
/// so that a second run of the demo has nothing new to sync.
struct Repository {
  nostr::Event announcement;         // kind 30617
  std::vector<nostr::Event> events;  // everything else, parents before children
};

/// The announcement names `relays` and one clone URL on each of `clone_hosts` (host:port).
Repository GenerateRepository(const std::vector<std::string>& relays,
                              const std::vector<std::string>& clone_hosts);

}  // namespace graspd::demo
