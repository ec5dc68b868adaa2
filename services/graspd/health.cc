#include "services/graspd/health.h"

#include <algorithm>
#include <utility>

namespace graspd::daemon {

using admin::ComponentHealth;
using admin::ComponentStatus;

Health::Health(const storage::EventStore& store, std::vector<net::IoThread*> loops,
               sync::SyncManager* sync, const base::Clock& clock)
    : store_(store), sync_(sync), clock_(clock), since_(clock.UnixNow()) {
  for (net::IoThread* loop : loops) {
    auto beat = std::make_shared<Beat>(clock.Now().time_since_epoch().count());
    beats_.push_back(beat);
    tickers_.push_back(std::make_unique<Periodic>(
        *loop, kBeat, [beat, &clock] { *beat = clock.Now().time_since_epoch().count(); }));
  }
}

bool Health::Live() const {
  const auto now = clock_.Now();
  return std::all_of(beats_.begin(), beats_.end(), [now](const auto& beat) {
    return now - base::SteadyTime(base::Duration(beat->load())) < kStall;
  });
}

std::vector<ops::ReadinessCheck> Health::Readiness() const {
  const absl::Status store = store_.Health();
  return {{"started", started_, started_ ? "" : "still starting"},
          {"serving", !draining_, draining_ ? "shutting down" : ""},
          {"store", store.ok(), std::string(store.message())}};
}

ops::Probes Health::OpsProbes() {
  return {.live = [this] { return Live(); }, .ready = [this] { return Readiness(); }};
}

admin::Probes Health::GetProbes() {
  admin::Probes probes;
  probes.live = Live();
  probes.started = started_;
  const auto checks = Readiness();
  probes.ready = std::all_of(checks.begin(), checks.end(), [](const auto& c) { return c.ok; });
  probes.in_sync = !sync_ || sync_->in_sync();
  return probes;
}

ComponentHealth Health::SyncHealth(base::Duration timeout) const {
  ComponentHealth health{.name = "sync"};
  if (!sync_) {
    health.status = ComponentStatus::kDisabled;
    return health;
  }
  const auto remotes = sync_->Remotes(timeout);
  if (!remotes.ok()) {
    health.status = ComponentStatus::kFailed;
    health.message = std::string(remotes.status().message());
    return health;
  }
  size_t unwell = 0;
  std::map<std::string, size_t> by_state;
  for (const auto& remote : *remotes) {
    ++by_state[std::string(sync::RemoteStateName(remote.state))];
    unwell += remote.state == sync::RemoteState::kBackoff ||
              remote.state == sync::RemoteState::kLiveWithGaps ||
              remote.state == sync::RemoteState::kDead;
  }
  for (const auto& [state, count] : by_state) health.details[state] = std::to_string(count);
  // Remotes are other people's: one that is down does not make us unwell, most of them may.
  if (unwell * 3 > remotes->size()) {
    health.status = ComponentStatus::kDegraded;
    health.message = std::to_string(unwell) + " of " + std::to_string(remotes->size()) +
                     " remotes are not in sync; ListRemotes says why";
  }
  return health;
}

absl::StatusOr<std::vector<ComponentHealth>> Health::GetComponents(base::Duration timeout) {
  std::vector<ComponentHealth> components;
  const absl::Status stored = store_.Health();
  ComponentHealth store{.name = "store"};
  if (!stored.ok()) {
    store.status = ComponentStatus::kFailed;
    store.message = std::string(stored.message());
  }
  components.push_back(std::move(store));

  ComponentHealth loops{.name = "event_loops"};
  if (!Live()) {
    loops.status = ComponentStatus::kFailed;
    loops.message = "an event loop has not turned for 10 s";
  }
  components.push_back(std::move(loops));

  ComponentHealth listener{.name = "listener"};
  if (draining_) {
    listener.status = ComponentStatus::kFailed;
    listener.message = "shutting down";
  }
  components.push_back(std::move(listener));

  ComponentHealth discovery{.name = "discovery"};
  if (!sync_) {
    discovery.status = ComponentStatus::kDisabled;
  } else if (!sync_->hears_itself()) {
    discovery.status = ComponentStatus::kDegraded;
    discovery.message = "the self-subscription is down: new announcements are noticed late";
  }
  components.push_back(std::move(discovery));
  components.push_back(SyncHealth(timeout));

  for (auto& component : components) {
    component.since = since_;
    if (component.status == ComponentStatus::kOk) component.last_ok = clock_.UnixNow();
  }
  return components;
}

}  // namespace graspd::daemon
