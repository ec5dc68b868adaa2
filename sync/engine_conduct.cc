// SyncEngine: remotes that misbehave, and remotes that want to know who we are.

#include <algorithm>

#include "base/log.h"
#include "sync/engine_state.h"

namespace graspd::sync {

// The remote has done something that no honest one does, or does seldom. When it has done too much
// of that lately, we hang up, and come back ever later however useful it was besides.
void SyncEngine::Offend(const Instant& now, Remote& remote, uint64_t points, std::string_view how) {
  using Seconds = std::chrono::duration<double>;
  const double forgiven =
      Seconds(now.steady - remote.offences_at) / Seconds(options_.offence_forgiven);
  remote.offences =
      std::min(std::max(remote.offences - forgiven, 0.0) + static_cast<double>(points),
               static_cast<double>(options_.offence_limit));
  remote.offences_at = now.steady;
  if (remote.offences < options_.offence_limit || !remote.connected()) return;
  base::LogWarn("sync", "hanging up on a remote",
                {{"remote", remote.url.ToString()}, {"reason", how}});
  AbandonJobs(now, remote, how);
  Disconnect(now, remote);
  const auto wait = remote.health.Misbehaved(now.steady, random_);
  BackOff(now, remote, wait, "misbehaved", how,
          remote.health.IsDead(now.steady) ? RemoteState::kDead : RemoteState::kBackoff);
}

// It does not want us, and has every right to.
void SyncEngine::Decline(const Instant& now, Remote& remote, std::string_view reason) {
  AbandonJobs(now, remote, reason);
  Disconnect(now, remote);
  BackOff(now, remote, options_.declined_retry, "declined", reason, RemoteState::kBlocked);
}

// ---- authentication --------------------------------------------------------------------------

// Nothing is asked of the remote until it has answered our AUTH, or `patience` has ended: its
// challenge may be yet to come, and so may refusals of what was asked before. False if we do not
// authenticate, or have tried on this connection.
bool SyncEngine::AwaitAuthentication(const Instant& now, Remote& remote, base::Duration patience) {
  if (remote.awaits_auth) return true;
  if (!options_.authenticates || remote.auth != Remote::Auth::kOpen) return false;
  remote.awaits_auth = true;
  DeferJobs(now, remote);
  SetState(now, remote, RemoteState::kSyncing, "authenticates");
  Arm(now.steady + patience, Timer::Type::kAuthentication, remote);
  return true;
}

// It refused something for want of authentication. True if it will be asked again.
bool SyncEngine::RefusedForAuthentication(const Instant& now, Remote& remote) {
  remote.auth_refusal = true;
  if (remote.auth == Remote::Auth::kFailed && IsRateLimitText(remote.auth_error)) {
    RedialToAuthenticate(now, remote);
    return true;
  }
  return AwaitAuthentication(now, remote, options_.authentication_patience);
}

void SyncEngine::OnAuthenticated(const Instant& now, ConnectionId connection, bool accepted,
                                 std::string_view message) {
  Remote* remote = Find(connection);
  if (!remote) return;
  remote->auth = accepted ? Remote::Auth::kAccepted : Remote::Auth::kFailed;
  if (!accepted) remote->auth_error = message;
  // Else nothing has been refused so far.
  const bool needed = remote->awaits_auth || remote->auth_refusal;
  if (needed && !accepted && IsRateLimitText(message)) {
    RedialToAuthenticate(now, *remote);
  } else if (remote->awaits_auth || (needed && accepted)) {
    AskAgain(now, *remote);
  }
}

// It had no time for our AUTH. A connection authenticates once, so that nobody can have us sign
// again and again.
void SyncEngine::RedialToAuthenticate(const Instant& now, Remote& remote) {
  AbandonJobs(now, remote, remote.auth_error);
  Disconnect(now, remote);
  const auto wait =
      std::max(remote.health.Failed(now.steady, random_), options_.rate_limit_cooldown);
  BackOff(now, remote, wait, "rate-limited", remote.auth_error,
          remote.health.IsDead(now.steady) ? RemoteState::kDead : RemoteState::kBackoff);
}

void SyncEngine::OnAuthenticationTimeout(const Instant& now, Remote& remote) {
  if (!remote.connected() || !remote.awaits_auth) return;
  // Some challenge only whom they refuse: then there is a second time.
  if (remote.auth_refusal && remote.auth == Remote::Auth::kOpen) {
    remote.auth = Remote::Auth::kFailed;
    remote.auth_error = "it did not take our AUTH in time";
  }
  AskAgain(now, remote);
}

// Everything, from the beginning: what is refused now is a gap.
void SyncEngine::AskAgain(const Instant& now, Remote& remote) {
  remote.awaits_auth = false;
  DeferJobs(now, remote);
  AbandonJobs(now, remote, "is asked again after authentication");
  CatchUpAll(now, remote, FirstSource(remote));
}

}  // namespace graspd::sync
