#pragma once

#include "services/admin/controls.h"
#include "sync/sync_manager.h"

namespace graspd::daemon {

/// The admin API's controls over the sync engine; translates between the two modules' own values,
/// which know nothing of each other. With `sync` null (sync.enabled=false) lists are empty and
/// everything else answers SYNC_DISABLED. Threading: thread-safe. Lifetime: `sync` outlives it.
class AdminControls final : public admin::RemoteControl,
                            public admin::DiscoveryControl,
                            public admin::SyncControl {
 public:
  explicit AdminControls(sync::SyncManager* sync) : sync_(sync) {}

  absl::StatusOr<std::vector<admin::RemoteInfo>> ListRemotes(base::Duration timeout) override;
  absl::StatusOr<admin::RemoteInfo> GetRemote(const std::string& url,
                                              base::Duration timeout) override;
  absl::StatusOr<admin::RemoteChange> PauseRemotes(const admin::RemoteSelector& which,
                                                   base::Duration timeout) override;
  absl::StatusOr<admin::RemoteChange> ResumeRemotes(const admin::RemoteSelector& which,
                                                    bool reset_backoff,
                                                    base::Duration timeout) override;
  absl::StatusOr<admin::DiscoveryRunInfo> TriggerDiscovery(base::Duration timeout) override;
  absl::StatusOr<std::vector<admin::CandidateInfo>> ListCandidates(base::Duration timeout) override;
  absl::StatusOr<std::vector<admin::SyncJobInfo>> TriggerSync(const admin::RemoteSelector& which,
                                                              base::Duration timeout) override;

 private:
  template <typename Apply>
  absl::StatusOr<admin::RemoteChange> Change(const admin::RemoteSelector& which,
                                             base::Duration timeout, Apply apply);
  absl::StatusOr<std::vector<sync::RemoteSnapshot>> Select(const admin::RemoteSelector& which,
                                                           base::Duration timeout);

  sync::SyncManager* const sync_;
};

}  // namespace graspd::daemon
