#include "net/dialer.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/beast/websocket/stream.hpp>
#include <deque>

#include "base/log.h"
#include "net/message_reader.h"
#include "net/outbound.h"
#include "net/relay_document.h"

namespace graspd::net {
namespace {

namespace beast = boost::beast;
namespace websocket = boost::beast::websocket;
namespace ssl = boost::asio::ssl;

constexpr size_t kMaxInstance = 128;
constexpr size_t kWriteBuffer = 16 * 1024;  // Beast masks and sends in pieces of this
constexpr std::chrono::seconds kClosingTimeout{2};
constexpr size_t kWireFactor = 4;  // a message in fragments of one byte takes three times its bytes

base::SteadyTime Now() { return base::SystemClock::Instance().Now(); }

/// One dial and the WebSocket it becomes. Lifetime: its coroutine keeps it alive until OnClosed.
class Connection final : public Outbound, public DialledConnection {
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

  Awaitable<void> Run(std::shared_ptr<Connection> self);
  Awaitable<DialFailure> DialAndRead();
  Awaitable<std::optional<DialFailure>> Upgrade();
  Awaitable<DialFailure> ReadMessages();
  void Finish(DialFailure failure);

  ClientStream& stream() override { return ws_.next_layer(); }
  void OnDeadline() override;
  [[nodiscard]] DialFailure Failed(DialError error, std::string_view detail) const override;
  void KeepAlive();
  [[nodiscard]] base::Duration KeepAlivePeriod() const;
  void WriteNext();
  std::shared_ptr<Connection> self() {
    return std::static_pointer_cast<Connection>(shared_from_this());
  }

  const std::shared_ptr<DialHandler> handler_;
  websocket::stream<ClientStream, false> ws_;
  MessageReader reader_;
  std::deque<std::string> outbound_;  // front: being written
  size_t pending_bytes_ = 0;
  base::SteadyTime last_ping_;
  Phase phase_ = Phase::kDialling;
  bool paused_ = false, ping_under_way_ = false, overflowed_ = false;
};

Connection::Connection(std::shared_ptr<DialerCore> core, DialOptions options,
                       std::shared_ptr<DialHandler> handler, IoThread& thread)
    : Outbound(std::move(core), std::move(options), thread),
      handler_(std::move(handler)),
      ws_(thread.impl().io.get_executor()) {}

void Connection::Start() {
  // Owner: the coroutine itself, which holds `self`; every phase of it has a deadline.
  asio::co_spawn(
      thread_.impl().io, [self = self()] { return self->Run(self); }, [](std::exception_ptr) {});
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
  if (auto failure = co_await Establish()) co_return *failure;
  if (auto failure = co_await Upgrade()) co_return *failure;
  co_return co_await ReadMessages();
}

DialFailure Connection::Failed(DialError error, std::string_view detail) const {
  if (overflowed_ && !closed_by_us_) {
    return {.error = DialError::kTcp, .detail = "peer does not read"};
  }
  return Outbound::Failed(error, detail);
}

void Connection::OnDeadline() {
  if (phase_ == Phase::kOpen) return KeepAlive();
  Outbound::OnDeadline();
}

// ---- Phases ----

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
  stream().UpgradeDone(kWireFactor * options_.message_bytes);
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
    stream().MessageComplete();
    while (paused_ && phase_ == Phase::kOpen) co_await wake_.async_wait(kNoThrow);
    if (phase_ == Phase::kOpen && ws_.got_text()) handler_->OnText(message);
    reader_.MessageHandled();
  }
}

void Connection::Finish(DialFailure failure) {
  phase_ = Phase::kGone;
  CancelDeadline();
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
  const bool drips =
      !paused_ && reader_.began() && now - *reader_.began() >= options_.message_timeout;
  if (drips || now - reader_.last_heard() >= options_.pong_timeout) {
    timed_out_ = true;
    return CloseSocket();
  }
  if (now - std::max(reader_.last_heard(), last_ping_) >= options_.ping_interval &&
      !ping_under_way_) {
    last_ping_ = now;
    ping_under_way_ = true;
    ws_.async_ping({}, [self = self()](ErrorCode) { self->ping_under_way_ = false; });
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
  ws_.async_write(asio::buffer(outbound_.front()), [self = self()](ErrorCode error, size_t) {
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
  ws_.async_close(websocket::close_code::normal, [self = self()](ErrorCode) {});
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

  void FetchDocument(DialOptions options, DocumentCallback done, IoThread& thread) override {
    StartDocumentFetch(core_, std::move(options), std::move(done), thread);
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
    case DialError::kCrowded:
      return "crowded";
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
