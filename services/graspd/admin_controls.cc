#include "services/graspd/admin_controls.h"

#include <utility>

#include "base/status_macros.h"
#include "services/admin/errors.h"

namespace graspd::daemon {
namespace {

using admin::CandidateDecision;
using admin::Reason;

absl::Status SyncDisabled() {
  return admin::AdminError(Reason::kSyncDisabled,
                           "sync is switched off; set sync.enabled=true and restart");
}

// What the engine could not answer in time is busy; the rest keeps its meaning.
absl::Status Translate(const absl::Status& status) {
  return absl::IsDeadlineExceeded(status) ? admin::EngineBusy() : status;
}

admin::RemoteState ToAdmin(sync::RemoteState state) {
  switch (state) {
    case sync::RemoteState::kDiscovered:
      return admin::RemoteState::kDiscovered;
    case sync::RemoteState::kConnecting:
      return admin::RemoteState::kConnecting;
    case sync::RemoteState::kSyncing:
      return admin::RemoteState::kSyncingHistory;
    case sync::RemoteState::kLive:
      return admin::RemoteState::kLive;
    case sync::RemoteState::kLiveWithGaps:
      return admin::RemoteState::kLiveWithGaps;
    case sync::RemoteState::kBackoff:
      return admin::RemoteState::kBackingOff;
    case sync::RemoteState::kRateLimited:
      return admin::RemoteState::kRateLimited;
    case sync::RemoteState::kPaused:
      return admin::RemoteState::kPaused;
    case sync::RemoteState::kDead:
      return admin::RemoteState::kDead;
    case sync::RemoteState::kBlocked:
      return admin::RemoteState::kBlocked;
  }
  return admin::RemoteState::kDiscovered;
}

admin::RemoteSource ToAdmin(sync::RemoteOrigin origin) {
  switch (origin) {
    case sync::RemoteOrigin::kConfig:
      return admin::RemoteSource::kConfig;
    case sync::RemoteOrigin::kDiscovered:
      return admin::RemoteSource::kDiscovered;
    case sync::RemoteOrigin::kApi:
      return admin::RemoteSource::kApi;
  }
  return admin::RemoteSource::kDiscovered;
}

admin::SyncMethod ToAdmin(sync::SyncMethod method) {
  switch (method) {
    case sync::SyncMethod::kUnknown:
      return admin::SyncMethod::kUnknown;
    case sync::SyncMethod::kNegentropy:
      return admin::SyncMethod::kNegentropy;
    case sync::SyncMethod::kReq:
      return admin::SyncMethod::kReq;
  }
  return admin::SyncMethod::kUnknown;
}

admin::RemoteInfo ToAdmin(const sync::RemoteSnapshot& from) {
  admin::RemoteInfo to;
  to.url = from.url.ToString();
  to.address = from.address;
  to.source = ToAdmin(from.origin);
  to.state = ToAdmin(from.state);
  to.state_since = from.state_since;
  to.state_reason = from.state_reason;
  to.connected_at = from.connected_at;
  to.last_event_at = from.last_event_at;
  to.last_full_reconcile_at = from.last_full_reconcile_at;
  to.last_error = {from.last_error_code, from.last_error, from.last_error_at};
  to.consecutive_failures = from.consecutive_failures;
  to.next_attempt_at = from.next_attempt_at;
  to.rate_limited_until = from.rate_limited_until;
  to.subscriptions = from.subscriptions;
  to.filters = from.filters;
  to.method = ToAdmin(from.method);
  to.counts.received = from.counts.received;
  to.counts.stored = from.counts.stored;
  to.counts.duplicate = from.counts.duplicate;
  to.counts.parked = from.counts.parked;
  to.counts.rejected = from.counts.rejected;
  to.counts.invalid = from.counts.invalid;
  to.counts.gap_filled = from.counts.gap_filled;
  to.counts.needed = from.counts.needed;
  return to;
}

admin::SyncJobState ToAdmin(sync::JobState state) {
  switch (state) {
    case sync::JobState::kQueued:
      return admin::SyncJobState::kQueued;
    case sync::JobState::kRunning:
      return admin::SyncJobState::kRunning;
    case sync::JobState::kDone:
      return admin::SyncJobState::kSucceeded;
    case sync::JobState::kFailed:
      return admin::SyncJobState::kFailed;
    case sync::JobState::kCancelled:
      return admin::SyncJobState::kCancelled;
  }
  return admin::SyncJobState::kQueued;
}

admin::SyncJobInfo ToAdmin(const sync::JobSnapshot& from) {
  admin::SyncJobInfo to;
  to.id = "j-" + std::to_string(from.id);
  to.remote_url = from.remote.ToString();
  to.filter_json = from.filter_json;
  to.state = ToAdmin(from.state);
  to.method = ToAdmin(from.method);
  to.have = from.have;
  to.need = from.need;
  to.fetched = from.fetched;
  to.missing = from.missing;
  to.rounds = from.rounds;
  to.bytes = from.bytes;
  to.joined = from.joined;
  to.error = from.error;
  to.created_at = from.created_at;
  to.started_at = from.started_at;
  to.finished_at = from.finished_at;
  return to;
}

admin::CandidateInfo ToAdmin(const sync::CandidateSnapshot& from) {
  using Decision = sync::CandidateSnapshot::Decision;
  admin::CandidateInfo to;
  to.url = from.url;
  to.first_seen = from.first_seen;
  to.referenced_by = from.referenced_by;
  to.message = from.reason;
  to.decision = CandidateDecision::kRefused;
  switch (from.decision) {
    case Decision::kAccepted:
      to.decision = CandidateDecision::kAdded;
      break;
    case Decision::kInvalid:
      to.reason = "URL_INVALID";
      break;
    case Decision::kSelf:
      to.reason = "SELF";
      break;
    case Decision::kAlias:
      to.reason = "ALIAS";
      break;
    case Decision::kForbidden:
      to.reason = "URL_FORBIDDEN_NETWORK";
      break;
    case Decision::kOverLimit:
      to.decision = CandidateDecision::kWaiting;
      to.reason = "REMOTE_LIMIT";
      break;
    case Decision::kCrowded:
      to.decision = CandidateDecision::kWaiting;
      to.reason = "ADDRESS_LIMIT";
      break;
  }
  return to;
}

// Why a remote in this state cannot be reconciled now; OK if it can.
absl::Status Reconcilable(const sync::RemoteSnapshot& remote) {
  const std::map<std::string, std::string> which = {{"remote", remote.url.ToString()}};
  switch (remote.state) {
    case sync::RemoteState::kPaused:
      return admin::AdminError(Reason::kRemotePaused, "the remote is paused; resume it first",
                               which);
    case sync::RemoteState::kDead:
      return admin::AdminError(
          Reason::kRemoteDead,
          "the remote has been failing for a day; ResumeRemote with reset_backoff tries it now",
          which);
    case sync::RemoteState::kBlocked:
      return admin::AdminError(Reason::kRemoteBlocked, remote.state_reason, which);
    default:
      return absl::OkStatus();
  }
}

}  // namespace

absl::StatusOr<std::vector<sync::RemoteSnapshot>> AdminControls::Select(
    const admin::RemoteSelector& which, base::Duration timeout) {
  if (!sync_) return SyncDisabled();
  auto remotes = sync_->Remotes(timeout);
  if (!remotes.ok()) return Translate(remotes.status());
  if (which.all) return remotes;
  for (auto& remote : *remotes) {
    if (remote.url.ToString() == which.url) return std::vector{std::move(remote)};
  }
  return admin::RemoteNotFound(which.url);
}

absl::StatusOr<std::vector<admin::RemoteInfo>> AdminControls::ListRemotes(base::Duration timeout) {
  std::vector<admin::RemoteInfo> infos;
  if (!sync_) return infos;
  GRASPD_ASSIGN_OR_RETURN(const auto remotes, Select({.url = "", .all = true}, timeout));
  infos.reserve(remotes.size());
  for (const auto& remote : remotes) infos.push_back(ToAdmin(remote));
  return infos;
}

absl::StatusOr<admin::RemoteInfo> AdminControls::GetRemote(const std::string& url,
                                                           base::Duration timeout) {
  if (!sync_) return admin::RemoteNotFound(url);
  GRASPD_ASSIGN_OR_RETURN(const auto remotes, Select({.url = url}, timeout));
  return ToAdmin(remotes.front());
}

template <typename Apply>
absl::StatusOr<admin::RemoteChange> AdminControls::Change(const admin::RemoteSelector& which,
                                                          base::Duration timeout, Apply apply) {
  GRASPD_ASSIGN_OR_RETURN(const auto before, Select(which, timeout));
  admin::RemoteChange change;
  for (const auto& remote : before) {
    const absl::StatusOr<bool> changed = apply(remote.url);
    if (!changed.ok()) return Translate(changed.status());
    change.changed |= *changed;
  }
  GRASPD_ASSIGN_OR_RETURN(const auto after, Select(which, timeout));
  for (const auto& remote : after) change.remotes.push_back(ToAdmin(remote));
  return change;
}

absl::StatusOr<admin::RemoteChange> AdminControls::PauseRemotes(const admin::RemoteSelector& which,
                                                                base::Duration timeout) {
  return Change(which, timeout,
                [&](const nostr::RelayUrl& url) { return sync_->Pause(url, timeout); });
}

absl::StatusOr<admin::RemoteChange> AdminControls::ResumeRemotes(const admin::RemoteSelector& which,
                                                                 bool reset_backoff,
                                                                 base::Duration timeout) {
  return Change(which, timeout, [&](const nostr::RelayUrl& url) {
    return sync_->Resume(url, reset_backoff, timeout);
  });
}

absl::StatusOr<admin::DiscoveryRunInfo> AdminControls::TriggerDiscovery(base::Duration timeout) {
  if (!sync_) return SyncDisabled();
  const auto run = sync_->TriggerDiscovery(timeout);
  if (!run.ok()) return Translate(run.status());
  admin::DiscoveryRunInfo info;
  info.id = "d-" + std::to_string(run->id);
  info.started_at = run->started_at;
  info.finished_at = run->finished_at;
  info.found = run->found;
  info.added = run->added;
  info.refused = run->unusable;
  info.joined = run->joined;
  return info;
}

absl::StatusOr<std::vector<admin::CandidateInfo>> AdminControls::ListCandidates(
    base::Duration timeout) {
  std::vector<admin::CandidateInfo> infos;
  if (!sync_) return infos;
  const auto candidates = sync_->Candidates(timeout);
  if (!candidates.ok()) return Translate(candidates.status());
  for (const auto& candidate : *candidates) infos.push_back(ToAdmin(candidate));
  return infos;
}

absl::StatusOr<std::vector<admin::SyncJobInfo>> AdminControls::TriggerSync(
    const admin::RemoteSelector& which, base::Duration timeout) {
  GRASPD_ASSIGN_OR_RETURN(const auto remotes, Select(which, timeout));
  std::vector<admin::SyncJobInfo> infos;
  for (const auto& remote : remotes) {
    if (const auto possible = Reconcilable(remote); !possible.ok()) {
      if (which.all) continue;
      return possible;
    }
    const auto jobs = sync_->TriggerSync(remote.url, timeout);
    if (!jobs.ok()) {
      // Not connected at this moment: it is reconciled when it is.
      if (which.all && absl::IsFailedPrecondition(jobs.status())) continue;
      if (absl::IsFailedPrecondition(jobs.status())) {
        return admin::AdminError(Reason::kRemoteNotConnected, std::string(jobs.status().message()),
                                 {{"remote", remote.url.ToString()}});
      }
      if (absl::IsResourceExhausted(jobs.status())) {
        return admin::AdminError(Reason::kJobQueueFull, std::string(jobs.status().message()));
      }
      return Translate(jobs.status());
    }
    for (const auto& job : *jobs) infos.push_back(ToAdmin(job));
  }
  return infos;
}

}  // namespace graspd::daemon
