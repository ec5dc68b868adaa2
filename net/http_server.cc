#include <algorithm>
#include <atomic>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <set>
#include <utility>

#include "base/log.h"
#include "base/status_macros.h"
#include "net/asio.h"
#include "net/http.h"
#include "net/http_exchange.h"
#include "net/listener.h"

namespace graspd::net {
namespace {

constexpr size_t kMaxConnections = 64;
constexpr std::chrono::seconds kRequestTimeout{5}, kResponseTimeout{10};

/// The connections, all on one thread, and the handler.
class HttpState : public std::enable_shared_from_this<HttpState> {
 public:
  HttpState(IoThread& thread, HttpHandler handler)
      : executor_(thread.impl().io.get_executor()), handler_(std::move(handler)) {}

  void Accept(Accepted accepted);
  /// Closes what is open and forgets the handler.
  void Close();

 private:
  struct Exchange {
    Exchange(IoExecutor executor, IpAddress p) : socket(executor), deadline(executor), peer(p) {}
    StreamSocket socket;
    SteadyTimer deadline;
    IpAddress peer;
  };

  // Owner of each: its coroutine, which ends when the socket is closed; the deadline closes it.
  static Awaitable<void> Run(std::shared_ptr<HttpState> self, std::shared_ptr<Exchange> exchange);
  Awaitable<void> Serve(std::shared_ptr<Exchange> exchange);
  static void SetDeadline(const std::shared_ptr<Exchange>& exchange, std::chrono::seconds timeout);

  const IoExecutor executor_;
  HttpHandler handler_;
  std::set<std::shared_ptr<Exchange>> exchanges_;
};

void HttpState::Accept(Accepted accepted) {
  if (exchanges_.size() >= kMaxConnections) return;
  auto exchange = std::make_shared<Exchange>(executor_, accepted.peer);
  ErrorCode error;
  exchange->socket.assign(asio::generic::stream_protocol(accepted.family, 0), accepted.fd.get(),
                          error);
  if (error) return;
  (void)accepted.fd.Release();  // the socket's now
  exchanges_.insert(exchange);
  asio::co_spawn(
      executor_, [self = shared_from_this(), exchange] { return Run(self, exchange); },
      [](std::exception_ptr) {});
}

void HttpState::SetDeadline(const std::shared_ptr<Exchange>& exchange,
                            std::chrono::seconds timeout) {
  exchange->deadline.expires_after(timeout);
  exchange->deadline.async_wait([exchange](ErrorCode cancelled) {
    ErrorCode ignored;
    if (!cancelled) exchange->socket.close(ignored);
  });
}

Awaitable<void> HttpState::Run(std::shared_ptr<HttpState> self,
                               std::shared_ptr<Exchange> exchange) {
  try {
    co_await self->Serve(exchange);
  } catch (const std::exception& e) {
    base::LogError("net", "HTTP request failed", {{"error", e.what()}});
  }
  exchange->deadline.cancel();
  self->exchanges_.erase(exchange);
}

Awaitable<void> HttpState::Serve(std::shared_ptr<Exchange> exchange) {
  SetDeadline(exchange, kRequestTimeout);
  RequestOutcome outcome = co_await ReadRequest(exchange->socket);
  if (!outcome.request && outcome.refusal == 0) co_return;
  if (!handler_) co_return;  // closed meanwhile
  SetDeadline(exchange, kResponseTimeout);
  bool head_only = false;
  HttpResponse response;
  if (outcome.request) {
    head_only = outcome.request->method == "HEAD";
    outcome.request->peer = exchange->peer;
    response = Handle(handler_, std::move(*outcome.request));
  } else {
    response = StatusResponse(outcome.refusal);
  }
  const std::string bytes = SerializeResponse(response, head_only, {});
  co_await asio::async_write(exchange->socket, asio::buffer(bytes), kNoThrow);
  // Closing with unread input would reset the connection and may lose the answer: read to the end.
  ErrorCode ignored;
  exchange->socket.shutdown(StreamSocket::shutdown_send, ignored);
  char scratch[512];
  for (;;) {
    auto [error, read] = co_await exchange->socket.async_read_some(asio::buffer(scratch), kNoThrow);
    if (error) co_return;
  }
}

void HttpState::Close() {
  handler_ = nullptr;
  ErrorCode ignored;
  for (const auto& exchange : exchanges_) {
    exchange->socket.close(ignored);
    exchange->deadline.cancel();
  }
}

class HttpServerImpl final : public HttpServer {
 public:
  HttpServerImpl(IoThread& thread, std::shared_ptr<HttpState> state,
                 std::vector<std::unique_ptr<Listener>> listeners)
      : thread_(thread), state_(std::move(state)), listeners_(std::move(listeners)) {}

  ~HttpServerImpl() override {
    for (const auto& listener : listeners_) listener->Stop();
    RunOn(thread_, [this] { state_->Close(); });
  }

  std::vector<ListenAddress> addresses() const override {
    std::vector<ListenAddress> all;
    for (const auto& listener : listeners_) all.push_back(listener->address());
    return all;
  }

 private:
  IoThread& thread_;
  const std::shared_ptr<HttpState> state_;
  const std::vector<std::unique_ptr<Listener>> listeners_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(IoPool& pool,
                                                              std::vector<ListenAddress> listen,
                                                              HttpHandler handler) {
  IoThread& thread = pool.Next();
  auto state = std::make_shared<HttpState>(thread, std::move(handler));
  GRASPD_ASSIGN_OR_RETURN(auto listeners, OpenListeners(thread, listen, [state](Accepted accepted) {
                            state->Accept(std::move(accepted));
                          }));
  return std::make_unique<HttpServerImpl>(thread, std::move(state), std::move(listeners));
}

}  // namespace graspd::net
