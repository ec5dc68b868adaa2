#include "net/server_connection.h"

#include <sys/socket.h>
#include <sys/types.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <cerrno>
#include <exception>
#include <utility>

#include "base/log.h"
#include "net/http_exchange.h"
#include "net/websocket_handshake.h"

namespace graspd::net {
namespace {

constexpr int kSwitchingProtocols = 101, kTooManyRequests = 429, kServiceUnavailable = 503;
constexpr uint16_t kPolicyViolation = 1008, kTryAgainLater = 1013;
// A Close frame, or an HTTP answer, has so long to be taken and acknowledged.
constexpr std::chrono::seconds kClosingTimeout{5};
// Pings and pongs between two sweeps; a peer that sends more is closed.
constexpr int kControlFramesPerSweep = 100;

base::SteadyTime Now() { return base::SystemClock::Instance().Now(); }

}  // namespace

// ---- the handshake ----

void ServerConnection::Start(std::shared_ptr<ConnectionSet> set, Shard& shard, StreamSocket socket,
                             const Arrival& arrival) {
  auto self = MakeSharedOn<ServerConnection>(shard.thread, std::move(set), shard, std::move(socket),
                                             arrival);
  shard.connections.push_back(self.get());
  self->self_ = self;
  self->Spawn(&ServerConnection::Open);
}

ServerConnection::ServerConnection(std::shared_ptr<ConnectionSet> set, Shard& shard,
                                   StreamSocket socket, const Arrival& arrival)
    : set_(std::move(set)),
      shard_(shard),
      stream_(std::move(socket), shard.thread,
              OutputStream::Limits{set_->options.outbound_bytes, set_->options.outbound_total_bytes,
                                   set_->outbound_total},
              *this),
      parser_(FrameParser::Sender::kClient, set_->options.message_bytes),
      refused_(arrival.refused),
      on_unix_socket_(arrival.accepted.family == AF_UNIX),
      deadline_(Now() + set_->options.handshake_timeout) {
  peer_.address = arrival.accepted.peer;
  if (arrival.counted) handshake_of_ = peer_.address;
}

void ServerConnection::Spawn(
    Awaitable<void> (ServerConnection::*coroutine)(std::shared_ptr<ServerConnection>)) {
  const auto self = shared_from_this();
  asio::co_spawn(
      shard_.thread.impl().io, [self, coroutine] { return (self.get()->*coroutine)(self); },
      [self](const std::exception_ptr& fault) {
        if (!fault) return;  // else out of memory, or a fault in a session or handler
        base::LogError("net", "connection failed", {});
        self->Abort();
      });
}

Awaitable<void> ServerConnection::Open(std::shared_ptr<ServerConnection> self) {
  HttpResponse response = StatusResponse(kServiceUnavailable);
  bool head_only = false;
  if (!refused_) {
    RequestOutcome outcome = co_await ReadRequest(stream_.socket());
    if (!outcome.request && outcome.refusal == 0) co_return Finish();
    if (outcome.refusal != 0) {
      set_->Refused(ConnectionSet::Refusal::kBadRequest);
      response = StatusResponse(outcome.refusal);
    } else {
      HttpRequest& request = *outcome.request;
      head_only = request.method == "HEAD";
      if (const int refusal = Admit(request); refusal != 0) {
        response = StatusResponse(refusal);
      } else {
        request.peer = peer_.address;
        response = WantsWebSocket(request) ? AnswerHandshake(request)
                                           : Handle(set_->http, std::move(request));
      }
    }
  }
  if (phase_ != Phase::kHttp) co_return;
  stream_.AppendRaw(SerializeResponse(response, head_only, set_->options.response_headers));
  if (response.status == kSwitchingProtocols) co_return BecomeWebSocket();
  phase_ = Phase::kEnding;
  deadline_ = Now() + kClosingTimeout;
  co_await TearDown(std::move(self));
}

/// Finds out who the client is and whether there is room. Returns the status to refuse with, or 0.
int ServerConnection::Admit(const HttpRequest& request) {
  constexpr size_t kMaxUserAgent = 128;
  peer_.user_agent = request.Header("user-agent").substr(0, kMaxUserAgent);
  peer_.secret_header = set_->HasSecret(request);
  std::optional<IpAddress> client;
  if (!on_unix_socket_) client = peer_.address;
  client = ClientAddress(client, request, set_->options.trusted_proxies);
  if (client) peer_.address = *client;
  if (peer_.secret_header || !client) return 0;
  if (!set_->clients.TryTake(*client)) {
    set_->Refused(ConnectionSet::Refusal::kAddress);
    return kTooManyRequests;
  }
  client_of_ = client;
  return 0;
}

void ServerConnection::BecomeWebSocket() {
  last_heard_ = last_ping_ = last_taken_ = Now();
  phase_ = Phase::kOpen;
  EndHandshake();
  session_ = set_->make_session(shared_from_this());
  AwaitInput();
}

void ServerConnection::EndHandshake() {
  if (handshake_of_) set_->handshakes.Free(*std::exchange(handshake_of_, std::nullopt));
}

// ---- reading ----

void ServerConnection::AwaitInput() {
  stream_.socket().async_wait(StreamSocket::wait_read,
                              [self = shared_from_this()](ErrorCode error) {
                                if (self->phase_ != Phase::kOpen) return;
                                if (error) return self->stream_.Fail(error, /*reset=*/false);
                                self->OnReadable();
                              });
}

void ServerConnection::OnReadable() {
  char* const input = shard_.input.get();
  const ssize_t received =
      ::recv(stream_.socket().native_handle(), input, Shard::kReadBytes, MSG_DONTWAIT);
  if (received > 0) return Take({input, input + received});
  if (received < 0 && (errno == EAGAIN || errno == EINTR)) return AwaitInput();
  stream_.Fail(asio::error::eof, /*reset=*/false);
}

/// Handles what came, then waits for more unless the connection ends or is paused.
void ServerConnection::Take(FrameParser::Input input) {
  last_heard_ = Now();
  try {
    while (phase_ == Phase::kOpen && !stream_.broken()) {
      if (paused_) {
        unread_.assign(input.begin, input.size());
        parked_ = true;
        break;
      }
      const FrameParser::Item item = parser_.Next(input);
      if (item.type == FrameParser::Type::kNone) break;
      OnItem(item);
    }
  } catch (const std::exception& e) {  // out of memory, or a fault in the session
    base::LogError("net", "connection failed", {{"error", e.what()}});
    return Abort();
  }
  if (phase_ != Phase::kOpen || stream_.broken()) return;
  CountInput();
  if (phase_ != Phase::kOpen) return;
  SendPong();
  if (!parked_) AwaitInput();
}

/// What is held counts against a sum: a message that comes to more than a piece and would pass its
/// limit ends its connection.
void ServerConnection::CountInput() {
  constexpr size_t kPiece = 4096;  // who sends small messages never pays for others' large ones
  const size_t held = held_bytes();
  if (counted_input_ == 0 && held != 0) input_since_ = last_heard_;
  const size_t change = held - counted_input_;  // modulo 2^64 when it is negative
  counted_input_ = held;
  const size_t total = set_->inbound_total.fetch_add(change) + change;
  if (held > kPiece && total > set_->options.inbound_total_bytes) Shed();
}

void ServerConnection::OnItem(const FrameParser::Item& item) {
  switch (item.type) {
    case FrameParser::Type::kNone:
      return;
    case FrameParser::Type::kPing:
    case FrameParser::Type::kPong:
      return OnControlFrame(item);
    case FrameParser::Type::kClose:
      return EndWith(item.code, {});
    case FrameParser::Type::kViolation:
      set_->violation_closes.Increment();
      return EndWith(item.code, item.payload);
    case FrameParser::Type::kText:
      input_since_ = last_heard_;  // what follows is another message
      SendPong();                  // in the order in which they came
      if (!close_started_) session_->OnText(item.payload);
      return;
    case FrameParser::Type::kBinary:
      input_since_ = last_heard_;
      SendPong();
      if (!close_started_) session_->OnBinary(item.payload.size());
      return;
  }
}

/// Of pings that come together only the last is answered (RFC 6455, 5.5.3).
void ServerConnection::OnControlFrame(const FrameParser::Item& item) {
  if (item.type == FrameParser::Type::kPing) pong_ = item.payload;
  if (++control_frames_ <= kControlFramesPerSweep) return;
  set_->violation_closes.Increment();
  EndWith(kPolicyViolation, "too many pings");
}

void ServerConnection::SendPong() {
  if (!pong_) return;
  stream_.AppendPong(*pong_);
  pong_.reset();
}

void ServerConnection::ResumeReading() {
  if (!std::exchange(paused_, false)) return;
  last_heard_ = input_since_ = Now();  // the silence was ours
  GoOn();
}

/// Reads on where a pause has stopped it. Posted: we may be inside the session's own call.
void ServerConnection::GoOn() {
  if (!parked_) return;
  asio::post(shard_.thread.impl().io, [self = shared_from_this()] {
    if (self->paused_ || !std::exchange(self->parked_, false)) return;
    if (self->phase_ != Phase::kOpen) return;
    // On this thread's buffer, which has the padding; nobody else uses it before Take returns.
    const std::string bytes = std::exchange(self->unread_, {});
    char* const input = self->shard_.input.get();
    self->Take({input, input + bytes.copy(input, Shard::kReadBytes)});
  });
}

// ---- sending ----

bool ServerConnection::SendText(std::string_view prefix, std::string_view body) {
  if (phase_ != Phase::kOpen || close_started_) return false;
  const bool was_broken = stream_.broken();
  const bool appended = stream_.AppendText(prefix, body);
  if (!appended && !was_broken && stream_.broken()) set_->slow_reader_closes.Increment();
  return appended;
}

void ServerConnection::WhenDrained(std::function<void()> ready) {
  if (phase_ != Phase::kOpen) return;
  on_drained_ = std::move(ready);
  if (pending_bytes() < OutputStream::kEagerFlush) OnDrained();
}

void ServerConnection::OnDrained() {
  if (!on_drained_) return;
  // Posted: we may be inside the producer's own SendText.
  asio::post(shard_.thread.impl().io, std::exchange(on_drained_, nullptr));
}

void ServerConnection::OnOverBudget() { set_->EvictLargest(); }

// ---- deadlines and the end ----

void ServerConnection::Close(uint16_t code, std::string_view reason) {
  if (!session_) return Abort();  // a plain HTTP exchange, or none yet
  if (phase_ != Phase::kOpen || close_started_ || stream_.broken()) return;
  close_started_ = true;
  deadline_ = Now() + kClosingTimeout;
  stream_.AppendClose(code, reason);
  paused_ = false;  // the peer's answer is to be read, though no further message counts
  GoOn();
}

/// Answers a Close, or closes for a fault of the peer's: nothing of it is read any more.
void ServerConnection::EndWith(uint16_t code, std::string_view reason) {
  if (!close_started_) {
    close_started_ = true;
    deadline_ = Now() + kClosingTimeout;
    stream_.AppendClose(code, reason);
  }
  phase_ = Phase::kEnding;
  Spawn(&ServerConnection::TearDown);
}

/// Sends what is pending, says so, and waits for the peer's end of stream, so that no RST overtakes
/// the last bytes. The sweep bounds how long that may take.
Awaitable<void> ServerConnection::TearDown(std::shared_ptr<ServerConnection> self) {
  co_await stream_.AwaitEmpty(kNoThrow);
  stream_.ShutdownSend();
  while (stream_.DiscardInput()) {
    co_await stream_.socket().async_wait(StreamSocket::wait_read, kNoThrow);
  }
  self->Finish();
}

void ServerConnection::OnBroken() {
  // Posted: whoever appends must not lose its session under it.
  asio::post(shard_.thread.impl().io, [self = shared_from_this()] { self->Finish(); });
}

void ServerConnection::AbortSlowReader() {
  set_->slow_reader_closes.Increment();
  Abort();
}

void ServerConnection::Shed() {
  set_->shed_closes.Increment();
  Abort();
}

void ServerConnection::CloseIfIdle(base::SteadyTime silent_since) {
  if (phase_ != Phase::kOpen || close_started_ || !session_ || peer_.secret_header) return;
  if (last_heard_ > silent_since || !session_->IsIdle()) return;
  set_->shed_closes.Increment();
  Close(kTryAgainLater, "the relay is overloaded");
}

void ServerConnection::Sweep(base::SteadyTime now) {
  parser_.ReleaseIdleMemory();
  if (phase_ == Phase::kOpen && !close_started_) {
    SweepOpen(now);
  } else if (now >= deadline_) {
    if (phase_ == Phase::kHttp) set_->Refused(ConnectionSet::Refusal::kTimeout);
    Abort();
  }
}

void ServerConnection::SweepOpen(base::SteadyTime now) {
  const auto& options = set_->options;
  if (pending_bytes() == 0 || stream_.sent_bytes() != swept_sent_bytes_) {
    swept_sent_bytes_ = stream_.sent_bytes();
    last_taken_ = now;
  }
  if (now - last_taken_ > options.pong_timeout) return AbortSlowReader();
  control_frames_ = 0;
  if (!paused_ && counted_input_ != 0 && now - input_since_ > options.pong_timeout) {
    set_->violation_closes.Increment();
    return EndWith(kPolicyViolation, "the message takes too long");
  }
  if (!paused_ && now - last_heard_ > options.pong_timeout) {
    set_->silent_closes.Increment();
    return Abort();
  }
  if (now - std::max(last_heard_, last_ping_) >= options.ping_interval) {
    last_ping_ = now;
    stream_.AppendPing();
  }
}

void ServerConnection::Finish() {
  if (phase_ == Phase::kGone) return;
  phase_ = Phase::kGone;
  stream_.Fail(asio::error::eof, /*reset=*/false);
  on_drained_ = nullptr;
  std::erase(shard_.connections, this);
  EndHandshake();
  set_->inbound_total -= counted_input_;
  if (client_of_) set_->clients.Free(*client_of_);
  if (session_) session_->OnClosed();
  session_.reset();
  set_->Gone();
  self_.reset();  // last: we may be gone after it, unless the caller holds us
}

}  // namespace graspd::net
