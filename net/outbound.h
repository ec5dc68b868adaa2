// What every outgoing connection begins with, whatever is spoken on it then.
#pragma once

#include <openssl/ssl.h>

#include <algorithm>
#include <boost/asio/async_result.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "net/address_slots.h"
#include "net/asio.h"
#include "net/dialer.h"

namespace graspd::net {

/// The bytes of a dialled connection: TLS or not, decided per connection, so that what is built on
/// it is instantiated once.
class ClientStream {
 public:
  using executor_type = IoExecutor;
  using next_layer_type = StreamSocket;
  using Tls = asio::ssl::stream<StreamSocket&>;

  explicit ClientStream(IoExecutor executor) : socket_(executor) {}

  executor_type get_executor() noexcept { return socket_.get_executor(); }
  next_layer_type& next_layer() noexcept { return socket_; }
  const next_layer_type& next_layer() const noexcept { return socket_; }
  void EnableTls(asio::ssl::context& context) { tls_.emplace(socket_, context); }
  Tls& tls() { return *tls_; }

  template <typename Buffers, typename Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    return asio::async_initiate<Token, void(ErrorCode, size_t)>(
        [this](auto handler, const Buffers& bytes) {
          if (tls_) {
            tls_->async_read_some(bytes, std::move(handler));
          } else {
            socket_.async_read_some(bytes, std::move(handler));
          }
        },
        token, buffers);
  }
  template <typename Buffers, typename Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    return asio::async_initiate<Token, void(ErrorCode, size_t)>(
        [this](auto handler, const Buffers& bytes) {
          if (tls_) {
            tls_->async_write_some(bytes, std::move(handler));
          } else {
            socket_.async_write_some(bytes, std::move(handler));
          }
        },
        token, buffers);
  }

 private:
  StreamSocket socket_;
  std::optional<Tls> tls_;
};

/// The header by which graspd says which process it is, and how much of it is read.
inline constexpr char kInstanceHeader[] = "Graspd-Instance";
inline constexpr size_t kMaxInstance = 128;

/// For people, on one line, however hostile: what remotes and libraries say ends up in logs.
std::string Printable(std::string_view text);

/// What dials need of their dialer; shared, so that a connection may outlive it.
struct DialerCore {
  DialerCore(const AddressGuard& g, Resolver& r, DialerOptions o)
      : guard(g), resolver(r), options(std::move(o)), slots(options.connections_per_address) {}

  const AddressGuard& guard;
  Resolver& resolver;
  const DialerOptions options;
  AddressSlots slots;
  asio::ssl::context tls{asio::ssl::context::tls_client};
};

/// One dial up to the point where a protocol begins: name, guard, TCP, TLS. The only place that
/// calls connect(). Threading: its thread. Lifetime: pending operations hold it.
class Outbound : public std::enable_shared_from_this<Outbound> {
 public:
  Outbound(std::shared_ptr<DialerCore> core, DialOptions options, IoThread& thread);
  virtual ~Outbound() = default;

  /// The phase under way fails at once.
  void Abandon() {
    closed_by_us_ = true;
    CloseSocket();
  }

 protected:
  using Addresses = std::vector<SocketAddress>;
  /// The phases, in order. Each ends with a failure or nullopt, and has its deadline.
  Awaitable<std::optional<DialFailure>> Establish();
  /// The same from the guard on, for addresses that are known.
  Awaitable<std::optional<DialFailure>> EstablishAt(Addresses addresses);

  virtual ClientStream& stream() = 0;
  /// TCP is connected to address_.
  virtual void OnConnected() {}
  /// The deadline of the present phase has passed. By default the phase fails with kTimeout.
  virtual void OnDeadline();
  void SetDeadline(base::Duration timeout);
  /// The same for a phase of the dial, which all end with the dial's own deadline.
  void SetPhaseDeadline(base::Duration timeout);
  void CancelDeadline() { deadline_.cancel(); }
  void CloseSocket();
  /// The failure that ended a phase: ours or the deadline's if those came first.
  [[nodiscard]] virtual DialFailure Failed(DialError error, std::string_view detail) const;

  const std::shared_ptr<DialerCore> core_;
  const DialOptions options_;
  IoThread& thread_;
  SteadyTimer wake_;       // never expires; cancelled to wake the coroutine
  SocketAddress address_;  // connected to
  bool timed_out_ = false, closed_by_us_ = false;

 private:
  Awaitable<std::optional<DialFailure>> Resolve(Addresses& addresses);
  std::optional<DialFailure> CheckAddresses(const Addresses& addresses) const;
  std::optional<DialFailure> TakeSlot();
  Awaitable<std::optional<DialFailure>> Connect(const Addresses& addresses);
  Awaitable<std::optional<DialFailure>> ConnectTo(base::Duration timeout);
  Awaitable<std::optional<DialFailure>> SecureWithTls();
  StreamSocket& socket() { return stream().next_layer(); }

  SteadyTimer deadline_;
  const base::SteadyTime dial_ends_;
  std::optional<AddressSlots::Lease> slot_;
  std::unique_ptr<Resolver::LookUp> look_up_;
  std::optional<Resolver::Answer> answer_;  // of the resolver
};

}  // namespace graspd::net
