// What every outgoing connection begins with, whatever is spoken on it then.
#pragma once

#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <boost/asio/async_result.hpp>
#include <boost/asio/compose.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/core/role.hpp>
#include <boost/beast/websocket/error.hpp>
#include <charconv>
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

/// The stream below Beast's websocket::stream on dialled connections: TLS or not, decided per
/// connection, so that Beast is instantiated once. During the upgrade it also looks at the first
/// bytes of the answer: a status other than 101 ends the reading at once, because nothing of such
/// an answer but its status is of use, and its body may be endless.
class ClientStream {
 public:
  static constexpr size_t kMaxAnswerHead = 16384;  // bytes until the 101 is complete

  using executor_type = IoExecutor;
  using next_layer_type = StreamSocket;
  using Tls = asio::ssl::stream<StreamSocket&>;

  explicit ClientStream(IoExecutor executor) : socket_(executor) {}

  executor_type get_executor() noexcept { return socket_.get_executor(); }
  next_layer_type& next_layer() noexcept { return socket_; }
  const next_layer_type& next_layer() const noexcept { return socket_; }
  void EnableTls(asio::ssl::context& context) { tls_.emplace(socket_, context); }
  Tls& tls() { return *tls_; }

  void UpgradeBegins() { upgrading_ = true; }
  /// From here on reading ends with message_too_big once so many bytes have come and no message was
  /// complete: fragments without end, and control frames, have no size that Beast would add up.
  void UpgradeDone(size_t bytes_between_messages) {
    upgrading_ = false;
    most_between_ = bytes_between_messages;
  }
  void MessageComplete() { since_message_ = 0; }
  /// Status of the answer to the upgrade; 0 = none yet, or not HTTP.
  [[nodiscard]] int http_status() const { return http_status_; }

  template <typename Buffers, typename Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    return asio::async_compose<Token, void(ErrorCode, size_t)>(ReadOp<Buffers>{*this, buffers},
                                                               token, socket_);
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
  template <typename Buffers>
  struct ReadOp {
    ClientStream& stream;
    Buffers buffers;
    bool started = false;

    template <typename Self>
    void operator()(Self& self, ErrorCode error = {}, size_t bytes = 0) {
      if (started) {
        if (!error && stream.upgrading_) error = stream.InspectAnswer(buffers, bytes);
        if (!error && (stream.since_message_ += bytes) > stream.most_between_) {
          error = boost::beast::websocket::error::message_too_big;
        }
        return self.complete(error, bytes);
      }
      started = true;
      ClientStream& s = stream;  // `self`, and we in it, are moved from
      const Buffers b = buffers;
      if (s.tls_) {
        s.tls_->async_read_some(b, std::move(self));
      } else {
        s.socket_.async_read_some(b, std::move(self));
      }
    }
  };

  template <typename Buffers>
  ErrorCode InspectAnswer(const Buffers& buffers, size_t bytes) {
    const size_t wanted = std::min(bytes, answer_.size() - answer_start_);
    asio::buffer_copy(asio::buffer(answer_.data() + answer_start_, wanted), buffers);
    answer_start_ += wanted;
    answer_bytes_ += bytes;
    if (answer_start_ == answer_.size() && http_status_ == 0) {
      std::from_chars(answer_.data() + 9, answer_.data() + answer_.size(), http_status_);
    }
    constexpr int kSwitchingProtocols = 101;
    if (http_status_ != 0 && http_status_ != kSwitchingProtocols) {
      return boost::beast::websocket::error::upgrade_declined;
    }
    return answer_bytes_ > kMaxAnswerHead ? ErrorCode(asio::error::message_size) : ErrorCode();
  }

  StreamSocket socket_;
  std::optional<Tls> tls_;
  bool upgrading_ = false;
  std::array<char, sizeof("HTTP/1.1 101") - 1> answer_{};
  size_t answer_start_ = 0;  // of which are filled
  size_t answer_bytes_ = 0;
  int http_status_ = 0;
  size_t since_message_ = 0, most_between_ = SIZE_MAX;
};

/// Beast finds it by name. The client has nothing more to say; whoever owns the connection closes
/// it.
template <typename Handler>
void async_teardown(boost::beast::role_type, ClientStream& stream, Handler&& handler) {
  ErrorCode ignored;
  stream.next_layer().shutdown(StreamSocket::shutdown_send, ignored);
  asio::post(stream.get_executor(),
             [h = std::forward<Handler>(handler)]() mutable { h(ErrorCode()); });
}

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

 protected:
  /// The phases, in order. Each ends with a failure or nullopt, and has its deadline.
  Awaitable<std::optional<DialFailure>> Establish();

  virtual ClientStream& stream() = 0;
  /// The deadline of the present phase has passed. By default the phase fails with kTimeout.
  virtual void OnDeadline();
  void SetDeadline(base::Duration timeout);
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
  using Addresses = std::vector<SocketAddress>;
  Awaitable<std::optional<DialFailure>> Resolve(Addresses& addresses);
  std::optional<DialFailure> CheckAddresses(const Addresses& addresses) const;
  std::optional<DialFailure> TakeSlot();
  Awaitable<std::optional<DialFailure>> Connect(const Addresses& addresses);
  Awaitable<std::optional<DialFailure>> ConnectTo(base::Duration timeout);
  Awaitable<std::optional<DialFailure>> SecureWithTls();
  StreamSocket& socket() { return stream().next_layer(); }

  SteadyTimer deadline_;
  std::optional<AddressSlots::Lease> slot_;
  std::optional<absl::StatusOr<std::vector<IpAddress>>> answer_;  // of the resolver
};

}  // namespace graspd::net
