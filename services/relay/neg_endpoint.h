#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/executor.h"
#include "net/websocket_server.h"
#include "nostr/message.h"
#include "services/relay/session_context.h"
#include "services/relay/session_reads.h"

namespace graspd::relay {

/// The answering side of NIP-77 on one connection.
///
/// A session's set is read when it opens, in the turn that the connection's `reads` give it, and
/// its messages are answered on the CPU pool, one at a time. What has ended before its turn is
/// neither read nor answered. Bounds: Limits::neg_sessions, the budget of NegSets, a ceiling on the
/// bytes one session may be sent (a multiple of its set), and Limits::neg_idle. Whatever ends a
/// session but NEG-CLOSE is told by NEG-ERR. Threading: the connection's thread. Lifetime: `reads`
/// outlives it; answers that arrive after its end are dropped.
class NegEndpoint {
 public:
  NegEndpoint(const SessionContext& context, net::WebSocketConnection& connection,
              base::Executor& executor, SessionReads& reads)
      : context_(context), connection_(connection), executor_(executor), reads_(reads) {}
  ~NegEndpoint();
  NegEndpoint(const NegEndpoint&) = delete;
  NegEndpoint& operator=(const NegEndpoint&) = delete;

  /// The filter is within its limits.
  void Open(nostr::ClientNegOpen open);
  void Message(nostr::ClientNegMsg message);
  void Close(const std::string& id);
  /// Answers NEG-ERR and ends the session of that id, if there is one.
  void Refuse(const std::string& id, std::string_view reason, uint64_t maximum = 0);
  void EndIdle(base::SteadyTime now);
  void EndAll(std::string_view reason);
  /// No session is open.
  [[nodiscard]] bool empty() const { return sessions_.empty(); }

 private:
  struct Session;
  using SessionPtr = std::shared_ptr<Session>;
  void ReadSet(const SessionPtr& session, nostr::Filter filter);
  void OnSet(const SessionPtr& session, absl::StatusOr<NegSets::SetPtr> set);
  void Answer(const SessionPtr& session, std::string message);
  void OnAnswer(Session& session, absl::StatusOr<std::string> answer);

  const SessionContext& context_;
  net::WebSocketConnection& connection_;
  base::Executor& executor_;
  SessionReads& reads_;
  std::map<std::string, SessionPtr, std::less<>> sessions_;
};

}  // namespace graspd::relay
