// Which events this relay takes (docs/architecture.md, section 5). The same policy judges submitted and
// synced events, inside the write transaction.
#pragma once

#include <string>
#include <vector>

#include "nostr/relay_url.h"
#include "storage/event_store.h"

namespace graspd::ingest {

enum class PolicyMode : uint8_t {
  kGrasp,    // announcements that list this service, and what refers to them
  kArchive,  // also announcements that do not list it
  kOpen      // every valid event
};

struct PolicyOptions {
  PolicyMode mode = PolicyMode::kGrasp;
  /// Our public relay URLs' hosts: what an announcement must list.
  std::vector<nostr::HostPort> own_hosts;
  /// An announcement must also list us in `clone`, with the path /<npub or hex>/<identifier>.git.
  bool require_clone = true;
};

/// Thread-compatible: used by the writer thread inside its transaction.
class Policy final : public storage::Judge {
 public:
  explicit Policy(PolicyOptions options) : options_(std::move(options)) {}
  absl::StatusOr<Verdict> Decide(const nostr::Event& event, storage::Source source,
                                 const storage::ReadView& view) override;

 private:
  const PolicyOptions options_;
};

/// First words of a refusal that a later event may lift: the parent is not here yet.
inline constexpr std::string_view kOrphanRefusal =
    "restricted: refers to no repository or event that is accepted here";

}  // namespace graspd::ingest
