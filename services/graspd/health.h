#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "net/io_pool.h"
#include "services/admin/controls.h"
#include "services/graspd/periodic.h"
#include "services/ops/ops_server.h"
#include "storage/event_store.h"
#include "sync/sync_manager.h"

namespace graspd::daemon {

/// What the probes and GetHealth say.
///
/// Live means that every event loop has turned within the last kStall: nothing about disks or
/// remotes, which a restart would not mend. Ready means started, not draining, and a store that
/// works. Threading: thread-safe. Lifetime: everything given outlives it; destroy it before the I/O
/// threads stop.
class Health final : public admin::HealthControl {
 public:
  static constexpr base::Duration kBeat = std::chrono::seconds(1);
  static constexpr base::Duration kStall = std::chrono::seconds(10);

  /// `sync` is null where sync is switched off.
  Health(const storage::EventStore& store, std::vector<net::IoThread*> loops,
         sync::SyncManager* sync, const base::Clock& clock);

  void SetStarted() { started_ = true; }
  void SetDraining() { draining_ = true; }

  /// For the ops port.
  [[nodiscard]] ops::Probes OpsProbes();

  admin::Probes GetProbes() override;
  absl::StatusOr<std::vector<admin::ComponentHealth>> GetComponents(
      base::Duration timeout) override;

 private:
  [[nodiscard]] bool Live() const;
  [[nodiscard]] std::vector<ops::ReadinessCheck> Readiness() const;
  admin::ComponentHealth SyncHealth(base::Duration timeout) const;

  const storage::EventStore& store_;
  sync::SyncManager* const sync_;
  const base::Clock& clock_;
  // When each loop last turned; shared with the tasks that note it.
  using Beat = std::atomic<base::Duration::rep>;
  std::vector<std::shared_ptr<Beat>> beats_;
  std::vector<std::unique_ptr<Periodic>> tickers_;
  std::atomic<bool> started_{false}, draining_{false};
  const uint64_t since_;
};

}  // namespace graspd::daemon
