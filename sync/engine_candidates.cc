// SyncEngine: what becomes known, which relays follow from it, and which of them are remotes.

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/log.h"
#include "sync/engine_state.h"

namespace graspd::sync {
namespace {

using nostr::RelayUrl;
using Decision = CandidateSnapshot::Decision;

constexpr size_t kMostConsidered = 10'000;  // relays at once, when a place is free

}  // namespace

void SyncEngine::Load(const nostr::Event& event) { index_.Add(event); }

void SyncEngine::Start(const Instant& now) {
  index_.Settle();
  for (const auto& url : options_.bootstrap) Consider(now, url, RemoteOrigin::kConfig);
  for (const auto& url : index_.Relays()) Consider(now, url, RemoteOrigin::kDiscovered);
  RecordUnusable(now, index_.Unusable());
  started_ = true;
}

void SyncEngine::OnChanges(const Instant& now, std::span<const storage::Change> changes) {
  RepoIndex::Affected affected;
  const auto note = [&](const RepoIndex::Affected& more) {
    for (const auto& [url, change_there] : more) affected[url].Merge(change_there);
  };
  std::vector<std::pair<nostr::EventId, std::vector<nostr::Address>>> removed;  // roots
  for (const auto& change : changes) {
    if (change.ephemeral) continue;
    if (change.type == storage::Change::Type::kRemoved) {
      if (auto repos = index_.ReposOf(change.id); !repos.empty()) {
        removed.emplace_back(change.id, std::move(repos));
      }
      note(index_.Remove(change.id));
    } else if (change.event) {
      note(index_.Add(change.event->event));
      RecordUnusable(now, index_.UnusableOf(change.id));
    }
  }
  note(index_.Settle());
  hopeless_share_ = SIZE_MAX;
  for (const auto& [url, change] : affected) MarkDirty(now, url, change);
  // The roots of a repository that has left a remote leave with it once its plan is updated. Those
  // that are gone by then belong to no repository any more.
  for (const auto& [root, repos] : removed) {
    for (const auto& [url, remote] : remotes_) {
      const auto& changed = remote->changes.repos;
      if (changed.empty()) continue;
      if (std::any_of(repos.begin(), repos.end(),
                      [&](const auto& repo) { return changed.contains(repo); })) {
        remote->changes.roots.insert(root);
      }
    }
  }
  PumpDials(now);
}

void SyncEngine::MarkDirty(const Instant& now, const RelayUrl& url, const ScopeChange& change) {
  Remote* remote = Find(url);
  if (!remote) {
    if (index_.ReferencesTo(url) > 0) {
      Consider(now, url, RemoteOrigin::kDiscovered);
    } else {
      ForgetCandidate(url.ToString());
    }
    return;
  }
  if (remote->origin == RemoteOrigin::kDiscovered && index_.ReferencesTo(url) == 0) {
    Forget(now, *remote);
    return;
  }
  if (!remote->connected()) {  // gets the whole scope when it is
    ChargePlace(*remote);
    return;
  }
  if (remote->awaits_information || remote->awaits_auth) return;  // gets it very soon
  remote->changes.Merge(change);
  if (remote->dirty) return;
  const bool keeps_coming = now.steady - remote->last_update < 2 * remote->coalesce;
  remote->coalesce = keeps_coming ? std::min(2 * remote->coalesce, options_.max_coalesce)
                                  : options_.first_coalesce;
  remote->dirty = true;
  Arm(now.steady + remote->coalesce, Timer::Type::kUpdate, *remote);
}

bool SyncEngine::IsOwnUrl(const RelayUrl& url) const {
  const nostr::HostPort host{url.host(), url.port()};
  return std::find(options_.own_hosts.begin(), options_.own_hosts.end(), host) !=
         options_.own_hosts.end();
}

void SyncEngine::Consider(const Instant& now, const RelayUrl& url, RemoteOrigin origin) {
  if (Find(url)) return;
  if (IsOwnUrl(url)) {
    RecordCandidate(now, url.ToString(), Decision::kSelf, "is one of our own URLs");
    return;
  }
  const DialAccount place = PlaceAccount(url, origin);
  if (places_.full() && (MustWait(now, url) || !MakeRoomFor(now, place))) {
    place_refused_ = true;
    RecordCandidate(now, url.ToString(), Decision::kOverLimit, "the limit of remotes is reached");
    return;
  }
  RecordCandidate(now, url.ToString(), Decision::kAccepted,
                  origin == RemoteOrigin::kConfig ? "configured" : "named by an announcement");
  auto& remote =
      *remotes_.emplace(url, std::make_unique<Remote>(url, origin, options_.health)).first->second;
  remote.host = PacedHost(url);
  remote.place = place;
  remote.number = next_remote_++;
  places_.Take(place);
  remote.state_since = now.unix_seconds;
  ++state_version_;
  ++remotes_by_state_[static_cast<size_t>(remote.state)];
  const bool must_wait = Recall(now, remote);
  if (paused_.contains(url)) {
    SetState(now, remote, RemoteState::kPaused, "paused by the operator");
  } else if (must_wait) {
    const auto wait = remote.next_attempt - now.steady;
    SetState(now, remote, remote.waits_as, "it was a remote before");
    remote.next_attempt_at = now.unix_seconds + WholeSeconds(wait);
    Arm(remote.next_attempt, Timer::Type::kDial, remote);
  } else if (started_) {
    QueueDial(remote);
  } else {
    const auto jitter = base::Duration(static_cast<base::Duration::rep>(
        random_.Below(static_cast<uint64_t>(options_.startup_jitter.count()) + 1)));
    remote.next_attempt = now.steady + options_.startup_delay + jitter;
    remote.next_attempt_at = now.unix_seconds + WholeSeconds(options_.startup_delay + jitter);
    Arm(remote.next_attempt, Timer::Type::kDial, remote);
  }
}

// Of the authors who name the relay, the one with the fewest places is charged: naming somebody
// else's relay does not make it share one's own fate.
DialAccount SyncEngine::PlaceAccount(const RelayUrl& url, RemoteOrigin origin) const {
  DialAccount account;
  if (origin == RemoteOrigin::kConfig) return account;
  size_t least = SIZE_MAX;
  (void)index_.AnyAuthor(url, [&](const nostr::PublicKey& author) {
    const size_t used = places_.UsedBy({author, ""});
    if (used < least) {
      least = used;
      account.author = author;
    }
    return least == 0;
  });
  account.site = SiteOf(url);
  return account;
}

// Anew, because another author may name the relay by now.
void SyncEngine::ChargePlace(Remote& remote) {
  places_.Return(remote.place);
  remote.place = PlaceAccount(remote.url, remote.origin);
  places_.Take(remote.place);
}

// A relay that has never answered goes, and of somebody who has more places than the newcomer would
// have also one that is not connected now.
bool SyncEngine::MakeRoomFor(const Instant& now, const DialAccount& newcomer) {
  const size_t share = places_.UsedBy(newcomer) + 1;
  if (share >= hopeless_share_) return false;
  Remote* leaves = nullptr;
  size_t crowd = 0;
  for (const auto& [url, remote] : remotes_) {
    if (remote->origin == RemoteOrigin::kConfig || remote->connected() ||
        remote->state == RemoteState::kPaused) {
      continue;
    }
    const size_t used = places_.UsedBy(remote->place);
    // Not while it is being tried.
    const bool in_vain = remote->connected_at == 0 && remote->health.consecutive_failures() > 0 &&
                         !remote->connection && !remote->in_dial_queue;
    if (in_vain ? used < share - 1 : used <= share) continue;
    // The latest of the most crowded: who was there before a flood came stays.
    if (leaves && std::pair(used, remote->number) < std::pair(crowd, leaves->number)) continue;
    leaves = remote.get();
    crowd = used;
  }
  if (!leaves) {
    hopeless_share_ = share;
    return false;
  }
  const std::string url = leaves->url.ToString();
  Remove(now, *leaves, Leaving::kForAnother);
  place_refused_ = true;
  RecordCandidate(now, url, Decision::kOverLimit, "left its place to another");
  return true;
}

void SyncEngine::RecordCandidate(const Instant& now, const std::string& url, Decision decision,
                                 std::string_view reason) {
  auto found = candidates_.find(url);
  if (found == candidates_.end()) {
    // Full: the list keeps what it has, so that a flood cannot push out what was there before it.
    // What can never be dialled gets half of it.
    if (candidates_.size() >= options_.max_candidates ||
        (decision == Decision::kInvalid && invalid_candidates_ >= options_.max_candidates / 2)) {
      return;
    }
    invalid_candidates_ += decision == Decision::kInvalid ? 1 : 0;
    found =
        candidates_
            .emplace(url,
                     CandidateSnapshot{.url = url, .first_seen = now.unix_seconds, .reason = {}})
            .first;
  } else if (found->second.decision == Decision::kInvalid && decision != Decision::kInvalid) {
    --invalid_candidates_;
  }
  found->second.decision = decision;
  found->second.reason = reason.substr(0, kReasonBytes);
}

void SyncEngine::RecordUnusable(const Instant& now, const std::vector<UnusableRelay>& relays) {
  for (const auto& relay : relays) {
    // One may be beyond what is read of this announcement, and be named well by another.
    const auto known = candidates_.find(relay.text);
    if (known != candidates_.end() && known->second.decision != Decision::kInvalid) continue;
    RecordCandidate(now, relay.text, Decision::kInvalid, relay.reason);
  }
}

void SyncEngine::ForgetCandidate(const std::string& url) {
  const auto found = candidates_.find(url);
  if (found == candidates_.end()) return;
  invalid_candidates_ -= found->second.decision == Decision::kInvalid ? 1 : 0;
  candidates_.erase(found);
}

void SyncEngine::Forget(const Instant& now, Remote& remote) {
  ForgetCandidate(remote.url.ToString());
  Remove(now, remote, Leaving::kUnnamed);
  ScheduleAdmission(now);
  PumpDials(now);
  PumpJobs(now);
}

// `remote` is gone afterwards.
void SyncEngine::Remove(const Instant& now, Remote& remote, Leaving why) {
  const std::string_view reason = why == Leaving::kUnnamed
                                      ? "the remote is no longer named by any announcement"
                                      : "the remote left its place to another";
  base::LogInfo("sync", "remote removed", {{"remote", remote.url.ToString()}, {"reason", reason}});
  Remember(now, remote, why);
  AbandonJobs(now, remote, reason);
  ReleaseAliases(now, remote, base::Duration(0));
  Disconnect(now, remote);
  LeaveDialQueue(remote);
  for (const auto& [type, timer] : remote.timers) timers_.erase(timer);
  places_.Return(remote.place);
  --remotes_by_state_[static_cast<size_t>(remote.state)];
  remotes_.erase(RelayUrl(remote.url));
  ++state_version_;
}

void SyncEngine::Remember(const Instant& now, const Remote& remote, Leaving why) {
  while (!former_since_.empty() &&
         (former_since_.size() >= options_.former_remotes ||
          now.steady - former_since_.begin()->first >= options_.former_remembered)) {
    former_.erase(former_since_.begin()->second);
    former_since_.erase(former_since_.begin());
  }
  Conduct conduct = remote;
  conduct.forgotten_at = now.steady;
  conduct.health.Left(now.steady);
  const bool is_left = remote.state == RemoteState::kBlocked || remote.state == RemoteState::kDead;
  conduct.waits_as = is_left ? remote.state : RemoteState::kBackoff;
  if (remote.alias_of) {  // of whom will not be known any more
    conduct.waits_as = RemoteState::kBackoff;
    conduct.next_attempt = now.steady;
  }
  // It may be named again at once, by who corrects a mistake; to do so time and again is none.
  if (why == Leaving::kUnnamed && ++conduct.times_forgotten > 1) {
    const auto doublings = std::min<uint32_t>(conduct.times_forgotten - 2, 20);
    const auto wait =
        std::min(options_.health.first_backoff * (1u << doublings), options_.longest_renaming_wait);
    conduct.next_attempt = std::max(conduct.next_attempt, now.steady + wait);
  }
  former_since_.emplace(now.steady, remote.url);
  former_.insert_or_assign(remote.url, conduct);
}

const SyncEngine::Conduct* SyncEngine::FindFormer(const Instant& now, const RelayUrl& url) const {
  const auto found = former_.find(url);
  const bool known = found != former_.end() &&
                     now.steady - found->second.forgotten_at < options_.former_remembered;
  return known ? &found->second : nullptr;
}

bool SyncEngine::MustWait(const Instant& now, const RelayUrl& url) const {
  const Conduct* const conduct = FindFormer(now, url);
  return conduct && conduct->next_attempt > now.steady;
}

// True if it must not be dialled yet.
bool SyncEngine::Recall(const Instant& now, Remote& remote) {
  const Conduct* const conduct = FindFormer(now, remote.url);
  if (!conduct) return false;
  static_cast<Conduct&>(remote) = *conduct;
  former_since_.erase({remote.forgotten_at, remote.url});
  former_.erase(remote.url);
  return remote.next_attempt > now.steady;
}

// Some may wait for a place: one has become free, or could be made. Not more often than once a
// second, because to find out who gets it takes a look at all.
void SyncEngine::ScheduleAdmission(const Instant& now) {
  if (admission_due_ || !place_refused_) return;
  admission_due_ = true;
  timers_.emplace(std::max(now.steady, last_admission_ + std::chrono::seconds(1)),
                  Timer{Timer::Type::kAdmission, std::nullopt});
}

// One of those for whom there was no place gets one, whether the list of candidates had room for it
// or not: who need not wait, then who has the fewest places, then whose author has, then the next
// in turn. False if there is none.
bool SyncEngine::AdmitOneMore(const Instant& now) {
  hopeless_share_ = SIZE_MAX;
  place_refused_ = false;
  std::optional<RelayUrl> next, last_seen;
  std::tuple<bool, size_t, size_t> least{true, SIZE_MAX, 0};
  size_t seen = 0;
  index_.AnyRelay(last_considered_, [&](const RelayUrl& url) {
    last_seen = url;
    if (++seen >= kMostConsidered) return true;
    if (Find(url) || IsOwnUrl(url)) return false;
    place_refused_ = true;
    const bool waits = MustWait(now, url);
    if (waits && places_.full()) return false;
    const DialAccount place = PlaceAccount(url, RemoteOrigin::kDiscovered);
    const size_t used = places_.UsedBy(place);
    const std::tuple rank(waits, used, places_.UsedBy({place.author, ""}));
    if (rank >= least) return false;
    least = rank;
    next = url;
    return !waits && used == 0;
  });
  place_refused_ |= seen >= kMostConsidered;
  last_considered_ = next ? next : last_seen;
  if (!next) return false;
  Consider(now, *next, RemoteOrigin::kDiscovered);
  return Find(*next) != nullptr;
}

}  // namespace graspd::sync
