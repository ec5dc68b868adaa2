// SyncEngine: connections, from the dial to the end, and when to try again.

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "sync/engine_state.h"

namespace graspd::sync {
namespace {

using Decision = CandidateSnapshot::Decision;

constexpr auto kMinute = std::chrono::minutes(1);
constexpr int kForbidden = 403, kTooManyRequests = 429;  // HTTP
constexpr uint16_t kDoNotReconnect = 4000;  // close code, by an older NIP-01; docs/sync.md
constexpr uint16_t kTooLong = 1009;         // our close code
// Past these the oldest is forgotten before its time.
constexpr size_t kMaxLedNowhere = 1000, kMaxPacedHosts = 10'000;

// Such a dial ended before any packet went to the relay.
bool ReachedNobody(net::DialError error) {
  return error == net::DialError::kDns || error == net::DialError::kBlocked ||
         error == net::DialError::kCrowded;
}

}  // namespace

void SyncEngine::QueueDial(Remote& remote) {
  if (remote.connection || remote.in_dial_queue) return;
  remote.in_dial_queue = true;
  ++dials_waiting_;
  remote.queue_number = next_in_queue_++;
  dial_queue_.push_back(remote.url);
}

void SyncEngine::LeaveDialQueue(Remote& remote) {
  if (!std::exchange(remote.in_dial_queue, false)) return;
  --dials_waiting_;
  std::erase(dial_queue_, remote.url);
  const auto host = paced_hosts_.find(remote.host);
  if (host != paced_hosts_.end()) std::erase(host->second, remote.url);
}

void SyncEngine::PumpDials(const Instant& now) {
  ExpireNewDials(now.steady);
  ReleaseHosts(now.steady);
  auto next = dial_queue_.begin(), kept = next;
  for (; next != dial_queue_.end() && !dialling_.full(); ++next) {
    Remote& remote = *Find(*next);
    const bool wanted = !remote.connection && remote.state != RemoteState::kPaused;
    const auto host = paced_hosts_.find(remote.host);
    if (wanted && host != paced_hosts_.end()) {
      host->second.push_back(std::move(*next));
      continue;
    }
    const bool first_time = remote.health.consecutive_failures() == 0 && remote.connected_at == 0;
    const auto payer = wanted ? Payer(remote, first_time) : std::nullopt;
    if (wanted && !payer) {  // waits for its turn; others may pass
      if (kept != next) *kept = std::move(*next);
      ++kept;
      continue;
    }
    remote.in_dial_queue = false;
    --dials_waiting_;
    if (wanted) BeginDial(now, remote, *payer, first_time);
  }
  dial_queue_.erase(kept, next);
  if (!paced_since_.empty() && host_timer_ <= now.steady) {
    host_timer_ = paced_since_.front().first + options_.host_pace;
    timers_.emplace(host_timer_, Timer{Timer::Type::kDialQueue, std::nullopt});
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

// As EngineOptions::host_pace counts them; empty if this one is not paced.
std::string SyncEngine::PacedHost(const nostr::RelayUrl& url) const {
  if (options_.host_pace == base::Duration::zero()) return "";
  if (!url.host_is_ip()) return url.host();
  const auto address = net::IpAddress::Parse(url.host());
  if (!address.ok()) return url.host();
  const auto ip = address->Unmapped();
  const bool is_local = std::any_of(options_.local_ranges.begin(), options_.local_ranges.end(),
                                    [&](const net::Cidr& range) { return range.Contains(ip); });
  return is_local ? "" : ip.ToString();
}

void SyncEngine::ReleaseHosts(base::SteadyTime now) {
  while (!paced_since_.empty() && (now - paced_since_.front().first >= options_.host_pace ||
                                   paced_since_.size() > kMaxPacedHosts)) {
    ReleaseHost(paced_since_.front().second);
    paced_since_.pop_front();
  }
}

// Who waits for it is queued: who has answered before, then whose author has the fewest places, or
// every other time who has waited longest. So nobody is kept from a host by who names it a thousand
// times, be it with as many keys.
void SyncEngine::ReleaseHost(const std::string& host) {
  auto waiting = paced_hosts_.extract(host);
  std::vector<std::pair<std::pair<bool, size_t>, nostr::RelayUrl*>> turns;
  for (auto& url : waiting.mapped()) {
    const Remote& remote = *Find(url);
    turns.push_back({{remote.connected_at == 0, places_.UsedBy({remote.place.author, ""})}, &url});
  }
  std::stable_sort(turns.begin(), turns.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  if (random_.Below(2) == 0) {
    const auto longest = std::min_element(turns.begin(), turns.end(), [&](auto& a, auto& b) {
      return Find(*a.second)->queue_number < Find(*b.second)->queue_number;
    });
    if (longest != turns.end()) std::rotate(turns.begin(), longest, std::next(longest));
  }
  for (const auto& [turn, url] : turns) dial_queue_.push_back(std::move(*url));
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
  if (!remote.host.empty()) {
    paced_hosts_.try_emplace(remote.host);
    paced_since_.emplace_back(now.steady, remote.host);
  }
  remote.payer = payer;
  remote.connection = connection;
  remote.is_open = false;
  remote.next_attempt_at = 0;
  connections_.emplace(connection, remote.url);
  SetState(now, remote, RemoteState::kConnecting);
  Emit(Dial{remote.url, connection});
  remote.information_on_its_way = now.steady >= remote.information_until;
  if (!remote.information_on_its_way) return;
  remote.document_instance.clear();
  Emit(FetchInformation{remote.url, connection});
}

// The dial is not under way any more: the remote is connected, or not to be.
void SyncEngine::EndDial(Remote& remote) { dialling_.Return(std::exchange(remote.payer, {})); }

// Ends our side of the connection; what it still says is ignored from now on.
void SyncEngine::Disconnect(const Instant& now, Remote& remote) {
  if (!remote.connection) return;
  if (!remote.is_open) EndDial(remote);
  // Nothing was missing up to now only if everything had been caught up.
  if (remote.state == RemoteState::kLive) remote.last_contact = now.unix_seconds;
  connections_.erase(*remote.connection);
  Emit(HangUp{*remote.connection});
  ForgetConnection(now, remote);
}

void SyncEngine::ForgetConnection(const Instant& now, Remote& remote) {
  remote.connection.reset();
  remote.is_open = false;
  if (remote.unjudged > 0) remote.owes_full = true;  // what becomes of that is not heard any more
  remote.dirty = remote.awaits_information = false;
  remote.unanswered.clear();
  remote.changes = {};
  remote.followed.End(now.unix_seconds);
}

void SyncEngine::OnConnected(const Instant& now, ConnectionId connection,
                             const net::DialSuccess& success) {
  Remote* remote = Find(connection);
  if (!remote || remote->is_open) return;
  EndDial(*remote);
  remote->is_open = true;
  remote->subscribed = false;
  remote->unjudged = 0;
  remote->auth = Remote::Auth::kOpen;
  remote->awaits_auth = remote->auth_refusal = false;
  remote->auth_error.clear();
  remote->address = success.address.ToString();
  remote->ip = success.address.ip;
  // Some proxies do not pass on the headers of an upgrade.
  remote->instance = success.instance.empty() ? remote->document_instance : success.instance;
  if (LeaveIfOurselves(now, *remote) || LeaveNewAlias(now, *remote)) return;
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
                               const absl::StatusOr<nostr::RelayInformation>& information,
                               const std::string& instance) {
  Remote* remote = Find(connection);
  if (!remote) return;
  remote->information_on_its_way = false;
  remote->document_instance = instance;
  if (remote->is_open && remote->instance.empty() && !instance.empty()) {
    remote->instance = instance;
    if (LeaveIfOurselves(now, *remote) || LeaveNewAlias(now, *remote)) return;
  }
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
    if (ReachedNobody(failure.error)) ForgiveDial(*remote);
  }
  if (remote->state == RemoteState::kLive) {  // as in Disconnect
    remote->last_contact =
        now.unix_seconds - std::min(now.unix_seconds, WholeSeconds(failure.silence));
  }
  connections_.erase(connection);
  ForgetConnection(now, *remote);
  if (failure.error == net::DialError::kWebSocket && failure.close_code == kTooLong) {
    NoteTooLong(now, *remote);
  } else {
    NoteBrokenReconciliation(now, *remote);
  }
  AbandonJobs(now, *remote, "the connection ended");
  auto wait = remote->health.Failed(now.steady, random_);
  if (failure.http_status == kTooManyRequests) wait = std::max(wait, options_.rate_limit_cooldown);
  const auto code = net::DialErrorName(failure.error);
  if (failure.http_status == kForbidden || failure.close_code == kDoNotReconnect) {
    Decline(now, *remote, failure.detail);
  } else if (failure.error == net::DialError::kBlocked) {
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
  ScheduleAdmission(now);  // another may have its place
  PumpDials(now);
  PumpJobs(now);
}

// A dial that ended before any packet went to the relay: no more than a question to a name server,
// and for a bare address not even that.
void SyncEngine::ForgiveDial(const Remote& remote) {
  const auto paced = std::find_if(paced_since_.rbegin(), paced_since_.rend(),
                                  [&](const auto& host) { return host.second == remote.host; });
  if (remote.url.host_is_ip() && paced != paced_since_.rend()) {
    ReleaseHost(remote.host);
    paced_since_.erase(std::next(paced).base());
  }
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

}  // namespace graspd::sync
