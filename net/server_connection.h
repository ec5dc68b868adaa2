#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "net/asio.h"
#include "net/connection_set.h"
#include "net/frame_parser.h"
#include "net/http.h"
#include "net/output_stream.h"
#include "net/websocket_server.h"

namespace graspd::net {

/// An accepted connection: an HTTP request, then either its answer or a WebSocket.
///
/// The handshake and the end are coroutines, which live as long as they take. In between nothing is
/// kept but this object: it waits until its socket is readable, reads into its thread's buffer and
/// gives what is complete to its session, so that an idle connection costs little.
/// Threading: its shard's thread. Lifetime: holds itself until the socket has ended; others may
/// hold it longer, as an empty shell.
class ServerConnection final : public WebSocketConnection,
                               private OutputStream::Owner,
                               public std::enable_shared_from_this<ServerConnection> {
 public:
  static void Start(std::shared_ptr<ConnectionSet> set, Shard& shard, StreamSocket socket,
                    const Arrival& arrival);

  ServerConnection(std::shared_ptr<ConnectionSet> set, Shard& shard, StreamSocket socket,
                   const Arrival& arrival);

  // WebSocketConnection
  bool SendText(std::string_view prefix, std::string_view body) override;
  [[nodiscard]] size_t pending_bytes() const override { return stream_.pending(); }
  void WhenDrained(std::function<void()> ready) override;
  [[nodiscard]] size_t soft_limit() const override { return OutputStream::kSoftLimit; }
  void PauseReading() override { paused_ = !close_started_; }
  void ResumeReading() override;
  void Close(uint16_t code, std::string_view reason) override;
  [[nodiscard]] const Peer& peer() const override { return peer_; }
  [[nodiscard]] IoThread& thread() override { return shard_.thread; }

  /// Looks after deadlines and pings; called at each sweep.
  void Sweep(base::SteadyTime now);
  /// Ends the connection with a reset.
  void Abort() { stream_.Fail(asio::error::connection_aborted, /*reset=*/true); }
  void AbortSlowReader();
  /// What has come and waits for the rest of its message, or for reading to go on.
  [[nodiscard]] size_t held_bytes() const { return parser_.held() + unread_.size(); }
  /// Ends the connection because the relay is short of memory.
  void Shed();
  /// Closes a WebSocket that has been silent since then and whose session waits for nothing.
  void CloseIfIdle(base::SteadyTime silent_since);

 private:
  enum class Phase : uint8_t { kHttp, kOpen, kEnding, kGone };

  // OutputStream::Owner
  std::shared_ptr<void> Self() override { return shared_from_this(); }
  void OnDrained() override;
  void OnBroken() override;
  void OnOverBudget() override;

  // The handshake.
  Awaitable<void> Open(std::shared_ptr<ServerConnection> self);
  [[nodiscard]] int Admit(const HttpRequest& request);
  void BecomeWebSocket();
  void EndHandshake();

  // Reading.
  void AwaitInput();
  void OnReadable();
  void Take(FrameParser::Input input);
  void OnItem(const FrameParser::Item& item);
  void OnControlFrame(const FrameParser::Item& item);
  void SendPong();
  void GoOn();
  void CountInput();

  // The end.
  void EndWith(uint16_t code, std::string_view reason);
  Awaitable<void> TearDown(std::shared_ptr<ServerConnection> self);
  void SweepOpen(base::SteadyTime now);
  void Finish();
  /// Runs a coroutine, which holds us; a fault in it ends the connection.
  void Spawn(Awaitable<void> (ServerConnection::*coroutine)(std::shared_ptr<ServerConnection>));

  const std::shared_ptr<ConnectionSet> set_;
  Shard& shard_;
  std::shared_ptr<ServerConnection> self_;  // until Finish
  OutputStream stream_;
  FrameParser parser_;
  size_t counted_input_ = 0;  // of held_bytes(), in the set's sum
  std::string unread_;        // what came behind the message at which reading was paused
  Peer peer_;
  std::optional<IpAddress> handshake_of_;  // counted there until the handshake is over
  std::optional<IpAddress> client_of_;     // counted there until the end
  std::unique_ptr<WebSocketSession> session_;
  std::function<void()> on_drained_;
  std::optional<std::string> pong_;  // due: the payload of the last ping
  Phase phase_ = Phase::kHttp;
  const bool refused_, on_unix_socket_;
  bool paused_ = false;
  bool parked_ = false;  // paused, and nothing waits for the socket
  bool close_started_ = false;
  int control_frames_ = 0;         // since the last sweep
  uint64_t swept_sent_bytes_ = 0;  // sent_bytes() when the reader was last seen to take some
  base::SteadyTime deadline_;      // of the HTTP phase, and of closing once that has begun
  base::SteadyTime last_heard_, last_ping_, last_taken_;
  base::SteadyTime input_since_;  // when the message under way began to come
};

}  // namespace graspd::net
