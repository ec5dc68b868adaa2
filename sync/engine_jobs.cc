// SyncEngine: catch-up jobs, their turns and their ends.

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/overloaded.h"
#include "sync/engine_state.h"

namespace graspd::sync {

// A few always, however many others have.
bool SyncEngine::MayQueue(const Remote& remote, size_t jobs) const {
  const size_t then = remote.waiting.size() + jobs;
  return then <= options_.jobs_per_portion ||
         (then <= options_.queued_jobs_per_remote &&
          jobs_.size() + jobs <= options_.queued_jobs_in_total);
}

// Returns the job, which is another's if one that waits will do the same. One that runs will not:
// what it has found may be out of date, or have been lost.
uint64_t SyncEngine::QueueJob(const Instant& now, Remote& remote, nostr::Filter filter,
                              storage::Source source, std::optional<uint64_t> pages_since) {
  if (const auto waits = FindWaiting(remote, filter, pages_since)) return *waits;
  auto job = std::make_unique<Job>(remote.url, std::move(filter), source, pages_since);
  job->id = next_job_++;
  job->created_at = now.unix_seconds;
  remote.waiting.push_back(job->id);
  const uint64_t id = job->id;
  jobs_.emplace(id, std::move(job));
  return id;
}

// ContinueRound() follows, now or when nothing waits.
void SyncEngine::BeginRound(const Instant& now, Remote& remote, storage::Source source,
                            std::optional<uint64_t> pages_since) {
  remote.plan.BeginRound(remote.round);
  remote.round_began_at = now.unix_seconds;
  remote.round_source = source;
  remote.round_pages_since = pages_since;
  remote.full_round = true;
}

// Queues the next portion of the round, until something waits or the round is done. Returns the
// jobs that compare these filters, new or not.
std::vector<uint64_t> SyncEngine::ContinueRound(const Instant& now, Remote& remote) {
  std::vector<uint64_t> ids;
  do {
    for (auto& step : remote.plan.Next(remote.round, options_.jobs_per_portion)) {
      ids.push_back(QueueJob(now, remote, std::move(step.filter), remote.round_source,
                             remote.round_pages_since));
      jobs_.at(ids.back())->position = step.position;
    }
  } while (remote.waiting.empty() && !remote.round.done());
  return ids;
}

// Gives slots to remotes in turn, beginning behind the one served last, and takes them back from
// those that keep others waiting: neither many jobs nor long ones can hold the others.
void SyncEngine::PumpJobs(const Instant& now) {
  do FillSlots(now);
  while (running_jobs_.size() >= options_.jobs_in_total && TakeSlotBack(now));
}

// If a remote with nothing running waits, it gets the slot of the job that has run for longest and
// has had its time; that goes behind the others of its remote. What it has fetched stays.
bool SyncEngine::TakeSlotBack(const Instant& now) {
  Job* longest = nullptr;
  for (const uint64_t id : running_jobs_) {
    Job* const job = jobs_.at(id).get();
    if (!longest || job->slot_since < longest->slot_since) longest = job;
  }
  if (!longest || now.steady - longest->slot_since < options_.job_slice) return false;
  Remote* const waits = NextInTurn(
      [&](const Remote& remote) { return remote.running.empty() && MayStartJob(now, remote); });
  if (!waits) return false;
  Remote& remote = *Find(longest->remote);
  Suspend(remote, *longest, "others wait");
  remote.waiting.push_back(longest->id);
  StartJob(now, *waits);
  return true;
}

void SyncEngine::FillSlots(const Instant& now) {
  while (running_jobs_.size() < options_.jobs_in_total) {
    Remote* const next = NextInTurn([&](const Remote& remote) { return MayStartJob(now, remote); });
    if (!next) return;
    StartJob(now, *next);
  }
}

// The first behind the one served last, in a circle, for which that holds.
SyncEngine::Remote* SyncEngine::NextInTurn(const std::function<bool(const Remote&)>& wants) {
  auto turn = last_served_ ? remotes_.upper_bound(*last_served_) : remotes_.begin();
  for (size_t i = 0; i < remotes_.size(); ++i, ++turn) {
    if (turn == remotes_.end()) turn = remotes_.begin();
    if (wants(*turn->second)) return turn->second.get();
  }
  return nullptr;
}

bool SyncEngine::MayStartJob(const Instant& now, const Remote& remote) const {
  if (remote.waiting.empty() || !remote.connected() || remote.awaits_auth ||
      remote.rate_limited(now.steady) ||
      remote.running.size() >= std::min(options_.jobs_per_remote, remote.limits.jobs) ||
      (remote.asks_singly && !remote.running.empty())) {
    return false;
  }
  // Until the first NEG-OPEN of a connection is answered, one job finds out for all.
  return remote.method != SyncMethod::kUnknown || remote.running.empty();
}

// Of one that may.
void SyncEngine::StartJob(const Instant& now, Remote& remote) {
  last_served_ = remote.url;
  const uint64_t id = remote.waiting.front();
  remote.waiting.pop_front();
  remote.running.insert(id);
  running_jobs_.insert(id);
  Job& job = *jobs_.at(id);
  job.started_at = now.unix_seconds;
  job.slot_since = now.steady;
  base::LogDebug(
      "sync", "catch-up begins",
      {{"remote", remote.url.ToString()}, {"job", id}, {"waiting", remote.waiting.size()}});
  const bool try_negentropy =
      now.steady >= remote.no_negentropy_until && remote.limits.NegentropyFrame(job.filter) > 0;
  if (remote.waiting.empty()) ContinueRound(now, remote);
  auto limits = remote.limits.job;
  if (remote.asks_singly) {
    limits.requests = limits.ids_per_request = 1;
    limits.singly = true;
  }
  job.run.emplace(next_run_++, job.filter, try_negentropy, limits, job.pages_since);
  WithJob(now, remote, id,
          [&](CatchUpJob& run, CatchUpJob::Actions& out) { run.Start(now.steady, out); });
  if (!remote.timers.contains(Timer::Type::kJobs)) {
    Arm(now.steady + CatchUpJob::kProgressTimeout, Timer::Type::kJobs, remote);
  }
}

// Back to the head of the queue. The next run has other subscription names, so that what this one
// still gets is not taken for its answers.
void SyncEngine::DeferJob(const Instant& now, Remote& remote, Job& job) {
  job.rate_limits = job.run->fetched > 0 ? 0 : job.rate_limits + 1;
  if (job.rate_limits >= options_.rate_limits_per_job) {
    CatchUpJob::Actions actions;
    job.run->Abort("rate limited", actions);
    Perform(remote, job, std::move(actions));
    EndJob(now, remote, job, JobState::kFailed, "rate limited again and again");
    return;
  }
  Suspend(remote, job, "rate limited");
  remote.waiting.push_front(job.id);
}

// Ends its run, so that it can wait for another.
void SyncEngine::Suspend(Remote& remote, Job& job, std::string_view reason) {
  CatchUpJob::Actions actions;
  auto remaining = job.run->Remaining();
  const auto pages_since = job.run->RemainingPagesSince();
  job.run->Abort(std::string(reason), actions);
  Perform(remote, job, std::move(actions));
  Emit(ReconcileDrop{job.id});
  running_jobs_.erase(job.id);
  remote.running.erase(job.id);
  job.filter = std::move(remaining);
  job.pages_since = pages_since;
  job.run.reset();
}

// All that run, keeping their order.
void SyncEngine::DeferJobs(const Instant& now, Remote& remote) {
  const std::set<uint64_t> running = remote.running;
  for (auto id = running.rbegin(); id != running.rend(); ++id) {
    DeferJob(now, remote, *jobs_.at(*id));
  }
}

void SyncEngine::RememberUndelivered(const Instant& now, Remote& remote, const nostr::EventId& id) {
  if (!remote.undelivered.insert(id).second) return;
  remote.undelivered_until.emplace_back(now.steady + options_.undelivered_retry, id);
  if (remote.undelivered.size() <= options_.undelivered_per_remote) return;
  remote.undelivered.erase(remote.undelivered_until.front().second);
  remote.undelivered_until.pop_front();
}

void SyncEngine::LeaveOutUndelivered(const Instant& now, Remote& remote, ReconcileStep& step) {
  while (!remote.undelivered_until.empty() &&
         remote.undelivered_until.front().first <= now.steady) {
    remote.undelivered.erase(remote.undelivered_until.front().second);
    remote.undelivered_until.pop_front();
  }
  if (remote.undelivered.empty()) return;
  std::erase_if(step.wanted, [&](const auto& id) { return remote.undelivered.contains(id); });
}

void SyncEngine::ForgetClaims(Remote& remote) {
  claims_ -= remote.claims.size();
  remote.claimed = {};
  remote.claims = {};
}

// Something that the remote has may be missing here. What was claimed is not certain to have come.
void SyncEngine::NoteFailure(Remote& remote, bool owes_full) {
  remote.failed_job = true;
  if (owes_full) remote.owes_full = true;
  ForgetClaims(remote);
}

// Nothing that the remote had `until` then is missing here.
void SyncEngine::NoteComplete(const Instant& now, Remote& remote, uint64_t until) {
  if (remote.full_round) remote.last_full_reconcile_at = now.unix_seconds;
  remote.full_round = remote.owes_full = remote.asks_singly = false;
  remote.too_long_suspects.clear();
  remote.last_contact = std::max(remote.last_contact, until);
}

// Several filters commonly select the same event (a comment by both e and E): the first job to want
// it fetches it. Where that fails nothing is claimed any more, and everything is compared again.
void SyncEngine::ClaimWanted(Remote& remote, uint64_t job, ReconcileStep& step) {
  std::erase_if(step.wanted, [&](const auto& id) {
    const auto [at, fresh] = remote.claimed.try_emplace(id, job);
    if (!fresh) return at->second != job;
    remote.claims.push_back(id);
    if (remote.claims.size() > options_.claims_per_remote || claims_ >= options_.claims_in_total) {
      remote.claimed.erase(remote.claims.front());
      remote.claims.pop_front();
    } else {
      ++claims_;
    }
    return false;
  });
  remote.counts.needed += step.wanted.size();
}

SyncEngine::Job* SyncEngine::JobOf(Remote& remote, std::string_view subscription) {
  for (const uint64_t id : remote.running) {
    Job& job = *jobs_.at(id);
    if (job.run->Owns(subscription)) return &job;
  }
  return nullptr;
}

// Feeds one input to a job, carries out what it asks for, and ends it if it is over.
void SyncEngine::WithJob(const Instant& now, Remote& remote, uint64_t id, const JobStep& step) {
  const auto found = jobs_.find(id);
  if (found == jobs_.end() || !found->second->run) return;
  Job& job = *found->second;
  CatchUpJob::Actions actions;
  const auto support_before = job.run->support();
  step(*job.run, actions);
  for (const auto& given_up : std::exchange(job.run->given_up, {})) {
    RememberUndelivered(now, remote, given_up);
  }
  Perform(remote, job, std::move(actions));
  if (job.run->futile) {
    remote.no_negentropy_until = now.steady + options_.negentropy_retry;
    remote.method = SyncMethod::kReq;
  } else if (job.run->support() == CatchUpJob::NegentropySupport::kYes) {
    remote.method = SyncMethod::kNegentropy;
  } else if (job.run->support() == CatchUpJob::NegentropySupport::kNo &&
             support_before == CatchUpJob::NegentropySupport::kUnknown &&
             remote.method != SyncMethod::kNegentropy) {
    // Not if it reconciled on this very connection: then it refused something else.
    remote.no_negentropy_until = now.steady + options_.negentropy_retry;
    remote.method = SyncMethod::kReq;
    base::LogInfo("sync", "remote does not reconcile, paging instead",
                  {{"remote", remote.url.ToString()}, {"reason", job.run->error}});
  }
  if (job.run->finished()) {
    EndJob(now, remote, job, job.run->failed() ? JobState::kFailed : JobState::kDone,
           job.run->error);
    PumpJobs(now);
    SettleState(now, remote);
  }
}

void SyncEngine::Perform(Remote& remote, Job& job, std::vector<JobAction> actions) {
  const ConnectionId connection = *remote.connection;
  for (auto& action : actions) {
    std::visit(
        base::Overloaded{
            [&](StartReconcile&) {
              Emit(ReconcileStart{job.id, job.filter, remote.limits.NegentropyFrame(job.filter)});
            },
            [&](ContinueReconcile& a) {
              Emit(ReconcileContinue{job.id, std::move(a.reply)});
            },
            [&](SendNegOpen& a) {
              Emit(NegOpen{connection, std::move(a.subscription), job.filter, std::move(a.bytes)});
            },
            [&](SendNegMsg& a) {
              Emit(NegMsg{connection, std::move(a.subscription), std::move(a.bytes)});
            },
            [&](SendNegClose& a) {
              Emit(NegClose{connection, std::move(a.subscription)});
            },
            [&](SendReq& a) {
              Emit(Subscribe{
                  connection, std::move(a.subscription), {std::move(a.filter)}, job.source});
            },
            [&](SendClose& a) {
              Emit(Unsubscribe{connection, std::move(a.subscription)});
            },
        },
        action);
  }
}

void SyncEngine::EndJob(const Instant& now, Remote& remote, Job& job, JobState state,
                        std::string_view error) {
  if (job.run) {
    Emit(ReconcileDrop{job.id});
    running_jobs_.erase(job.id);
  }
  if (state == JobState::kFailed) {
    // Reconciliation has no window.
    const bool reconciled = job.run && job.run->support() == CatchUpJob::NegentropySupport::kYes;
    NoteFailure(remote, !job.pages_since || reconciled);
  }
  // Else it is of an earlier round.
  if (job.run && job.run->windowed() && remote.round_pages_since) remote.full_round = false;
  JobSnapshot record = Describe(job);
  record.state = state;
  record.error = error.substr(0, 256);
  record.finished_at = now.unix_seconds;
  base::LogDebug("sync", "catch-up ends",
                 {{"remote", remote.url.ToString()},
                  {"job", job.id},
                  {"need", record.need},
                  {"fetched", record.fetched},
                  {"rounds", record.rounds},
                  {"error", record.error}});
  finished_jobs_.push_front(std::move(record));
  if (finished_jobs_.size() > options_.job_history) finished_jobs_.pop_back();
  remote.running.erase(job.id);
  jobs_.erase(job.id);  // `job` is gone
}

// Some relays, or proxies before them, hang up at a message of NIP-77 that is too much for them.
void SyncEngine::NoteBrokenReconciliation(const Instant& now, Remote& remote) {
  const bool broken =
      std::any_of(remote.running.begin(), remote.running.end(),
                  [&](const uint64_t id) { return jobs_.at(id)->run->awaits_neg_answer(); });
  if (!broken || ++remote.broken_reconciliations < options_.broken_reconciliations) return;
  remote.broken_reconciliations = 0;
  remote.no_negentropy_until = now.steady + options_.negentropy_retry;
  base::LogInfo("sync", "remote hangs up on reconciliation, paging for a while",
                {{"remote", remote.url.ToString()}});
}

// What exceeds the longest message we take ends the connection, each time anew, and we do not learn
// what it was. An event that was asked for alone is left out when that has happened twice: once, it
// may have been what somebody has just published. While events are asked for singly, no answer of
// reconciliation is on its way besides.
void SyncEngine::NoteTooLong(const Instant& now, Remote& remote) {
  constexpr size_t kSuspects = 100;
  std::vector<nostr::EventId> asked;
  for (const uint64_t id : remote.running) jobs_.at(id)->run->AppendAsked(asked);
  const bool was_singly = remote.asks_singly;
  remote.asks_singly |= !asked.empty();
  const bool suspected = was_singly && asked.size() == 1;
  if (!suspected || remote.too_long_suspects.erase(asked.front()) == 0) {
    // The first ones stay, or those of many filters would push each other out in turn.
    if (suspected && remote.too_long_suspects.size() < kSuspects) {
      remote.too_long_suspects.insert(asked.front());
    }
    NoteBrokenReconciliation(now, remote);
    return;
  }
  ++remote.counts.invalid;
  RememberUndelivered(now, remote, asked.front());
  remote.health.Useful();  // one less to find
  base::LogWarn("sync", "left out an event that is too long for us",
                {{"remote", remote.url.ToString()}, {"id", asked.front().ToHex()}});
}

void SyncEngine::AbandonJobs(const Instant& now, Remote& remote, std::string_view reason) {
  for (const uint64_t id : std::set<uint64_t>(remote.running)) {
    EndJob(now, remote, *jobs_.at(id), JobState::kFailed, reason);
  }
  if (!remote.round.done() && !remote.round_pages_since) remote.owes_full = true;
  remote.round.Stop();
  // What waited has not been compared, nor what was to come. What ran is left to the next round
  // but this: it may be why there is an end.
  bool resumes = false;
  for (const uint64_t id : remote.waiting) {
    Job& job = *jobs_.at(id);
    if (!job.pages_since) remote.owes_full = true;
    if (job.position && !std::exchange(resumes, true)) remote.round.StopBefore(*job.position);
    if (job.by_hand) {
      EndJob(now, remote, job, JobState::kCancelled, reason);
    } else {
      jobs_.erase(id);
    }
  }
  remote.waiting.clear();
  ForgetClaims(remote);
}

// The state that follows from what is still to do.
void SyncEngine::SettleState(const Instant& now, Remote& remote) {
  if (!remote.connected() || remote.awaits_information || remote.awaits_auth ||
      remote.rate_limited(now.steady)) {
    return;
  }
  if (!remote.running.empty() || !remote.waiting.empty()) {
    SetState(now, remote, RemoteState::kSyncing);
    return;
  }
  // Live means stored, not only delivered; and followed, which the remote has to confirm.
  if (remote.unjudged > 0 && remote.state == RemoteState::kSyncing) return;
  const bool was_live =
      remote.state == RemoteState::kLive || remote.state == RemoteState::kLiveWithGaps;
  if (!remote.unanswered.empty() && !remote.closed_subscription && !was_live) {
    SetState(now, remote, RemoteState::kSyncing);
    return;
  }
  ForgetClaims(remote);
  LogGaps(remote);
  if (remote.failed_job || remote.closed_subscription || remote.plan.leaves_out()) {
    if (!remote.failed_job) NoteComplete(now, remote, remote.round_began_at);
    SetState(now, remote, RemoteState::kLiveWithGaps, GapReason(remote));
    ScheduleRepair(now, remote);
    LeaveCheckedAlias(now, remote);
    return;
  }
  NoteComplete(now, remote, now.unix_seconds);
  remote.broken_reconciliations = 0;
  SetState(now, remote, RemoteState::kLive);
  LeaveCheckedAlias(now, remote);
}

std::string SyncEngine::GapReason(const Remote& remote) const {
  if (remote.auth_refusal) {
    return "the remote requires authentication" +
           (!options_.authenticates     ? " and there is no key to do it with"
            : remote.auth_error.empty() ? std::string()
                                        : ": " + remote.auth_error);
  }
  if (remote.closed_subscription) return "the remote does not serve a live subscription";
  if (remote.failed_job) return "a catch-up did not succeed";
  return "the remote allows too few subscriptions to follow everything";
}

// Gaps that come again soon after they were closed are closed ever more seldom.
void SyncEngine::ScheduleRepair(const Instant& now, Remote& remote) {
  if (remote.timers.contains(Timer::Type::kRepair)) return;
  const bool soon = remote.last_repair != base::SteadyTime() &&
                    now.steady - remote.last_repair < options_.repair_at_most;
  remote.repair_wait =
      soon ? std::min(2 * remote.repair_wait, options_.repair_at_most) : options_.repair_after;
  remote.last_repair = now.steady + remote.repair_wait;
  Arm(remote.last_repair, Timer::Type::kRepair, remote);
}

// What comes for one job is progress for all that ask on the same connection: relays commonly
// answer one request after the other.
void SyncEngine::TellOthers(const Instant& now, const Remote& remote, uint64_t job,
                            base::Duration credit) {
  for (const uint64_t id : remote.running) {
    if (id != job) jobs_.at(id)->run->OnOthersProgress(now.steady, credit);
  }
}

// The time for which ingest does not answer for what the remote delivered, beyond what is usual, is
// ours: sooner or later we do not read on meanwhile.
void SyncEngine::ExcuseJobs(const Instant& now, Remote& remote) {
  constexpr base::Duration kUsual = std::chrono::seconds(1);
  const auto ours = now.steady - remote.judging_since - kUsual;
  if (remote.unjudged == 0 || ours <= base::Duration::zero()) return;
  remote.judging_since += ours;
  for (const uint64_t id : remote.running) jobs_.at(id)->run->Excuse(ours);
}

void SyncEngine::CheckJobs(const Instant& now, Remote& remote) {
  ExcuseJobs(now, remote);
  for (const uint64_t id : std::set<uint64_t>(remote.running)) {
    WithJob(now, remote, id,
            [&](CatchUpJob& run, CatchUpJob::Actions& out) { run.OnDeadline(now.steady, out); });
  }
  if (remote.rate_limited(now.steady)) {
    Arm(remote.rate_limited_until, Timer::Type::kJobs, remote);
  } else if (!remote.running.empty()) {
    auto next = base::SteadyTime::max();
    for (const uint64_t id : remote.running) next = std::min(next, jobs_.at(id)->run->deadline());
    Arm(std::max(next, now.steady + std::chrono::seconds(1)), Timer::Type::kJobs, remote);
  }
  PumpJobs(now);
  SettleState(now, remote);
}

void SyncEngine::OnEose(const Instant& now, ConnectionId connection,
                        std::string_view subscription) {
  Remote* remote = Find(connection);
  if (!remote) return;
  if (const auto asked = remote->unanswered.find(subscription); asked != remote->unanswered.end()) {
    // What it replaces is answered first.
    asked->second.one_came = --asked->second.reqs > 0;
    if (asked->second.one_came) return;
    remote->unanswered.erase(asked);
    if (remote->unanswered.empty()) SettleState(now, *remote);
    return;
  }
  const Job* job = JobOf(*remote, subscription);
  if (!job) return;
  WithJob(now, *remote, job->id, [&](CatchUpJob& run, CatchUpJob::Actions& out) {
    run.OnEose(now.steady, subscription, out);
  });
}

void SyncEngine::OnNegMsg(const Instant& now, ConnectionId connection,
                          std::string_view subscription, std::string bytes) {
  Remote* remote = Find(connection);
  if (!remote) return;
  const Job* job = JobOf(*remote, subscription);
  if (!job || job->run->neg_subscription() != subscription) return;
  TellOthers(now, *remote, job->id, base::Duration::zero());
  WithJob(now, *remote, job->id, [&](CatchUpJob& run, CatchUpJob::Actions& out) {
    run.OnNegMsg(now.steady, std::move(bytes), out);
  });
}

void SyncEngine::OnNegErr(const Instant& now, ConnectionId connection,
                          std::string_view subscription, std::string_view reason) {
  Remote* remote = Find(connection);
  if (!remote) return;
  const Job* job = JobOf(*remote, subscription);
  if (!job || job->run->neg_subscription() != subscription) return;
  if (IsRateLimitText(reason)) {
    RateLimited(now, *remote, reason);
    return;
  }
  if (IsAuthRequired(reason) && RefusedForAuthentication(now, *remote)) return;
  // NEG-ERR comes from a relay that knows NIP-77: it refuses this set, not the protocol.
  WithJob(now, *remote, job->id, [&](CatchUpJob& run, CatchUpJob::Actions& out) {
    run.OnNegRefused(now.steady, reason, reason.starts_with("unsupported:"), out);
  });
}

void SyncEngine::OnReconcileStep(const Instant& now, uint64_t job,
                                 absl::StatusOr<ReconcileStep> step) {
  const auto found = jobs_.find(job);
  if (found == jobs_.end()) return;
  Remote* remote = Find(found->second->remote);
  if (!remote || !remote->connected()) return;
  // Who syncs by hand wants it tried again.
  if (step.ok() && found->second->source != storage::Source::kManual) {
    LeaveOutUndelivered(now, *remote, *step);
  }
  if (step.ok() && found->second->run && found->second->run->computing()) {
    ClaimWanted(*remote, job, *step);
  }
  WithJob(now, *remote, job, [&](CatchUpJob& run, CatchUpJob::Actions& out) {
    run.OnReconcileStep(now.steady, std::move(step), out);
  });
}

std::optional<uint64_t> SyncEngine::FindWaiting(const Remote& remote, const nostr::Filter& filter,
                                                std::optional<uint64_t> pages_since) const {
  const auto found =
      std::find_if(remote.waiting.begin(), remote.waiting.end(), [&](const uint64_t id) {
        const Job& job = *jobs_.at(id);
        return job.pages_since == pages_since && job.filter == filter;
      });
  return found == remote.waiting.end() ? std::nullopt : std::optional(*found);
}

absl::StatusOr<std::vector<uint64_t>> SyncEngine::TriggerSync(
    const Instant& now, const nostr::RelayUrl& url, const std::optional<nostr::Filter>& filter) {
  Remote* remote = Find(url);
  if (!remote) return absl::NotFoundError("no such remote: " + url.ToString());
  if (!remote->connected()) {
    return absl::FailedPreconditionError("the remote is not connected, its state is " +
                                         std::string(RemoteStateName(remote->state)));
  }
  if (remote->awaits_information) BeginSync(now, *remote);
  if (!MayQueue(*remote, filter ? 1 : options_.jobs_per_portion)) {
    return absl::ResourceExhaustedError("too many jobs are queued");
  }
  std::vector<uint64_t> ids;
  if (filter) {
    nostr::Filter wanted = *filter;
    wanted.limit.reset();
    ids.push_back(QueueJob(now, *remote, std::move(wanted), storage::Source::kManual));
  } else {
    ForgetClaims(*remote);
    remote->failed_job = false;  // all is asked again
    BeginRound(now, *remote, storage::Source::kManual, std::nullopt);
    ids = ContinueRound(now, *remote);
  }
  for (const uint64_t id : ids) jobs_.at(id)->by_hand = true;
  PumpJobs(now);
  SettleState(now, *remote);
  return ids;
}

}  // namespace graspd::sync
