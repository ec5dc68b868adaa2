// Loops, clients and servers for net's tests. Everything waits on futures with generous limits.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/bounded_queue.h"
#include "base/metrics.h"
#include "net/dialer.h"
#include "net/http.h"
#include "net/io_pool.h"
#include "net/listener.h"
#include "net/websocket_server.h"

namespace graspd::net {

inline constexpr std::chrono::seconds kTestPatience{20};

/// Waits for `future`; a test that would hang fails instead.
template <typename T>
T Await(std::future<T> future) {
  if (future.wait_for(kTestPatience) != std::future_status::ready) {
    ADD_FAILURE() << "timed out";
    std::abort();
  }
  return future.get();
}

/// Runs `task` on `thread` and returns what it returns.
template <typename F>
auto On(IoThread& thread, F task) {
  auto packaged = std::make_shared<std::packaged_task<decltype(task())()>>(std::move(task));
  auto future = packaged->get_future();
  thread.Post([packaged] { (*packaged)(); });
  return Await(std::move(future));
}

/// A blocking TCP client that speaks bytes; reads give up after kTestPatience.
class RawClient {
 public:
  explicit RawClient(const SocketAddress& server, int receive_buffer = 0);
  explicit RawClient(const std::string& unix_path);
  void Send(std::string_view bytes);
  /// Sends a WebSocket upgrade and reads its answer; returns the answer's head.
  std::string Upgrade(std::string_view extra_headers = {});
  /// Up to and including `end`; what came before the end of stream if that comes first.
  std::string ReadUntil(std::string_view end);
  std::string ReadExactly(size_t bytes);
  std::string ReadToEnd();
  /// Whether the peer has ended or reset the connection, waiting for it and dropping what is read.
  bool Ended();
  /// One masked client frame; `opcode` without FIN bit may be given by `first` = 0x01 and so on.
  void SendFrame(uint8_t first, std::string_view payload) { Send(ClientFrame(first, payload)); }
  static std::string ClientFrame(uint8_t first, std::string_view payload);
  struct Frame {
    uint8_t first = 0;  // FIN and opcode; 0 at the end of stream
    std::string payload;
    uint16_t close_code() const;
  };
  Frame ReadFrame();
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  bool Fill();
  OwnedFd fd_;
  std::string unread_;
};

/// Accepts connections, counts them, and has `serve` talk to each on a thread of its own.
class RawServer {
 public:
  explicit RawServer(std::function<void(int fd)> serve = nullptr);
  ~RawServer();
  SocketAddress address() const { return address_; }
  int accepted() const { return accepted_; }

 private:
  OwnedFd fd_;
  SocketAddress address_;
  std::atomic<int> accepted_{0};
  std::thread thread_;
};
/// The head of an HTTP request as read from `fd`.
std::string ReadHead(int fd);
HttpRequest ParseHead(std::string_view head);
/// Reads a WebSocket upgrade and answers it.
void AcceptUpgrade(int fd);
/// Blocks until everything is sent; false once the peer has gone.
bool WriteAll(int fd, std::string_view bytes);
/// The head of a server's frame that promises so many bytes.
std::string ServerFrameHead(uint8_t first, uint64_t length);
inline std::string ServerFrame(uint8_t first, std::string_view payload) {
  return ServerFrameHead(first, payload.size()) + std::string(payload);
}
/// What AnswerHandshake() and the like answer, without the body.
std::string HeadOf(const HttpResponse& response);

/// What happened on a dialled connection, for a test thread to read in order.
class RecordingHandler final : public DialHandler {
 public:
  void OnOpen(const DialSuccess& success) override { open_.set_value(success); }
  void OnText(std::string_view message) override { (void)messages_.TryPush(std::string(message)); }
  void OnClosed(const DialFailure& failure) override {
    messages_.Close();
    closed_.set_value(failure);
  }
  DialSuccess Open() { return Await(open_.get_future()); }
  DialFailure Closed() { return Await(closed_.get_future()); }
  /// The next message; "(end)" if the connection has ended.
  std::string Next() { return messages_.Pop().value_or("(end)"); }
  size_t unread() const { return messages_.size(); }

 private:
  std::promise<DialSuccess> open_;
  std::promise<DialFailure> closed_;
  base::BoundedQueue<std::string> messages_{100'000};
};

/// Answers every look-up from a table.
class FakeResolver final : public Resolver {
 public:
  std::unique_ptr<LookUp> Resolve(std::string host, base::Executor& executor,
                                  Callback done) override;
  std::map<std::string, std::vector<std::string>> names;
  std::atomic<int> asked{0}, awaited{0};
  bool silent = false;
};

/// Two I/O threads, a server, and a dialer that may dial loopback.
class NetTest : public ::testing::Test {
 protected:
  using OnText = std::function<void(WebSocketConnection&, std::string_view)>;

  NetTest();
  ~NetTest() override;
  /// Starts `server` on loopback; sessions call `on_text` (default: echo).
  void StartServer(OnText on_text = nullptr);
  void AwaitClosedSessions(int count) const {
    while (sessions_closed < count) std::this_thread::yield();
  }
  SocketAddress address() const { return server->addresses()[0].tcp; }
  DialOptions Options(std::string_view path = "/") const;
  std::shared_ptr<DialledConnection> Dial(DialOptions dial,
                                          std::shared_ptr<RecordingHandler> handler);

  base::Metrics metrics;
  FakeResolver resolver;  // a dial that the threads end with has a look-up
  IoPool pool{2};
  WebSocketServerOptions options;
  AddressGuard guard;
  DialerOptions dialer_options;
  std::unique_ptr<WebSocketServer> server;
  std::unique_ptr<Dialer> dialer;
  base::BoundedQueue<std::shared_ptr<WebSocketConnection>> connections{1000};
  std::atomic<int> sessions_alive{0}, sessions_closed{0};
  std::atomic<size_t> binary_bytes{0};
};

}  // namespace graspd::net
