#include "sync/sync_manager.h"

#include <array>
#include <atomic>
#include <future>
#include <map>
#include <set>
#include <utility>

#include "base/hex.h"
#include "base/log.h"
#include "base/overloaded.h"
#include "base/status_macros.h"
#include "nostr/event.h"
#include "nostr/keys.h"
#include "nostr/nip34.h"
#include "sync/negentropy_pool.h"
#include "sync/remote_connection.h"

namespace graspd::sync {
namespace {

using nostr::RelayUrl;

constexpr size_t kFeedPage = 1000;
/// All live subscriptions of a remote are sent at once: at most 176 (RemoteLimits) with 128 KiB of
/// filters each (SubscriptionPlan).
constexpr size_t kOutboundBytes = 32u << 20;
constexpr char kPausePrefix[] = "sync/paused/";
constexpr std::string_view kConnected = "connected";  // of a dial; other results are DialErrors
/// The signal of the SelfSubscriber is enough; this finds what no signal is sent for (expiry).
constexpr auto kFeedInterval = std::chrono::seconds(60);
constexpr auto kFeedRetry = std::chrono::milliseconds(200);
/// How long our own threads wait for the sync thread.
constexpr auto kEngineTimeout = std::chrono::seconds(10);

// URLs may be longer than keys; the value holds the URL itself.
std::string PauseKey(const RelayUrl& url) {
  return kPausePrefix + base::HexEncode(nostr::Sha256(url.ToString()));
}

// Calls `visit` with every stored event of these kinds.
absl::Status ForEachStored(storage::EventStore& store, std::vector<nostr::Kind> kinds,
                           uint64_t unix_now,
                           const std::function<void(const nostr::Event&)>& visit) {
  storage::QuerySpec spec;
  spec.filters.emplace_back();
  spec.filters[0].kinds = std::move(kinds);
  spec.filters[0].Normalize();
  spec.unix_now = unix_now;
  std::optional<storage::QueryCursor> cursor;
  for (;;) {
    GRASPD_ASSIGN_OR_RETURN(auto page, store.Query(spec, cursor ? &*cursor : nullptr));
    for (const auto& row : page.rows) {
      GRASPD_ASSIGN_OR_RETURN(const auto event, nostr::ParseEvent(row.json));
      visit(event);
    }
    if (page.done) return absl::OkStatus();
    cursor = std::move(page.cursor);
  }
}

// Announcements first: a root means something only with its repository (docs/architecture.md).
absl::Status ForEachRelevant(storage::EventStore& store, uint64_t unix_now,
                             const std::function<void(const nostr::Event&)>& visit) {
  GRASPD_RETURN_IF_ERROR(ForEachStored(store, {nostr::kRepositoryAnnouncement}, unix_now, visit));
  return ForEachStored(store, {nostr::kPatch, nostr::kPullRequest, nostr::kIssue}, unix_now, visit);
}

}  // namespace

// Everything below runs on the sync thread unless it says otherwise.
class SyncManager::Core final : public RemoteListener, public std::enable_shared_from_this<Core> {
 public:
  Core(Dependencies d, EngineOptions options, std::shared_ptr<const nostr::SecretKey> key)
      : d_(d),
        key_(std::move(key)),
        engine_(std::move(options), d.random),
        pool_(std::make_unique<NegentropyPool>(
            d.store, d.neg_sets, d.refusals, d.scans, d.cpu, d.clock, d.sync_thread,
            [this](uint64_t job, absl::StatusOr<ReconcileStep> step) {
              engine_.OnReconcileStep(Now(), job, std::move(step));
              Settle();
            })) {
    for (size_t i = 0; i < kRemoteStates; ++i) {
      samples_.push_back(
          d.metrics.Sample("graspd_sync_remotes", "Remotes by state.",
                           [this, i] { return static_cast<double>(by_state_[i].load()); },
                           {{"state", std::string(RemoteStateName(static_cast<RemoteState>(i)))}}));
    }
    samples_.push_back(d.metrics.SampleCounter(
        "graspd_sync_gap_events_total",
        "Events that a comparison brought although the live subscription should have.",
        [this] { return static_cast<double>(gaps_.load()); }));
    samples_.push_back(d.metrics.Sample(
        "graspd_sync_claimed_ids", "Events that catch-ups of now have asked for, or are about to.",
        [this] { return static_cast<double>(claims_.load()); }));
    samples_.push_back(d.metrics.Sample(
        "graspd_sync_former_remotes", "Remotes of the last day that no announcement names now.",
        [this] { return static_cast<double>(former_remotes_.load()); }));
    samples_.push_back(d.metrics.Sample(
        "graspd_sync_scans_queued", "Readings of whole sets for sync that wait for their thread.",
        [this] { return static_cast<double>(d_.scans.queued()); }));
    samples_.push_back(d.metrics.Sample(
        "graspd_sync_candidates", "Relays that were named, and what was decided about them.",
        [this] { return static_cast<double>(candidates_.load()); }));
    samples_.push_back(
        d.metrics.Sample("graspd_sync_dials_waiting", "Remotes that wait for their dial.",
                         [this] { return static_cast<double>(dials_waiting_.load()); }));
    samples_.push_back(d.metrics.Sample(
        "graspd_sync_jobs_waiting", "Catch-up jobs, of all remotes, that wait for a slot.",
        [this] { return static_cast<double>(jobs_waiting_.load()); }));
    MakeDialCounters();
  }

  // Once, right after construction. The signal comes on an I/O thread, which may have one under way
  // when we are destroyed: it must not hold us by a bare pointer.
  void ListenToOurselves(SelfSubscriber::Options options) {
    self_ =
        std::make_unique<SelfSubscriber>(d_.dialer, d_.io.Next(), std::move(options),
                                         [weak = weak_from_this(), &sync_thread = d_.sync_thread] {
                                           sync_thread.Post([weak] {
                                             if (auto self = weak.lock()) self->ReadFeed();
                                           });
                                         });
    samples_.push_back(d_.metrics.Sample("graspd_sync_self_subscription_up",
                                         "1 while the relay hears its own events.",
                                         [this] { return self_->connected() ? 1.0 : 0.0; }));
  }

  // On the caller's thread, before the sync thread knows of us.
  absl::Status Load() {
    GRASPD_ASSIGN_OR_RETURN(const auto pauses, d_.store.ListKeys(kPausePrefix));
    for (const auto& pause : pauses) {
      const auto url = RelayUrl::Parse(pause.value);
      if (url.ok()) engine_.Pause(Now(), *url);
    }
    position_ = d_.store.Position();
    return ForEachRelevant(d_.store, d_.clock.UnixNow(),
                           [this](const nostr::Event& event) { engine_.Load(event); });
  }

  void Begin() {
    engine_.Start(Now());
    self_->Start();
    ScheduleFeedRead();
    Settle();
  }

  void Stop() {
    if (std::exchange(stopped_, true)) return;
    self_->Stop();
    pool_.reset();  // on its own thread
    wake_.reset();
    feed_timer_.reset();
    for (auto& [id, connection] : connections_) connection->HangUp();
    connections_.clear();
  }

  // Runs `work` with the engine and waits for what it returns. On any thread but the sync thread.
  template <typename Work>
  auto Ask(base::Duration timeout, Work work)
      -> absl::StatusOr<decltype(work(std::declval<SyncEngine&>()))> {
    using Result = decltype(work(std::declval<SyncEngine&>()));
    auto promise = std::make_shared<std::promise<absl::StatusOr<Result>>>();
    auto future = promise->get_future();
    d_.sync_thread.Post([self = shared_from_this(), promise, work = std::move(work)]() mutable {
      if (self->stopped_) {
        promise->set_value(absl::UnavailableError("sync has stopped"));
        return;
      }
      auto result = work(self->engine_);
      self->Settle();
      promise->set_value(std::move(result));
    });
    if (future.wait_for(timeout) != std::future_status::ready) {
      return absl::DeadlineExceededError("the sync thread did not answer in time");
    }
    return future.get();
  }

  // On any thread.
  [[nodiscard]] Instant Now() const { return {d_.clock.Now(), d_.clock.UnixNow()}; }
  [[nodiscard]] Dependencies& dependencies() { return d_; }
  [[nodiscard]] bool hears_itself() const { return self_->connected(); }
  [[nodiscard]] bool in_sync() const {
    const auto in = [this](RemoteState state) {
      return by_state_[static_cast<size_t>(state)].load();
    };
    return in(RemoteState::kDiscovered) + in(RemoteState::kConnecting) + in(RemoteState::kSyncing) +
               in(RemoteState::kLiveWithGaps) + in(RemoteState::kBackoff) +
               in(RemoteState::kRateLimited) ==
           0;
  }

  // ---- what connections report ---------------------------------------------------------------

  void OnRemoteOpen(ConnectionId id, const net::DialSuccess& success) override {
    if (stopped_) return;
    if (dials_.erase(id) > 0) dial_results_.at(kConnected)->Increment();
    engine_.OnConnected(Now(), id, success);
    Settle();
  }
  void OnRemoteClosed(ConnectionId id, const net::DialFailure& failure) override {
    if (stopped_) return;
    connections_.erase(id);
    if (dials_.erase(id) > 0) CountFailedDial(failure);
    engine_.OnDisconnected(Now(), id, failure);
    Settle();
  }
  void OnRemoteNotes(ConnectionId id, std::vector<RemoteNote> notes) override;
  void OnRemoteJudged(ConnectionId id, std::vector<Judged> judged) override {
    if (stopped_) return;
    engine_.OnJudged(Now(), id, judged);
    Settle();
  }

  void OnRemoteInformation(ConnectionId id,
                           const absl::StatusOr<nostr::RelayInformation>& information,
                           const std::string& instance) override {
    if (stopped_) return;
    engine_.OnInformation(Now(), id, information, instance);
    Settle();
  }

  // ---- the feed -------------------------------------------------------------------------------

  void ReadFeed() {
    if (stopped_) return;
    if (reading_feed_) {
      read_again_ = true;
      return;
    }
    reading_feed_ = true;
    read_again_ = false;
    const bool queued = d_.reads.TryRun([weak = weak_from_this(), after = position_] {
      auto self = weak.lock();
      if (!self) return;
      auto page = self->d_.store.ReadFeed(after, kFeedPage);
      self->d_.sync_thread.Post([self, page = std::move(page)] { self->OnFeedPage(page); });
    });
    if (!queued) RetryFeed();
  }

  // ---- discovery on demand ---------------------------------------------------------------------

  // On the caller's thread. Joins a run that is under way.
  absl::StatusOr<DiscoverySnapshot> Discover(base::Duration timeout);

 private:
  absl::StatusOr<DiscoverySnapshot> RunDiscovery(DiscoverySnapshot run);
  absl::Status RepeatChanges(storage::FeedPosition since);

  void OnFeedPage(const absl::StatusOr<storage::FeedPage>& page) {
    reading_feed_ = false;
    if (stopped_) return;
    if (!page.ok()) {
      base::LogWarn("sync", "reading the feed failed, trying again", {{"error", page.status()}});
      RetryFeed();
      return;
    }
    position_ = page->next;
    engine_.OnChanges(Now(), page->changes);
    Settle();
    if (page->more || read_again_) ReadFeed();
  }

  void RetryFeed() {
    reading_feed_ = false;
    feed_timer_ = d_.sync_thread.After(kFeedRetry, [this] { OnFeedTimer(); });
  }

  void ScheduleFeedRead() {
    feed_timer_ = d_.sync_thread.After(kFeedInterval, [this] { OnFeedTimer(); });
  }
  void OnFeedTimer() {
    ScheduleFeedRead();
    ReadFeed();
  }

  // ---- carrying out what the engine decided -----------------------------------------------------

  void Settle() {
    if (stopped_) return;
    for (auto& action : engine_.TakeActions()) Carry(std::move(action));
    gaps_ = engine_.gaps();
    claims_ = engine_.claims();
    former_remotes_ = engine_.former_remotes();
    candidates_ = engine_.candidate_count();
    dials_waiting_ = engine_.dials_waiting();
    jobs_waiting_ = engine_.jobs_waiting();
    CountStates();
    const auto deadline = engine_.NextDeadline();
    if (!deadline) {
      wake_.reset();
      wake_at_.reset();
    } else if (wake_at_ != deadline) {
      wake_at_ = deadline;
      wake_ = d_.sync_thread.After(*deadline - d_.clock.Now(), [this] { OnWake(); });
    }
  }

  void OnWake() {
    wake_at_.reset();
    engine_.OnTimer(Now());
    Settle();
  }

  void Carry(Action action);
  void CountStates();
  void MakeDialCounters();
  void CountFailedDial(const net::DialFailure& failure);

  template <typename ConnectionAction>
  void SendTo(ConnectionAction action) {
    const auto found = connections_.find(action.connection);
    if (found != connections_.end()) found->second->Send(std::move(action));
  }

  Dependencies d_;
  const std::shared_ptr<const nostr::SecretKey> key_;
  SyncEngine engine_;
  std::unique_ptr<SelfSubscriber> self_;
  std::unique_ptr<NegentropyPool> pool_;  // until Stop
  std::map<ConnectionId, std::shared_ptr<RemoteConnection>> connections_;
  storage::FeedPosition position_;
  bool reading_feed_ = false, read_again_ = false, stopped_ = false;
  std::unique_ptr<net::IoThread::Timer> wake_, feed_timer_;
  std::optional<base::SteadyTime> wake_at_;
  uint64_t counted_version_ = UINT64_MAX;
  std::array<std::atomic<uint32_t>, kRemoteStates> by_state_{};
  std::atomic<uint64_t> gaps_ = 0, claims_ = 0, former_remotes_ = 0;
  std::atomic<uint64_t> candidates_ = 0, dials_waiting_ = 0, jobs_waiting_ = 0;
  std::set<ConnectionId> dials_;  // under way, those we gave up included
  using Counters = std::map<std::string_view, prometheus::Counter*>;
  Counters dial_results_, denials_;

  // Discovery runs belong to callers' threads; the sync thread never takes this lock.
  struct Run {
    DiscoverySnapshot begun;
    std::shared_future<absl::StatusOr<DiscoverySnapshot>> end;
  };
  base::Mutex discovery_mutex_;
  std::optional<Run> discovery_ ABSL_GUARDED_BY(discovery_mutex_);  // the run under way
  uint64_t discovery_runs_ ABSL_GUARDED_BY(discovery_mutex_) = 0;

  std::vector<std::unique_ptr<base::Metrics::SampledGauge>> samples_;  // last: they read the above
};

void SyncManager::Core::Carry(Action action) {
  std::visit(base::Overloaded{
                 [this](Dial& a) {
                   base::LogDebug("sync", "dialling", {{"remote", a.remote.ToString()}});
                   auto connection = std::make_shared<RemoteConnection>(
                       a.connection, d_.io.Next(), d_.sync_thread, weak_from_this(), d_.clock,
                       key_);
                   connections_.emplace(a.connection, connection);
                   dials_.insert(a.connection);
                   net::DialOptions options(a.remote);
                   options.outbound_bytes = kOutboundBytes;
                   connection->Start(d_.dialer, d_.sink, std::move(options));
                 },
                 [this](HangUp& a) {
                   const auto found = connections_.find(a.connection);
                   if (found == connections_.end()) return;
                   found->second->HangUp();
                   connections_.erase(found);
                 },
                 [this](ReconcileStart& a) { pool_->Start(a.job, a.filter, a.frame_bytes); },
                 [this](ReconcileContinue& a) { pool_->Continue(a.job, std::move(a.reply)); },
                 [this](ReconcileDrop& a) { pool_->Drop(a.job); },
                 [this](auto& a) { SendTo(std::move(a)); },
             },
             action);
}

// Runs of deliveries go to the engine as one span: they are nearly everything during a catch-up.
void SyncManager::Core::OnRemoteNotes(ConnectionId id, std::vector<RemoteNote> notes) {
  if (stopped_) return;
  const Instant now = Now();
  std::vector<Delivered> delivered;
  const auto flush = [&] {
    if (!delivered.empty()) engine_.OnDelivered(now, id, delivered);
    delivered.clear();
  };
  for (auto& note : notes) {
    if (auto* event = std::get_if<Delivered>(&note)) {
      delivered.push_back(std::move(*event));
      continue;
    }
    flush();
    std::visit(
        base::Overloaded{
            [&](Eose& n) { engine_.OnEose(now, id, n.subscription); },
            [&](Closed& n) { engine_.OnClosed(now, id, n.subscription, n.reason); },
            [&](Notice& n) { engine_.OnNotice(now, id, n.text); },
            [&](NegReply& n) { engine_.OnNegMsg(now, id, n.subscription, std::move(n.bytes)); },
            [&](NegRefusal& n) { engine_.OnNegErr(now, id, n.subscription, n.reason); },
            [&](Authenticated& n) { engine_.OnAuthenticated(now, id, n.accepted, n.message); },
            [&](Unreadable& n) {
              engine_.OnUnreadable(now, id, n.subscription, n.id, n.created_at);
            },
            [&](BadMessage& n) { engine_.OnBadMessages(now, id, 1, n.stray); },
            [](Delivered&) {},
        },
        note);
  }
  flush();
  Settle();
}

void SyncManager::Core::CountStates() {
  if (counted_version_ == engine_.state_version()) return;
  counted_version_ = engine_.state_version();
  const auto& counts = engine_.remotes_by_state();
  for (size_t i = 0; i < kRemoteStates; ++i) by_state_[i] = counts[i];
}

// All series from the start: what strangers name adds none.
void SyncManager::Core::MakeDialCounters() {
  const auto result = [this](std::string_view name) {
    dial_results_[name] =
        &d_.metrics.MakeCounter("graspd_sync_dials_total", "Dials of remotes, by how they ended.",
                                {{"result", std::string(name)}});
  };
  result(kConnected);
  for (size_t i = 0; i < net::kDialErrors; ++i) {
    result(net::DialErrorName(static_cast<net::DialError>(i)));
  }
  for (const std::string_view reason : net::BlockReasons()) {
    denials_[reason] =
        &d_.metrics.MakeCounter("graspd_sync_dials_denied_total",
                                "Dials that ended before any packet, because of the address.",
                                {{"reason", std::string(reason)}});
  }
}

void SyncManager::Core::CountFailedDial(const net::DialFailure& failure) {
  dial_results_.at(net::DialErrorName(failure.error))->Increment();
  if (failure.error != net::DialError::kBlocked) return;
  if (const auto found = denials_.find(failure.detail); found != denials_.end()) {
    found->second->Increment();
  }
}

absl::StatusOr<DiscoverySnapshot> SyncManager::Core::Discover(base::Duration timeout) {
  Run run;
  {
    base::MutexLock lock(discovery_mutex_);
    if (discovery_) {
      run = *discovery_;
      run.begun.joined = true;
    } else {
      auto end = std::make_shared<std::promise<absl::StatusOr<DiscoverySnapshot>>>();
      run.begun = {.id = ++discovery_runs_, .started_at = d_.clock.UnixNow()};
      run.end = end->get_future().share();
      const bool queued = d_.reads.TryRun([self = shared_from_this(), begun = run.begun, end] {
        auto result = self->RunDiscovery(begun);
        {
          base::MutexLock relock(self->discovery_mutex_);
          self->discovery_.reset();
        }
        end->set_value(std::move(result));
      });
      if (!queued) return absl::ResourceExhaustedError("too many store reads are queued");
      discovery_ = run;
    }
  }
  if (run.end.wait_for(timeout) != std::future_status::ready) return run.begun;
  auto result = run.end.get();
  if (result.ok()) result->joined = run.begun.joined;
  return result;
}

// On a thread of the read pool: hands what is stored to the engine in batches.
absl::StatusOr<DiscoverySnapshot> SyncManager::Core::RunDiscovery(DiscoverySnapshot run) {
  GRASPD_ASSIGN_OR_RETURN(const size_t before, Ask(kEngineTimeout, [](SyncEngine& engine) {
                            return engine.Remotes().size();
                          }));
  const auto begin = d_.store.Position();
  absl::Status handed = absl::OkStatus();
  std::vector<storage::Change> batch;
  const auto hand_over = [&] {
    handed.Update(Ask(kEngineTimeout, [this, batch = std::exchange(batch, {})](SyncEngine& engine) {
                    engine.OnChanges(Now(), batch);
                    return true;
                  }).status());
  };
  GRASPD_RETURN_IF_ERROR(
      ForEachRelevant(d_.store, d_.clock.UnixNow(), [&](const nostr::Event& event) {
        storage::Change change;
        change.id = event.id;
        change.event = nostr::MakeRecord(event);
        batch.push_back(std::move(change));
        if (batch.size() >= kFeedPage) hand_over();
      }));
  hand_over();
  GRASPD_RETURN_IF_ERROR(handed);
  GRASPD_RETURN_IF_ERROR(RepeatChanges(begin));
  struct Seen {
    size_t relays, remotes, unusable;
  };
  GRASPD_ASSIGN_OR_RETURN(const Seen seen, Ask(kEngineTimeout, [this](SyncEngine& engine) {
                            engine.DialWaiting(Now());
                            return Seen{engine.index().Relays().size(), engine.Remotes().size(),
                                        engine.index().Unusable().size()};
                          }));
  run.found = static_cast<uint32_t>(seen.relays);
  run.added = static_cast<uint32_t>(seen.remotes > before ? seen.remotes - before : 0);
  run.unusable = static_cast<uint32_t>(seen.unusable);
  run.finished_at = d_.clock.UnixNow();
  return run;
}

// What was removed while we read may have been handed over after its removal.
absl::Status SyncManager::Core::RepeatChanges(storage::FeedPosition since) {
  for (;;) {
    GRASPD_ASSIGN_OR_RETURN(auto page, d_.store.ReadFeed(since, kFeedPage));
    since = page.next;
    const bool more = page.more;
    GRASPD_RETURN_IF_ERROR(Ask(kEngineTimeout, [this, page = std::move(page)](SyncEngine& engine) {
                             engine.OnChanges(Now(), page.changes);
                             return true;
                           }).status());
    if (!more) return absl::OkStatus();
  }
}

// ---- SyncManager -----------------------------------------------------------------------------

SyncManager::SyncManager(Dependencies dependencies, Options options) {
  options.engine.authenticates = options.key != nullptr;
  core_ = std::make_shared<Core>(dependencies, std::move(options.engine), std::move(options.key));
  core_->ListenToOurselves(std::move(options.self));
}

SyncManager::~SyncManager() { Stop(); }

absl::Status SyncManager::Start() {
  GRASPD_RETURN_IF_ERROR(core_->Load());
  core_->dependencies().sync_thread.Post([core = core_] { core->Begin(); });
  return absl::OkStatus();
}

void SyncManager::Stop() {
  // Once only: the sync thread may have ended since, and would never answer.
  if (std::exchange(stopped_, true)) return;
  const auto run_on = [](base::Executor& executor, std::function<void()> task) {
    auto done = std::make_shared<std::promise<void>>();
    executor.Post([task = std::move(task), done] {
      task();
      done->set_value();
    });
    done->get_future().wait_for(kEngineTimeout);
  };
  run_on(core_->dependencies().sync_thread, [core = core_] { core->Stop(); });
  // What the connections were told has been done when their threads end, perhaps at once.
  net::IoPool& io = core_->dependencies().io;
  for (size_t i = 0; i < io.size(); ++i) run_on(io.thread(i), [] {});
}

absl::StatusOr<std::vector<RemoteSnapshot>> SyncManager::Remotes(base::Duration timeout) {
  return core_->Ask(timeout, [](SyncEngine& engine) { return engine.Remotes(); });
}

absl::StatusOr<std::vector<CandidateSnapshot>> SyncManager::Candidates(base::Duration timeout) {
  return core_->Ask(timeout, [](SyncEngine& engine) { return engine.Candidates(); });
}

absl::StatusOr<JobSnapshot> SyncManager::FindJob(uint64_t id, base::Duration timeout) {
  GRASPD_ASSIGN_OR_RETURN(
      auto job, core_->Ask(timeout, [id](SyncEngine& engine) { return engine.FindJob(id); }));
  if (!job) return absl::NotFoundError("no such job: " + std::to_string(id));
  return *std::move(job);
}

// The store first: a pause that is answered holds after a crash.
absl::StatusOr<bool> SyncManager::Pause(const RelayUrl& url, base::Duration timeout) {
  auto& d = core_->dependencies();
  const std::string key = PauseKey(url);
  base::MutexLock lock(pause_mutex_);
  GRASPD_ASSIGN_OR_RETURN(const auto stored, d.store.GetKey(key));
  if (!stored) {
    const auto set = d.store.CompareAndSet(key, 0, url.ToString());
    if (!set.ok() && !absl::IsAborted(set.status())) return set.status();
  }
  return core_->Ask(
      timeout, [core = core_, url](SyncEngine& engine) { return engine.Pause(core->Now(), url); });
}

absl::StatusOr<bool> SyncManager::Resume(const RelayUrl& url, bool reset_backoff,
                                         base::Duration timeout) {
  auto& d = core_->dependencies();
  const std::string key = PauseKey(url);
  base::MutexLock lock(pause_mutex_);
  GRASPD_ASSIGN_OR_RETURN(const auto stored, d.store.GetKey(key));
  if (stored) {
    const auto removed = d.store.CompareAndSet(key, stored->version, std::nullopt);
    if (!removed.ok() && !absl::IsAborted(removed.status())) return removed.status();
  }
  return core_->Ask(timeout, [core = core_, url, reset_backoff](SyncEngine& engine) {
    return engine.Resume(core->Now(), url, reset_backoff);
  });
}

absl::StatusOr<std::vector<JobSnapshot>> SyncManager::TriggerSync(const RelayUrl& url,
                                                                  base::Duration timeout) {
  using Jobs = absl::StatusOr<std::vector<JobSnapshot>>;
  GRASPD_ASSIGN_OR_RETURN(
      auto jobs, core_->Ask(timeout, [core = core_, url](SyncEngine& engine) -> Jobs {
        const uint64_t first_new = engine.next_job();
        GRASPD_ASSIGN_OR_RETURN(const auto ids, engine.TriggerSync(core->Now(), url, std::nullopt));
        std::vector<JobSnapshot> found;
        for (const uint64_t id : ids) {
          auto job = engine.FindJob(id);
          if (!job) continue;
          job->joined = id < first_new;
          found.push_back(*std::move(job));
        }
        return found;
      }));
  return jobs;
}

absl::StatusOr<DiscoverySnapshot> SyncManager::TriggerDiscovery(base::Duration timeout) {
  return core_->Discover(timeout);
}

bool SyncManager::hears_itself() const { return core_->hears_itself(); }
bool SyncManager::in_sync() const { return core_->in_sync(); }

}  // namespace graspd::sync
