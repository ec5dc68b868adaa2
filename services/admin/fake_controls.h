// Controls over maps, for tests of this module.
#pragma once

#include <atomic>
#include <map>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "services/admin/controls.h"
#include "services/admin/errors.h"

namespace graspd::admin {

/// Remotes that change state when told to. Thread-safe.
class FakeRemotes final : public RemoteControl {
 public:
  void Add(RemoteInfo info) {
    base::MutexLock lock(mutex_);
    remotes_[info.url] = std::move(info);
  }
  /// Every later call fails with `status`.
  void FailWith(absl::Status status) {
    base::MutexLock lock(mutex_);
    failure_ = std::move(status);
  }
  /// Makes later calls of ListRemotes wait until Open().
  void Close() {
    base::MutexLock lock(mutex_);
    closed_ = true;
  }
  void Open() {
    base::MutexLock lock(mutex_);
    closed_ = false;
    opened_.NotifyAll();
  }
  base::Duration last_timeout() const {
    base::MutexLock lock(mutex_);
    return last_timeout_;
  }

  absl::StatusOr<std::vector<RemoteInfo>> ListRemotes(base::Duration timeout) override {
    base::MutexLock lock(mutex_);
    while (closed_) opened_.Wait(mutex_);
    last_timeout_ = timeout;
    if (!failure_.ok()) return failure_;
    std::vector<RemoteInfo> all;
    for (auto it = remotes_.rbegin(); it != remotes_.rend(); ++it) all.push_back(it->second);
    return all;
  }
  absl::StatusOr<RemoteInfo> GetRemote(const std::string& url, base::Duration) override {
    base::MutexLock lock(mutex_);
    if (!failure_.ok()) return failure_;
    const auto found = remotes_.find(url);
    if (found == remotes_.end()) return RemoteNotFound(url);
    return found->second;
  }
  absl::StatusOr<RemoteChange> PauseRemotes(const RemoteSelector& which, base::Duration) override {
    return Move(which, RemoteState::kPaused);
  }
  absl::StatusOr<RemoteChange> ResumeRemotes(const RemoteSelector& which, bool reset_backoff,
                                             base::Duration) override {
    reset_backoff_ = reset_backoff;
    return Move(which, RemoteState::kConnecting);
  }
  bool reset_backoff() const { return reset_backoff_; }

 private:
  absl::StatusOr<RemoteChange> Move(const RemoteSelector& which, RemoteState to) {
    base::MutexLock lock(mutex_);
    if (!failure_.ok()) return failure_;
    if (!which.all && !remotes_.contains(which.url)) return RemoteNotFound(which.url);
    RemoteChange change;
    for (auto& [url, info] : remotes_) {
      if (!which.all && url != which.url) continue;
      change.changed |= info.state != to;
      info.state = to;
      change.remotes.push_back(info);
    }
    return change;
  }

  mutable base::Mutex mutex_;
  base::CondVar opened_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<std::string, RemoteInfo> remotes_ ABSL_GUARDED_BY(mutex_);
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  base::Duration last_timeout_ ABSL_GUARDED_BY(mutex_){};
  std::atomic<bool> reset_backoff_ = false;
};

/// Set the fields before the server starts.
class FakeDiscovery final : public DiscoveryControl {
 public:
  absl::StatusOr<DiscoveryRunInfo> TriggerDiscovery(base::Duration) override { return run; }
  absl::StatusOr<std::vector<CandidateInfo>> ListCandidates(base::Duration) override {
    return candidates;
  }

  absl::StatusOr<DiscoveryRunInfo> run;
  std::vector<CandidateInfo> candidates;
};

class FakeSync final : public SyncControl {
 public:
  absl::StatusOr<std::vector<SyncJobInfo>> TriggerSync(const RemoteSelector& which,
                                                       base::Duration) override {
    selected = which;
    return jobs;
  }

  RemoteSelector selected;
  absl::StatusOr<std::vector<SyncJobInfo>> jobs;
};

class FakeHealth final : public HealthControl {
 public:
  Probes GetProbes() override {
    return {.live = live, .ready = ready, .started = started, .in_sync = in_sync};
  }
  absl::StatusOr<std::vector<ComponentHealth>> GetComponents(base::Duration) override {
    return components;
  }

  std::atomic<bool> live = true, ready = true, started = true, in_sync = true;
  std::vector<ComponentHealth> components;
};

}  // namespace graspd::admin
