#include "sync/engine.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "nostr/nip34.h"
#include "sync/engine_state.h"

namespace graspd::sync {
namespace {

using nostr::RelayUrl;
using Decision = CandidateSnapshot::Decision;

constexpr size_t kReasonBytes = 256;
constexpr auto kMinute = std::chrono::minutes(1);
constexpr size_t kMaxLedNowhere = 1000;  // past it the oldest is forgotten before its minute

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

// Such a dial ended before any packet went to the relay.
bool ReachedNobody(net::DialError error) {
  return error == net::DialError::kDns || error == net::DialError::kBlocked ||
         error == net::DialError::kCrowded;
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
  remote.state = state;
  ++state_version_;
  remote.state_since = now.unix_seconds;
  base::LogInfo("sync", "remote changed state",
                {{"remote", remote.url.ToString()},
                 {"state", RemoteStateName(state)},
                 {"reason", remote.state_reason}});
}

// ---- discovery -------------------------------------------------------------------------------

void SyncEngine::Load(const nostr::Event& event) { index_.Add(event); }

void SyncEngine::Start(const Instant& now) {
  for (const auto& url : options_.bootstrap) Consider(now, url, RemoteOrigin::kConfig);
  for (const auto& url : index_.Relays()) Consider(now, url, RemoteOrigin::kDiscovered);
  RecordUnusable(now, index_.Unusable());
  started_ = true;
}

void SyncEngine::OnChanges(const Instant& now, std::span<const storage::Change> changes) {
  RepoIndex::Affected affected;
  for (const auto& change : changes) {
    if (change.ephemeral) continue;
    RepoIndex::Affected more;
    if (change.type == storage::Change::Type::kRemoved) {
      more = index_.Remove(change.id);
    } else if (change.event) {
      more = index_.Add(change.event->event);
      RecordUnusable(now, index_.UnusableOf(change.id));
    }
    for (const auto& [url, delta] : more) affected[url].Merge(delta);
  }
  hopeless_share_ = SIZE_MAX;
  for (const auto& [url, delta] : affected) MarkDirty(now, url, delta);
  PumpDials(now);
}

void SyncEngine::MarkDirty(const Instant& now, const RelayUrl& url, const ScopeDelta& delta) {
  Remote* remote = Find(url);
  if (!remote) {
    if (index_.ReferencesTo(url) > 0) {
      Consider(now, url, RemoteOrigin::kDiscovered);
    } else {
      candidates_.erase(url.ToString());
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
  remote->changes.Merge(delta);
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
  if (places_.full() && !MakeRoomFor(now, place)) {
    RecordCandidate(now, url.ToString(), Decision::kOverLimit, "the limit of remotes is reached");
    return;
  }
  RecordCandidate(now, url.ToString(), Decision::kAccepted,
                  origin == RemoteOrigin::kConfig ? "configured" : "named by an announcement");
  auto& remote =
      *remotes_.emplace(url, std::make_unique<Remote>(url, origin, options_.health)).first->second;
  remote.place = place;
  remote.number = next_remote_++;
  places_.Take(place);
  remote.state_since = now.unix_seconds;
  ++state_version_;
  if (paused_.contains(url)) {
    SetState(now, remote, RemoteState::kPaused, "paused by the operator");
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
    const bool in_vain = remote->connected_at == 0 && remote->health.consecutive_failures() > 0;
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
  Remove(now, *leaves, "the remote left its place to another");
  RecordCandidate(now, url, Decision::kOverLimit, "left its place to another");
  return true;
}

void SyncEngine::RecordCandidate(const Instant& now, const std::string& url, Decision decision,
                                 std::string_view reason) {
  auto found = candidates_.find(url);
  if (found == candidates_.end()) {
    // Full: the list keeps what it has, so that a flood cannot push out what was there before it.
    if (candidates_.size() >= options_.max_candidates) return;
    found =
        candidates_
            .emplace(url,
                     CandidateSnapshot{.url = url, .first_seen = now.unix_seconds, .reason = {}})
            .first;
  }
  found->second.decision = decision;
  found->second.reason = reason.substr(0, kReasonBytes);
}

void SyncEngine::RecordUnusable(const Instant& now, const std::vector<UnusableRelay>& relays) {
  for (const auto& relay : relays) {
    RecordCandidate(now, relay.text, Decision::kInvalid, relay.reason);
  }
}

void SyncEngine::Forget(const Instant& now, Remote& remote) {
  candidates_.erase(remote.url.ToString());
  Remove(now, remote, "the remote is no longer named by any announcement");
  AdmitOneMore(now);
  PumpDials(now);
  PumpJobs(now);
}

// `remote` is gone afterwards.
void SyncEngine::Remove(const Instant& now, Remote& remote, std::string_view reason) {
  base::LogInfo("sync", "remote removed", {{"remote", remote.url.ToString()}, {"reason", reason}});
  AbandonJobs(now, remote, reason);
  ReleaseAliases(now, remote, base::Duration(0));
  Disconnect(remote);
  std::erase(dial_queue_, remote.url);
  for (const auto& [type, timer] : remote.timers) timers_.erase(timer);
  places_.Return(remote.place);
  remotes_.erase(RelayUrl(remote.url));
  ++state_version_;
}

// A place has become free: the first of those that were over the limit takes it.
void SyncEngine::AdmitOneMore(const Instant& now) {
  for (const auto& [text, candidate] : candidates_) {
    if (candidate.decision != Decision::kOverLimit) continue;
    const auto url = RelayUrl::Parse(text);
    if (!url.ok() || index_.ReferencesTo(*url) == 0) continue;
    Consider(now, *url, RemoteOrigin::kDiscovered);
    return;
  }
}

// ---- dialling --------------------------------------------------------------------------------

void SyncEngine::QueueDial(Remote& remote) {
  if (remote.connection || remote.in_dial_queue) return;
  remote.in_dial_queue = true;
  dial_queue_.push_back(remote.url);
}

void SyncEngine::PumpDials(const Instant& now) {
  ExpireNewDials(now.steady);
  for (auto next = dial_queue_.begin(); next != dial_queue_.end() && !dialling_.full();) {
    Remote* remote = Find(*next);
    const bool wanted = !remote->connection && remote->state != RemoteState::kPaused;
    const bool first_time = remote->health.consecutive_failures() == 0 && remote->connected_at == 0;
    const auto payer = wanted ? Payer(*remote, first_time) : std::nullopt;
    if (wanted && !payer) {
      ++next;  // waits for its turn; others may pass
      continue;
    }
    next = dial_queue_.erase(next);
    remote->in_dial_queue = false;
    if (wanted) BeginDial(now, *remote, *payer, first_time);
  }
  if (dial_queue_.empty() || (new_dials_.empty() && led_nowhere_.empty()) ||
      dial_timer_ > now.steady) {
    return;
  }
  const auto oldest = [&](const std::deque<NewDial>& dials) {
    return dials.empty() ? now.steady : dials.front().at;
  };
  dial_timer_ = std::min(oldest(new_dials_), oldest(led_nowhere_)) + kMinute;
  timers_.emplace(dial_timer_, Timer{Timer::Type::kDialQueue, std::nullopt});
}

void SyncEngine::ExpireNewDials(base::SteadyTime now) {
  while (!new_dials_.empty() && now - new_dials_.front().at >= kMinute) {
    dialled_anew_.Return(new_dials_.front().payer);
    new_dials_.pop_front();
  }
  while (!led_nowhere_.empty() &&
         (now - led_nowhere_.front().at >= kMinute || led_nowhere_.size() > kMaxLedNowhere)) {
    dialled_anew_.ReturnForgiven(led_nowhere_.front().payer);
    led_nowhere_.pop_front();
  }
}

// Who is charged for dialling the remote now: any author who names it and has a share left. Nobody
// if there is none, or if the remote's site has none.
std::optional<DialAccount> SyncEngine::Payer(const Remote& remote, bool first_time) const {
  if (first_time && dialled_anew_.full()) return std::nullopt;
  if (remote.origin == RemoteOrigin::kConfig) return DialAccount();
  const auto may_take = [&](const auto& who) {
    return dialling_.MayTake(who) && (!first_time || dialled_anew_.MayTake(who));
  };
  DialAccount account{std::nullopt, remote.place.site};
  const bool found =
      may_take(account.site) && index_.AnyAuthor(remote.url, [&](const nostr::PublicKey& author) {
        account.author = author;
        return may_take(author);
      });
  return found ? std::optional(account) : std::nullopt;
}

void SyncEngine::BeginDial(const Instant& now, Remote& remote, const DialAccount& payer,
                           bool first_time) {
  const ConnectionId connection{next_connection_++};
  dialling_.Take(payer);
  if (first_time) {
    dialled_anew_.Take(payer);
    new_dials_.push_back({now.steady, connection, payer});
  }
  remote.payer = payer;
  remote.connection = connection;
  remote.is_open = false;
  remote.next_attempt_at = 0;
  connections_.emplace(connection, remote.url);
  SetState(now, remote, RemoteState::kConnecting);
  Emit(Dial{remote.url, connection});
  remote.information_on_its_way = now.steady >= remote.information_until;
  if (remote.information_on_its_way) Emit(FetchInformation{remote.url, connection});
}

// The dial is not under way any more: the remote is connected, or not to be.
void SyncEngine::EndDial(Remote& remote) { dialling_.Return(std::exchange(remote.payer, {})); }

// Ends our side of the connection; what it still says is ignored from now on.
void SyncEngine::Disconnect(Remote& remote) {
  if (!remote.connection) return;
  if (!remote.is_open) EndDial(remote);
  connections_.erase(*remote.connection);
  Emit(HangUp{*remote.connection});
  remote.connection.reset();
  remote.is_open = false;
  remote.dirty = remote.awaits_information = false;
  remote.changes = {};
}

void SyncEngine::OnConnected(const Instant& now, ConnectionId connection,
                             const net::DialSuccess& success) {
  Remote* remote = Find(connection);
  if (!remote || remote->is_open) return;
  EndDial(*remote);
  remote->is_open = true;
  remote->unjudged = 0;
  remote->auth = Remote::Auth::kOpen;
  remote->awaits_auth = remote->auth_refusal = false;
  remote->auth_error.clear();
  remote->address = success.address.ToString();
  remote->ip = success.address.ip;
  remote->instance = success.instance;
  if (!options_.instance.empty() && success.instance == options_.instance) {
    RecordCandidate(now, remote->url.ToString(), Decision::kSelf, "answers as ourselves");
    Disconnect(*remote);
    SetState(now, *remote, RemoteState::kBlocked, "is ourselves under another name");
    PumpDials(now);
    return;
  }
  if (LeaveNewAlias(now, *remote)) return;
  if (const auto known = candidates_.find(remote->url.ToString());
      known != candidates_.end() && known->second.decision != Decision::kAccepted) {
    RecordCandidate(now, known->first, Decision::kAccepted, "may be dialled by now");
  }
  remote->connected_at = now.unix_seconds;
  remote->health.Connected(now.steady);
  // Whether it reconciles is found out anew on each connection, unless it refused not long ago.
  remote->method =
      now.steady < remote->no_negentropy_until ? SyncMethod::kReq : SyncMethod::kUnknown;
  SetState(now, *remote, RemoteState::kSyncing);
  if (remote->information_on_its_way) {
    remote->awaits_information = true;
    Arm(now.steady + options_.information_patience, Timer::Type::kInformation, *remote);
  } else {
    BeginSync(now, *remote);
  }
  if (!remote->timers.contains(Timer::Type::kDaily)) ScheduleDaily(now, *remote);
  PumpDials(now);
}

void SyncEngine::OnInformation(const Instant& now, ConnectionId connection,
                               const absl::StatusOr<nostr::RelayInformation>& information) {
  Remote* remote = Find(connection);
  if (!remote) return;
  remote->information_on_its_way = false;
  if (information.ok()) {
    remote->limits = LimitsOf(*information);
    remote->says_auth_required = information->auth_required;
    remote->information_until = now.steady + options_.information_lifetime;
  } else {
    base::LogDebug("sync", "no information document",
                   {{"remote", remote->url.ToString()}, {"reason", information.status()}});
  }
  if (remote->awaits_information) BeginSync(now, *remote);
}

void SyncEngine::BeginSync(const Instant& now, Remote& remote) {
  remote.awaits_information = false;
  // Who says so commonly challenges at once.
  if (remote.says_auth_required &&
      AwaitAuthentication(now, remote, options_.information_patience)) {
    return;
  }
  CatchUpAll(now, remote, FirstSource(remote));
}

storage::Source SyncEngine::FirstSource(const Remote& remote) {
  return remote.last_contact != 0 ? storage::Source::kReconnect : storage::Source::kStartup;
}

void SyncEngine::OnDisconnected(const Instant& now, ConnectionId connection,
                                const net::DialFailure& failure) {
  Remote* remote = Find(connection);
  if (!remote) return;
  if (!remote->is_open) {
    EndDial(*remote);
    if (ReachedNobody(failure.error)) ForgiveNewDial(*remote);
  }
  // Nothing was missing up to now only if everything had been caught up.
  if (remote->state == RemoteState::kLive) remote->last_contact = now.unix_seconds;
  connections_.erase(connection);
  remote->connection.reset();
  remote->is_open = false;
  remote->dirty = remote->awaits_information = false;
  remote->changes = {};
  AbandonJobs(now, *remote, "the connection ended");
  const auto wait = remote->health.Failed(now.steady, random_);
  const auto code = net::DialErrorName(failure.error);
  if (failure.error == net::DialError::kBlocked) {
    RecordCandidate(now, remote->url.ToString(), Decision::kForbidden, failure.detail);
    BackOff(now, *remote, options_.forbidden_retry, code, failure.detail, RemoteState::kBlocked);
  } else {
    if (failure.error == net::DialError::kCrowded) {
      RecordCandidate(now, remote->url.ToString(), Decision::kCrowded, failure.detail);
    }
    BackOff(now, *remote, wait, code, failure.detail,
            remote->health.IsDead(now.steady) ? RemoteState::kDead : RemoteState::kBackoff);
  }
}

// The connection is over: `code` and `detail` say how, and after `wait` the remote is dialled
// again.
void SyncEngine::BackOff(const Instant& now, Remote& remote, base::Duration wait,
                         std::string_view code, std::string_view detail, RemoteState state) {
  remote.last_error = detail;
  remote.last_error_code = code;
  remote.last_error_at = now.unix_seconds;
  SetState(now, remote, state, detail);
  remote.next_attempt = now.steady + wait;
  remote.next_attempt_at = now.unix_seconds + WholeSeconds(wait);
  Arm(remote.next_attempt, Timer::Type::kDial, remote);
  ReleaseAliases(now, remote, wait);
  PumpDials(now);
  PumpJobs(now);
}

// A dial that ended before any packet went to the relay: no more than a question to a name server,
// and for a bare address not even that.
void SyncEngine::ForgiveNewDial(const Remote& remote) {
  const auto dial = std::find_if(new_dials_.rbegin(), new_dials_.rend(), [&](const NewDial& other) {
    return other.connection == remote.connection;
  });
  if (dial == new_dials_.rend()) return;
  if (remote.url.host_is_ip()) {
    dialled_anew_.Return(dial->payer);
  } else {
    dialled_anew_.Forgive();
    led_nowhere_.push_back(std::move(*dial));
  }
  new_dials_.erase(std::next(dial).base());
}

// ---- subscriptions ---------------------------------------------------------------------------

void SyncEngine::UpdateScope(const Instant& now, Remote& remote) {
  remote.dirty = false;
  if (!remote.connected()) return;
  remote.last_update = now.steady;
  auto diff = remote.plan.Apply(std::exchange(remote.changes, {}));
  if (diff.empty()) return;
  Carry(now, remote, std::move(diff), storage::Source::kStartup);
}

// Opens every live subscription, and behind them catches up with everything: by negentropy that
// costs no more than the difference. Pages begin at the last moment when nothing was missing, if
// that is recent.
void SyncEngine::CatchUpAll(const Instant& now, Remote& remote, storage::Source source) {
  remote.dirty = remote.closed_subscription = remote.failed_job = remote.auth_refusal = false;
  remote.changes = {};
  remote.awaits_information = false;
  remote.last_update = now.steady;
  remote.plan.SetLimits(remote.limits.plan);
  const auto added = remote.plan.Update(index_.Scope(remote.url));
  const bool windowed = remote.last_contact != 0 && !remote.owes_full &&
                        now.unix_seconds - remote.last_contact <= options_.reconnect_window_seconds;
  std::optional<uint64_t> pages_since;
  if (windowed) {
    pages_since =
        remote.last_contact - std::min(remote.last_contact, options_.reconnect_overlap_seconds);
    // What came into scope meanwhile was never caught up before.
    for (const auto& filter : added.catch_up) QueueJob(now, remote, filter, source);
  }
  remote.full_round = true;
  Carry(now, remote, remote.plan.OpenAll(), source, pages_since);
}

// Live subscriptions first and catch-up behind them, so that nothing falls in between.
void SyncEngine::Carry(const Instant& now, Remote& remote, SubscriptionPlan::Diff diff,
                       storage::Source source, std::optional<uint64_t> pages_since) {
  for (auto& subscription : diff.close) Emit(Unsubscribe{*remote.connection, subscription});
  for (auto& open : diff.open) {
    Emit(Subscribe{*remote.connection, std::move(open.subscription), std::move(open.filters),
                   storage::Source::kLive});
  }
  for (auto& filter : diff.catch_up) {
    QueueJob(now, remote, std::move(filter), source, pages_since);
  }
  PumpJobs(now);
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
  remote->unjudged += events.size();
  remote->last_event_at = now.unix_seconds;
  for (const auto& event : events) {
    const Job* job = JobOf(*remote, event.subscription);
    if (!job) continue;
    WithJob(now, *remote, job->id, [&](CatchUpJob& run, CatchUpJob::Actions& out) {
      run.OnEvent(now.steady, event.subscription, event.id, event.created_at, out);
    });
  }
}

void SyncEngine::OnJudged(const Instant& now, ConnectionId connection,
                          std::span<const Judged> events) {
  Remote* remote = Find(connection);
  if (!remote) return;
  uint64_t forged = 0;
  for (const auto& event : events) {
    switch (event.code) {
      case ingest::Code::kStored:
        ++remote->counts.stored;
        remote->health.Useful();
        if (event.source == storage::Source::kReconnect ||
            event.source == storage::Source::kDaily) {
          ++remote->counts.gap_filled;
        }
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
        RememberUndelivered(now, *remote, event.id);
        forged += event.forged ? 1 : 0;
        break;
      case ingest::Code::kDeleted:
      case ingest::Code::kExpired:
      case ingest::Code::kRefused:
        ++remote->counts.rejected;
        break;
      case ingest::Code::kError:
        remote->failed_job = remote->owes_full = true;  // our store could not take it: ask again
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

void SyncEngine::OnBadMessages(const Instant& now, ConnectionId connection, uint64_t count,
                               bool strays) {
  Remote* remote = Find(connection);
  if (!remote) return;
  remote->counts.invalid += count;
  if (strays) return;
  Offend(now, *remote, count * options_.bad_message_points,
         "sent too much that nobody asked for, or that makes no sense");
}

void SyncEngine::OnClosed(const Instant& now, ConnectionId connection,
                          std::string_view subscription, std::string_view reason) {
  Remote* remote = Find(connection);
  if (!remote) return;
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
  if (!std::exchange(remote->closed_subscription, true)) {
    base::LogWarn(
        "sync", "remote closed a live subscription",
        {{"remote", remote->url.ToString()}, {"subscription", subscription}, {"reason", reason}});
  }
  SettleState(now, *remote);
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
      case Timer::Type::kUpdate:
        if (remote && remote->dirty) UpdateScope(now, *remote);
        break;
      case Timer::Type::kJobs:
        if (remote) CheckJobs(now, *remote);
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
    if (remote->state == RemoteState::kLive) remote->last_contact = now.unix_seconds;
    AbandonJobs(now, *remote, "the remote was paused");
    Disconnect(*remote);
    ReleaseAliases(now, *remote, base::Duration(0));
    if (remote->in_dial_queue) std::erase(dial_queue_, url);
    remote->in_dial_queue = false;
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
}

}  // namespace graspd::sync
