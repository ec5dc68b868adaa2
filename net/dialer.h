// Connections that graspd opens: WebSocket to other relays (RFC 6455, over TLS 1.2 or later), and
// the GET of their information document (NIP-11).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/address_guard.h"
#include "net/io_pool.h"
#include "net/resolver.h"
#include "nostr/relay_url.h"

namespace graspd::net {

/// In which phase, and so for which kind of reason, a connection ended. Decided by type, never by
/// matching texts.
enum class DialError : uint8_t {
  kNone,     // closed by us
  kBlocked,  // AddressGuard, or plaintext where it is not allowed
  kCrowded,  // its addresses have as many connections as are allowed
  kDns,
  kTcp,          // refused, unreachable, reset
  kTls,          // handshake or certificate
  kHttp,         // the upgrade was answered with another status
  kWebSocket,    // bad upgrade, framing error, oversized message
  kTimeout,      // no progress within the deadline of the phase or of the dial
  kRemoteClosed  // Close frame or end of stream after the upgrade
};
inline constexpr size_t kDialErrors = static_cast<size_t>(DialError::kRemoteClosed) + 1;
[[nodiscard]] std::string_view DialErrorName(DialError error);
/// Every detail that a failure with kBlocked may have, once.
[[nodiscard]] std::set<std::string_view> BlockReasons();

/// Why a connection ended. A plain value.
struct DialFailure {
  DialError error = DialError::kNone;
  std::string detail;        // for people, at most 256 bytes, no control characters
  int http_status = 0;       // kHttp
  uint16_t close_code = 0;   // kRemoteClosed with a Close frame; kWebSocket: of ours
  base::Duration silence{};  // of an open connection: since its last bytes came
};

/// What the upgrade told us. A plain value.
struct DialSuccess {
  SocketAddress address;
  std::string instance;  // value of the response header "Graspd-Instance", at most 128 bytes
};

/// Told what happens on a dialled connection, always on the connection's thread. OnOpen at most
/// once, then OnText any number of times, OnClosed exactly once and last.
class DialHandler {
 public:
  virtual ~DialHandler() = default;
  virtual void OnOpen(const DialSuccess& success) = 0;
  /// As WebSocketSession::OnText.
  virtual void OnText(std::string_view message) = 0;
  virtual void OnClosed(const DialFailure& failure) = 0;
};

/// What a relay says of itself (NIP-11). A plain value.
struct RelayDocument {
  std::string text;      // at most 64 KiB
  std::string instance;  // value of the response header "Graspd-Instance", at most 128 bytes
};

/// A connection we opened. Threading: its thread only (thread()). Letting go of it does not close
/// it.
class DialledConnection {
 public:
  virtual ~DialledConnection() = default;
  /// Queues a text message (UTF-8). False if not open, or if the queue would pass
  /// DialOptions::outbound_bytes, which ends the connection.
  virtual bool SendText(std::string_view message) = 0;
  /// Queued and not yet with the kernel.
  [[nodiscard]] virtual size_t pending_bytes() const = 0;
  /// At most one more OnText comes after this, until ResumeReading. Pings are not answered
  /// meanwhile.
  virtual void PauseReading() = 0;
  virtual void ResumeReading() = 0;
  /// Ends the connection whatever its phase; OnClosed(kNone) follows, not before Close returns.
  virtual void Close() = 0;
  using DocumentCallback = std::function<void(absl::StatusOr<RelayDocument>)>;
  /// Fetches the relay's information document (NIP-11) over HTTP from the same URL, on a connection
  /// of its own to the very address that this one is connected to, as soon as it is; by the same
  /// rules and with the same deadlines (upgrade_timeout for request and answer). At most once a
  /// connection, with which it ends. `done` is called once. Errors: kUnavailable, naming the phase,
  /// also if this connection ends before it has an address; kNotFound for a status other than 200.
  virtual void FetchDocument(DocumentCallback done) = 0;
  [[nodiscard]] virtual IoThread& thread() = 0;
};

/// What to dial and how long to wait for it. A plain value.
struct DialOptions {
  explicit DialOptions(nostr::RelayUrl u) : url(std::move(u)) {}
  nostr::RelayUrl url;
  std::vector<std::pair<std::string, std::string>> headers;  // added to the request of the upgrade
  size_t message_bytes = 1536 * 1024;  // longest message to us; a longer one ends the connection
  size_t outbound_bytes = 4u << 20;    // most that may wait to be sent; more ends it
  // Each phase by itself; the whole of it, not each packet. And all of them together, so that who
  // is a little late in each does not hold a dial for the sum.
  std::chrono::milliseconds dns_timeout{5000}, connect_timeout{5000}, tls_timeout{5000},
      upgrade_timeout{5000}, dial_timeout{10'000};
  // After so long without a message we ping, and after so long we end it.
  std::chrono::seconds ping_interval{30}, pong_timeout{60};
  std::chrono::seconds message_timeout{60};  // from the first bytes of a message to its last
  /// Dial this endpoint of our own instead of resolving url.host(): SelfSubscriber only.
  std::optional<SelfDialPermit> self_permit;
};

/// What holds for all connections of a Dialer. A plain value.
struct DialerOptions {
  bool allow_plaintext = false;  // ws:// outside the operator's ranges
  std::string user_agent = "graspd";
  std::string ca_file;  // PEM file of trust roots instead of the system's
  /// URLs that may be connected at one address (IPv6: one /64) at a time, outside the operator's
  /// ranges. More are refused with kCrowded.
  size_t connections_per_address = 4;
};

/// The one place in graspd that opens outgoing connections.
///
/// Resolves once, for the relay's document too; every address of the answer must pass the guard,
/// else the name is refused; connects to the checked address (each gets its share of
/// connect_timeout) with no second look-up and no redirect; wss verifies chain and name. A dial
/// that ends, however it does, waits for no look-up any more. Offers no compression. Four times
/// message_bytes without a complete message end a connection, whatever they were.
///
/// Threading: thread-safe. Lifetime: guard, resolver and I/O threads outlive it and its
/// connections.
class Dialer {
 public:
  virtual ~Dialer() = default;
  /// Starts dialling on `thread`. The handler is kept alive until after OnClosed.
  virtual std::shared_ptr<DialledConnection> Dial(DialOptions options,
                                                  std::shared_ptr<DialHandler> handler,
                                                  IoThread& thread) = 0;
};
std::unique_ptr<Dialer> MakeDialer(const AddressGuard& guard, Resolver& resolver,
                                   DialerOptions options);

}  // namespace graspd::net
