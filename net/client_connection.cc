#include "net/client_connection.h"

#include <algorithm>
#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>
#include <utility>

#include "base/log.h"
#include "base/random.h"
#include "net/frame_parser.h"
#include "net/http_exchange.h"
#include "net/outbound.h"
#include "net/output_buffer.h"
#include "net/relay_document.h"
#include "net/websocket_handshake.h"

namespace graspd::net {
namespace {

namespace http = boost::beast::http;

constexpr size_t kMaxAnswerHead = 16 * 1024;
constexpr int kHttp11 = 11;
constexpr uint16_t kNormalClosure = 1000, kNoCode = 1005, kTooBig = 1009;
constexpr std::chrono::seconds kClosingTimeout{2};
// Bytes without a complete message: one in fragments of one byte takes three times its own.
constexpr size_t kWireFactor = 4;
// Read at a time: when the connection idles, and while more is there than that.
constexpr size_t kSmallRead = 1536, kLargeRead = 64 * 1024;

base::SteadyTime Now() { return base::SystemClock::Instance().Now(); }

/// One dial and the WebSocket it becomes. What comes is read by a coroutine that lives from the
/// dial to OnClosed; what goes is framed when it is sent and written as one piece per write.
/// Lifetime: the coroutine keeps it alive.
class ClientConnection final : public Outbound, public DialledConnection {
 public:
  ClientConnection(std::shared_ptr<DialerCore> core, DialOptions options,
                   std::shared_ptr<DialHandler> handler, IoThread& thread);

  void Start();

  bool SendText(std::string_view message) override;
  size_t pending_bytes() const override { return waiting_.size() + writing_.size(); }
  void PauseReading() override { paused_ = true; }
  void ResumeReading() override;
  void Close() override;
  void FetchDocument(DocumentCallback done) override;
  IoThread& thread() override { return thread_; }

 private:
  enum class Phase { kDialling, kConnected, kOpen, kClosing, kGone };
  using Item = FrameParser::Item;

  Awaitable<void> Run(std::shared_ptr<ClientConnection> self);
  Awaitable<DialFailure> DialAndRead();
  Awaitable<std::optional<DialFailure>> Upgrade(std::string& behind);
  Awaitable<DialFailure> ReadMessages();
  Awaitable<std::optional<DialFailure>> Take(FrameParser::Input input);
  Awaitable<std::optional<DialFailure>> OnItem(Item item);
  Awaitable<DialFailure> Leave(uint16_t code, DialFailure why);
  void Finish(DialFailure failure);

  ClientStream& stream() override { return stream_; }
  void OnConnected() override;
  void BeginDocument();
  void OnDeadline() override;
  [[nodiscard]] DialFailure Failed(DialError error, std::string_view detail) const override;
  void KeepAlive();
  [[nodiscard]] base::Duration KeepAlivePeriod() const;
  void Touch() { last_heard_ = Now(); }

  void Append(uint8_t opcode, std::string_view payload);
  void AppendClose(uint16_t code);
  void WriteNext();

  std::shared_ptr<ClientConnection> self() {
    return std::static_pointer_cast<ClientConnection>(shared_from_this());
  }

  const std::shared_ptr<DialHandler> handler_;
  DocumentCallback document_;      // wanted, once we are connected
  std::weak_ptr<Outbound> fetch_;  // of the document
  ClientStream stream_;
  FrameParser parser_;
  std::array<char, kSmallRead + FrameParser::kPadding> small_{};
  std::string waiting_, writing_;          // frames
  std::optional<std::string> pong_;        // due: the payload of the last ping
  size_t since_message_ = 0;               // bytes that have come and ended no message
  std::optional<base::SteadyTime> began_;  // of the message under way
  base::SteadyTime last_heard_, last_ping_;
  Phase phase_ = Phase::kDialling;
  bool paused_ = false, handling_ = false, overflowed_ = false;
};

ClientConnection::ClientConnection(std::shared_ptr<DialerCore> core, DialOptions options,
                                   std::shared_ptr<DialHandler> handler, IoThread& thread)
    : Outbound(std::move(core), std::move(options), thread),
      handler_(std::move(handler)),
      stream_(thread.impl().io.get_executor()),
      parser_(FrameParser::Sender::kServer, options_.message_bytes) {}

void ClientConnection::Start() {
  // Owner: the coroutine itself, which holds `self`; every phase of it has a deadline.
  asio::co_spawn(
      thread_.impl().io, [self = self()] { return self->Run(self); }, [](std::exception_ptr) {});
}

Awaitable<void> ClientConnection::Run(std::shared_ptr<ClientConnection> self) {
  DialFailure failure;
  try {
    failure = co_await DialAndRead();
  } catch (const std::exception& e) {  // out of memory, or a fault in the handler
    base::LogError("net", "dialled connection failed", {{"error", e.what()}});
    failure = Failed(DialError::kWebSocket, e.what());
  }
  self->Finish(std::move(failure));
}

Awaitable<DialFailure> ClientConnection::DialAndRead() {
  if (auto failure = co_await Establish()) co_return *failure;
  std::string behind;
  if (auto failure = co_await Upgrade(behind)) co_return *failure;
  const size_t bytes = behind.size();
  behind.append(FrameParser::kPadding, '\0');
  if (auto failure = co_await Take({behind.data(), behind.data() + bytes})) co_return *failure;
  co_return co_await ReadMessages();
}

DialFailure ClientConnection::Failed(DialError error, std::string_view detail) const {
  if (overflowed_ && !closed_by_us_) {
    return {.error = DialError::kTcp, .detail = "peer does not read"};
  }
  return Outbound::Failed(error, detail);
}

void ClientConnection::OnDeadline() {
  if (phase_ == Phase::kOpen) return KeepAlive();
  Outbound::OnDeadline();
}

void ClientConnection::Finish(DialFailure failure) {
  const bool was_open = phase_ == Phase::kOpen || phase_ == Phase::kClosing;
  if (was_open && !paused_) failure.silence = Now() - last_heard_;
  phase_ = Phase::kGone;
  CancelDeadline();
  CloseSocket();
  if (document_) std::exchange(document_, nullptr)(NoDocument(failure));
  if (const auto fetch = fetch_.lock()) fetch->Abandon();
  handler_->OnClosed(failure);
}

// ---- The relay's document ----

void ClientConnection::FetchDocument(DocumentCallback done) {
  if (phase_ == Phase::kGone) return done(NoDocument({DialError::kRemoteClosed, "has ended"}));
  document_ = std::move(done);
  if (phase_ != Phase::kDialling) BeginDocument();
}

void ClientConnection::OnConnected() {
  phase_ = Phase::kConnected;
  BeginDocument();
}

void ClientConnection::BeginDocument() {
  if (!document_) return;
  fetch_ =
      StartDocumentFetch(core_, options_, address_, std::exchange(document_, nullptr), thread_);
}

// ---- The handshake ----

// `behind`: what came after the answer already. Of an answer other than 101 nothing but the status
// is of use, and its body may be endless: it is not read.
Awaitable<std::optional<DialFailure>> ClientConnection::Upgrade(std::string& behind) {
  SetPhaseDeadline(options_.upgrade_timeout);
  const std::string key = NewHandshakeKey();
  http::request<http::empty_body> request(http::verb::get, options_.url.target(), kHttp11);
  request.set(http::field::host, options_.url.authority());
  request.set(http::field::upgrade, "websocket");
  request.set(http::field::connection, "Upgrade");
  request.set(http::field::sec_websocket_key, key);
  request.set(http::field::sec_websocket_version, "13");
  request.set(http::field::user_agent, core_->options.user_agent);
  for (const auto& [name, value] : options_.headers) request.set(name, value);
  if (auto [error, bytes] = co_await http::async_write(stream_, request, kNoThrow); error) {
    co_return Failed(DialError::kWebSocket, error.message());
  }

  boost::beast::flat_buffer buffer(kMaxAnswerHead);
  http::response_parser<http::empty_body> parser;
  parser.header_limit(kMaxAnswerHead);
  auto [error, bytes] = co_await http::async_read_header(stream_, buffer, parser, kNoThrow);
  if (error) co_return Failed(DialError::kWebSocket, error.message());
  const auto& answer = parser.get();
  if (answer.result() != http::status::switching_protocols) {
    const int status = static_cast<int>(answer.result_int());
    DialFailure failure = Failed(DialError::kHttp, "HTTP status " + std::to_string(status));
    if (failure.error == DialError::kHttp) failure.http_status = status;
    co_return failure;
  }
  if (const auto wrong = WrongInAnswer(HeadersOf(answer), key); !wrong.empty()) {
    co_return Failed(DialError::kWebSocket, wrong);
  }
  if (closed_by_us_) co_return Failed(DialError::kNone, "");

  behind.assign(static_cast<const char*>(buffer.data().data()), buffer.size());
  Touch();
  last_ping_ = last_heard_;
  phase_ = Phase::kOpen;
  SetDeadline(KeepAlivePeriod());
  const auto instance = answer[kInstanceHeader];
  handler_->OnOpen(
      {.address = address_,
       .instance = Printable({instance.data(), std::min(instance.size(), kMaxInstance)})});
  co_return std::nullopt;
}

// ---- Reading ----

Awaitable<DialFailure> ClientConnection::ReadMessages() {
  std::unique_ptr<char[]> large;
  for (;;) {
    char* const into = large ? large.get() : small_.data();
    const size_t most = large ? kLargeRead : kSmallRead;
    auto [error, bytes] = co_await stream_.async_read_some(asio::buffer(into, most), kNoThrow);
    if (error) co_return Failed(DialError::kRemoteClosed, error.message());
    Touch();
    if (auto failure = co_await Take({into, into + bytes})) co_return *failure;
    if (bytes < most) {
      large.reset();
    } else if (!large) {
      large = std::make_unique_for_overwrite<char[]>(kLargeRead + FrameParser::kPadding);
    }
  }
}

// Deals with what has come; the failure that it amounts to, if it is one.
Awaitable<std::optional<DialFailure>> ClientConnection::Take(FrameParser::Input input) {
  since_message_ += input.size();
  for (;;) {
    const Item item = parser_.Next(input);
    if (item.type == FrameParser::Type::kNone) break;
    // Not for the few bytes of text that are nearly everything: a coroutine costs more than they.
    if (item.type == FrameParser::Type::kText && !paused_ && phase_ == Phase::kOpen) {
      since_message_ = 0;
      began_.reset();
      handler_->OnText(item.payload);
      continue;
    }
    if (auto failure = co_await OnItem(item)) co_return failure;
  }
  if (!parser_.under_way()) {
    began_.reset();
  } else if (!began_) {
    began_ = last_heard_;
  }
  if (since_message_ > kWireFactor * options_.message_bytes) {
    co_return co_await Leave(kTooBig, Failed(DialError::kWebSocket, "much came, but no message"));
  }
  co_return std::nullopt;
}

Awaitable<std::optional<DialFailure>> ClientConnection::OnItem(Item item) {
  using Type = FrameParser::Type;
  switch (item.type) {
    case Type::kText:
    case Type::kBinary:
      since_message_ = 0;
      began_.reset();
      handling_ = true;
      while (paused_ && phase_ == Phase::kOpen) co_await wake_.async_wait(kNoThrow);
      if (phase_ == Phase::kOpen && item.type == Type::kText) handler_->OnText(item.payload);
      handling_ = false;
      break;
    case Type::kPing:
      pong_ = item.payload;
      WriteNext();
      break;
    case Type::kClose: {
      DialFailure why = Failed(DialError::kRemoteClosed, item.payload);
      if (why.error == DialError::kRemoteClosed && item.code != kNoCode) why.close_code = item.code;
      co_return co_await Leave(item.code, std::move(why));
    }
    case Type::kViolation:
      co_return co_await Leave(item.code, Failed(DialError::kWebSocket, item.payload));
    case Type::kPong:
    case Type::kNone:
      break;
  }
  co_return std::nullopt;
}

// Says why we go, unless that was said before, as long as the peer takes it.
Awaitable<DialFailure> ClientConnection::Leave(uint16_t code, DialFailure why) {
  if (why.error == DialError::kWebSocket) why.close_code = code;
  if (std::exchange(phase_, Phase::kClosing) == Phase::kOpen) {
    SetDeadline(kClosingTimeout);
    AppendClose(code);
    while (pending_bytes() != 0) co_await wake_.async_wait(kNoThrow);
    ErrorCode ignored;
    stream_.next_layer().shutdown(StreamSocket::shutdown_send, ignored);
  }
  co_return why;
}

base::Duration ClientConnection::KeepAlivePeriod() const {
  return base::Duration(std::min(options_.ping_interval, options_.pong_timeout)) / 2;
}

/// The deadline's meaning while open: looks after silence and pings.
void ClientConnection::KeepAlive() {
  const base::SteadyTime now = Now();
  if (!handling_) parser_.ReleaseIdleMemory();
  if (paused_) Touch();  // the silence is ours
  const bool drips = !paused_ && began_ && now - *began_ >= options_.message_timeout;
  if (drips || now - last_heard_ >= options_.pong_timeout) {
    timed_out_ = true;
    return CloseSocket();
  }
  if (now - std::max(last_heard_, last_ping_) >= options_.ping_interval) {
    last_ping_ = now;
    Append(kPingOpcode, {});
  }
  SetDeadline(KeepAlivePeriod());
}

void ClientConnection::ResumeReading() {
  paused_ = false;
  Touch();
  wake_.cancel();
}

// ---- Writing ----

bool ClientConnection::SendText(std::string_view message) {
  if (phase_ != Phase::kOpen) return false;
  if (pending_bytes() + message.size() > options_.outbound_bytes) {
    overflowed_ = true;
    phase_ = Phase::kClosing;
    CloseSocket();
    return false;
  }
  Append(kTextOpcode, message);
  return true;
}

void ClientConnection::Close() {
  if (closed_by_us_ || phase_ == Phase::kGone) return;
  closed_by_us_ = true;
  if (phase_ != Phase::kOpen) return CloseSocket();
  phase_ = Phase::kClosing;
  SetDeadline(kClosingTimeout);
  wake_.cancel();
  AppendClose(kNormalClosure);
}

// Masked with a key that nobody can foresee (RFC 6455, 5.3).
void ClientConnection::Append(uint8_t opcode, std::string_view payload) {
  constexpr uint8_t kMasked = 0x80;
  std::array<char, kMaxFrameHeader> header;
  const size_t header_bytes = WriteFrameHeader(opcode, payload.size(), header.data());
  header[1] = static_cast<char>(header[1] | kMasked);
  std::array<uint8_t, 4> mask;
  base::SystemRandom::Fill(mask);
  waiting_.reserve(waiting_.size() + header_bytes + mask.size() + payload.size());
  waiting_.append(header.data(), header_bytes);
  waiting_.append(reinterpret_cast<const char*>(mask.data()), mask.size());
  const size_t at = waiting_.size();
  waiting_.append(payload);
  ApplyMask(waiting_.data() + at, payload.size(), mask);
  WriteNext();
}

void ClientConnection::AppendClose(uint16_t code) {
  if (code == kNoCode) return Append(kCloseOpcode, {});
  const std::array<char, 2> bytes{static_cast<char>(code >> 8), static_cast<char>(code)};
  Append(kCloseOpcode, {bytes.data(), bytes.size()});
}

void ClientConnection::WriteNext() {
  if (!writing_.empty()) return;
  if (const auto pong = std::exchange(pong_, std::nullopt); pong && phase_ == Phase::kOpen) {
    return Append(kPongOpcode, *pong);
  }
  if (waiting_.empty()) return;
  writing_ = std::exchange(waiting_, {});
  asio::async_write(stream_, asio::buffer(writing_), [self = self()](ErrorCode error, size_t) {
    self->writing_ = {};
    if (error) self->waiting_ = {};  // the reader ends with an error too, and reports
    self->WriteNext();
    if (self->phase_ == Phase::kClosing && self->pending_bytes() == 0) self->wake_.cancel();
  });
}

}  // namespace

std::shared_ptr<DialledConnection> StartClientConnection(std::shared_ptr<DialerCore> core,
                                                         DialOptions options,
                                                         std::shared_ptr<DialHandler> handler,
                                                         IoThread& thread) {
  auto connection = MakeSharedOn<ClientConnection>(thread, std::move(core), std::move(options),
                                                   std::move(handler), thread);
  connection->Start();
  return connection;
}

}  // namespace graspd::net
