#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/metrics.h"
#include "net/http.h"
#include "net/io_pool.h"

namespace graspd::ops {

/// One line of /readyz.
struct ReadinessCheck {
  std::string name;  // "store"
  bool ok = false;
  std::string message;  // what is wrong or notable; may be empty
};

/// What the probes ask. Called on I/O threads, so thread-safe and never blocking.
struct Probes {
  /// Whether the process's own loops run. Never about a database or a remote: restarting us would
  /// not help them.
  std::function<bool()> live;
  /// Whether clients should be sent here: ready when every check is ok.
  std::function<std::vector<ReadinessCheck>()> ready;
};

/// Answers one request: /livez and /readyz (200 or 503), /metrics (Prometheus text 0.0.4), / (what
/// there is); 404 with the same list otherwise. Pure but for the probes and the metrics.
[[nodiscard]] net::HttpResponse Respond(const net::HttpRequest& request, const Probes& probes,
                                        const base::Metrics& metrics);

/// The ops port: probes and metrics over plain HTTP, without authentication. It serves nothing
/// secret, but belongs on loopback or a cluster's own network.
///
/// Threading: requests are answered on the pool's threads. A scrape serialises every metric there,
/// which takes well under a millisecond for some hundred series. Lifetime: `pool` and `metrics`
/// outlive it.
class OpsServer {
 public:
  /// Errors: those of net::HttpServer::Start.
  static absl::StatusOr<std::unique_ptr<OpsServer>> Start(net::IoPool& pool,
                                                          std::vector<net::ListenAddress> listen,
                                                          Probes probes,
                                                          const base::Metrics& metrics);

  /// What is really listened on: port 0 has become a port.
  [[nodiscard]] std::vector<net::ListenAddress> addresses() const { return http_->addresses(); }

 private:
  explicit OpsServer(std::unique_ptr<net::HttpServer> http) : http_(std::move(http)) {}

  std::unique_ptr<net::HttpServer> http_;
};

}  // namespace graspd::ops
