#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/websocket_server.h"
#include "nostr/message.h"
#include "services/relay/auth_endpoint.h"
#include "services/relay/client_budgets.h"
#include "services/relay/client_work.h"
#include "services/relay/live_hub.h"
#include "services/relay/neg_endpoint.h"
#include "services/relay/req_endpoint.h"
#include "services/relay/session_context.h"
#include "services/relay/session_reads.h"

namespace graspd::relay {

/// One client: what it may do, and its events on their way in. REQ, NEG-* and AUTH have endpoints
/// of their own.
///
/// A connection that presented the secret header is our own SelfSubscriber: no rates apply to it.
/// Bounds: everything in Limits, and the reads of the store (SessionReads). Who sends too many
/// malformed messages or forged events is cut off. Threading: its connection's thread. Lifetime:
/// shared by the handle that the server owns; tasks on other threads hold it weakly.
class ClientSession final : public LiveHub::Member,
                            public std::enable_shared_from_this<ClientSession> {
 public:
  /// `connection` and `hub` belong to the same thread. `hub` outlives the session.
  static std::shared_ptr<ClientSession> Start(const SessionContext& context, LiveHub& hub,
                                              std::shared_ptr<net::WebSocketConnection> connection);
  ~ClientSession() override;
  ClientSession(const ClientSession&) = delete;
  ClientSession& operator=(const ClientSession&) = delete;

  void OnText(std::string_view text);
  void OnBinary();
  /// Ends everything; the last call.
  void OnClosed();
  /// No subscription, no event on its way.
  [[nodiscard]] bool IsIdle() const;

  void OnTick(base::SteadyTime now) override {
    neg_.OnTick(now);
    scans_.OnTick();
  }
  void OnShutdown() override;

 private:
  ClientSession(const SessionContext& context, LiveHub& hub,
                std::shared_ptr<net::WebSocketConnection> connection);

  void Handle(nostr::ClientEvent message);
  void Handle(nostr::ClientAuth message);
  void Handle(nostr::ClientReq message);
  void Handle(nostr::ClientCount message);
  void Handle(nostr::ClientClose message);
  void Handle(nostr::ClientNegOpen message);
  void Handle(nostr::ClientNegMsg message);
  void Handle(nostr::ClientNegClose message);
  void Handle(nostr::ClientRefused message);

  // Events.
  void OnResults(std::span<const ingest::Result> results);
  /// Stops or goes on reading: events in flight and a pending AUTH hold back what follows.
  void UpdateReading();
  void OnAuthenticated(const nostr::EventId& id, std::string_view refusal);
  void RefuseProtected(const nostr::Event& event);
  void SendOk(std::string_view id, bool accepted, std::string_view message);
  /// Counts a message that no honest client sends; the last one closes the connection.
  void Strike();

  /// Why these filters may not be asked under this id now, with prefix.
  [[nodiscard]] std::optional<std::string> RefuseQuery(const std::string& id,
                                                       const std::vector<nostr::Filter>& filters);
  /// A COUNT that cannot be answered: CLOSED, but a REQ of the same id goes on.
  void RefuseCount(const std::string& id, std::string_view reason);

  const SessionContext& context_;
  LiveHub& hub_;
  const std::shared_ptr<net::WebSocketConnection> connection_;
  const bool own_;                                         // the SelfSubscriber
  const std::shared_ptr<AddressBudgets::Budget> address_;  // its own connection has none
  ClientBudgets budgets_;
  std::unique_ptr<ingest::Submitter> submitter_;
  size_t unanswered_ = 0;  // events on their way
  bool struck_out_ = false;
  bool paused_ = false;
  bool closed_ = false;

  AuthEndpoint auth_;
  ReqEndpoint reqs_;
  const std::shared_ptr<ClientWork> work_;  // of scans and reconciliations
  SessionReads scans_;                      // before neg_, which uses it
  NegEndpoint neg_;
};

/// The session as the server holds it.
std::unique_ptr<net::WebSocketSession> MakeSession(
    const SessionContext& context, std::shared_ptr<LiveHub> hub,
    std::shared_ptr<net::WebSocketConnection> connection);

}  // namespace graspd::relay
