#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "base/executor.h"
#include "net/websocket_server.h"
#include "nostr/message.h"
#include "services/relay/auth_state.h"
#include "services/relay/session_context.h"

namespace graspd::relay {

/// The relay's side of NIP-42 on one connection.
///
/// Nobody is asked to authenticate before something needs it: a challenge wakes up people's
/// signers. Signatures are checked on the CPU pool, one at a time: while busy() the session reads
/// nothing, so what was sent behind an AUTH is judged after it. Threading: the connection's thread.
class AuthEndpoint {
 public:
  /// The outcome of an AUTH, perhaps before Authenticate returns: `refusal` is empty, or a text
  /// with its NIP-01 prefix.
  using Answer = std::function<void(const nostr::EventId&, std::string_view refusal)>;

  AuthEndpoint(const SessionContext& context, net::WebSocketConnection& connection,
               base::Executor& executor, Answer answer);

  /// Sends the connection's challenge unless it has been sent before.
  void SendChallenge();
  /// Requires !busy().
  void Authenticate(nostr::Event event);
  [[nodiscard]] bool busy() const { return check_ != nullptr; }

  [[nodiscard]] const AuthState& state() const { return state_; }

  /// The session has ended: no answer comes any more.
  void Close() { check_.reset(); }

 private:
  struct Check;
  void OnChecked(std::string_view refusal);

  const SessionContext& context_;
  net::WebSocketConnection& connection_;
  base::Executor& executor_;
  const Answer answer_;
  AuthState state_;
  std::shared_ptr<Check> check_;  // the task on the pool holds it weakly
};

}  // namespace graspd::relay
