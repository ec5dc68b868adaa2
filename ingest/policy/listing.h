#pragma once

#include <vector>

#include "nostr/nip34.h"
#include "nostr/relay_url.h"

namespace graspd::ingest {

/// True if one `relays` URL of the announcement has one of `own_hosts` as its parsed host and port
/// and, with `require_clone`, so has one `clone` URL, whose path is /<npub or hex of the
/// author>/<identifier, maybe percent-encoded>.git.
[[nodiscard]] bool ListsService(const nostr::RepositoryAnnouncement& announcement,
                                const std::vector<nostr::HostPort>& own_hosts, bool require_clone);

}  // namespace graspd::ingest
