#include "services/ops/ops_server.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/status_macros.h"

namespace graspd::ops {
namespace {

net::HttpResponse Text(int status, std::string body) {
  net::HttpResponse response;
  response.status = status;
  response.body = std::move(body);
  return response;
}

net::HttpResponse Live(const Probes& probes, const base::Metrics&) {
  return probes.live() ? Text(200, "ok\n") : Text(503, "not live\n");
}

net::HttpResponse Ready(const Probes& probes, const base::Metrics&) {
  const std::vector<ReadinessCheck> checks = probes.ready();
  std::string body;
  for (const ReadinessCheck& check : checks) {
    body += fmt::format("{} {}{}{}\n", check.ok ? "ok    " : "not ok", check.name,
                        check.message.empty() ? "" : ": ", check.message);
  }
  const bool ready = std::all_of(checks.begin(), checks.end(), [](const auto& c) { return c.ok; });
  return Text(ready ? 200 : 503, std::move(body));
}

net::HttpResponse Scrape(const Probes&, const base::Metrics& metrics) {
  net::HttpResponse response = Text(200, metrics.Serialize());
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  return response;
}

net::HttpResponse Index(const Probes& probes, const base::Metrics& metrics);

struct Route {
  std::string_view path, help;
  net::HttpResponse (*respond)(const Probes&, const base::Metrics&);
};
constexpr Route kRoutes[] = {{"/", "this list", Index},
                             {"/livez", "200 while the process works; else restart it", Live},
                             {"/readyz", "200 while clients should be sent here; why not", Ready},
                             {"/metrics", "for Prometheus", Scrape}};

std::string RouteList() {
  std::string out;
  for (const Route& route : kRoutes) out += fmt::format("{:<10} {}\n", route.path, route.help);
  return out;
}

net::HttpResponse Index(const Probes&, const base::Metrics&) { return Text(200, RouteList()); }

}  // namespace

net::HttpResponse Respond(const net::HttpRequest& request, const Probes& probes,
                          const base::Metrics& metrics) {
  if (request.method != "GET" && request.method != "HEAD") {
    net::HttpResponse response = Text(405, "only GET and HEAD\n");
    response.headers.emplace_back("Allow", "GET, HEAD");
    return response;
  }
  for (const Route& route : kRoutes) {
    if (route.path == request.path()) return route.respond(probes, metrics);
  }
  return Text(404, "not found; there are:\n" + RouteList());
}

absl::StatusOr<std::unique_ptr<OpsServer>> OpsServer::Start(net::IoPool& pool,
                                                            std::vector<net::ListenAddress> listen,
                                                            Probes probes,
                                                            const base::Metrics& metrics) {
  auto handler = [probes = std::move(probes), &metrics](const net::HttpRequest& request) {
    return Respond(request, probes, metrics);
  };
  GRASPD_ASSIGN_OR_RETURN(auto http,
                          net::HttpServer::Start(pool, std::move(listen), std::move(handler)));
  return std::unique_ptr<OpsServer>(new OpsServer(std::move(http)));
}

}  // namespace graspd::ops
