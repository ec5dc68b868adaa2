#pragma once

#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/websocket_server.h"
#include "nostr/message.h"
#include "services/relay/auth_endpoint.h"
#include "services/relay/client_budgets.h"
#include "services/relay/filter_charge.h"
#include "services/relay/live_hub.h"
#include "services/relay/neg_endpoint.h"
#include "services/relay/session_context.h"
#include "services/relay/session_reads.h"
#include "services/relay/stored_query.h"

namespace graspd::relay {

/// One client: what it may do, its events on their way in, its subscriptions, its reconciliations.
///
/// A connection that presented the secret header is our own SelfSubscriber: no rates apply to it.
/// Bounds: everything in Limits; besides, the reads of the store (SessionReads) and 16 MiB of
/// filters in all subscriptions. Who sends too many malformed messages or forged events is
/// cut off. Threading: its connection's thread. Lifetime: shared by the handle that the server
/// owns; tasks on other threads hold it weakly.
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

  void OnTick(base::SteadyTime now) override { neg_.OnTick(now); }
  void OnShutdown() override;

 private:
  class Subscription;
  using SubscriptionPtr = std::shared_ptr<Subscription>;
  using PageOrError = absl::StatusOr<StoredQuery::Page>;

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

  // Subscriptions.
  /// Why these filters may not be asked under this id now, with prefix.
  [[nodiscard]] std::optional<std::string> RefuseQuery(const std::string& id,
                                                       const std::vector<nostr::Filter>& filters);
  /// Nothing if the filters of all clients take too much.
  [[nodiscard]] std::optional<FilterCharge> ChargeFilters(size_t bytes);
  void Open(nostr::ClientReq message, FilterCharge charge);
  /// Begins as many of the scans that wait as may be under way.
  void PumpScans();
  void AwaitDrain();
  void Scan(Subscription& subscription);
  void OnPage(const SubscriptionPtr& subscription, const PageOrError& page);
  void GoLive(Subscription& subscription);
  void SendEvent(Subscription& subscription, std::string_view delivery);
  void EndSubscription(const std::string& id);
  void SendClosed(const std::string& id, std::string_view reason);

  /// A COUNT that cannot be answered: CLOSED, but a REQ of the same id goes on.
  void RefuseCount(const std::string& id, std::string_view reason);

  const SessionContext& context_;
  LiveHub& hub_;
  const std::shared_ptr<net::WebSocketConnection> connection_;
  const bool own_;  // the SelfSubscriber
  ClientBudgets budgets_;
  std::unique_ptr<ingest::Submitter> submitter_;
  size_t unanswered_ = 0;  // events on their way
  bool struck_out_ = false;
  bool paused_ = false;
  bool closed_ = false;

  std::map<std::string, SubscriptionPtr, std::less<>> subscriptions_;
  size_t filter_bytes_ = 0;           // of all subscriptions
  std::list<SubscriptionPtr> scans_;  // of open subscriptions, that wait for their turn
  size_t scans_under_way_ = 0;
  bool awaits_drain_ = false;

  AuthEndpoint auth_;
  SessionReads reads_;  // before neg_, which uses it
  NegEndpoint neg_;
};

/// The session as the server holds it.
std::unique_ptr<net::WebSocketSession> MakeSession(
    const SessionContext& context, std::shared_ptr<LiveHub> hub,
    std::shared_ptr<net::WebSocketConnection> connection);

}  // namespace graspd::relay
