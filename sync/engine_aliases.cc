// SyncEngine: relays that are one relay by several names.
//
// graspd says with every upgrade which process it is (Graspd-Instance). Two remotes that say the
// same from the same address are taken for one. Anybody can repeat what another says, and strangers
// may share an address; so a claim is never enough to silence a relay for good: an alias is
// compared with in full, as any remote, before it is left again.

#include <algorithm>

#include "sync/engine_state.h"

namespace graspd::sync {

// The remote that is followed as the relay that `remote` seems to be as well.
SyncEngine::Remote* SyncEngine::FindTwin(const Remote& remote) const {
  if (remote.instance.empty()) return nullptr;
  const auto is_twin = [&](const auto& entry) {
    const Remote& other = *entry.second;
    return &other != &remote && other.connected() && !other.alias_of &&
           other.instance == remote.instance && other.ip == remote.ip;
  };
  const auto found = std::find_if(remotes_.begin(), remotes_.end(), is_twin);
  return found == remotes_.end() ? nullptr : found->second.get();
}

// True if it is this process.
bool SyncEngine::LeaveIfOurselves(const Instant& now, Remote& remote) {
  if (options_.instance.empty() || remote.instance != options_.instance) return false;
  RecordCandidate(now, remote.url.ToString(), CandidateSnapshot::Decision::kSelf,
                  "answers as ourselves");
  Leave(now, remote, "is ourselves under another name", options_.alias_check);
  return true;
}

// True if the connection just made is left at once. One that was left before is caught up with
// first.
bool SyncEngine::LeaveNewAlias(const Instant& now, Remote& remote) {
  const Remote* const twin = FindTwin(remote);
  const bool known = remote.alias_of.has_value();
  if (!twin) remote.alias_of.reset();
  if (!twin || known) return false;
  LeaveAsAlias(now, remote, *twin, options_.alias_first_check);
  return true;
}

// After everything has been compared.
void SyncEngine::LeaveCheckedAlias(const Instant& now, Remote& remote) {
  if (!remote.alias_of) return;
  if (const Remote* const twin = FindTwin(remote)) {
    LeaveAsAlias(now, remote, *twin, options_.alias_check);
  } else {
    remote.alias_of.reset();
  }
}

void SyncEngine::LeaveAsAlias(const Instant& now, Remote& remote, const Remote& twin,
                              base::Duration wait) {
  const std::string what = "is " + twin.url.ToString() + " under another name";
  remote.alias_of = twin.url;
  RecordCandidate(now, remote.url.ToString(), CandidateSnapshot::Decision::kAlias, what);
  Leave(now, remote, what, wait);
}

void SyncEngine::Leave(const Instant& now, Remote& remote, std::string_view what,
                       base::Duration wait) {
  AbandonJobs(now, remote, what);
  Disconnect(now, remote);
  SetState(now, remote, RemoteState::kBlocked, what);
  remote.next_attempt = now.steady + wait;
  remote.next_attempt_at = now.unix_seconds + WholeSeconds(wait);
  Arm(remote.next_attempt, Timer::Type::kDial, remote);
  PumpDials(now);
  PumpJobs(now);
}

// `remote` is not followed any more: one of its aliases takes its place, if it answers first.
void SyncEngine::ReleaseAliases(const Instant& now, const Remote& remote, base::Duration wait) {
  for (auto& [url, other] : remotes_) {
    if (other->alias_of != remote.url || other->state != RemoteState::kBlocked) continue;
    if (other->next_attempt <= now.steady + wait) continue;
    other->next_attempt = now.steady + wait;
    other->next_attempt_at = now.unix_seconds + WholeSeconds(wait);
    Arm(other->next_attempt, Timer::Type::kDial, *other);
  }
}

}  // namespace graspd::sync
