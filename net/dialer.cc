#include "net/dialer.h"

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/compose.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/core/role.hpp>
#include <boost/beast/websocket/stream.hpp>
#include <charconv>
#include <deque>

#include "base/log.h"
#include "net/asio.h"
#include "net/message_reader.h"
#include "net/sockaddr.h"

namespace graspd::net {
namespace {

namespace beast = boost::beast;
namespace websocket = boost::beast::websocket;
namespace ssl = boost::asio::ssl;

constexpr size_t kMaxAddresses = 8;            // tried of one name
constexpr size_t kMaxUpgradeResponse = 16384;  // bytes until the 101 is complete
constexpr size_t kMaxDetail = 256, kMaxInstance = 128;
constexpr size_t kWriteBuffer = 16 * 1024;  // Beast masks and sends in pieces of this
constexpr std::chrono::seconds kClosingTimeout{2};

base::SteadyTime Now() { return base::SystemClock::Instance().Now(); }

/// For people, on one line, however hostile: what remotes and libraries say ends up in logs.
std::string Printable(std::string_view text) {
  std::string out(text.substr(0, kMaxDetail));
  std::replace_if(
      out.begin(), out.end(), [](unsigned char c) { return c < 0x20 || c >= 0x7f; }, '?');
  return out;
}

/// The stream below Beast's websocket::stream on dialled connections: TLS or not, decided per
/// connection, so that Beast is instantiated once. During the upgrade it also looks at the first
/// bytes of the answer: a status other than 101 ends the reading at once, because nothing of such
/// an answer but its status is of use, and its body may be endless.
class ClientStream {
 public:
  using executor_type = IoExecutor;
  using next_layer_type = StreamSocket;
  using Tls = ssl::stream<StreamSocket&>;

  explicit ClientStream(IoExecutor executor) : socket_(executor) {}

  executor_type get_executor() noexcept { return socket_.get_executor(); }
  next_layer_type& next_layer() noexcept { return socket_; }
  const next_layer_type& next_layer() const noexcept { return socket_; }
  void EnableTls(ssl::context& context) { tls_.emplace(socket_, context); }
  Tls& tls() { return *tls_; }

  void UpgradeBegins() { upgrading_ = true; }
  void UpgradeDone() { upgrading_ = false; }
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
      return websocket::error::upgrade_declined;
    }
    return answer_bytes_ > kMaxUpgradeResponse ? ErrorCode(asio::error::message_size) : ErrorCode();
  }

  StreamSocket socket_;
  std::optional<Tls> tls_;
  bool upgrading_ = false;
  std::array<char, sizeof("HTTP/1.1 101") - 1> answer_{};
  size_t answer_start_ = 0;  // of which are filled
  size_t answer_bytes_ = 0;
  int http_status_ = 0;
};

/// Beast finds it by name. The client has nothing more to say; whoever owns the connection closes
/// it.
template <typename Handler>
void async_teardown(beast::role_type, ClientStream& stream, Handler&& handler) {
  ErrorCode ignored;
  stream.next_layer().shutdown(StreamSocket::shutdown_send, ignored);
  asio::post(stream.get_executor(),
             [h = std::forward<Handler>(handler)]() mutable { h(ErrorCode()); });
}

/// What the connections need of their dialer; shared, so that a connection may outlive it.
struct DialerCore {
  DialerCore(const AddressGuard& g, Resolver& r, DialerOptions o)
      : guard(g), resolver(r), options(std::move(o)) {}

  const AddressGuard& guard;
  Resolver& resolver;
  const DialerOptions options;
  ssl::context tls{ssl::context::tls_client};
};

/// One dial and the connection it becomes. Lifetime: its coroutine keeps it alive until OnClosed.
class Connection final : public DialledConnection, public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<DialerCore> core, DialOptions options,
             std::shared_ptr<DialHandler> handler, IoThread& thread);

  void Start();

  bool SendText(std::string_view message) override;
  size_t pending_bytes() const override { return pending_bytes_; }
  void PauseReading() override { paused_ = true; }
  void ResumeReading() override;
  void Close() override;
  IoThread& thread() override { return thread_; }

 private:
  enum class Phase { kDialling, kOpen, kClosing, kGone };
  using Addresses = std::vector<SocketAddress>;

  // The phases, in order. Each ends with a failure or nullopt, and has its deadline.
  Awaitable<void> Run(std::shared_ptr<Connection> self);
  Awaitable<DialFailure> DialAndRead();
  Awaitable<std::optional<DialFailure>> Resolve(Addresses& addresses);
  std::optional<DialFailure> CheckAddresses(const Addresses& addresses) const;
  Awaitable<std::optional<DialFailure>> Connect(const Addresses& addresses);
  Awaitable<std::optional<DialFailure>> SecureWithTls();
  Awaitable<std::optional<DialFailure>> Upgrade();
  Awaitable<DialFailure> ReadMessages();
  void Finish(DialFailure failure);

  /// Lets the current phase fail with kTimeout after `timeout`.
  void SetDeadline(base::Duration timeout);
  void OnDeadline();
  void KeepAlive();
  [[nodiscard]] base::Duration KeepAlivePeriod() const;
  void WriteNext();
  void CloseSocket();
  /// The failure that ended a phase: ours or the deadline's if those came first.
  DialFailure Failed(DialError error, std::string_view detail) const;

  ClientStream& stream() { return ws_.next_layer(); }
  StreamSocket& socket() { return stream().next_layer(); }

  const std::shared_ptr<DialerCore> core_;
  const DialOptions options_;
  const std::shared_ptr<DialHandler> handler_;
  IoThread& thread_;
  websocket::stream<ClientStream, false> ws_;
  SteadyTimer deadline_;
  SteadyTimer wake_;  // never expires; cancelled to wake the coroutine
  MessageReader reader_;
  SocketAddress address_;                                         // connected to
  std::optional<absl::StatusOr<std::vector<IpAddress>>> answer_;  // of the resolver
  std::deque<std::string> outbound_;                              // front: being written
  size_t pending_bytes_ = 0;
  base::SteadyTime last_ping_;
  Phase phase_ = Phase::kDialling;
  bool paused_ = false, ping_under_way_ = false;
  bool timed_out_ = false, overflowed_ = false, closed_by_us_ = false;
};

Connection::Connection(std::shared_ptr<DialerCore> core, DialOptions options,
                       std::shared_ptr<DialHandler> handler, IoThread& thread)
    : core_(std::move(core)),
      options_(std::move(options)),
      handler_(std::move(handler)),
      thread_(thread),
      ws_(thread.impl().io.get_executor()),
      deadline_(thread.impl().io.get_executor()),
      wake_(thread.impl().io.get_executor(), SteadyTimer::time_point::max()) {}

void Connection::Start() {
  // Owner: the coroutine itself, which holds `self`; every phase of it has a deadline.
  asio::co_spawn(
      thread_.impl().io, [self = shared_from_this()] { return self->Run(self); },
      [](std::exception_ptr) {});
}

Awaitable<void> Connection::Run(std::shared_ptr<Connection> self) {
  DialFailure failure;
  try {
    failure = co_await DialAndRead();
  } catch (const std::exception& e) {  // out of memory, or a fault in the handler
    base::LogError("net", "dialled connection failed", {{"error", e.what()}});
    failure = Failed(DialError::kWebSocket, e.what());
  }
  self->Finish(std::move(failure));
}

Awaitable<DialFailure> Connection::DialAndRead() {
  Addresses addresses;
  if (auto failure = co_await Resolve(addresses)) co_return *failure;
  if (auto failure = CheckAddresses(addresses)) co_return *failure;
  if (auto failure = co_await Connect(addresses)) co_return *failure;
  if (options_.url.secure()) {
    if (auto failure = co_await SecureWithTls()) co_return *failure;
  }
  if (auto failure = co_await Upgrade()) co_return *failure;
  co_return co_await ReadMessages();
}

DialFailure Connection::Failed(DialError error, std::string_view detail) const {
  if (closed_by_us_) return {};
  if (overflowed_) return {.error = DialError::kTcp, .detail = "peer does not read"};
  if (timed_out_) return {.error = DialError::kTimeout, .detail = "no progress"};
  return {.error = error, .detail = Printable(detail)};
}

void Connection::SetDeadline(base::Duration timeout) {
  deadline_.expires_after(timeout);
  deadline_.async_wait([self = shared_from_this()](ErrorCode cancelled) {
    // One that fired just before it was set anew is not meant any more.
    if (!cancelled && self->deadline_.expiry() <= Now()) self->OnDeadline();
  });
}

void Connection::OnDeadline() {
  if (phase_ == Phase::kOpen) return KeepAlive();
  timed_out_ = true;
  CloseSocket();
}

void Connection::CloseSocket() {
  ErrorCode ignored;
  socket().close(ignored);
  wake_.cancel();
}

// ---- Phases ----

Awaitable<std::optional<DialFailure>> Connection::Resolve(Addresses& addresses) {
  if (options_.self_permit) {
    addresses = {options_.self_permit->target()};
    co_return std::nullopt;
  }
  SetDeadline(options_.dns_timeout);
  core_->resolver.Resolve(options_.url.host(), thread_, [self = shared_from_this()](auto answer) {
    self->answer_ = std::move(answer);
    self->wake_.cancel();
  });
  while (!answer_ && !timed_out_ && !closed_by_us_) co_await wake_.async_wait(kNoThrow);
  if (!answer_ || timed_out_ || closed_by_us_) co_return Failed(DialError::kDns, "");
  if (!answer_->ok()) {
    const auto message = answer_->status().message();
    co_return Failed(DialError::kDns, {message.data(), message.size()});
  }
  for (const IpAddress& ip : **answer_) addresses.push_back({ip, options_.url.port()});
  co_return std::nullopt;
}

std::optional<DialFailure> Connection::CheckAddresses(const Addresses& addresses) const {
  if (options_.self_permit) return std::nullopt;
  if (addresses.empty()) return Failed(DialError::kDns, "no address");
  bool by_operator = true;
  for (const SocketAddress& address : addresses) {
    // One forbidden answer refuses the name: mixed answers are how rebinding probes for a way in.
    const AddressGuard::Verdict verdict = core_->guard.Check(address);
    if (!verdict.allowed) return Failed(DialError::kBlocked, verdict.reason);
    by_operator &= verdict.by_operator;
  }
  if (options_.url.secure() || by_operator || core_->options.allow_plaintext) return std::nullopt;
  return Failed(DialError::kBlocked, "plaintext");
}

Awaitable<std::optional<DialFailure>> Connection::Connect(const Addresses& addresses) {
  const base::SteadyTime end = Now() + options_.connect_timeout;
  const size_t tries = std::min(addresses.size(), kMaxAddresses);
  std::optional<DialFailure> failure;
  for (size_t i = 0; i < tries && !closed_by_us_; ++i) {
    address_ = addresses[i];
    timed_out_ = false;
    SetDeadline((end - Now()) / static_cast<long>(tries - i));  // a fair share for each
    const Sockaddr target = ToSockaddr(address_);
    const asio::generic::stream_protocol::endpoint endpoint(target.get(), target.length,
                                                            IPPROTO_TCP);
    auto [error] = co_await socket().async_connect(endpoint, kNoThrow);
    if (!error && !timed_out_ && !closed_by_us_) {
      ErrorCode ignored;
      socket().set_option(asio::ip::tcp::no_delay(true), ignored);
      co_return std::nullopt;
    }
    failure = Failed(DialError::kTcp, address_.ToString() + ": " + error.message());
    ErrorCode ignored;
    socket().close(ignored);
  }
  co_return failure ? failure : Failed(DialError::kTcp, "");
}

Awaitable<std::optional<DialFailure>> Connection::SecureWithTls() {
  SetDeadline(options_.tls_timeout);
  stream().EnableTls(core_->tls);
  SSL* tls = stream().tls().native_handle();
  const std::string& host = options_.url.host();
  const bool named = options_.url.host_is_ip()
                         ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls), host.c_str()) == 1
                         : SSL_set1_host(tls, host.c_str()) == 1 &&
                               SSL_set_tlsext_host_name(tls, host.c_str()) == 1;
  if (!named) co_return Failed(DialError::kTls, "host name not usable");
  auto [error] = co_await stream().tls().async_handshake(ssl::stream_base::client, kNoThrow);
  if (!error) co_return std::nullopt;
  const long verdict = SSL_get_verify_result(tls);
  co_return Failed(DialError::kTls,
                   verdict == X509_V_OK ? error.message() : X509_verify_cert_error_string(verdict));
}

Awaitable<std::optional<DialFailure>> Connection::Upgrade() {
  SetDeadline(options_.upgrade_timeout);
  ws_.read_message_max(options_.message_bytes);
  ws_.write_buffer_bytes(kWriteBuffer);
  ws_.auto_fragment(false);
  ws_.set_option(websocket::stream_base::decorator([this](websocket::request_type& request) {
    request.set(beast::http::field::user_agent, core_->options.user_agent);
    for (const auto& [name, value] : options_.headers) request.set(name, value);
  }));
  ws_.control_callback([this](websocket::frame_type, beast::string_view) { reader_.Touch(); });

  websocket::response_type response;
  stream().UpgradeBegins();
  auto [error] = co_await ws_.async_handshake(response, options_.url.authority(),
                                              options_.url.target(), kNoThrow);
  stream().UpgradeDone();
  if (const int status = stream().http_status(); error == websocket::error::upgrade_declined) {
    DialFailure failure = Failed(DialError::kHttp, "HTTP status " + std::to_string(status));
    if (failure.error == DialError::kHttp) failure.http_status = status;
    co_return failure;
  }
  if (error) co_return Failed(DialError::kWebSocket, error.message());
  if (closed_by_us_) co_return Failed(DialError::kNone, "");

  reader_.Touch();
  last_ping_ = reader_.last_heard();
  phase_ = Phase::kOpen;
  SetDeadline(KeepAlivePeriod());
  const auto instance = response["Graspd-Instance"];
  handler_->OnOpen(
      {.address = address_,
       .instance = Printable({instance.data(), std::min(instance.size(), kMaxInstance)})});
  co_return std::nullopt;
}

Awaitable<DialFailure> Connection::ReadMessages() {
  for (;;) {
    const auto [error, message] = co_await reader_.Read(ws_);
    if (error == websocket::error::closed) {
      DialFailure failure = Failed(DialError::kRemoteClosed, ws_.reason().reason.c_str());
      if (failure.error == DialError::kRemoteClosed) failure.close_code = ws_.reason().code;
      co_return failure;
    }
    if (error) {
      const bool protocol_error =
          error.category() == websocket::make_error_code(websocket::error::closed).category();
      co_return Failed(protocol_error ? DialError::kWebSocket : DialError::kRemoteClosed,
                       error.message());
    }
    while (paused_ && phase_ == Phase::kOpen) co_await wake_.async_wait(kNoThrow);
    if (phase_ == Phase::kOpen && ws_.got_text()) handler_->OnText(message);
    reader_.MessageHandled();
  }
}

void Connection::Finish(DialFailure failure) {
  phase_ = Phase::kGone;
  deadline_.cancel();
  CloseSocket();
  handler_->OnClosed(failure);
}

// ---- The open connection ----

base::Duration Connection::KeepAlivePeriod() const {
  return base::Duration(std::min(options_.ping_interval, options_.pong_timeout)) / 2;
}

/// The deadline's meaning while open: looks after silence and pings.
void Connection::KeepAlive() {
  const base::SteadyTime now = Now();
  reader_.ReleaseIdleMemory();
  if (paused_) reader_.Touch();  // the silence is ours
  if (now - reader_.last_heard() >= options_.pong_timeout) {
    timed_out_ = true;
    return CloseSocket();
  }
  if (now - std::max(reader_.last_heard(), last_ping_) >= options_.ping_interval &&
      !ping_under_way_) {
    last_ping_ = now;
    ping_under_way_ = true;
    ws_.async_ping({}, [self = shared_from_this()](ErrorCode) { self->ping_under_way_ = false; });
  }
  SetDeadline(KeepAlivePeriod());
}

bool Connection::SendText(std::string_view message) {
  if (phase_ != Phase::kOpen) return false;
  if (pending_bytes_ + message.size() > options_.outbound_bytes) {
    overflowed_ = true;
    phase_ = Phase::kClosing;
    CloseSocket();
    return false;
  }
  pending_bytes_ += message.size();
  outbound_.emplace_back(message);
  if (outbound_.size() == 1) WriteNext();
  return true;
}

void Connection::WriteNext() {
  ws_.async_write(asio::buffer(outbound_.front()),
                  [self = shared_from_this()](ErrorCode error, size_t) {
                    self->pending_bytes_ -= self->outbound_.front().size();
                    self->outbound_.pop_front();
                    if (error) {  // the reader ends with an error too, and reports
                      self->outbound_.clear();
                      self->pending_bytes_ = 0;
                    } else if (!self->outbound_.empty()) {
                      self->WriteNext();
                    }
                  });
}

void Connection::ResumeReading() {
  paused_ = false;
  reader_.Touch();
  wake_.cancel();
}

void Connection::Close() {
  if (closed_by_us_ || phase_ == Phase::kGone) return;
  closed_by_us_ = true;
  if (phase_ != Phase::kOpen) return CloseSocket();
  phase_ = Phase::kClosing;
  SetDeadline(kClosingTimeout);
  wake_.cancel();
  ws_.async_close(websocket::close_code::normal, [self = shared_from_this()](ErrorCode) {});
}

class DialerImpl final : public Dialer {
 public:
  explicit DialerImpl(std::shared_ptr<DialerCore> core) : core_(std::move(core)) {}

  std::shared_ptr<DialledConnection> Dial(DialOptions options, std::shared_ptr<DialHandler> handler,
                                          IoThread& thread) override {
    auto connection =
        MakeSharedOn<Connection>(thread, core_, std::move(options), std::move(handler), thread);
    connection->Start();
    return connection;
  }

 private:
  const std::shared_ptr<DialerCore> core_;
};

void ConfigureTls(ssl::context& tls, const std::string& ca_file) {
  ErrorCode error;
  if (ca_file.empty()) {
    tls.set_default_verify_paths(error);
  } else {
    tls.load_verify_file(ca_file, error);
  }
  if (error) {  // every wss dial will fail, and say so
    base::LogError("net", "cannot load trust roots", {{"error", error.message()}});
  }
  tls.set_verify_mode(ssl::verify_peer, error);
  SSL_CTX_set_min_proto_version(tls.native_handle(), TLS1_2_VERSION);
}

}  // namespace

std::string_view DialErrorName(DialError error) {
  switch (error) {
    case DialError::kNone:
      return "none";
    case DialError::kBlocked:
      return "blocked";
    case DialError::kDns:
      return "dns";
    case DialError::kTcp:
      return "tcp";
    case DialError::kTls:
      return "tls";
    case DialError::kHttp:
      return "http";
    case DialError::kWebSocket:
      return "websocket";
    case DialError::kTimeout:
      return "timeout";
    case DialError::kRemoteClosed:
      return "remote-closed";
  }
  return "unknown";
}

std::unique_ptr<Dialer> MakeDialer(const AddressGuard& guard, Resolver& resolver,
                                   DialerOptions options) {
  auto core = std::make_shared<DialerCore>(guard, resolver, std::move(options));
  ConfigureTls(core->tls, core->options.ca_file);
  return std::make_unique<DialerImpl>(std::move(core));
}

}  // namespace graspd::net
