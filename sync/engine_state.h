// The engine's records of remotes and jobs, shared by its .cc files.
#pragma once

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_set>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "sync/engine.h"
#include "sync/remote_limits.h"

namespace graspd::sync {

inline constexpr size_t kReasonBytes = 256;  // of a text that others wrote

inline uint64_t WholeSeconds(base::Duration duration) {
  return static_cast<uint64_t>(
      std::chrono::ceil<std::chrono::seconds>(std::max(duration, base::Duration::zero())).count());
}

struct SyncEngine::Job {
  Job(const nostr::RelayUrl& url, nostr::Filter wanted, storage::Source how,
      std::optional<uint64_t> pages_begin)
      : remote(url), filter(std::move(wanted)), source(how), pages_since(pages_begin) {}

  uint64_t id = 0;
  nostr::RelayUrl remote;
  nostr::Filter filter;
  storage::Source source;
  std::optional<uint64_t> pages_since;                        // see CatchUpJob
  std::optional<SubscriptionPlan::Round::Position> position;  // if it is of a round
  uint64_t created_at = 0, started_at = 0;
  base::SteadyTime slot_since{};  // of the run
  uint32_t rate_limits = 0;       // in a row
  bool by_hand = false;           // somebody has been told its id
  std::optional<CatchUpJob> run;  // set while running
};

/// When a remote was followed by live subscriptions to everything that was wanted of it, in Unix
/// seconds; the latest times.
class FollowedTimes {
 public:
  void Begin(uint64_t now) {
    if (since_ == 0) since_ = now;
  }
  void End(uint64_t now) {
    if (since_ == 0) return;
    past_.emplace_back(std::exchange(since_, 0), now);
    if (past_.size() > kPast) past_.pop_front();
  }
  /// With some room at both ends, for clocks differ and events take their time.
  [[nodiscard]] bool Contains(uint64_t when, uint64_t now) const {
    const auto within = [when](uint64_t since, uint64_t until) {
      return since + kRoom <= when && when + kRoom <= until;
    };
    return (since_ != 0 && within(since_, now)) ||
           std::any_of(past_.begin(), past_.end(),
                       [&](const auto& time) { return within(time.first, time.second); });
  }

 private:
  static constexpr uint64_t kRoom = 60;
  static constexpr size_t kPast = 8;
  uint64_t since_ = 0;  // 0 = not now
  std::deque<std::pair<uint64_t, uint64_t>> past_;
};

/// How a remote behaves, as far as that must outlast its being named: to be forgotten and named
/// again must win nobody anything.
struct SyncEngine::Conduct {
  explicit Conduct(const HealthOptions& options) : health(options) {}
  RelayHealthTracker health;
  base::SteadyTime next_attempt{};
  double offences = 0;  // points, as of then
  base::SteadyTime offences_at{};
  base::SteadyTime no_negentropy_until{};
  RemoteState waits_as = RemoteState::kBackoff;
  uint32_t times_forgotten = 0;
  base::SteadyTime forgotten_at{};  // the latest time
};

struct SyncEngine::Remote : Conduct {
  Remote(nostr::RelayUrl u, RemoteOrigin o, const HealthOptions& health_options)
      : Conduct(health_options), url(std::move(u)), origin(o) {}

  [[nodiscard]] bool connected() const { return connection && is_open; }
  [[nodiscard]] bool rate_limited(base::SteadyTime now) const { return now < rate_limited_until; }

  nostr::RelayUrl url;
  RemoteOrigin origin;
  std::string host;     // see host_pace; empty if it is not paced
  DialAccount place;    // who has the place
  uint64_t number = 0;  // grows with each remote
  RemoteState state = RemoteState::kDiscovered;
  std::string state_reason;
  uint64_t state_since = 0;
  std::map<Timer::Type, Timers::iterator> timers;

  // Connection.
  std::optional<ConnectionId> connection;  // from Dial to its end
  bool is_open = false;
  bool in_dial_queue = false;  // or waits for its host
  uint64_t queue_number = 0;   // grows with each that is queued
  DialAccount payer;           // of the dial under way
  std::string address;
  net::IpAddress ip;                        // of the latest connection
  std::string instance;                     // what it called itself then, or in its document
  std::optional<nostr::RelayUrl> alias_of;  // the remote that was followed instead
  uint64_t connected_at = 0;
  uint64_t last_contact = 0;  // when we last knew that nothing was missing, 0 = never
  std::string last_error, last_error_code;
  uint64_t last_error_at = 0, next_attempt_at = 0;

  // What it says of itself (NIP-11).
  bool information_on_its_way = false;
  std::string document_instance;    // that came with the latest document
  bool awaits_information = false;  // connected, but nothing is asked yet
  bool says_auth_required = false;
  base::SteadyTime information_until{};
  RemoteLimits limits = LimitsOf({});

  // Authentication (NIP-42), of this connection.
  enum class Auth : uint8_t { kOpen, kAccepted, kFailed } auth = Auth::kOpen;
  bool awaits_auth = false;   // what was refused is asked again once it has come to an end
  bool auth_refusal = false;  // something was refused for want of it
  std::string auth_error;     // why it failed

  // What is asked of it.
  SubscriptionPlan plan;
  bool dirty = false;   // an update is scheduled
  ScopeChange changes;  // that it will make
  base::Duration coalesce{};
  base::SteadyTime last_update{};
  // Live subscriptions that the remote has not answered yet.
  struct Unanswered {
    base::SteadyTime since{}, first{};  // our latest REQ of that name, and the first
    uint64_t first_at = 0;              // the same in Unix seconds
    uint32_t reqs = 0;                  // less the EOSEs that have come
    bool one_came = false;              // since the latest
    bool again = false;                 // asked once more, because one was missing
  };
  std::map<std::string, Unanswered, std::less<>> unanswered;
  bool closed_subscription = false;  // the remote ended a live subscription, or did not take it
  std::set<std::string, std::less<>> blocked_subscriptions;  // those it ended with "blocked:"
  base::Duration repair_wait{};                              // before the next try to close a gap
  base::SteadyTime last_repair{};
  base::SteadyTime rate_limited_until{};
  uint64_t rate_limited_until_unix = 0;

  // Catching up.
  std::deque<uint64_t> waiting;
  std::set<uint64_t> running;
  bool subscribed = false;  // live subscriptions are open on this connection
  bool failed_job = false;  // since the connection was made
  bool owes_full = false;   // some catch-up without window was not finished: the next has none
  uint64_t unjudged = 0;    // events delivered on this connection that ingest has not answered for
  base::SteadyTime judging_since{};  // when the first of these came, or its latest answer
  FollowedTimes followed;
  SubscriptionPlan::Round round;  // a comparison of all: what is not queued yet
  storage::Source round_source = storage::Source::kStartup;
  std::optional<uint64_t> round_pages_since;
  uint64_t round_began_at = 0;
  uint64_t gaps_of_round = 0;
  nostr::EventId last_gap;
  bool full_round = false;              // what is under way covers all that the remote has for us
  uint32_t broken_reconciliations = 0;  // by the end of the connection, since it was live
  bool asks_singly = false;             // one event at a time: some message is too long for us
  std::set<nostr::EventId> too_long_suspects;  // alone asked for when one came
  // Asked for in vain, not to be asked for again until then; oldest first.
  std::deque<std::pair<base::SteadyTime, nostr::EventId>> undelivered_until;
  std::unordered_set<nostr::EventId> undelivered;
  // Which job fetches an event, so that filters which overlap do not fetch it twice. The latest
  // ones, until all jobs have ended: what was delivered may not be stored yet.
  absl::flat_hash_map<nostr::EventId, uint64_t, std::hash<nostr::EventId>> claimed;
  std::deque<nostr::EventId> claims;  // the same, oldest first
  SyncMethod method = SyncMethod::kUnknown;
  uint64_t last_event_at = 0, last_full_reconcile_at = 0;
  RemoteCounts counts;
};

}  // namespace graspd::sync
