#include "net/websocket_server.h"

#include <netinet/in.h>
#include <openssl/crypto.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/websocket/rfc6455.hpp>
#include <boost/beast/websocket/stream.hpp>
#include <cctype>
#include <optional>

#include "base/log.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "net/asio.h"
#include "net/client_address.h"
#include "net/http_exchange.h"
#include "net/listener.h"
#include "net/message_reader.h"
#include "net/output_stream.h"

namespace graspd::net {
namespace {

namespace beast = boost::beast;
namespace websocket = boost::beast::websocket;
using UpgradeRequest = beast::http::request<beast::http::empty_body>;

constexpr int kTooManyRequests = 429, kServiceUnavailable = 503;
// Past the connection limit this many more are told so; past that they are just closed.
constexpr size_t kRefusedAtOnce = 32;
// Descriptors left for the store, dials, the other ports and logs.
constexpr size_t kReservedDescriptors = 64;
// The kernel doubles it. Unset, it would grow to megabytes a connection before ours is asked to
// wait.
constexpr int kSendBufferBytes = 256 * 1024;
// A Close frame, or an HTTP answer, has so long to be taken and acknowledged.
constexpr std::chrono::seconds kClosingTimeout{5};
// Everybody may connect to our unix sockets, as to our ports.
constexpr mode_t kUnixSocketMode = 0666;
// Pings and pongs between two sweeps; a peer that sends more is closed.
constexpr int kControlFramesPerSweep = 100;

class Connection;

/// A connection on its way from the listener to its thread.
struct Arrival {
  Accepted accepted;
  bool counted;     // in ServerState::handshakes
  bool over_limit;  // one too many: to be told so
};

/// The connections of one I/O thread. Touched only there, but for `fullest`.
struct Shard {
  explicit Shard(IoThread& t) : thread(t) {}
  IoThread& thread;
  std::vector<Connection*> connections;
  std::unique_ptr<IoThread::Timer> sweep_timer, cut_timer;
  bool closed = false;             // CloseAll: what still arrives is dropped
  std::atomic<size_t> fullest{0};  // largest output buffer at the last survey
};

/// Everything that the connections of a server share; lives as long as the last of them.
class ServerState : public std::enable_shared_from_this<ServerState> {
 public:
  ServerState(IoPool& pool, WebSocketServerOptions o, HttpHandler h,
              WebSocketServer::SessionFactory f, base::Metrics& metrics);

  void StartSweeping();
  /// After CloseAll, not from an I/O thread: nothing of us waits in an event loop any more.
  void StopSweeping();
  /// Takes over a connection, on any thread, and gives it to the next I/O thread.
  void Accept(Accepted accepted);
  void CloseAll(uint16_t code, const std::string& reason, base::Duration deadline);

  /// A connection has ended.
  void Gone();

  /// The sum of all output buffers is over its limit: closes the connection with the largest. Each
  /// thread is asked for its largest, then the fullest closes it; the limit is passed for no longer
  /// than that takes. Thread-safe; one such round at a time.
  void EvictLargest();

  bool HasSecret(const HttpRequest& request) const;

  const WebSocketServerOptions options;
  const HttpHandler http;
  const WebSocketServer::SessionFactory make_session;
  std::atomic<size_t> outbound_total{0};
  AddressCounter clients;     // admitted connections per client
  AddressCounter handshakes;  // connections per peer that have not yet said who they are
  prometheus::Counter &accepted_total, &refused_total, &slow_reader_closes, &silent_closes;

  size_t live() const { return live_; }

 private:
  [[nodiscard]] bool Adopt(Shard& shard, Arrival& arrival);
  void Sweep(Shard& shard);
  void ScheduleSweep(Shard& shard);
  void CloseFullest();

  const size_t max_connections_;
  const base::Duration sweep_period_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::atomic<size_t> next_shard_{0};
  std::atomic<size_t> live_{0};
  std::atomic<bool> evicting_{false};
  std::atomic<size_t> survey_left_{0};
  base::Mutex mutex_;  // orders the last Gone() and the waiting for it
  base::CondVar all_gone_;
};

/// See WebSocketConnection. Also answers plain HTTP requests, which end with their answer.
///
/// Lifetime: its coroutine keeps it alive until the socket has ended; others may hold it longer, as
/// an empty shell.
class Connection final : public WebSocketConnection,
                         public OutputStream::Owner,
                         public std::enable_shared_from_this<Connection> {
 public:
  static void Start(std::shared_ptr<ServerState> server, Shard& shard, StreamSocket socket,
                    const Arrival& arrival);

  Connection(std::shared_ptr<ServerState> server, Shard& shard, StreamSocket socket,
             const Arrival& arrival);

  // WebSocketConnection
  bool SendText(std::string_view prefix, std::string_view body) override;
  size_t pending_bytes() const override { return stream().pending(); }
  void WhenDrained(std::function<void()> ready) override;
  size_t soft_limit() const override { return OutputStream::kSoftLimit; }
  void PauseReading() override { paused_ = true; }
  void ResumeReading() override;
  void Close(uint16_t code, std::string_view reason) override;
  const Peer& peer() const override { return peer_; }
  IoThread& thread() override { return shard_.thread; }

  // OutputStream::Owner
  std::shared_ptr<void> Self() override { return shared_from_this(); }
  void OnDrained() override;
  void OnBroken() override { resume_.cancel(); }
  void OnOverBudget() override { server_->EvictLargest(); }

  /// Looks after deadlines and pings; called at each sweep.
  void Sweep(base::SteadyTime now);
  /// Ends the connection with a reset.
  void Abort() { stream().Fail(asio::error::connection_aborted, /*reset=*/true); }
  void AbortSlowReader();

 private:
  enum class Phase { kHttp, kOpen, kGone };

  OutputStream& stream() { return ws_.next_layer(); }
  const OutputStream& stream() const { return ws_.next_layer(); }

  Awaitable<void> Run(std::shared_ptr<Connection> self);
  /// True if the connection is a WebSocket now. A coroutine of its own, so that what the handshake
  /// needed does not stay in memory with the connection.
  Awaitable<bool> AnswerOrUpgrade();
  Awaitable<bool> Upgrade(const UpgradeRequest& request);
  Awaitable<void> Answer(HttpResponse response, bool head_only);
  Awaitable<void> ReadMessages();
  Awaitable<void> WhilePaused();
  void Deliver(std::string_view message);
  int Admit(const HttpRequest& request);
  void EndHandshake();
  void ConfigureWebSocket();
  void OnControlFrame();
  void SweepOpen(base::SteadyTime now);
  void Finish();

  const std::shared_ptr<ServerState> server_;
  Shard& shard_;
  websocket::stream<OutputStream, false> ws_;
  SteadyTimer resume_;  // never expires; cancelled to wake the reader
  MessageReader reader_;
  Peer peer_;
  std::optional<IpAddress> handshake_of_;  // counted there until the handshake is over
  std::optional<IpAddress> client_of_;     // counted there until the end
  std::unique_ptr<WebSocketSession> session_;
  std::function<void()> on_drained_;
  Phase phase_ = Phase::kHttp;
  const bool over_limit_, on_unix_socket_;
  bool paused_ = false;
  bool close_started_ = false;
  int control_frames_ = 0;         // since the last sweep
  uint64_t swept_sent_bytes_ = 0;  // sent_bytes() when the reader was last seen to take some
  base::SteadyTime deadline_;      // of the HTTP phase, and of closing once that has begun
  base::SteadyTime last_ping_, last_taken_;
};

base::SteadyTime Now() { return base::SystemClock::Instance().Now(); }

UpgradeRequest ToBeast(const HttpRequest& request) {
  UpgradeRequest out;
  out.version(11);
  out.method_string(request.method);
  out.target(request.target);
  for (const auto& [name, value] : request.headers) out.insert(name, value);
  return out;
}

// ---- Connection: start and HTTP ----

void Connection::Start(std::shared_ptr<ServerState> server, Shard& shard, StreamSocket socket,
                       const Arrival& arrival) {
  auto self =
      MakeSharedOn<Connection>(shard.thread, std::move(server), shard, std::move(socket), arrival);
  shard.connections.push_back(self.get());
  const auto executor = shard.thread.impl().io.get_executor();
  // Owner: the coroutine itself, which holds `self`. It ends when the socket does, and the shard's
  // sweep bounds that.
  asio::co_spawn(
      executor, [self] { return self->Run(self); }, [](std::exception_ptr) {});
}

Connection::Connection(std::shared_ptr<ServerState> server, Shard& shard, StreamSocket socket,
                       const Arrival& arrival)
    : server_(std::move(server)),
      shard_(shard),
      ws_(std::move(socket), shard.thread,
          OutputStream::Limits{server_->options.outbound_bytes,
                               server_->options.outbound_total_bytes, server_->outbound_total},
          *this),
      resume_(shard.thread.impl().io.get_executor(), SteadyTimer::time_point::max()),
      over_limit_(arrival.over_limit),
      on_unix_socket_(arrival.accepted.family == AF_UNIX),
      deadline_(Now() + server_->options.handshake_timeout) {
  peer_.address = arrival.accepted.peer;
  if (arrival.counted) handshake_of_ = peer_.address;
}

Awaitable<void> Connection::Run(std::shared_ptr<Connection> self) {
  try {
    if (co_await AnswerOrUpgrade()) co_await ReadMessages();
  } catch (const std::exception& e) {  // out of memory, or a fault in a session
    base::LogError("net", "connection failed", {{"error", e.what()}});
  }
  self->Finish();
}

Awaitable<bool> Connection::AnswerOrUpgrade() {
  if (over_limit_) {
    co_await Answer(StatusResponse(kServiceUnavailable), false);
    co_return false;
  }
  RequestOutcome outcome = co_await ReadRequest(stream().next_layer());
  if (!outcome.request) {
    if (outcome.refusal != 0) co_await Answer(StatusResponse(outcome.refusal), false);
    co_return false;
  }
  HttpRequest request = std::move(*outcome.request);
  const bool head_only = request.method == "HEAD";
  if (const int refusal = Admit(request); refusal != 0) {
    co_await Answer(StatusResponse(refusal), head_only);
    co_return false;
  }
  request.peer = peer_.address;
  if (const UpgradeRequest upgrade = ToBeast(request); websocket::is_upgrade(upgrade)) {
    co_return co_await Upgrade(upgrade);
  }
  co_await Answer(Handle(server_->http, std::move(request)), head_only);
  co_return false;
}

/// Finds out who the client is and whether there is room. Returns the status to refuse with, or 0.
int Connection::Admit(const HttpRequest& request) {
  constexpr size_t kMaxUserAgent = 128;
  peer_.user_agent = request.Header("user-agent").substr(0, kMaxUserAgent);
  peer_.secret_header = server_->HasSecret(request);
  std::optional<IpAddress> client;
  if (!on_unix_socket_) client = peer_.address;
  client = ClientAddress(client, request, server_->options.trusted_proxies);
  if (client) peer_.address = *client;
  if (peer_.secret_header || !client) return 0;
  if (!server_->clients.TryTake(*client)) {
    server_->refused_total.Increment();
    return kTooManyRequests;
  }
  client_of_ = client;
  return 0;
}

void Connection::EndHandshake() {
  if (handshake_of_) server_->handshakes.Free(*std::exchange(handshake_of_, std::nullopt));
}

Awaitable<void> Connection::Answer(HttpResponse response, bool head_only) {
  deadline_ = Now() + kClosingTimeout;
  stream().AppendRaw(SerializeResponse(response, head_only, server_->options.response_headers));
  co_await async_teardown(beast::role_type::server, stream(), kNoThrow);
}

Awaitable<bool> Connection::Upgrade(const UpgradeRequest& request) {
  ConfigureWebSocket();
  auto [error] = co_await ws_.async_accept(request, kNoThrow);
  if (error) {  // Beast has answered what was wrong with the request
    deadline_ = Now() + kClosingTimeout;
    co_await async_teardown(beast::role_type::server, stream(), kNoThrow);
    co_return false;
  }
  reader_.Touch();
  last_ping_ = last_taken_ = reader_.last_heard();
  phase_ = Phase::kOpen;
  EndHandshake();
  session_ = server_->make_session(shared_from_this());
  co_return true;
}

void Connection::ConfigureWebSocket() {
  ws_.read_message_max(server_->options.message_bytes);
  ws_.auto_fragment(false);
  ws_.set_option(websocket::stream_base::decorator([this](auto& response) {
    response.set(beast::http::field::server, "graspd");  // else Beast names itself
    for (const auto& [name, value] : server_->options.response_headers) response.set(name, value);
  }));
  ws_.control_callback([this](websocket::frame_type, beast::string_view) { OnControlFrame(); });
}

// ---- Connection: messages ----

Awaitable<void> Connection::ReadMessages() {
  for (;;) {
    const auto [error, message] = co_await reader_.Read(ws_);
    if (error) co_return;  // a Close, its answer and the teardown have been Beast's business
    if (paused_) co_await WhilePaused();
    if (stream().broken()) co_return;
    if (!stream().closing() && !close_started_) Deliver(message);
    reader_.MessageHandled();
  }
}

Awaitable<void> Connection::WhilePaused() {
  while (paused_ && !stream().closing() && !close_started_) co_await resume_.async_wait(kNoThrow);
  reader_.Touch();  // silence was ours
}

void Connection::Deliver(std::string_view message) {
  if (ws_.got_binary()) {
    session_->OnBinary(message.size());
  } else {
    session_->OnText(message);
  }
}

void Connection::OnControlFrame() {
  reader_.Touch();
  ++control_frames_;
}

bool Connection::SendText(std::string_view prefix, std::string_view body) {
  if (phase_ != Phase::kOpen || close_started_) return false;
  const bool was_broken = stream().broken();
  const bool appended = stream().AppendText(prefix, body);
  if (!appended && !was_broken && stream().broken()) server_->slow_reader_closes.Increment();
  return appended;
}

void Connection::WhenDrained(std::function<void()> ready) {
  if (phase_ != Phase::kOpen) return;
  on_drained_ = std::move(ready);
  if (pending_bytes() < OutputStream::kEagerFlush) OnDrained();
}

void Connection::OnDrained() {
  if (!on_drained_) return;
  // Posted: we may be inside the producer's own SendText.
  asio::post(shard_.thread.impl().io, std::exchange(on_drained_, nullptr));
}

void Connection::ResumeReading() {
  paused_ = false;
  resume_.cancel();
}

void Connection::Close(uint16_t code, std::string_view reason) {
  if (phase_ == Phase::kHttp) return Abort();
  if (phase_ == Phase::kGone || close_started_ || stream().closing()) return;
  close_started_ = true;
  deadline_ = Now() + kClosingTimeout;
  resume_.cancel();
  constexpr size_t kMaxReason = 123;  // a control frame's 125 bytes less the code
  const beast::string_view text(reason.data(), std::min(reason.size(), kMaxReason));
  ws_.async_close({static_cast<websocket::close_code>(code), text},
                  [self = shared_from_this()](ErrorCode) {});
}

// ---- Connection: deadlines and the end ----

void Connection::AbortSlowReader() {
  server_->slow_reader_closes.Increment();
  Abort();
}

void Connection::Sweep(base::SteadyTime now) {
  reader_.ReleaseIdleMemory();
  if (phase_ == Phase::kOpen) {
    SweepOpen(now);
  } else if (phase_ == Phase::kHttp && now >= deadline_) {
    Abort();
  }
}

void Connection::SweepOpen(base::SteadyTime now) {
  const auto& options = server_->options;
  if (stream().closing() && !close_started_) {  // Beast has begun to close: an error, or the peer
    close_started_ = true;
    deadline_ = now + kClosingTimeout;
  }
  if (close_started_) {
    if (now >= deadline_) Abort();
    return;
  }
  if (pending_bytes() == 0 || stream().sent_bytes() != swept_sent_bytes_) {
    swept_sent_bytes_ = stream().sent_bytes();
    last_taken_ = now;
  }
  if (now - last_taken_ > options.pong_timeout) return AbortSlowReader();
  if (std::exchange(control_frames_, 0) > kControlFramesPerSweep) return Abort();
  if (!paused_ && now - reader_.last_heard() > options.pong_timeout) {
    server_->silent_closes.Increment();
    return Abort();
  }
  if (now - std::max(reader_.last_heard(), last_ping_) >= options.ping_interval) {
    last_ping_ = now;
    stream().AppendPing();
  }
}

void Connection::Finish() {
  stream().Fail(asio::error::eof, /*reset=*/false);
  phase_ = Phase::kGone;
  on_drained_ = nullptr;
  std::erase(shard_.connections, this);
  EndHandshake();
  if (client_of_) server_->clients.Free(*client_of_);
  if (session_) session_->OnClosed();
  session_.reset();
  server_->Gone();
}

// ---- ServerState ----

/// Often enough that no deadline is missed by much, seldom enough to cost nothing.
base::Duration SweepPeriod(const WebSocketServerOptions& options) {
  const base::Duration shortest =
      std::min({options.handshake_timeout, options.ping_interval, options.pong_timeout});
  return std::clamp<base::Duration>(shortest / 4, std::chrono::milliseconds(100),
                                    std::chrono::seconds(1));
}

size_t ConnectionLimit(size_t wanted) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return wanted;
  const size_t reserved = kReservedDescriptors + kRefusedAtOnce;
  const size_t possible = limit.rlim_cur > 2 * reserved ? limit.rlim_cur - reserved : reserved;
  if (possible < wanted) {
    base::LogWarn("net", "connection limit lowered to what the descriptor limit allows",
                  {{"connections", possible}, {"wanted", wanted}});
  }
  return std::min(wanted, possible);
}

ServerState::ServerState(IoPool& pool, WebSocketServerOptions o, HttpHandler h,
                         WebSocketServer::SessionFactory f, base::Metrics& metrics)
    : options(std::move(o)),
      http(std::move(h)),
      make_session(std::move(f)),
      clients(options.connections_per_address),
      handshakes(options.connections_per_address + kRefusedAtOnce),
      accepted_total(metrics.MakeCounter("graspd_relay_connections_total",
                                         "Connections accepted or refused on the relay port.",
                                         {{"result", "accepted"}})),
      refused_total(metrics.MakeCounter("graspd_relay_connections_total",
                                        "Connections accepted or refused on the relay port.",
                                        {{"result", "refused"}})),
      slow_reader_closes(metrics.MakeCounter("graspd_relay_slow_client_closes_total",
                                             "Connections closed because they did not read.")),
      silent_closes(metrics.MakeCounter("graspd_relay_silent_client_closes_total",
                                        "Connections closed because they answered no ping.")),
      max_connections_(ConnectionLimit(options.connections)),
      sweep_period_(SweepPeriod(options)) {
  for (size_t i = 0; i < pool.size(); ++i) {
    shards_.push_back(std::make_unique<Shard>(pool.thread(i)));
  }
}

void ServerState::StartSweeping() {
  for (auto& shard : shards_) {
    shard->thread.Post(
        [self = shared_from_this(), &shard = *shard] { self->ScheduleSweep(shard); });
  }
}

void ServerState::StopSweeping() {
  for (auto& shard : shards_) {
    RunOn(shard->thread, [&shard = *shard] {
      shard.closed = true;
      shard.sweep_timer.reset();
      shard.cut_timer.reset();
    });
  }
}

void ServerState::ScheduleSweep(Shard& shard) {
  if (shard.closed && shard.connections.empty()) return;
  // The timer is ours and ends with us; a task that has begun holds us until it is done.
  shard.sweep_timer = shard.thread.After(sweep_period_, [weak = weak_from_this(), &shard] {
    if (const auto self = weak.lock()) self->Sweep(shard);
  });
}

void ServerState::Sweep(Shard& shard) {
  const base::SteadyTime now = Now();
  for (Connection* connection : shard.connections) connection->Sweep(now);
  ScheduleSweep(shard);
}

void ServerState::Accept(Accepted accepted) {
  const bool counted =
      accepted.family != AF_UNIX && !IsAnyOf(options.trusted_proxies, accepted.peer);
  if (live_ >= max_connections_ + kRefusedAtOnce ||
      (counted && !handshakes.TryTake(accepted.peer))) {
    refused_total.Increment();
    return;
  }
  const bool over_limit = ++live_ > max_connections_;
  (over_limit ? refused_total : accepted_total).Increment();
  Shard& shard = *shards_[next_shard_++ % shards_.size()];
  // Shared because std::function wants to be copied.
  auto arrival = std::make_shared<Arrival>(Arrival{std::move(accepted), counted, over_limit});
  shard.thread.Post([self = shared_from_this(), &shard, arrival] {
    if (self->Adopt(shard, *arrival)) return;
    if (arrival->counted) self->handshakes.Free(arrival->accepted.peer);
    self->Gone();
  });
}

bool ServerState::Adopt(Shard& shard, Arrival& arrival) {
  Accepted& accepted = arrival.accepted;
  if (shard.closed) return false;
  StreamSocket socket(shard.thread.impl().io.get_executor());
  ErrorCode error;
  const int protocol = accepted.family == AF_UNIX ? 0 : IPPROTO_TCP;
  socket.assign(asio::generic::stream_protocol(accepted.family, protocol), accepted.fd.get(),
                error);
  if (error) return false;
  (void)accepted.fd.Release();  // the socket's now
  ErrorCode ignored;
  if (accepted.family != AF_UNIX) socket.set_option(asio::ip::tcp::no_delay(true), ignored);
  socket.set_option(asio::socket_base::send_buffer_size(kSendBufferBytes), ignored);
  Connection::Start(shared_from_this(), shard, std::move(socket), arrival);
  return true;
}

void ServerState::Gone() {
  base::MutexLock lock(mutex_);
  if (--live_ == 0) all_gone_.NotifyAll();
}

void ServerState::CloseAll(uint16_t code, const std::string& reason, base::Duration deadline) {
  for (auto& shard : shards_) {
    shard->thread.Post([self = shared_from_this(), &shard = *shard, code, reason, deadline] {
      shard.closed = true;
      for (Connection* connection : shard.connections) connection->Close(code, reason);
      shard.cut_timer = shard.thread.After(deadline, [weak = self->weak_from_this(), &shard] {
        const auto alive = weak.lock();
        if (!alive) return;
        for (Connection* connection : shard.connections) connection->Abort();
      });
    });
  }
  base::MutexLock lock(mutex_);
  while (live_ != 0) all_gone_.Wait(mutex_);
}

void ServerState::EvictLargest() {
  if (evicting_.exchange(true)) return;
  survey_left_ = shards_.size();
  for (auto& shard : shards_) {
    shard->thread.Post([self = shared_from_this(), &shard = *shard] {
      size_t fullest = 0;
      for (Connection* c : shard.connections) fullest = std::max(fullest, c->pending_bytes());
      shard.fullest = fullest;
      if (--self->survey_left_ == 0) self->CloseFullest();
    });
  }
}

void ServerState::CloseFullest() {
  Shard& fullest = **std::max_element(shards_.begin(), shards_.end(), [](auto& a, auto& b) {
    return a->fullest.load() < b->fullest.load();
  });
  fullest.thread.Post([self = shared_from_this(), &fullest] {
    const auto& all = fullest.connections;
    const auto largest = std::max_element(all.begin(), all.end(), [](auto* a, auto* b) {
      return a->pending_bytes() < b->pending_bytes();
    });
    const bool still_over = self->outbound_total > self->options.outbound_total_bytes;
    if (largest != all.end() && still_over) (*largest)->AbortSlowReader();
    self->evicting_ = false;
  });
}

bool ServerState::HasSecret(const HttpRequest& request) const {
  const auto& [name, secret] = options.secret_header;
  if (name.empty() || secret.empty()) return false;
  const std::string_view given = request.Header(name);
  return given.size() == secret.size() &&
         CRYPTO_memcmp(given.data(), secret.data(), secret.size()) == 0;
}

// ---- The server ----

class ServerImpl final : public WebSocketServer {
 public:
  ServerImpl(IoPool& pool, std::shared_ptr<ServerState> state,
             std::vector<std::unique_ptr<Listener>> listeners, base::Metrics& metrics)
      : pool_(pool),
        state_(std::move(state)),
        listeners_(std::move(listeners)),
        connections_gauge_(
            metrics.Sample("graspd_relay_connections", "Open connections on the relay port.",
                           [state = state_] { return static_cast<double>(state->live()); })),
        outbound_gauge_(metrics.Sample(
            "graspd_relay_outbound_queue_bytes", "Bytes that wait for clients to read them.",
            [state = state_] { return static_cast<double>(state->outbound_total.load()); })) {}

  ~ServerImpl() override {
    CloseAll(websocket::close_code::going_away, "", base::Duration::zero());
    state_->StopSweeping();
  }

  std::vector<ListenAddress> addresses() const override {
    std::vector<ListenAddress> all;
    for (const auto& listener : listeners_) all.push_back(listener->address());
    return all;
  }
  size_t connection_count() const override { return state_->live(); }
  void StopAccepting() override {
    for (const auto& listener : listeners_) listener->Stop();
  }
  void CloseAll(uint16_t code, std::string_view reason, base::Duration deadline) override {
    StopAccepting();
    if (!pool_.thread(0).impl().stopped) state_->CloseAll(code, std::string(reason), deadline);
  }

 private:
  IoPool& pool_;
  const std::shared_ptr<ServerState> state_;
  const std::vector<std::unique_ptr<Listener>> listeners_;
  const std::unique_ptr<base::Metrics::SampledGauge> connections_gauge_, outbound_gauge_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<WebSocketServer>> WebSocketServer::Start(
    IoPool& pool, WebSocketServerOptions options, HttpHandler http, SessionFactory make_session,
    base::Metrics& metrics) {
  const std::vector<ListenAddress> listen = options.listen;
  std::string& secret_name = options.secret_header.first;  // as HttpRequest has its names
  std::transform(secret_name.begin(), secret_name.end(), secret_name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  auto state = std::make_shared<ServerState>(pool, std::move(options), std::move(http),
                                             std::move(make_session), metrics);
  GRASPD_ASSIGN_OR_RETURN(
      auto listeners,
      OpenListeners(
          pool.thread(0), listen,
          [state](Accepted accepted) { state->Accept(std::move(accepted)); }, kUnixSocketMode));
  state->StartSweeping();
  return std::make_unique<ServerImpl>(pool, std::move(state), std::move(listeners), metrics);
}

}  // namespace graspd::net
