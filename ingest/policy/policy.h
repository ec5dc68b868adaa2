// Which events this relay takes (docs/architecture.md, section 5). The same policy judges submitted
// and synced events, inside the write transaction.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "nostr/nip34.h"
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

/// Refusals carry a NIP-01 prefix; one that another event may lift later (its parent, an
/// announcement that names the author) is marked `waits`. The answer depends only on the event and
/// on what is stored, never on who sent it. Cost of one event: at most 500 references of each sort
/// and 1,000 announcements of one identifier are looked up. Threading: Decide on the writer thread,
/// inside its transaction; SetOwnHosts from any.
class Policy final : public storage::Judge {
 public:
  explicit Policy(PolicyOptions options)
      : options_(std::move(options)), own_hosts_(options_.own_hosts) {}
  /// Replaces PolicyOptions::own_hosts: for a port that is known only once it is listened on.
  void SetOwnHosts(std::vector<nostr::HostPort> own_hosts);
  absl::StatusOr<Verdict> Decide(const nostr::Event& event, storage::Source source,
                                 const storage::ReadView& view) override;

 private:
  absl::StatusOr<Verdict> DecideAnnouncement(const nostr::Event& event,
                                             const storage::ReadView& view) const;
  [[nodiscard]] bool ListsUs(const nostr::RepositoryAnnouncement& announcement) const;

  const PolicyOptions options_;
  mutable base::Mutex mutex_;
  std::vector<nostr::HostPort> own_hosts_ ABSL_GUARDED_BY(mutex_);
};

/// The refusal of an event that refers to nothing here.
inline constexpr std::string_view kOrphanRefusal =
    "restricted: refers to no repository or event that is accepted here";

}  // namespace graspd::ingest
