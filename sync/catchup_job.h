#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_set>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "nostr/filter.h"
#include "sync/status.h"

namespace graspd::sync {

/// What one round of reconciliation against our own set has found (see NegentropyPool).
struct ReconcileStep {
  std::string message;                 // to send next; empty = finished
  std::vector<nostr::EventId> wanted;  // missing here, not deleted here, each named once
  uint64_t have = 0, need = 0;         // sizes of this round's differences
  uint64_t items = 0;                  // that are compared: Initiator::items()
};

/// What a job asks its surroundings to do.
struct StartReconcile {};  // build the local set, make the first message
struct ContinueReconcile {
  std::string reply;
};
struct SendNegOpen {
  std::string subscription, bytes;
};
struct SendNegMsg {
  std::string subscription, bytes;
};
struct SendNegClose {
  std::string subscription;
};
struct SendReq {
  std::string subscription;
  nostr::Filter filter;
};
struct SendClose {
  std::string subscription;
};
using JobAction = std::variant<StartReconcile, ContinueReconcile, SendNegOpen, SendNegMsg,
                               SendNegClose, SendReq, SendClose>;

/// Brings what one remote has for one filter here: by negentropy against our real set, or by paged
/// REQ where the remote does not speak it. Sans-IO: takes what happened, appends what to do.
///
/// Ids that reconciliation finds are fetched in chunks, several at once, while further rounds go
/// on; what the remote does not deliver, though it ends its answer, is asked for at most kAttempts
/// times, not counting answers that bring something else: these may be all that it serves for one
/// request. Every phase has a deadline on progress of the connection, and what drips more slowly
/// than an event a second for long is given up as well, so that a slot cannot be held; a
/// reconciliation also when all its answers together were waited for too long. Bounds: at most
/// kPendingIds ids wait to be fetched before the next round is held back; at most kMaxPages pages,
/// kPageOverrun events in one and kIdsPerSecond in one second. Threading: thread-compatible; lives
/// on the sync thread.
class CatchUpJob {
 public:
  static constexpr size_t kIdsPerReq = 250;
  static constexpr size_t kReqsInFlight = 4;
  static constexpr size_t kPendingIds = 20'000;
  static constexpr int kAttempts = 3;
  /// Who refuses requests gets fewer at a time, and who refuses so many that came alone, one after
  /// the other, fails the job. A refusal is no attempt.
  static constexpr int kRefusals = 2;
  /// Who does not deliver so many of the ids that it has named, and that were asked for, and more
  /// than it does deliver, is read by pages instead.
  static constexpr size_t kGhosts = 10'000;
  static constexpr size_t kPageSize = 500;
  static constexpr size_t kLargePageSize = 5000;  // for a second that fills a page
  static constexpr size_t kMaxPages = 10'000;
  static constexpr size_t kPageOverrun = 20'000;
  static constexpr size_t kIdsPerSecond = 50'000;
  static constexpr base::Duration kProgressTimeout = std::chrono::seconds(15);
  /// The same while ids are being fetched: to begin anew would cost more than to wait.
  static constexpr base::Duration kFetchTimeout = std::chrono::seconds(45);
  /// How long a remote may stay below an event a second.
  static constexpr base::Duration kPatience = std::chrono::seconds(120);
  /// How long, in all, the answers of a reconciliation may be waited for while no events come: so
  /// long, and so long for each item compared. A relay 300 ms away, with frames of 4 kB, takes half
  /// of that where every other item differs.
  static constexpr base::Duration kNegPatience = kPatience;
  static constexpr base::Duration kNegPatiencePerItem = std::chrono::milliseconds(10);

  /// What the remote lets us do at a time.
  struct Limits {
    size_t requests = kReqsInFlight;      // REQs for ids
    size_t ids_per_request = kIdsPerReq;  // in one of them
    size_t page = kLargePageSize;         // events to ask for at most
    bool singly = false;                  // nothing is fetched while a NEG-MSG is waited for
  };

  enum class NegentropySupport { kUnknown, kYes, kNo };

  /// Reconciliation always compares everything that `filter` selects; pages go back to
  /// `pages_since` only, if set, unless reconciliation was broken off with something still wanted.
  CatchUpJob(uint64_t id, nostr::Filter filter, bool try_negentropy, const Limits& limits,
             std::optional<uint64_t> pages_since = std::nullopt);
  CatchUpJob(uint64_t id, nostr::Filter filter, bool try_negentropy)
      : CatchUpJob(id, std::move(filter), try_negentropy, Limits()) {}

  using Actions = std::vector<JobAction>;
  void Start(base::SteadyTime now, Actions& out);
  /// kResourceExhausted after a reply says that the remote goes on without end.
  void OnReconcileStep(base::SteadyTime now, absl::StatusOr<ReconcileStep> step, Actions& out);
  void OnNegMsg(base::SteadyTime now, std::string bytes, Actions& out);
  /// NEG-ERR, or a CLOSED or NOTICE that can only mean our NEG-OPEN. `unsupported`: the remote
  /// seems not to know NIP-77 at all; else it refuses this set, which shows that it does.
  void OnNegRefused(base::SteadyTime now, std::string_view reason, bool unsupported, Actions& out);
  /// Our NEG-OPEN has not been answered and will not be, as it seems: a NOTICE, or silence.
  void OnNegIgnored(base::SteadyTime now, std::string_view reason, bool unsupported, Actions& out);
  void OnEvent(base::SteadyTime now, std::string_view subscription, const nostr::EventId& id,
               uint64_t created_at, Actions& out);
  /// An event that cannot be read, and is not asked for again; what it seems to be.
  void OnUnreadable(base::SteadyTime now, std::string_view subscription, const nostr::EventId& id,
                    std::optional<uint64_t> created_at, Actions& out);
  void OnEose(base::SteadyTime now, std::string_view subscription, Actions& out);
  void OnClosed(base::SteadyTime now, std::string_view subscription, std::string_view reason,
                Actions& out);
  /// The connection has brought what another job asked for: answers come in turn.
  void OnOthersProgress(base::SteadyTime now, base::Duration credit) { Progress(now, credit); }
  /// So much of the time was ours, in which nothing could come.
  void Excuse(base::Duration time) {
    last_progress_ += time;
    patience_ += time;
    asked_at_ += time;
  }
  /// To be called at or after deadline().
  void OnDeadline(base::SteadyTime now, Actions& out);
  /// Ends the job as failed, closing what it has open.
  void Abort(std::string reason, Actions& out);

  [[nodiscard]] base::SteadyTime deadline() const {
    return std::min(last_progress_ + (fetches_.empty() ? kProgressTimeout : kFetchTimeout),
                    patience_);
  }
  [[nodiscard]] bool finished() const { return phase_ == Phase::kDone || phase_ == Phase::kFailed; }
  [[nodiscard]] bool failed() const { return phase_ == Phase::kFailed; }
  /// True while the answer to our first NEG-OPEN is outstanding.
  [[nodiscard]] bool awaits_first_neg_answer() const {
    return phase_ == Phase::kReconcile && neg_opened_ && support_ == NegentropySupport::kUnknown;
  }
  /// True while our last message of a reconciliation is unanswered.
  [[nodiscard]] bool awaits_neg_answer() const {
    return phase_ == Phase::kReconcile && neg_opened_ && !neg_ended_ && !computing_ && !held_reply_;
  }
  [[nodiscard]] bool WaitsForRemote() const;
  /// True if the subscription is one of this job's present requests.
  [[nodiscard]] bool Owns(std::string_view subscription) const;
  /// The ids whose events are waited for.
  void AppendAsked(std::vector<nostr::EventId>& out) const {
    for (const auto& [name, fetch] : fetches_) {
      for (const auto& [id, attempts] : fetch.outstanding) out.push_back(id);
    }
  }
  /// A ReconcileStep is waited for.
  [[nodiscard]] bool computing() const { return phase_ == Phase::kReconcile && computing_; }
  [[nodiscard]] NegentropySupport support() const { return support_; }
  [[nodiscard]] const nostr::Filter& filter() const { return filter_; }
  /// True if pages were read, and not of all times.
  [[nodiscard]] bool windowed() const { return method == SyncMethod::kReq && pages_since_; }
  /// What a later job would still have to ask for: the filter, less the pages that have been read.
  [[nodiscard]] nostr::Filter Remaining() const;
  /// How far back its pages would go: to the beginning where reconciliation has still something
  /// wanted.
  [[nodiscard]] std::optional<uint64_t> RemainingPagesSince() const;
  [[nodiscard]] const std::string& neg_subscription() const { return neg_subscription_; }

  // Progress, for operators.
  SyncMethod method = SyncMethod::kUnknown;
  uint64_t have = 0, need = 0, fetched = 0, missing = 0, rounds = 0, bytes = 0;
  std::string error;
  /// Reconciliation with this remote is of no use: it invents ids (kGhosts) or has no end.
  bool futile = false;
  /// Ids that were asked for in vain (kAttempts), or brought something unreadable. The owner
  /// may take them out.
  std::vector<nostr::EventId> given_up;

 private:
  enum class Phase { kNew, kReconcile, kPages, kDone, kFailed };
  struct Wanted {
    nostr::EventId id;
    int attempts = 0;  // so far, the one under way included
  };
  struct Fetch {
    absl::flat_hash_map<nostr::EventId, int, std::hash<nostr::EventId>> outstanding;  // attempts
    size_t delivered = 0;
    bool alone = false;  // nothing else was asked for at that time
  };
  using Fetches = std::map<std::string, Fetch, std::less<>>;

  void GiveUpReconciling(base::SteadyTime now, std::string_view reason, Actions& out);
  void FallBack(base::SteadyTime now, std::string_view reason, bool unsupported, Actions& out);
  void BeginPages(base::SteadyTime now, Actions& out);
  void RequestPage(Actions& out);
  void EndPage(base::SteadyTime now, Actions& out);
  void PumpFetches(base::SteadyTime now, Actions& out);
  void EndFetch(base::SteadyTime now, Fetches::iterator fetch, Actions& out);
  void OnFetchRefused(base::SteadyTime now, Fetches::iterator fetch, std::string_view reason,
                      Actions& out);
  void ContinueIfRoom(Actions& out);
  void FinishIfIdle();
  void CloseNegentropy(Actions& out);
  void Progress(base::SteadyTime now, base::Duration credit);
  void OnPageEvent(base::SteadyTime now, const nostr::EventId& id, uint64_t created_at,
                   Actions& out);

  const uint64_t id_;
  const nostr::Filter filter_;
  std::optional<uint64_t> pages_since_;
  const std::string neg_subscription_;
  const Limits limits_;
  size_t requests_;  // at a time; fewer for a remote that refuses so many
  Phase phase_ = Phase::kNew;
  NegentropySupport support_ = NegentropySupport::kUnknown;
  base::SteadyTime last_progress_{};
  base::SteadyTime patience_{};  // runs out unless enough comes
  uint64_t next_request_ = 0;

  // Reconciliation.
  bool neg_opened_ = false, neg_ended_ = false, computing_ = false;
  base::SteadyTime asked_at_{};  // our latest message, or so much later as events have come since
  base::Duration waited_{};      // for all answers so far
  uint64_t items_ = 0;
  std::optional<std::string> held_reply_;  // waits until fewer ids are pending
  std::deque<Wanted> pending_;
  Fetches fetches_;
  uint64_t in_vain_ = 0;  // ids asked for and not delivered, once for each time
  int refusals_ = 0;      // of one that came alone, in a row
  size_t ids_per_req_;    // fewer for a remote that serves fewer than it is asked for

  // Pages.
  std::string page_subscription_;
  uint64_t page_until_ = 0;
  bool page_bounded_ = false;  // page_until_ is set
  size_t page_size_;
  size_t page_events_ = 0, page_new_ = 0, pages_ = 0;
  uint64_t page_oldest_ = 0;
  // Pages overlap by one second: of that second, what earlier pages brought, and of the oldest
  // second of this page, what it brings.
  std::unordered_set<nostr::EventId> seen_at_until_, seen_at_oldest_;
};

}  // namespace graspd::sync
