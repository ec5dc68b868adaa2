#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "net/http.h"
#include "net/io_pool.h"
#include "net/socket_address.h"

namespace graspd::net {

/// One accepted WebSocket connection (RFC 6455), as its session uses it.
///
/// Everything sent is appended in order to one output buffer: data frames, pongs, close; one send()
/// leaves per turn of the event loop. A connection whose buffer passes the limit is closed (a
/// reader that slow is not helped by waiting).
/// Threading: everything on thread() only, where all callbacks come too. Lifetime: shared by its
/// server and its session; after OnClosed it swallows what is sent.
class WebSocketConnection {
 public:
  struct Peer {
    IpAddress address;           // the client's, also behind a trusted proxy; 127.0.0.1 if it came
                                 // over a unix socket and nobody said whose it is
    bool secret_header = false;  // presented ServerOptions::secret_header: our own SelfSubscriber
    std::string user_agent;      // at most 128 bytes
  };
  virtual ~WebSocketConnection() = default;

  /// Appends one text message made of two parts (a common body behind a prefix). False if closing.
  virtual bool SendText(std::string_view prefix, std::string_view body) = 0;
  bool SendText(std::string_view message) { return SendText(message, {}); }

  /// Bytes appended and not yet taken by the kernel.
  [[nodiscard]] virtual size_t pending_bytes() const = 0;
  /// Calls `ready` once when pending_bytes() has fallen to a fraction of `soft_limit()` (at once,
  /// but not before returning, if it has already). Replaces an earlier one; dropped uncalled when
  /// the connection ends. For producers of many rows.
  virtual void WhenDrained(std::function<void()> ready) = 0;
  /// Above this many pending bytes a producer that can wait should wait.
  [[nodiscard]] virtual size_t soft_limit() const = 0;

  /// Stops, or goes on, taking messages from the socket: back-pressure. Nested pauses do not count.
  virtual void PauseReading() = 0;
  virtual void ResumeReading() = 0;

  /// Sends what is queued, then a Close frame; the TCP connection is gone after at most a few
  /// seconds.
  virtual void Close(uint16_t code, std::string_view reason) = 0;

  [[nodiscard]] virtual const Peer& peer() const = 0;
  [[nodiscard]] virtual IoThread& thread() = 0;
};

/// What a connection is used for. Destroyed on the connection's thread after OnClosed.
class WebSocketSession {
 public:
  virtual ~WebSocketSession() = default;
  /// One whole text message. `padding` (64) bytes after its end may be read (simdjson); the text
  /// lives until the call returns.
  virtual void OnText(std::string_view message) = 0;
  /// A binary message; Nostr has none.
  virtual void OnBinary(size_t bytes) = 0;
  /// Whether the client waits for nothing, so that little is lost if it has to go.
  [[nodiscard]] virtual bool IsIdle() const { return false; }
  /// The connection has ended, for whatever reason. Called exactly once, last.
  virtual void OnClosed() = 0;
};

struct WebSocketServerOptions {
  std::vector<ListenAddress> listen;
  size_t message_bytes = 512 * 1024;
  size_t outbound_bytes = 4u << 20;
  size_t inbound_total_bytes = 256u << 20;   // of all unfinished messages: past it theirs are cut
  size_t outbound_total_bytes = 256u << 20;  // over all connections: past it the largest is closed
  size_t connections = 10'000;
  /// Of the descriptors that the process may have, so many are left for other things.
  size_t reserved_descriptors = 64;
  size_t connections_per_address = 100;  // the secret-header connection is exempt, and so is one
                                         // over a unix socket that names no client
  std::chrono::seconds handshake_timeout{5};
  std::chrono::seconds ping_interval{30};
  std::chrono::seconds pong_timeout{60};
  /// Their X-Forwarded-For is believed. Peers on unix sockets always count among them.
  std::vector<Cidr> trusted_proxies;
  /// Sent with every HTTP response and upgrade.
  std::vector<std::pair<std::string, std::string>> response_headers;
  /// A client that sends this header with this value is marked in Peer. Empty = none.
  std::pair<std::string, std::string> secret_header;
};

/// Accepts connections, spreads them over the I/O threads, answers plain HTTP with `http` and
/// upgrades with sessions from `make_session` (called on the connection's thread). A peer that
/// sends nothing is pinged, then cut; one that takes nothing is cut. One that breaks the protocol
/// is closed with 1002, 1007 or 1009; one that floods with pings, with 1008. A message has at most
/// 64 fragments. No compression. `connections` is lowered to what the descriptor limit of the
/// process allows.
///
/// An upgrade is accepted on every path, also on one where `http` answers 404: a relay's URL may
/// have a path, and what a proxy makes of it before it comes here is the proxy's business.
///
/// Unix sockets have mode 0666, whatever the umask, so that a proxy of any user can connect. Who
/// connects there is taken for a proxy and may name any client: where local users are not to be
/// trusted with that, the socket belongs in a directory that only the proxy may enter.
///
/// Lifetime: pool and metrics outlive it.
class WebSocketServer {
 public:
  using SessionFactory =
      std::function<std::unique_ptr<WebSocketSession>(std::shared_ptr<WebSocketConnection>)>;

  /// Cuts what is left, as CloseAll does. Not from an I/O thread.
  virtual ~WebSocketServer() = default;
  [[nodiscard]] virtual std::vector<ListenAddress> addresses() const = 0;
  [[nodiscard]] virtual size_t connection_count() const = 0;
  /// Bytes that wait in the output buffers of all connections.
  [[nodiscard]] virtual size_t outbound_bytes() const = 0;

  // What an overloaded server can do without. Thread-safe; at once, or soon after.
  /// Whether new connections are answered 503, as they are past the limit of connections.
  virtual void RefuseNew(bool refuse) = 0;
  /// Closes (1013) connections that have been silent for so long and whose sessions are idle.
  virtual void CloseIdle(base::Duration silent) = 0;
  /// Cuts connections with more than `bytes` in their output buffers.
  virtual void CutQueues(size_t bytes) = 0;

  /// No new connections; existing ones go on. Thread-safe.
  virtual void StopAccepting() = 0;
  /// StopAccepting(), then Close(code, reason) on every connection; returns once all are gone or
  /// `deadline` has passed, when the rest are cut. Thread-safe; blocks; not from an I/O thread.
  virtual void CloseAll(uint16_t code, std::string_view reason, base::Duration deadline) = 0;

  /// Errors: kUnavailable (address in use), kPermissionDenied, kInvalidArgument.
  static absl::StatusOr<std::unique_ptr<WebSocketServer>> Start(IoPool& pool,
                                                                WebSocketServerOptions options,
                                                                HttpHandler http,
                                                                SessionFactory make_session,
                                                                base::Metrics& metrics);
};

}  // namespace graspd::net
