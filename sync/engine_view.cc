// SyncEngine: what operators see of it.

#include "sync/engine_state.h"

namespace graspd::sync {

std::vector<RemoteSnapshot> SyncEngine::Remotes() const {
  std::vector<RemoteSnapshot> out;
  out.reserve(remotes_.size());
  for (const auto& [url, remote] : remotes_) {
    RemoteSnapshot view{.url = url};
    view.origin = remote->origin;
    view.state = remote->state;
    view.state_since = remote->state_since;
    view.state_reason = remote->state_reason;
    if (remote->connected()) view.address = remote->address;
    view.connected_at = remote->connected_at;
    view.last_event_at = remote->last_event_at;
    view.last_full_reconcile_at = remote->last_full_reconcile_at;
    view.last_error = remote->last_error;
    view.last_error_code = remote->last_error_code;
    view.last_error_at = remote->last_error_at;
    view.consecutive_failures = remote->health.consecutive_failures();
    view.next_attempt_at = remote->next_attempt_at;
    view.rate_limited_until =
        remote->state == RemoteState::kRateLimited ? remote->rate_limited_until_unix : 0;
    if (remote->connected()) {
      view.subscriptions = static_cast<uint32_t>(remote->plan.subscription_count());
      view.filters = static_cast<uint32_t>(remote->plan.filter_count());
    }
    view.referenced_by = static_cast<uint32_t>(index_.ReferencesTo(url));
    view.jobs_waiting =
        static_cast<uint32_t>(remote->waiting.size() + remote->round.filters_left());
    view.jobs_running = static_cast<uint32_t>(remote->running.size());
    view.method = remote->method;
    view.counts = remote->counts;
    out.push_back(std::move(view));
  }
  return out;
}

std::vector<CandidateSnapshot> SyncEngine::Candidates() const {
  std::vector<CandidateSnapshot> out;
  out.reserve(candidates_.size());
  for (const auto& [url, candidate] : candidates_) {
    out.push_back(candidate);
    if (const auto parsed = nostr::RelayUrl::Parse(url); parsed.ok()) {
      out.back().referenced_by = static_cast<uint32_t>(index_.ReferencesTo(*parsed));
    }
  }
  return out;
}

JobSnapshot SyncEngine::Describe(const Job& job) {
  JobSnapshot view{
      .id = job.id, .remote = job.remote, .filter_json = nostr::FilterJson(job.filter)};
  view.source = job.source;
  view.created_at = job.created_at;
  view.started_at = job.started_at;
  view.state = job.run ? JobState::kRunning : JobState::kQueued;
  if (job.run) {
    view.method = job.run->method;
    view.have = job.run->have;
    view.need = job.run->need;
    view.fetched = job.run->fetched;
    view.missing = job.run->missing;
    view.rounds = job.run->rounds;
    view.bytes = job.run->bytes;
    view.error = job.run->error;
  }
  return view;
}

std::vector<JobSnapshot> SyncEngine::Jobs() const {
  std::vector<JobSnapshot> out;
  for (auto it = jobs_.rbegin(); it != jobs_.rend(); ++it) out.push_back(Describe(*it->second));
  out.insert(out.end(), finished_jobs_.begin(), finished_jobs_.end());
  return out;
}

std::optional<JobSnapshot> SyncEngine::FindJob(uint64_t id) const {
  if (const auto found = jobs_.find(id); found != jobs_.end()) return Describe(*found->second);
  for (const auto& job : finished_jobs_) {
    if (job.id == id) return job;
  }
  return std::nullopt;
}

}  // namespace graspd::sync
