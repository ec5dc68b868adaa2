#include "net/websocket_server.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "base/status_macros.h"
#include "net/asio.h"
#include "net/connection_set.h"
#include "net/listener.h"

namespace graspd::net {
namespace {

constexpr uint16_t kGoingAway = 1001;
// Everybody may connect to our unix sockets, as to our ports.
constexpr mode_t kUnixSocketMode = 0666;

class ServerImpl final : public WebSocketServer {
 public:
  ServerImpl(IoPool& pool, std::shared_ptr<ConnectionSet> set,
             std::vector<std::unique_ptr<Listener>> listeners, base::Metrics& metrics)
      : pool_(pool),
        set_(std::move(set)),
        listeners_(std::move(listeners)),
        connections_gauge_(
            metrics.Sample("graspd_relay_connections", "Open connections on the relay port.",
                           [set = set_] { return static_cast<double>(set->live()); })),
        outbound_gauge_(metrics.Sample(
            "graspd_relay_outbound_queue_bytes", "Bytes that wait for clients to read them.",
            [set = set_] { return static_cast<double>(set->outbound_total.load()); })),
        inbound_gauge_(metrics.Sample(
            "graspd_relay_inbound_bytes", "Bytes of messages that have not come to their end.",
            [set = set_] { return static_cast<double>(set->inbound_total.load()); })) {}

  ~ServerImpl() override {
    CloseAll(kGoingAway, "", base::Duration::zero());
    set_->StopSweeping();
  }

  std::vector<ListenAddress> addresses() const override {
    std::vector<ListenAddress> all;
    for (const auto& listener : listeners_) all.push_back(listener->address());
    return all;
  }
  size_t connection_count() const override { return set_->live(); }
  void StopAccepting() override {
    for (const auto& listener : listeners_) listener->Stop();
  }
  void CloseAll(uint16_t code, std::string_view reason, base::Duration deadline) override {
    StopAccepting();
    if (!pool_.thread(0).impl().stopped) set_->CloseAll(code, std::string(reason), deadline);
  }
  void RefuseNew(bool refuse) override { set_->RefuseNew(refuse); }
  void CloseIdle(base::Duration silent) override { set_->CloseIdle(silent); }
  void CutQueues(size_t bytes) override { set_->CutQueues(bytes); }
  [[nodiscard]] size_t outbound_bytes() const override { return set_->outbound_total; }

 private:
  IoPool& pool_;
  const std::shared_ptr<ConnectionSet> set_;
  const std::vector<std::unique_ptr<Listener>> listeners_;
  const std::unique_ptr<base::Metrics::SampledGauge> connections_gauge_, outbound_gauge_,
      inbound_gauge_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<WebSocketServer>> WebSocketServer::Start(
    IoPool& pool, WebSocketServerOptions options, HttpHandler http, SessionFactory make_session,
    base::Metrics& metrics) {
  const std::vector<ListenAddress> listen = options.listen;
  std::string& secret_name = options.secret_header.first;  // as HttpRequest has its names
  std::transform(secret_name.begin(), secret_name.end(), secret_name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  auto set = std::make_shared<ConnectionSet>(pool, std::move(options), std::move(http),
                                             std::move(make_session), metrics);
  GRASPD_ASSIGN_OR_RETURN(
      auto listeners,
      OpenListeners(
          pool.thread(0), listen, [set](Accepted accepted) { set->Accept(std::move(accepted)); },
          kUnixSocketMode));
  set->StartSweeping();
  return std::make_unique<ServerImpl>(pool, std::move(set), std::move(listeners), metrics);
}

}  // namespace graspd::net
