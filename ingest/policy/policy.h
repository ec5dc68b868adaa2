// Which events this relay takes (docs/architecture.md, section 5). The same policy judges submitted
// and synced events, inside the write transaction.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/metrics.h"
#include "base/mutex.h"
#include "ingest/policy/lists.h"
#include "nostr/nip34.h"
#include "nostr/relay_url.h"
#include "storage/event_store.h"

namespace graspd::ingest {

enum class PolicyMode : uint8_t {
  kGrasp,    // announcements that list this service, and what refers to them
  kArchive,  // also announcements that do not list it
  kOpen      // every valid event
};

/// Why an event was refused.
enum class PolicyReason : uint8_t {
  kBlockedAuthor,      // on the author blacklist
  kBlockedRepository,  // an announcement on the repository blacklist
  kMalformed,          // an announcement or a state without a usable `d`
  kNotListed,          // an announcement that does not list this service
  kNotOnWhitelist,     // one that does, but the repository whitelist does not have it
  kNotArchived,        // archive mode: on none of the archive lists, nor listing this service
  kNoAnnouncement,     // a state of a repository that nobody has announced
  kNoMaintainer,       // a state by somebody else than a maintainer
  kListTooLarge,       // kind 10317
  kUnknownDeletion,    // a deletion of nothing here, by nobody known here
  kOrphan,             // refers to nothing here, and nothing here refers to it
};
inline constexpr size_t kPolicyReasons = 11;
/// For metrics: "blocked_author", ...
[[nodiscard]] std::string_view PolicyReasonName(PolicyReason reason);

struct PolicyOptions {
  PolicyMode mode = PolicyMode::kGrasp;
  /// Our public relay URLs' hosts: what an announcement must list.
  std::vector<nostr::HostPort> own_hosts;
  /// An announcement must also list us in `clone`, with the path /<npub or hex>/<identifier>.git.
  bool require_clone = true;
  /// Null: all lists are empty. Outlives the policy.
  const PolicyLists* lists = nullptr;
  /// Where verdicts are counted; null: nowhere. Outlives the policy.
  base::Metrics* metrics = nullptr;
};

/// Decides by the rules of GRASP-01 and of docs/architecture.md; keeps nothing of what it has seen.
///
/// Refusals carry a NIP-01 prefix; one that another event may lift later (its parent, an
/// announcement that names the author) is marked `waits`. The answer depends only on the event, on
/// what is stored and on the lists, never on who sent it. Cost of one event: at most 500 references
/// of each sort and 1,000 announcements of one identifier are looked up. Threading: Decide on the
/// writer thread, inside its transaction; SetOwnHosts and ListsUs from any.
class Policy final : public storage::Judge {
 public:
  explicit Policy(PolicyOptions options);
  /// Replaces PolicyOptions::own_hosts: for a port that is known only once it is listened on.
  void SetOwnHosts(std::vector<nostr::HostPort> own_hosts);
  /// True if the announcement lists this service.
  [[nodiscard]] bool ListsUs(const nostr::RepositoryAnnouncement& announcement) const;
  absl::StatusOr<Verdict> Decide(const nostr::Event& event, storage::Source source,
                                 const storage::ReadView& view) override;

  struct Refusal;  // private to policy.cc

 private:
  absl::StatusOr<std::optional<Refusal>> Rule(const nostr::Event& event,
                                              const storage::ReadView& view) const;
  absl::StatusOr<std::optional<Refusal>> RuleAnnouncement(const nostr::Event& event,
                                                          const ListSnapshot& lists,
                                                          const storage::ReadView& view) const;
  [[nodiscard]] Refusal RefuseAnnouncement(bool lists_us) const;

  const PolicyOptions options_;
  prometheus::Counter* judged_ = nullptr;
  std::array<prometheus::Counter*, kPolicyReasons> refused_{};
  mutable base::Mutex mutex_;
  std::vector<nostr::HostPort> own_hosts_ ABSL_GUARDED_BY(mutex_);
};

/// The refusal of an event that refers to nothing here: for tests of the doors.
inline constexpr std::string_view kOrphanRefusal =
    "restricted: refers to no repository or event that is accepted here";

}  // namespace graspd::ingest
