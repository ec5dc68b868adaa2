// The connections of a WebSocketServer: what they share, and what is done to all of them.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/mutex.h"
#include "net/client_address.h"
#include "net/http.h"
#include "net/io_pool.h"
#include "net/listener.h"
#include "net/websocket_server.h"

namespace graspd::net {

class ServerConnection;

/// A connection on its way from the listener to its thread.
struct Arrival {
  Accepted accepted;
  bool counted;  // in ConnectionSet::handshakes
  bool refused;  // one too many: to be told so
};

/// The connections of one I/O thread, and what they use in turn. Touched only there, but for
/// `fullest`.
struct Shard {
  /// Bytes that one connection takes from its socket in one turn.
  static constexpr size_t kReadBytes = 64 * 1024;

  explicit Shard(IoThread& t);
  ~Shard();

  IoThread& thread;
  std::vector<ServerConnection*> connections;
  std::unique_ptr<IoThread::Timer> sweep_timer, cut_timer;
  bool closed = false;                  // CloseAll: what still arrives is dropped
  const std::unique_ptr<char[]> input;  // kReadBytes, and the padding of FrameParser
  std::atomic<size_t> fullest{0};       // largest output buffer at the last survey
};

/// Everything that the connections of a server share. Thread-safe where nothing else is said.
/// Lifetime: shared by the server and its connections, as long as the last of them.
class ConnectionSet : public std::enable_shared_from_this<ConnectionSet> {
 public:
  ConnectionSet(IoPool& pool, WebSocketServerOptions o, HttpHandler h,
                WebSocketServer::SessionFactory f, base::Metrics& metrics);
  ~ConnectionSet();

  void StartSweeping();
  /// After CloseAll, not from an I/O thread: nothing of us waits in an event loop any more.
  void StopSweeping();
  /// Takes over a connection and gives it to the next I/O thread.
  void Accept(Accepted accepted);
  /// See WebSocketServer.
  void CloseAll(uint16_t code, const std::string& reason, base::Duration deadline);
  void RefuseNew(bool refuse) { refuse_new_ = refuse; }
  void CloseIdle(base::Duration silent);
  void CutQueues(size_t bytes);

  /// A connection has ended.
  void Gone();

  /// Why a connection did not come to speak WebSocket or HTTP with us; counted.
  enum class Refusal : uint8_t { kFull, kOverload, kAddress, kBadRequest, kTimeout };
  static constexpr size_t kRefusals = 5;
  void Refused(Refusal why) { refused_total_[static_cast<size_t>(why)]->Increment(); }

  /// The sum of all output buffers is over its limit: closes the connection with the largest. Each
  /// thread is asked for its largest, then the fullest closes it; the limit is passed for no longer
  /// than that takes. One such round at a time.
  void EvictLargest();

  [[nodiscard]] bool HasSecret(const HttpRequest& request) const;
  [[nodiscard]] size_t live() const { return live_; }

  const WebSocketServerOptions options;
  const HttpHandler http;
  const WebSocketServer::SessionFactory make_session;
  std::atomic<size_t> outbound_total{0}, inbound_total{0};
  AddressCounter clients;     // admitted connections per client
  AddressCounter handshakes;  // connections per peer that have not yet said who they are
  prometheus::Counter &accepted_total, &slow_reader_closes, &silent_closes, &violation_closes,
      &shed_closes;

 private:
  [[nodiscard]] bool Adopt(Shard& shard, Arrival& arrival);
  void Sweep(Shard& shard);
  void ScheduleSweep(Shard& shard);
  void CloseFullest();

  std::array<prometheus::Counter*, kRefusals> refused_total_{};
  const size_t max_connections_;
  const base::Duration sweep_period_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::atomic<size_t> next_shard_{0};
  std::atomic<size_t> live_{0};
  std::atomic<bool> refuse_new_{false};
  std::atomic<bool> evicting_{false};
  std::atomic<size_t> survey_left_{0};
  base::Mutex mutex_;  // orders the last Gone() and the waiting for it
  base::CondVar all_gone_;
};

}  // namespace graspd::net
