#pragma once

#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "net/websocket_server.h"
#include "nostr/message.h"
#include "services/relay/filter_charge.h"
#include "services/relay/live_hub.h"
#include "services/relay/session_context.h"
#include "services/relay/session_reads.h"
#include "services/relay/stored_query.h"

namespace graspd::relay {

/// The REQs of one connection: what is open, what of it is still being read from the store, what
/// is live.
///
/// Stored events come page by page, two scans at a time in turn, and only while the client reads
/// them; what is committed meanwhile waits and follows EOSE, at the same pace. Bounds:
/// Limits::subscriptions; 16 MiB of filters a connection and Limits::filter_total_bytes for all;
/// Limits::live_buffer_* for what waits, past which the subscription ends. Threading: the
/// connection's thread, which is the hub's. Lifetime: Close() comes before the end; `hub`,
/// `connection` and `context` outlive it.
class ReqEndpoint {
 public:
  /// `own`: our own SelfSubscriber, to which no bound on filters applies.
  ReqEndpoint(const SessionContext& context, LiveHub& hub, net::WebSocketConnection& connection,
              bool own);
  ~ReqEndpoint() { Close(); }
  ReqEndpoint(const ReqEndpoint&) = delete;
  ReqEndpoint& operator=(const ReqEndpoint&) = delete;

  /// Takes the place of the subscription of that id, if there is one. The filters are within their
  /// limits. Answers CLOSED if there is no room.
  void Open(nostr::ClientReq message);
  /// Ends the subscription of that id, if there is one, and says nothing.
  void End(const std::string& id);
  /// CLOSED with that reason, which has a prefix; ends the subscription of that id, if there is
  /// one.
  void Refuse(const std::string& id, std::string_view reason);
  void RefuseAll(std::string_view reason);
  /// The connection has ended: everything ends, nothing is sent. May be repeated.
  void Close();

  /// Memory for filters of a query, counted for as long as the charge lives. Nothing if those of
  /// all clients take too much.
  [[nodiscard]] std::optional<FilterCharge> ChargeFilters(size_t bytes) const;
  /// No subscription is open.
  [[nodiscard]] bool empty() const { return subscriptions_.empty(); }

 private:
  class Subscription;
  using SubscriptionPtr = std::shared_ptr<Subscription>;
  using PageOrError = absl::StatusOr<StoredQuery::Page>;

  void Subscribe(nostr::ClientReq message, FilterCharge charge);
  /// Sends what has waited for EOSE, and begins as many of the scans that wait as may be under way,
  /// while the client reads.
  void Pump();
  void AwaitDrain();
  void Scan(Subscription& subscription);
  void OnPage(const SubscriptionPtr& subscription, const PageOrError& page);
  void GoLive(const SubscriptionPtr& subscription);
  [[nodiscard]] bool SendWaiting(const SubscriptionPtr& subscription);

  const SessionContext& context_;
  LiveHub& hub_;
  net::WebSocketConnection& connection_;
  const bool own_;
  SessionReads reads_;
  std::map<std::string, SubscriptionPtr, std::less<>> subscriptions_;
  size_t filter_bytes_ = 0;           // of all subscriptions
  std::list<SubscriptionPtr> scans_;  // of open subscriptions, that wait for their turn
  size_t scans_under_way_ = 0;
  std::list<SubscriptionPtr> catching_up_;  // whose scans are over, that have events waiting
  bool awaits_drain_ = false;
  std::shared_ptr<void> alive_;  // what the connection calls back looks whether we still exist
};

}  // namespace graspd::relay
