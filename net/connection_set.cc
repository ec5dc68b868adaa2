#include "net/connection_set.h"

#include <netinet/in.h>
#include <openssl/crypto.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <utility>

#include "base/log.h"
#include "net/asio.h"
#include "net/frame_parser.h"
#include "net/server_connection.h"

namespace graspd::net {
namespace {

// Past the connection limit this many more are told so; past that they are just closed.
constexpr size_t kRefusedAtOnce = 32;
// The kernel doubles it. Unset, it would grow to megabytes a connection before ours is asked to
// wait.
constexpr int kSendBufferBytes = 256 * 1024;
// Of a message under way, when there is no memory left.
constexpr size_t kMuchHeld = 64 * 1024;

/// Often enough that no deadline is missed by much, seldom enough to cost nothing.
base::Duration SweepPeriod(const WebSocketServerOptions& options) {
  const base::Duration shortest =
      std::min({options.handshake_timeout, options.ping_interval, options.pong_timeout});
  return std::clamp<base::Duration>(shortest / 4, std::chrono::milliseconds(100),
                                    std::chrono::seconds(1));
}

// At least a quarter of the descriptors is for clients.
size_t ConnectionLimit(size_t wanted, size_t reserved) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return wanted;
  const size_t all = limit.rlim_cur;
  const size_t possible = std::max(all - std::min(all, reserved + kRefusedAtOnce), all / 4);
  if (possible < wanted) {
    base::LogWarn("net", "connection limit lowered to what the descriptor limit allows",
                  {{"connections", possible}, {"wanted", wanted}});
  }
  return std::min(wanted, possible);
}

}  // namespace

Shard::Shard(IoThread& t)
    : thread(t), input(std::make_unique<char[]>(kReadBytes + FrameParser::kPadding)) {}
Shard::~Shard() = default;

ConnectionSet::ConnectionSet(IoPool& pool, WebSocketServerOptions o, HttpHandler h,
                             WebSocketServer::SessionFactory f, base::Metrics& metrics)
    : options(std::move(o)),
      http(std::move(h)),
      make_session(std::move(f)),
      clients(options.connections_per_address),
      handshakes(options.connections_per_address + kRefusedAtOnce),
      accepted_total(metrics.MakeCounter("graspd_relay_connections_total",
                                         "Connections accepted or refused on the relay port.",
                                         {{"result", "accepted"}})),
      slow_reader_closes(metrics.MakeCounter("graspd_relay_slow_client_closes_total",
                                             "Connections closed because they did not read.")),
      silent_closes(metrics.MakeCounter("graspd_relay_silent_client_closes_total",
                                        "Connections closed because they answered no ping.")),
      violation_closes(
          metrics.MakeCounter("graspd_relay_violation_closes_total",
                              "Connections closed because they broke the WebSocket protocol.")),
      shed_closes(metrics.MakeCounter("graspd_relay_shed_closes_total",
                                      "Connections closed for want of memory: idle ones, and "
                                      "those with long messages under way.")),
      max_connections_(ConnectionLimit(options.connections, options.reserved_descriptors)),
      sweep_period_(SweepPeriod(options)) {
  constexpr std::array<const char*, kRefusals> kResults = {"full", "overload", "address",
                                                           "bad_request", "timeout"};
  for (size_t i = 0; i < kRefusals; ++i) {
    refused_total_[i] = &metrics.MakeCounter("graspd_relay_connections_total",
                                             "Connections accepted or refused on the relay port.",
                                             {{"result", kResults[i]}});
  }
  for (size_t i = 0; i < pool.size(); ++i) {
    shards_.push_back(std::make_unique<Shard>(pool.thread(i)));
  }
}

ConnectionSet::~ConnectionSet() = default;

void ConnectionSet::StartSweeping() {
  for (auto& shard : shards_) {
    shard->thread.Post(
        [self = shared_from_this(), &shard = *shard] { self->ScheduleSweep(shard); });
  }
}

void ConnectionSet::StopSweeping() {
  for (auto& shard : shards_) {
    RunOn(shard->thread, [&shard = *shard] {
      shard.closed = true;
      shard.sweep_timer.reset();
      shard.cut_timer.reset();
    });
  }
}

void ConnectionSet::ScheduleSweep(Shard& shard) {
  if (shard.closed && shard.connections.empty()) return;
  // The timer is ours and ends with us; a task that has begun holds us until it is done.
  shard.sweep_timer = shard.thread.After(sweep_period_, [weak = weak_from_this(), &shard] {
    if (const auto self = weak.lock()) self->Sweep(shard);
  });
}

void ConnectionSet::Sweep(Shard& shard) {
  const base::SteadyTime now = base::SystemClock::Instance().Now();
  for (ServerConnection* connection : shard.connections) connection->Sweep(now);
  ScheduleSweep(shard);
}

void ConnectionSet::Accept(Accepted accepted) {
  const bool counted =
      accepted.family != AF_UNIX && !IsAnyOf(options.trusted_proxies, accepted.peer);
  if (live_ >= max_connections_ + kRefusedAtOnce) return Refused(Refusal::kFull);
  if (counted && !handshakes.TryTake(accepted.peer)) return Refused(Refusal::kAddress);
  const bool full = ++live_ > max_connections_;
  const bool refused = full || refuse_new_;
  if (refused) {
    Refused(full ? Refusal::kFull : Refusal::kOverload);
  } else {
    accepted_total.Increment();
  }
  Shard& shard = *shards_[next_shard_++ % shards_.size()];
  // Shared because std::function wants to be copied.
  auto arrival = std::make_shared<Arrival>(Arrival{std::move(accepted), counted, refused});
  shard.thread.Post([self = shared_from_this(), &shard, arrival] {
    if (self->Adopt(shard, *arrival)) return;
    if (arrival->counted) self->handshakes.Free(arrival->accepted.peer);
    self->Gone();
  });
}

bool ConnectionSet::Adopt(Shard& shard, Arrival& arrival) {
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
  ServerConnection::Start(shared_from_this(), shard, std::move(socket), arrival);
  return true;
}

void ConnectionSet::Gone() {
  base::MutexLock lock(mutex_);
  if (--live_ == 0) all_gone_.NotifyAll();
}

void ConnectionSet::CloseAll(uint16_t code, const std::string& reason, base::Duration deadline) {
  for (auto& shard : shards_) {
    shard->thread.Post([self = shared_from_this(), &shard = *shard, code, reason, deadline] {
      shard.closed = true;
      for (ServerConnection* connection : shard.connections) connection->Close(code, reason);
      shard.cut_timer = shard.thread.After(deadline, [weak = self->weak_from_this(), &shard] {
        const auto alive = weak.lock();
        if (!alive) return;
        for (ServerConnection* connection : shard.connections) connection->Abort();
      });
    });
  }
  base::MutexLock lock(mutex_);
  while (live_ != 0) all_gone_.Wait(mutex_);
}

void ConnectionSet::CloseIdle(base::Duration silent) {
  for (auto& shard : shards_) {
    shard->thread.Post([self = shared_from_this(), &shard = *shard, silent] {
      const base::SteadyTime since = base::SystemClock::Instance().Now() - silent;
      for (ServerConnection* connection : shard.connections) connection->CloseIfIdle(since);
    });
  }
}

void ConnectionSet::CutQueues(size_t bytes) {
  for (auto& shard : shards_) {
    shard->thread.Post([self = shared_from_this(), &shard = *shard, bytes] {
      for (ServerConnection* connection : shard.connections) {
        if (connection->pending_bytes() > bytes) {
          connection->AbortSlowReader();
        } else if (connection->held_bytes() > kMuchHeld) {
          connection->Shed();
        }
      }
    });
  }
}

void ConnectionSet::EvictLargest() {
  if (evicting_.exchange(true)) return;
  survey_left_ = shards_.size();
  for (auto& shard : shards_) {
    shard->thread.Post([self = shared_from_this(), &shard = *shard] {
      size_t fullest = 0;
      for (ServerConnection* c : shard.connections) fullest = std::max(fullest, c->pending_bytes());
      shard.fullest = fullest;
      if (--self->survey_left_ == 0) self->CloseFullest();
    });
  }
}

void ConnectionSet::CloseFullest() {
  Shard& fullest = **std::max_element(shards_.begin(), shards_.end(), [](auto& a, auto& b) {
    return a->fullest.load() < b->fullest.load();
  });
  fullest.thread.Post([self = shared_from_this(), &fullest] {
    const auto& all = fullest.connections;
    const auto largest = std::max_element(all.begin(), all.end(), [](auto* a, auto* b) {
      return a->pending_bytes() < b->pending_bytes();
    });
    const auto over = [&] { return self->outbound_total > self->options.outbound_total_bytes; };
    const bool cut = largest != all.end() && (*largest)->pending_bytes() > 0 && over();
    if (cut) (*largest)->AbortSlowReader();
    self->evicting_ = false;
    if (cut && over()) self->EvictLargest();  // nobody else may send anything to notice it
  });
}

bool ConnectionSet::HasSecret(const HttpRequest& request) const {
  const auto& [name, secret] = options.secret_header;
  if (name.empty() || secret.empty()) return false;
  const std::string_view given = request.Header(name);
  return given.size() == secret.size() &&
         CRYPTO_memcmp(given.data(), secret.data(), secret.size()) == 0;
}

}  // namespace graspd::net
