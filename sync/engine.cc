#include "sync/engine.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "sync/engine_state.h"

namespace graspd::sync {
namespace {

using nostr::RelayUrl;

// Letters of either case count as equal; `words` are lower case.
bool ContainsAny(std::string_view text, std::initializer_list<std::string_view> words) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return std::any_of(words.begin(), words.end(),
                     [&](std::string_view word) { return lower.find(word) != std::string::npos; });
}

// What relays say of a message they do not know.
bool IsUnknownMessageText(std::string_view text) {
  return ContainsAny(text, {"neg-", "negentropy", "unknown", "unsupported", "not supported",
                            "unrecognized", "unrecognised", "could not parse",
                            "invalid:", "invalid message", "bad message", "envelope"});
}

}  // namespace

SyncEngine::SyncEngine(EngineOptions options, base::Random& random)
    : options_(std::move(options)),
      random_(random),
      index_(options_.lists_us),
      places_(options_.max_remotes),
      dialling_(options_.concurrent_dials),
      dialled_anew_(options_.new_remotes_per_minute) {}
SyncEngine::~SyncEngine() = default;

// The prefix is what NIP-01 defines; relays that only say it in a NOTICE use words like these.
bool SyncEngine::IsRateLimitText(std::string_view text) {
  return ContainsAny(
      text, {"rate-limited:", "rate limit", "rate-limit", "too many requests", "slow down"});
}

// By the prefix that NIP-42 defines.
bool SyncEngine::IsAuthRequired(std::string_view reason) {
  return reason.starts_with("auth-required:");
}

// Takes the place of the remote's timer of this type, if there is one.
void SyncEngine::Arm(base::SteadyTime when, Timer::Type type, Remote& remote) {
  if (const auto old = remote.timers.find(type); old != remote.timers.end()) {
    timers_.erase(old->second);
  }
  remote.timers[type] = timers_.emplace(when, Timer{type, remote.url});
}

std::optional<base::SteadyTime> SyncEngine::NextDeadline() const {
  if (timers_.empty()) return std::nullopt;
  return timers_.begin()->first;
}

std::vector<Action> SyncEngine::TakeActions() { return std::exchange(actions_, {}); }

SyncEngine::Remote* SyncEngine::Find(const RelayUrl& url) {
  const auto found = remotes_.find(url);
  return found == remotes_.end() ? nullptr : found->second.get();
}

SyncEngine::Remote* SyncEngine::Find(ConnectionId connection) {
  const auto found = connections_.find(connection);
  return found == connections_.end() ? nullptr : Find(found->second);
}

void SyncEngine::SetState(const Instant& now, Remote& remote, RemoteState state,
                          std::string_view reason) {
  remote.state_reason = reason.substr(0, kReasonBytes);
  if (remote.state == state) return;
  --remotes_by_state_[static_cast<size_t>(remote.state)];
  ++remotes_by_state_[static_cast<size_t>(state)];
  remote.state = state;
  ++state_version_;
  remote.state_since = now.unix_seconds;
  base::LogInfo("sync", "remote changed state",
                {{"remote", remote.url.ToString()},
                 {"state", RemoteStateName(state)},
                 {"reason", remote.state_reason}});
}

// ---- subscriptions ---------------------------------------------------------------------------

void SyncEngine::UpdateScope(const Instant& now, Remote& remote) {
  remote.dirty = false;
  if (!remote.connected()) return;
  remote.last_update = now.steady;
  auto diff = remote.plan.Apply(index_.Resolve(remote.url, std::exchange(remote.changes, {})));
  if (diff.empty()) return;
  Carry(now, remote, std::move(diff));
}

// Opens every live subscription, and behind them catches up with everything: by negentropy that
// costs no more than the difference. Pages begin at the last moment when nothing was missing, if
// that is recent.
void SyncEngine::CatchUpAll(const Instant& now, Remote& remote, storage::Source source) {
  remote.dirty = remote.closed_subscription = remote.failed_job = remote.auth_refusal = false;
  ForgetClaims(remote);
  remote.blocked_subscriptions.clear();
  remote.changes = {};
  remote.awaits_information = false;
  remote.last_update = now.steady;
  if (remote.subscribed) {
    // Not replaced: what comes late for these is no answer to what is asked now, and some relays
    // do not replace.
    for (auto& subscription : remote.plan.Names()) {
      Emit(Unsubscribe{*remote.connection, std::move(subscription)});
    }
    remote.plan.RenameAll();
    remote.unanswered.clear();
    remote.followed.End(now.unix_seconds);
  }
  remote.plan.SetLimits(remote.limits.plan);
  auto added = remote.plan.Update(index_.Scope(remote.url)).catch_up;
  remote.subscribed = true;
  const bool windowed = remote.last_contact != 0 && !remote.owes_full &&
                        (added.empty() || MayQueue(remote, added.size())) &&
                        now.unix_seconds - remote.last_contact <= options_.reconnect_window_seconds;
  std::optional<uint64_t> pages_since;
  if (windowed) {
    pages_since =
        remote.last_contact - std::min(remote.last_contact, options_.reconnect_overlap_seconds);
    // What came into scope meanwhile was never caught up before.
    for (auto& filter : added) {
      QueueJob(now, remote, std::move(filter), storage::Source::kStartup);
    }
  }
  BeginRound(now, remote, source, pages_since);
  if (remote.waiting.empty()) ContinueRound(now, remote);
  remote.followed.Begin(now.unix_seconds);
  SubscriptionPlan::Diff all;
  all.open = remote.plan.OpenAll();
  Carry(now, remote, std::move(all));
}

// Live subscriptions first and catch-up behind them, so that nothing falls in between.
void SyncEngine::Carry(const Instant& now, Remote& remote, SubscriptionPlan::Diff diff) {
  for (auto& subscription : diff.close) {
    remote.unanswered.erase(subscription);
    remote.blocked_subscriptions.erase(subscription);
    Emit(Unsubscribe{*remote.connection, subscription});
  }
  for (auto& open : diff.open) {
    remote.blocked_subscriptions.erase(open.subscription);
    auto& asked = remote.unanswered[open.subscription];
    if (asked.reqs++ == 0) {
      asked.first = now.steady;
      asked.first_at = now.unix_seconds;
    }
    asked.since = now.steady;
    asked.one_came = false;
    Emit(Subscribe{*remote.connection, std::move(open.subscription), std::move(open.filters),
                   storage::Source::kLive});
  }
  const bool too_many = !diff.catch_up.empty() && !MayQueue(remote, diff.catch_up.size());
  if (diff.catch_up_all || too_many) {
    const bool under_way = !remote.round.done();
    BeginRound(now, remote, under_way ? remote.round_source : storage::Source::kStartup,
               std::nullopt);
    if (remote.waiting.empty()) ContinueRound(now, remote);
  } else {
    for (auto& filter : diff.catch_up) {
      QueueJob(now, remote, std::move(filter), storage::Source::kStartup);
    }
  }
  if (!remote.unanswered.empty() && !remote.timers.contains(Timer::Type::kLive)) {
    Arm(now.steady + options_.live_patience, Timer::Type::kLive, remote);
  }
  if (remote.plan.leaves_out()) remote.followed.End(now.unix_seconds);
  PumpJobs(now);
  SettleState(now, remote);
}

// Some relays drop what is too much for them without a word, or with a NOTICE that nobody knows.
void SyncEngine::CheckLive(const Instant& now, Remote& remote) {
  if (!remote.connected() || remote.unanswered.empty()) return;
  const bool we_do_not_read =
      remote.unjudged > 0 && now.steady - remote.judging_since >= std::chrono::seconds(1);
  auto next = now.steady + options_.live_patience;
  std::optional<std::string> given_up;
  std::map<std::string, uint64_t> once_more;
  for (auto at = remote.unanswered.begin(); at != remote.unanswered.end() && !we_do_not_read;) {
    // What is renewed all the time has no end of its own.
    const auto until = std::min(at->second.since + options_.live_patience,
                                at->second.first + 3 * options_.live_patience);
    if (now.steady < until) {
      next = std::min(next, until);
      ++at;
      continue;
    }
    const bool renewed = at->second.since + options_.live_patience > now.steady;
    if (!at->second.again && (at->second.one_came || renewed)) {
      once_more.emplace(at->first, at->second.first_at);
    } else {
      given_up = at->first;
    }
    at = remote.unanswered.erase(at);
  }
  if (!remote.unanswered.empty()) Arm(next, Timer::Type::kLive, remote);
  if (given_up) NoteUnfollowed(now, remote, *given_up, "no EOSE came");
  if (!once_more.empty() && remote.connected()) AskOnceMore(now, remote, once_more);
}

// Fewer EOSEs than REQs: some relays answer a subscription and what replaces it by one, others have
// dropped the newer one. Alone, by another name, it is told apart. What was published since the
// first of them may have been missed.
void SyncEngine::AskOnceMore(const Instant& now, Remote& remote,
                             const std::map<std::string, uint64_t>& subscriptions) {
  SubscriptionPlan::Diff again;
  for (const auto& [subscription, first_at] : subscriptions) {
    auto open = remote.plan.Reopen(subscription);
    if (!open) continue;
    const uint64_t since = first_at - std::min(first_at, options_.reconnect_overlap_seconds);
    again.catch_up_all |= !MayQueue(remote, open->filters.size());
    for (size_t i = 0; i < open->filters.size() && !again.catch_up_all; ++i) {
      nostr::Filter filter = open->filters[i];
      filter.limit.reset();
      QueueJob(now, remote, std::move(filter), storage::Source::kStartup, since);
    }
    again.close.push_back(subscription);
    remote.unanswered[open->subscription].again = true;
    again.open.push_back(*std::move(open));
  }
  Carry(now, remote, std::move(again));
}

// What a live subscription asks for is not followed: a gap, which a repair tries to close.
void SyncEngine::NoteUnfollowed(const Instant& now, Remote& remote, std::string_view subscription,
                                std::string_view reason) {
  remote.followed.End(now.unix_seconds);
  if (!std::exchange(remote.closed_subscription, true)) {
    base::LogWarn(
        "sync", "remote does not serve a live subscription",
        {{"remote", remote.url.ToString()}, {"subscription", subscription}, {"reason", reason}});
  }
  SettleState(now, remote);
}

void SyncEngine::ScheduleDaily(const Instant& now, Remote& remote) {
  const auto spread = static_cast<uint64_t>(options_.daily_spread.count());
  const auto wait = options_.daily_least +
                    base::Duration(static_cast<base::Duration::rep>(random_.Below(spread + 1)));
  Arm(now.steady + wait, Timer::Type::kDaily, remote);
}

// What is under way waits for the end of the cool-down: requests that go on would be refused as
// well.
void SyncEngine::RateLimited(const Instant& now, Remote& remote, std::string_view reason) {
  remote.rate_limited_until = now.steady + options_.rate_limit_cooldown;
  remote.rate_limited_until_unix = now.unix_seconds + WholeSeconds(options_.rate_limit_cooldown);
  DeferJobs(now, remote);
  SetState(now, remote, RemoteState::kRateLimited, reason);
  Arm(remote.rate_limited_until, Timer::Type::kJobs, remote);
  PumpJobs(now);
}

void SyncEngine::OnDelivered(const Instant& now, ConnectionId connection,
                             std::span<const Delivered> events) {
  Remote* remote = Find(connection);
  if (!remote) return;
  remote->counts.received += events.size();
  if (remote->unjudged == 0) remote->judging_since = now.steady;
  remote->unjudged += events.size();
  remote->last_event_at = now.unix_seconds;
  for (const auto& event : events) {
    const Job* job = JobOf(*remote, event.subscription);
    if (!job) continue;
    TellOthers(now, *remote, job->id, std::chrono::seconds(1));
    WithJob(now, *remote, job->id, [&](CatchUpJob& run, CatchUpJob::Actions& out) {
      run.OnEvent(now.steady, event.subscription, event.id, event.created_at, out);
    });
  }
}

void SyncEngine::OnJudged(const Instant& now, ConnectionId connection,
                          std::span<const Judged> events) {
  Remote* remote = Find(connection);
  if (!remote) return;
  ExcuseJobs(now, *remote);
  remote->judging_since = now.steady;
  uint64_t forged = 0;
  for (const auto& event : events) {
    switch (event.code) {
      case ingest::Code::kStored:
        ++remote->counts.stored;
        remote->health.Useful();
        NoteIfGap(now, *remote, event);
        break;
      case ingest::Code::kDuplicate:
      case ingest::Code::kOlder:
        ++remote->counts.duplicate;
        break;
      case ingest::Code::kParked:
        ++remote->counts.parked;
        break;
      case ingest::Code::kInvalid:
        ++remote->counts.invalid;
        // What is dated ahead is good later.
        if (event.created_at <= now.unix_seconds) RememberUndelivered(now, *remote, event.id);
        forged += event.forged ? 1 : 0;
        break;
      case ingest::Code::kDeleted:
      case ingest::Code::kExpired:
      case ingest::Code::kRefused:
        ++remote->counts.rejected;
        break;
      case ingest::Code::kError:
        NoteFailure(*remote, true);  // our store could not take it: ask again
        SettleState(now, *remote);
        break;
    }
  }
  remote->unjudged -= std::min<uint64_t>(remote->unjudged, events.size());
  if (forged > 0) {
    Offend(now, *remote, forged * options_.forgery_points,
           "sent events with wrong ids or signatures");
  }
  if (remote->unjudged == 0 && remote->state == RemoteState::kSyncing) SettleState(now, *remote);
}

// An event that a comparison has brought although the remote was followed when it was written. It
// may also have reached the remote later, while we were away: after a reconnect that cannot be
// told.
void SyncEngine::NoteIfGap(const Instant& now, Remote& remote, const Judged& event) {
  const bool daily = event.source == storage::Source::kDaily;
  if (!daily && event.source != storage::Source::kReconnect) return;
  if (!remote.followed.Contains(event.created_at, now.unix_seconds)) return;
  ++remote.counts.gap_filled;
  ++gaps_;
  ++remote.gaps_of_round;
  remote.last_gap = event.id;
}

// Once for all that a comparison of the remote has brought.
void SyncEngine::LogGaps(Remote& remote) {
  const uint64_t gaps = std::exchange(remote.gaps_of_round, 0);
  if (gaps == 0) return;
  const bool daily = remote.round_source == storage::Source::kDaily;
  base::Log(daily ? base::LogLevel::kError : base::LogLevel::kWarn, "sync",
            "a comparison has brought what the live subscription did not",
            {{"remote", remote.url.ToString()},
             {"events", gaps},
             {"one_of_them", remote.last_gap.ToHex()}});
}

void SyncEngine::OnBadMessages(const Instant& now, ConnectionId connection, uint64_t count,
                               bool strays) {
  Remote* remote = Find(connection);
  if (!remote) return;
  remote->counts.invalid += count;
  if (strays) return;
  Offend(now, *remote, count * options_.bad_message_points,
         "sent too much that nobody asked for, or that makes no sense");
}

void SyncEngine::OnUnreadable(const Instant& now, ConnectionId connection,
                              std::string_view subscription, const nostr::EventId& id,
                              std::optional<uint64_t> created_at) {
  Remote* remote = Find(connection);
  if (!remote) return;
  ++remote->counts.invalid;
  const Job* job = JobOf(*remote, subscription);
  if (!job) return;
  WithJob(now, *remote, job->id, [&](CatchUpJob& run, CatchUpJob::Actions& out) {
    run.OnUnreadable(now.steady, subscription, id, created_at, out);
  });
}

void SyncEngine::OnClosed(const Instant& now, ConnectionId connection,
                          std::string_view subscription, std::string_view reason) {
  Remote* remote = Find(connection);
  if (!remote) return;
  // If a newer REQ of ours has crossed this, it may be followed: nobody can tell, hence a gap.
  remote->unanswered.erase(std::string(subscription));
  const Job* job = JobOf(*remote, subscription);
  const bool limited = IsRateLimitText(reason);
  if (limited) RateLimited(now, *remote, reason);
  if (IsAuthRequired(reason) && (job || remote->plan.IsOpen(subscription)) &&
      RefusedForAuthentication(now, *remote)) {
    return;
  }
  if (job) {
    if (limited) return;  // the job waits in the queue again
    WithJob(now, *remote, job->id, [&](CatchUpJob& run, CatchUpJob::Actions& out) {
      run.OnClosed(now.steady, subscription, reason, out);
    });
    return;
  }
  // Some relays answer our CLOSE with CLOSED: only what we still want open counts.
  if (!remote->plan.IsOpen(subscription)) return;
  if (reason.starts_with("blocked:")) {
    // Some relays say so of single filters.
    remote->blocked_subscriptions.emplace(subscription);
    if (remote->blocked_subscriptions.size() == remote->plan.subscription_count()) {
      Decline(now, *remote, reason);
      return;
    }
  }
  NoteUnfollowed(now, *remote, subscription, reason);
}

void SyncEngine::OnNotice(const Instant& now, ConnectionId connection, std::string_view text) {
  Remote* remote = Find(connection);
  if (!remote) return;
  if (IsRateLimitText(text)) {
    RateLimited(now, *remote, text);
    return;
  }
  // A relay without NIP-77 commonly answers NEG-OPEN so. A notice names no subscription, hence it
  // counts only while we wait for the very first answer, and only if its words can mean that.
  if (!IsUnknownMessageText(text)) return;
  for (const uint64_t id : std::set<uint64_t>(remote->running)) {
    if (!jobs_.at(id)->run->awaits_first_neg_answer()) continue;
    WithJob(now, *remote, id, [&](CatchUpJob& run, CatchUpJob::Actions& out) {
      run.OnNegIgnored(now.steady, text, /*unsupported=*/true, out);
    });
  }
}

// ---- time ------------------------------------------------------------------------------------

void SyncEngine::OnTimer(const Instant& now) {
  while (!timers_.empty() && timers_.begin()->first <= now.steady) {
    const Timer timer = timers_.begin()->second;
    timers_.erase(timers_.begin());
    Remote* remote = timer.remote ? Find(*timer.remote) : nullptr;
    if (remote) remote->timers.erase(timer.type);
    switch (timer.type) {
      case Timer::Type::kDial:
        // Stale if the remote was dialled, paused or given another time since.
        if (remote && !remote->connection && remote->state != RemoteState::kPaused &&
            remote->next_attempt <= now.steady) {
          QueueDial(*remote);
          PumpDials(now);
        }
        break;
      case Timer::Type::kInformation:
        if (remote && remote->connected() && remote->awaits_information) BeginSync(now, *remote);
        break;
      case Timer::Type::kAuthentication:
        if (remote) OnAuthenticationTimeout(now, *remote);
        break;
      case Timer::Type::kDialQueue:
        PumpDials(now);
        break;
      case Timer::Type::kAdmission:
        admission_due_ = false;
        last_admission_ = now.steady;
        if (AdmitOneMore(now)) ScheduleAdmission(now);
        PumpDials(now);
        break;
      case Timer::Type::kUpdate:
        if (remote && remote->dirty) UpdateScope(now, *remote);
        break;
      case Timer::Type::kJobs:
        if (remote) CheckJobs(now, *remote);
        break;
      case Timer::Type::kLive:
        if (remote) CheckLive(now, *remote);
        break;
      case Timer::Type::kRepair:
        if (remote && remote->connected() && remote->state == RemoteState::kLiveWithGaps) {
          CatchUpAll(now, *remote, storage::Source::kReconnect);
        }
        break;
      case Timer::Type::kDaily:
        if (!remote) break;
        remote->owes_full = true;  // if not now, then with the next connection
        if (remote->connected()) CatchUpAll(now, *remote, storage::Source::kDaily);
        ScheduleDaily(now, *remote);
        break;
    }
  }
}

// ---- operators -------------------------------------------------------------------------------

bool SyncEngine::Pause(const Instant& now, const RelayUrl& url) {
  const bool changed = paused_.insert(url).second;
  if (Remote* remote = Find(url); remote && remote->state != RemoteState::kPaused) {
    AbandonJobs(now, *remote, "the remote was paused");
    Disconnect(now, *remote);
    ReleaseAliases(now, *remote, base::Duration(0));
    LeaveDialQueue(*remote);
    remote->next_attempt_at = 0;
    SetState(now, *remote, RemoteState::kPaused, "paused by the operator");
    PumpDials(now);
    PumpJobs(now);
  }
  return changed;
}

bool SyncEngine::Resume(const Instant& now, const RelayUrl& url, bool reset_backoff) {
  const bool changed = paused_.erase(url) > 0;
  Remote* remote = Find(url);
  if (!remote) return changed;
  if (reset_backoff) remote->health.Reset();
  if (remote->state == RemoteState::kPaused) {
    SetState(now, *remote, RemoteState::kBackoff, "resumed by the operator");
    QueueDial(*remote);
  } else if (reset_backoff) {
    QueueDial(*remote);
  }
  PumpDials(now);
  return changed;
}

void SyncEngine::DialWaiting(const Instant& now) {
  for (auto& [url, remote] : remotes_) {
    if (remote->state == RemoteState::kDiscovered || remote->state == RemoteState::kBackoff) {
      QueueDial(*remote);
    }
  }
  PumpDials(now);
  ScheduleAdmission(now);
}

}  // namespace graspd::sync
