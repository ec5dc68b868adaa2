// The decisions of proactive sync (GRASP-02), free of I/O.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/keyed_hash.h"
#include "base/random.h"
#include "ingest/event_sink.h"
#include "net/dialer.h"
#include "net/socket_address.h"
#include "nostr/filter.h"
#include "nostr/nip11.h"
#include "nostr/relay_url.h"
#include "storage/event_store.h"
#include "sync/catchup_job.h"
#include "sync/fair_limit.h"
#include "sync/filter_service.h"
#include "sync/relay_health.h"
#include "sync/repo_index.h"
#include "sync/status.h"

namespace graspd::sync {

/// Both times at the moment of an input: deadlines use the first, records for people the second.
struct Instant {
  base::SteadyTime steady;
  uint64_t unix_seconds = 0;
};

/// One of our connections to a remote. Numbers are never reused, so that what an earlier connection
/// still had to say is told apart.
struct ConnectionId {
  uint64_t value = 0;
  auto operator<=>(const ConnectionId&) const = default;
};

// ---- what the engine asks for ----------------------------------------------------------------

struct Dial {
  nostr::RelayUrl remote;
  ConnectionId connection;
};
/// Fetch what the relay says of itself (NIP-11).
struct FetchInformation {
  nostr::RelayUrl remote;
  ConnectionId connection;
};
struct HangUp {
  ConnectionId connection;
};
/// Send a REQ; accept its events as coming by `source`, if they match.
struct Subscribe {
  ConnectionId connection;
  std::string subscription;
  std::vector<nostr::Filter> filters;
  storage::Source source;
};
struct Unsubscribe {
  ConnectionId connection;
  std::string subscription;
};
struct NegOpen {
  ConnectionId connection;
  std::string subscription;
  nostr::Filter filter;
  std::string bytes;
};
struct NegMsg {
  ConnectionId connection;
  std::string subscription;
  std::string bytes;
};
struct NegClose {
  ConnectionId connection;
  std::string subscription;
};
struct ReconcileStart {
  uint64_t job;
  nostr::Filter filter;
  size_t frame_bytes;  // of a message, at most
};
struct ReconcileContinue {
  uint64_t job;
  std::string reply;
};
struct ReconcileDrop {
  uint64_t job;
};
using Action = std::variant<Dial, FetchInformation, HangUp, Subscribe, Unsubscribe, NegOpen, NegMsg,
                            NegClose, ReconcileStart, ReconcileContinue, ReconcileDrop>;

// ---- what the engine is told -----------------------------------------------------------------

/// An event delivered by a remote that passed the connection's own checks (known subscription,
/// matches its filters) and went on to ingest.
struct Delivered {
  std::string subscription;
  nostr::EventId id;
  uint64_t created_at = 0;
};
/// What ingest made of a delivered event.
struct Judged {
  storage::Source source;
  ingest::Code code;
  nostr::EventId id;  // as the remote gave it
  uint64_t created_at = 0;
  bool forged = false;
};

struct EngineOptions {
  std::vector<nostr::RelayUrl> bootstrap;
  /// Hosts of our own public URLs: never dialled.
  std::vector<nostr::HostPort> own_hosts;
  /// Tells which announcements list us, where only their repositories concern us (RepoIndex); null
  /// where every stored one does. Called on the sync thread and in Load().
  RepoIndex::ListsUs lists_us;
  /// The value of our own Graspd-Instance header: who answers with it is ourselves by another name.
  std::string instance;
  base::Duration startup_delay = std::chrono::seconds(5);
  base::Duration startup_jitter = std::chrono::seconds(2);
  size_t max_remotes = 500;
  size_t max_candidates = 10'000;
  size_t concurrent_dials = 16;
  /// Relays dialled for the first time. A dial that ended before any packet went to the relay (no
  /// such name, a forbidden address) counts for its account alone.
  size_t new_remotes_per_minute = 60;
  /// Dials of one host, whatever its URLs, begin at least so far apart. All ports of a name are one
  /// host, and so are those of a bare address, but for addresses in `local_ranges` and dials of one
  /// that ended before any packet.
  base::Duration host_pace = std::chrono::seconds(5);
  std::vector<net::Cidr> local_ranges;  // the operator's (sync.allow_cidrs)
  size_t jobs_in_total = 16;
  /// After so long a job gives its slot to a remote that waits for its first one.
  base::Duration job_slice = std::chrono::seconds(60);
  size_t jobs_per_remote = 3;  // relays commonly allow few NEG sessions on a connection
  /// Waiting, for what comes into scope or is asked for by hand; where it is more, everything is
  /// compared. A comparison of everything queues a portion when nothing waits any more. A portion
  /// of each remote, and the rest of a group (3 jobs), may always wait: so many can come on top of
  /// the total. A job takes about 10 kB.
  size_t queued_jobs_per_remote = 1000, queued_jobs_in_total = 10'000, jobs_per_portion = 16;
  size_t job_history = 256;
  /// Forgotten ones may be fetched for another filter again.
  size_t claims_per_remote = 200'000, claims_in_total = 2'000'000;
  base::Duration rate_limit_cooldown = std::chrono::seconds(65);
  base::Duration negentropy_retry = std::chrono::hours(24);  // after a remote refused NIP-77
  uint32_t broken_reconciliations = 3;  // by the end of a connection, before it was live: a refusal
  /// Ids that a remote has but never delivers are not asked for again for so long; the latest so
  /// many are remembered.
  base::Duration undelivered_retry = std::chrono::hours(24);
  size_t undelivered_per_remote = 10'000;
  /// A connection begins with what the relay says of itself, if it says so within this time; else
  /// with what relays commonly allow. What it said holds for so long.
  base::Duration information_patience = std::chrono::seconds(2);
  base::Duration information_lifetime = std::chrono::hours(24);
  /// Of a remote that is no longer named, it is remembered for so long how it behaved, and when it
  /// may be dialled again; of so many at most, then of the latest. Who is named again and again is
  /// dialled ever later.
  base::Duration former_remembered = std::chrono::hours(24);
  size_t former_remotes = 10'000;
  base::Duration longest_renaming_wait = std::chrono::minutes(10);
  base::Duration forbidden_retry = std::chrono::hours(24);  // after AddressGuard refused
  base::Duration declined_retry = std::chrono::hours(24);  // after the relay said to leave it alone
  /// A remote that seems to be another by a second name is left, and compared with after so long.
  /// One that is ourselves is looked at again after the second of these.
  base::Duration alias_first_check = std::chrono::hours(1), alias_check = std::chrono::hours(24);
  /// A live subscription is followed once its EOSE has come; without one for so long it is a gap.
  base::Duration live_patience = std::chrono::seconds(45);
  base::Duration repair_after = std::chrono::seconds(65);  // a gap is tried again, doubling to
  base::Duration repair_at_most = std::chrono::hours(1);   // this
  /// Connections answer NIP-42 challenges. Then who refuses with "auth-required:" is asked again
  /// once it has taken our AUTH, at the latest after so long.
  bool authenticates = false;
  base::Duration authentication_patience = std::chrono::seconds(10);
  /// What a remote does wrong costs points, a forged event and any other bad message; we hang up at
  /// so many. One is forgiven in each such time, and only time forgives: not a new connection.
  uint32_t offence_limit = 100, forgery_points = 20, bad_message_points = 1;
  base::Duration offence_forgiven = std::chrono::seconds(6);
  uint32_t rate_limits_per_job = 10;  // in a row without progress, then the job fails
  base::Duration daily_least = std::chrono::hours(23);  // full reconciliation of each remote, at
  base::Duration daily_spread = std::chrono::hours(2);  // a random time of its own
  base::Duration first_coalesce = std::chrono::milliseconds(10);
  base::Duration max_coalesce = std::chrono::seconds(5);
  /// After a reconnect pages go back to the last contact less this, if that is at most
  /// `reconnect_window` ago; else, as always by negentropy, everything is caught up.
  uint64_t reconnect_overlap_seconds = 1800;
  uint64_t reconnect_window_seconds = 3 * 24 * 3600;
  HealthOptions health;
};

/// Which relays to talk to, what to ask them, when to try again.
///
/// Every method takes what happened and when, and appends to the actions that TakeActions() hands
/// out; nothing here waits, sends or reads a clock. After each input the caller carries out the
/// actions and arranges to call OnTimer() at NextDeadline().
///
/// The dials and the places of remotes are shared fairly between the authors who name relays and
/// the sites that these belong to (FairLimit), so that a flood of either does not keep others
/// waiting.
///
/// Bounds: max_remotes, former_remotes, max_candidates, queued_jobs_per_remote,
/// queued_jobs_in_total and a portion for each remote, job_history, claims_in_total; the RepoIndex
/// is as large as the store's announcements and roots. Threading: thread-compatible; lives on the
/// sync thread.
class SyncEngine {
 public:
  SyncEngine(EngineOptions options, base::Random& random);
  ~SyncEngine();

  // Start: first what is stored (announcements before roots), then Start(), which schedules the
  // remotes named so far after the start-up delay; those discovered later are dialled at once.
  void Load(const nostr::Event& event);
  void Start(const Instant& now);
  /// Stored and removed events, in commit order (ephemeral ones and other kinds are ignored).
  void OnChanges(const Instant& now, std::span<const storage::Change> changes);

  // Connections. Inputs for a connection that is no longer the remote's present one are ignored.
  void OnConnected(const Instant& now, ConnectionId connection, const net::DialSuccess& success);
  /// `instance`: as in DialSuccess, from the answer with the document.
  void OnInformation(const Instant& now, ConnectionId connection,
                     const absl::StatusOr<nostr::RelayInformation>& information,
                     const std::string& instance);
  void OnDisconnected(const Instant& now, ConnectionId connection, const net::DialFailure& failure);
  void OnDelivered(const Instant& now, ConnectionId connection, std::span<const Delivered> events);
  void OnJudged(const Instant& now, ConnectionId connection, std::span<const Judged> events);
  /// Messages that were not what we asked for: unknown subscription, no match, malformed, endless.
  /// Strays, events of a subscription that its filters do not select, are counted and no more.
  void OnBadMessages(const Instant& now, ConnectionId connection, uint64_t count,
                     bool strays = false);
  /// An event that cannot be read; what it seems to be.
  void OnUnreadable(const Instant& now, ConnectionId connection, std::string_view subscription,
                    const nostr::EventId& id, std::optional<uint64_t> created_at);
  void OnEose(const Instant& now, ConnectionId connection, std::string_view subscription);
  void OnClosed(const Instant& now, ConnectionId connection, std::string_view subscription,
                std::string_view reason);
  void OnNotice(const Instant& now, ConnectionId connection, std::string_view text);
  void OnNegMsg(const Instant& now, ConnectionId connection, std::string_view subscription,
                std::string bytes);
  void OnNegErr(const Instant& now, ConnectionId connection, std::string_view subscription,
                std::string_view reason);
  /// The remote has answered our AUTH.
  void OnAuthenticated(const Instant& now, ConnectionId connection, bool accepted,
                       std::string_view message);
  void OnReconcileStep(const Instant& now, uint64_t job, absl::StatusOr<ReconcileStep> step);

  void OnTimer(const Instant& now);
  [[nodiscard]] std::optional<base::SteadyTime> NextDeadline() const;
  [[nodiscard]] size_t timer_count() const { return timers_.size(); }
  [[nodiscard]] size_t queued_jobs() const { return jobs_.size(); }
  [[nodiscard]] std::vector<Action> TakeActions();

  // Operators. Errors: kNotFound for an unknown remote.
  /// Pauses a remote, whether it is known yet or not: it stays paused when it is discovered.
  /// True if that changed anything.
  bool Pause(const Instant& now, const nostr::RelayUrl& url);
  bool Resume(const Instant& now, const nostr::RelayUrl& url, bool reset_backoff);
  /// Reconciles everything (or `filter`) with the remote again; returns the jobs.
  /// kFailedPrecondition if it is not connected, kResourceExhausted if its queue is full.
  absl::StatusOr<std::vector<uint64_t>> TriggerSync(const Instant& now, const nostr::RelayUrl& url,
                                                    const std::optional<nostr::Filter>& filter);
  /// Dials at once every remote that waits in backoff or for its start-up delay; new relays are
  /// found through OnChanges.
  void DialWaiting(const Instant& now);

  [[nodiscard]] std::vector<RemoteSnapshot> Remotes() const;
  [[nodiscard]] std::vector<CandidateSnapshot> Candidates() const;
  [[nodiscard]] std::vector<JobSnapshot> Jobs() const;  // newest first
  [[nodiscard]] std::optional<JobSnapshot> FindJob(uint64_t id) const;
  [[nodiscard]] const RepoIndex& index() const { return index_; }
  /// Jobs made from now on have this number or a higher one.
  [[nodiscard]] uint64_t next_job() const { return next_job_; }
  /// Changes whenever the state of some remote does, or one comes or goes.
  [[nodiscard]] uint64_t state_version() const { return state_version_; }
  /// Events that comparisons have brought although live subscriptions should have, all in all.
  [[nodiscard]] uint64_t gaps() const { return gaps_; }
  /// Ids that jobs have claimed, and remotes whose conduct is remembered though they are none now.
  [[nodiscard]] size_t claims() const { return claims_; }
  [[nodiscard]] size_t former_remotes() const { return former_.size(); }
  /// What waits: candidates that are remembered, remotes for their dial, jobs for a slot.
  [[nodiscard]] size_t candidate_count() const { return candidates_.size(); }
  [[nodiscard]] size_t dials_waiting() const { return dials_waiting_; }
  [[nodiscard]] size_t jobs_waiting() const { return jobs_.size() - running_jobs_.size(); }
  /// By RemoteState.
  [[nodiscard]] const std::array<uint32_t, kRemoteStates>& remotes_by_state() const {
    return remotes_by_state_;
  }

 private:
  struct Remote;
  struct Job;
  struct Conduct;
  struct Timer {
    enum class Type {
      kDial,
      kInformation,
      kAuthentication,
      kUpdate,
      kJobs,
      kLive,
      kDialQueue,
      kAdmission,
      kRepair,
      kDaily
    } type;
    std::optional<nostr::RelayUrl> remote;
  };
  using Timers = std::multimap<base::SteadyTime, Timer>;

  // Remotes and candidates.
  void Consider(const Instant& now, const nostr::RelayUrl& url, RemoteOrigin origin);
  [[nodiscard]] bool IsOwnUrl(const nostr::RelayUrl& url) const;
  void RecordCandidate(const Instant& now, const std::string& url,
                       CandidateSnapshot::Decision decision, std::string_view reason);
  void RecordUnusable(const Instant& now, const std::vector<UnusableRelay>& relays);
  void Forget(const Instant& now, Remote& remote);
  void ChargePlace(Remote& remote);
  void ForgetCandidate(const std::string& url);
  [[nodiscard]] DialAccount PlaceAccount(const nostr::RelayUrl& url, RemoteOrigin origin) const;
  bool MakeRoomFor(const Instant& now, const DialAccount& newcomer);
  void ScheduleAdmission(const Instant& now);
  bool AdmitOneMore(const Instant& now);
  enum class Leaving { kUnnamed, kForAnother };
  void Remember(const Instant& now, const Remote& remote, Leaving why);
  bool Recall(const Instant& now, Remote& remote);
  [[nodiscard]] const Conduct* FindFormer(const Instant& now, const nostr::RelayUrl& url) const;
  [[nodiscard]] bool MustWait(const Instant& now, const nostr::RelayUrl& url) const;
  void Remove(const Instant& now, Remote& remote, Leaving why);
  void MarkDirty(const Instant& now, const nostr::RelayUrl& url, const ScopeChange& change);
  void SetState(const Instant& now, Remote& remote, RemoteState state,
                std::string_view reason = "");
  [[nodiscard]] Remote* FindTwin(const Remote& remote) const;
  bool LeaveIfOurselves(const Instant& now, Remote& remote);
  bool LeaveNewAlias(const Instant& now, Remote& remote);
  void LeaveCheckedAlias(const Instant& now, Remote& remote);
  void LeaveAsAlias(const Instant& now, Remote& remote, const Remote& twin, base::Duration wait);
  void Leave(const Instant& now, Remote& remote, std::string_view what, base::Duration wait);
  void ReleaseAliases(const Instant& now, const Remote& remote, base::Duration wait);
  Remote* Find(ConnectionId connection);
  Remote* Find(const nostr::RelayUrl& url);

  // Connections.
  void QueueDial(Remote& remote);  // PumpDials() follows
  void LeaveDialQueue(Remote& remote);
  void PumpDials(const Instant& now);
  [[nodiscard]] std::string PacedHost(const nostr::RelayUrl& url) const;
  void ReleaseHosts(base::SteadyTime now);
  void ReleaseHost(const std::string& host);
  void ExpireNewDials(base::SteadyTime now);
  [[nodiscard]] std::optional<DialAccount> Payer(const Remote& remote, bool first_time) const;
  void BeginDial(const Instant& now, Remote& remote, const DialAccount& payer, bool first_time);
  void EndDial(Remote& remote);
  void ForgiveDial(const Remote& remote);
  void Disconnect(const Instant& now, Remote& remote);
  void ForgetConnection(const Instant& now, Remote& remote);
  void BackOff(const Instant& now, Remote& remote, base::Duration wait, std::string_view code,
               std::string_view detail, RemoteState state);
  void Decline(const Instant& now, Remote& remote, std::string_view reason);
  void Offend(const Instant& now, Remote& remote, uint64_t points, std::string_view how);
  bool AwaitAuthentication(const Instant& now, Remote& remote, base::Duration patience);
  bool RefusedForAuthentication(const Instant& now, Remote& remote);
  void RedialToAuthenticate(const Instant& now, Remote& remote);
  void OnAuthenticationTimeout(const Instant& now, Remote& remote);
  void AskAgain(const Instant& now, Remote& remote);
  [[nodiscard]] static storage::Source FirstSource(const Remote& remote);
  void UpdateScope(const Instant& now, Remote& remote);
  void BeginSync(const Instant& now, Remote& remote);
  void CatchUpAll(const Instant& now, Remote& remote, storage::Source source);
  void Carry(const Instant& now, Remote& remote, SubscriptionPlan::Diff diff);
  void CheckLive(const Instant& now, Remote& remote);
  void AskOnceMore(const Instant& now, Remote& remote,
                   const std::map<std::string, uint64_t>& subscriptions);
  void NoteUnfollowed(const Instant& now, Remote& remote, std::string_view subscription,
                      std::string_view reason);
  void ScheduleDaily(const Instant& now, Remote& remote);
  static bool IsRateLimitText(std::string_view text);
  static bool IsAuthRequired(std::string_view reason);
  void RateLimited(const Instant& now, Remote& remote, std::string_view reason);

  // Jobs.
  [[nodiscard]] std::optional<uint64_t> FindWaiting(const Remote& remote,
                                                    const nostr::Filter& filter,
                                                    std::optional<uint64_t> pages_since) const;
  [[nodiscard]] bool MayQueue(const Remote& remote, size_t jobs) const;
  uint64_t QueueJob(const Instant& now, Remote& remote, nostr::Filter filter,
                    storage::Source source, std::optional<uint64_t> pages_since = std::nullopt);
  void BeginRound(const Instant& now, Remote& remote, storage::Source source,
                  std::optional<uint64_t> pages_since);
  std::vector<uint64_t> ContinueRound(const Instant& now, Remote& remote);
  void PumpJobs(const Instant& now);
  void FillSlots(const Instant& now);
  bool TakeSlotBack(const Instant& now);
  [[nodiscard]] Remote* NextInTurn(const std::function<bool(const Remote&)>& wants);
  [[nodiscard]] bool MayStartJob(const Instant& now, const Remote& remote) const;
  void StartJob(const Instant& now, Remote& remote);
  void Suspend(Remote& remote, Job& job, std::string_view reason);
  void RememberUndelivered(const Instant& now, Remote& remote, const nostr::EventId& id);
  void ForgetClaims(Remote& remote);
  void NoteFailure(Remote& remote, bool owes_full);
  static void NoteComplete(const Instant& now, Remote& remote, uint64_t until);
  void ClaimWanted(Remote& remote, uint64_t job, ReconcileStep& step);
  void LeaveOutUndelivered(const Instant& now, Remote& remote, ReconcileStep& step);
  void DeferJob(const Instant& now, Remote& remote, Job& job);
  void DeferJobs(const Instant& now, Remote& remote);
  Job* JobOf(Remote& remote, std::string_view subscription);
  using JobStep = std::function<void(CatchUpJob&, CatchUpJob::Actions&)>;
  void WithJob(const Instant& now, Remote& remote, uint64_t id, const JobStep& step);
  void Perform(Remote& remote, Job& job, std::vector<JobAction> actions);
  void EndJob(const Instant& now, Remote& remote, Job& job, JobState state, std::string_view error);
  void AbandonJobs(const Instant& now, Remote& remote, std::string_view reason);
  void NoteBrokenReconciliation(const Instant& now, Remote& remote);
  void NoteTooLong(const Instant& now, Remote& remote);
  void SettleState(const Instant& now, Remote& remote);
  [[nodiscard]] std::string GapReason(const Remote& remote) const;
  void ScheduleRepair(const Instant& now, Remote& remote);
  void NoteIfGap(const Instant& now, Remote& remote, const Judged& event);
  void LogGaps(Remote& remote);
  void TellOthers(const Instant& now, const Remote& remote, uint64_t job, base::Duration credit);
  void ExcuseJobs(const Instant& now, Remote& remote);
  void CheckJobs(const Instant& now, Remote& remote);
  static JobSnapshot Describe(const Job& job);

  void Arm(base::SteadyTime when, Timer::Type type, Remote& remote);
  void Emit(Action action) { actions_.push_back(std::move(action)); }

  const EngineOptions options_;
  base::Random& random_;
  RepoIndex index_;
  bool started_ = false;
  std::map<nostr::RelayUrl, std::unique_ptr<Remote>> remotes_;
  std::map<ConnectionId, nostr::RelayUrl> connections_;
  std::map<std::string, CandidateSnapshot> candidates_;
  size_t invalid_candidates_ = 0;
  std::set<nostr::RelayUrl> paused_;  // also those not known as remotes
  std::map<nostr::RelayUrl, Conduct> former_;
  std::set<std::pair<base::SteadyTime, nostr::RelayUrl>> former_since_;  // the same, oldest first
  bool place_refused_ = false;  // to somebody who may want it still
  bool admission_due_ = false;  // its timer is armed
  base::SteadyTime last_admission_{};
  std::optional<nostr::RelayUrl> last_considered_;  // turns are fair
  std::deque<nostr::RelayUrl> dial_queue_;
  size_t dials_waiting_ = 0;  // there, or for their host
  // Hosts dialled within host_pace, and who waits to be dialled there; below when, the oldest
  // first. Capped.
  std::unordered_map<std::string, std::vector<nostr::RelayUrl>, base::KeyedStringHash> paced_hosts_;
  std::deque<std::pair<base::SteadyTime, std::string>> paced_since_;
  base::SteadyTime host_timer_{};  // the latest kDialQueue timer for them
  uint64_t next_in_queue_ = 1;
  // Of the changes under way: no place is made for who has as many with it, or more.
  size_t hopeless_share_ = SIZE_MAX;
  FairLimit places_;        // of remotes
  FairLimit dialling_;      // dials under way
  FairLimit dialled_anew_;  // first dials of the last minute, the oldest first below
  struct NewDial {
    base::SteadyTime at;
    ConnectionId connection;
    DialAccount payer;
  };
  std::deque<NewDial> new_dials_;
  std::deque<NewDial> led_nowhere_;  // of them, those that ended before any packet; capped
  base::SteadyTime dial_timer_{};    // the latest kDialQueue timer for them
  std::map<uint64_t, std::unique_ptr<Job>> jobs_;  // queued and running
  std::deque<JobSnapshot> finished_jobs_;          // newest first, at most job_history
  std::set<uint64_t> running_jobs_;                // of them, those that have a slot
  std::optional<nostr::RelayUrl> last_served_;     // got the latest job slot: turns are fair
  uint64_t next_connection_ = 1, next_job_ = 1, next_run_ = 1, next_remote_ = 1;
  Timers timers_;  // at most one of each type per remote
  std::vector<Action> actions_;
  uint64_t state_version_ = 0;
  std::array<uint32_t, kRemoteStates> remotes_by_state_{};
  uint64_t gaps_ = 0;
  size_t claims_ = 0;  // of all remotes
};

}  // namespace graspd::sync
