#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/executor.h"
#include "net/websocket_server.h"
#include "nostr/message.h"
#include "nostr/negentropy/reconciler.h"
#include "services/relay/client_work.h"
#include "services/relay/filter_charge.h"
#include "services/relay/session_context.h"
#include "services/relay/session_reads.h"

namespace graspd::relay {

/// The answering side of NIP-77 on one connection.
///
/// A session's set is asked for when it opens, in the turn that the connection's `reads` give it,
/// and its messages are answered on the CPU pool, one at a time. What has ended before its turn is
/// neither read nor answered. Bounds: Limits::neg_sessions; the budget of NegSets; a ceiling on the
/// bytes of one session both ways (a multiple of its set); AskerProgress; Limits::neg_idle. The
/// work of all messages comes out of ClientWork, like that of `reads`: when that is used up,
/// answers wait for it, so that a long honest session slows down rather than fails.
/// Whatever ends a session but NEG-CLOSE is told by NEG-ERR. Filters and messages are charged while
/// they wait. Threading: the connection's thread. Lifetime: `reads` outlives it; answers that
/// arrive after its end are dropped.
class NegEndpoint {
 public:
  NegEndpoint(const SessionContext& context, net::WebSocketConnection& connection,
              base::Executor& executor, SessionReads& reads, std::shared_ptr<ClientWork> work)
      : context_(context),
        connection_(connection),
        executor_(executor),
        reads_(reads),
        work_(std::move(work)) {}
  ~NegEndpoint();
  NegEndpoint(const NegEndpoint&) = delete;
  NegEndpoint& operator=(const NegEndpoint&) = delete;

  /// The filter is within its limits; `charge` is for it and for the message.
  void Open(nostr::ClientNegOpen open, FilterCharge charge);
  /// False, after NEG-ERR, if no honest client sends this now: nothing is open under this id, or
  /// the answer to the message before is still to come.
  bool Message(nostr::ClientNegMsg message, std::optional<FilterCharge> charge);
  void Close(const std::string& id);
  /// Answers NEG-ERR to a request that must not reach this endpoint, and ends the session of that
  /// id, if there is one.
  void Refuse(const std::string& id, std::string_view reason) {
    End(id, Meters::NegRefusal::kRequest, reason);
  }
  /// Goes on with what waits for its share of work, and ends what is idle.
  void OnTick(base::SteadyTime now);
  void EndAll(std::string_view reason);
  /// No session is open.
  [[nodiscard]] bool empty() const { return sessions_.empty(); }

 private:
  struct Session;
  struct Answered;
  using SessionPtr = std::shared_ptr<Session>;
  using ChargePtr = std::shared_ptr<const FilterCharge>;
  void ReadSet(const SessionPtr& session, nostr::Filter filter, ChargePtr charge);
  void OnSet(const SessionPtr& session, const absl::StatusOr<storage::NegSets::SetPtr>& set);
  void Enqueue(const SessionPtr& session, std::string message, ChargePtr charge);
  void AnswerWaiting();
  void Answer(const SessionPtr& session);
  void OnAnswer(Session& session, const Answered& answered);
  /// NEG-ERR with that reason.
  void End(const std::string& id, Meters::NegRefusal why, std::string_view reason,
           uint64_t maximum = 0);

  const SessionContext& context_;
  net::WebSocketConnection& connection_;
  base::Executor& executor_;
  SessionReads& reads_;
  std::map<std::string, SessionPtr, std::less<>> sessions_;
  std::deque<std::weak_ptr<Session>> waiting_;  // for the budget, in order of arrival
  const std::shared_ptr<ClientWork> work_;
};

}  // namespace graspd::relay
