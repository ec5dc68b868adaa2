#include "services/relay/relay_service.h"

#include <algorithm>
#include <chrono>
#include <unordered_map>

#include "base/process_memory.h"
#include "base/status_macros.h"
#include "net/websocket_server.h"
#include "services/relay/client_session.h"
#include "services/relay/info_pages.h"
#include "services/relay/live_hub.h"
#include "services/relay/overload_guard.h"
#include "services/relay/session_context.h"

namespace graspd::relay {
namespace {

constexpr auto kTick = std::chrono::seconds(1);
constexpr uint16_t kGoingAway = 1001;

/// The hub of one I/O thread and the timer that drives it.
struct HubThread {
  explicit HubThread(net::IoThread& t) : thread(t), hub(std::make_shared<LiveHub>(t)) {}
  net::IoThread& thread;
  const std::shared_ptr<LiveHub> hub;
  // On `thread` only.
  std::unique_ptr<net::IoThread::Timer> timer;
  std::shared_ptr<OverloadGuard> guard;  // of one of them
  std::function<void()> on_tick;         // null for nothing
};
using HubThreadPtr = std::shared_ptr<HubThread>;

// On the hub's thread. The timer must not keep what holds it.
void TickLater(const HubThreadPtr& self, const base::Clock& clock) {
  self->timer = self->thread.After(kTick, [weak = std::weak_ptr<HubThread>(self), &clock] {
    const auto alive = weak.lock();
    if (!alive) return;
    alive->hub->Tick(clock.Now());
    if (alive->guard) alive->guard->Check();
    if (alive->on_tick) alive->on_tick();
    TickLater(alive, clock);
  });
}

// GRASP-01 wants every response readable by scripts of any site.
std::vector<std::pair<std::string, std::string>> ResponseHeaders(const std::string& instance) {
  std::vector<std::pair<std::string, std::string>> headers = {
      {"Access-Control-Allow-Origin", "*"},
      {"Access-Control-Allow-Methods", "GET, POST, OPTIONS"},
      {"Access-Control-Allow-Headers", "Content-Type, Accept"}};
  if (!instance.empty()) headers.emplace_back("Graspd-Instance", instance);
  return headers;
}

net::WebSocketServerOptions ServerOptions(const RelayService::Options& options) {
  const nostr::Limits& limits = options.limits;
  net::WebSocketServerOptions out;
  out.listen = options.listen;
  // Reconciliation has larger messages; sessions hold the others to message_bytes.
  out.message_bytes = std::max(limits.message_bytes, limits.neg_message_bytes);
  out.outbound_bytes = limits.outbound_bytes;
  out.inbound_total_bytes = limits.inbound_total_bytes;
  out.outbound_total_bytes = limits.outbound_total_bytes;
  out.connections = limits.connections;
  out.reserved_descriptors = options.reserved_descriptors;
  out.connections_per_address = limits.connections_per_address;
  out.handshake_timeout = limits.handshake_timeout;
  out.ping_interval = limits.ping_interval;
  out.pong_timeout = limits.pong_timeout;
  out.trusted_proxies = options.trusted_proxies;
  out.response_headers = ResponseHeaders(options.instance);
  out.secret_header = options.secret_header;
  return out;
}

}  // namespace

struct RelayService::Impl {
  Impl(const Options& options, const Dependencies& deps)
      : pages(options.info, options.limits),
        own_hosts(options.own_hosts),
        addresses(options.limits),
        meters(deps.metrics),
        context{options.limits, deps.sink, deps.store,    deps.reads, deps.scans, deps.cpu,
                deps.clock,     meters,    deps.neg_sets, own_hosts,  overload,   addresses} {}

  // The sessions first, then what feeds them; the timers end on their own threads.
  ~Impl() {
    gauges.clear();
    if (guard) guard->Stop();
    server.reset();
    feed.reset();
    for (const HubThreadPtr& hub : hubs) {
      hub->thread.Post([hub] { hub->timer.reset(); });
    }
  }

  void MakeHubs(const Dependencies& deps);
  void GuardAgainstOverload(const Options& options, base::BlockingPool& pool);
  void AddGauges(base::Metrics& metrics, size_t memory_budget);

  const InfoPages pages;
  OwnHosts own_hosts;
  AddressBudgets addresses;
  Meters meters;
  Overload overload;
  const SessionContext context;
  std::vector<HubThreadPtr> hubs;
  std::unordered_map<net::IoThread*, HubThreadPtr> hub_of;
  std::unique_ptr<storage::CommitFeed::Subscription> feed;
  std::unique_ptr<net::WebSocketServer> server;
  std::shared_ptr<OverloadGuard> guard;
  std::vector<std::unique_ptr<base::Metrics::SampledGauge>> gauges;
};

// Subscribed before the position is taken, so that no commit falls between: one that comes both
// ways counts once, because a hub ignores commits up to its position.
void RelayService::Impl::MakeHubs(const Dependencies& deps) {
  for (size_t i = 0; i < deps.io.size(); ++i) {
    hubs.push_back(std::make_shared<HubThread>(deps.io.thread(i)));
    hub_of.emplace(&hubs.back()->thread, hubs.back());
  }
  // If the pool has no room, the next tick does it.
  // Weak: the hubs' threads may end after the feed that the sets read.
  hubs.front()->on_tick = [weak = std::weak_ptr(context.neg_sets), &scans = deps.scans] {
    const auto sets = weak.lock();
    if (sets && sets->kept() > 0) (void)scans.TryRun([sets] { sets->Tend(); });
  };
  feed = deps.feed.Subscribe([hubs = hubs](const storage::CommitPtr& commit) {
    for (const HubThreadPtr& hub : hubs) {
      hub->thread.Post([hub, commit] { hub->hub->Deliver(*commit); });
    }
  });
  const storage::FeedPosition position = deps.store.Position();
  for (const HubThreadPtr& hub : hubs) {
    hub->thread.Post([hub, position, &clock = deps.clock] {
      hub->hub->SkipTo(position);
      TickLater(hub, clock);
    });
  }
}

void RelayService::Impl::GuardAgainstOverload(const Options& options, base::BlockingPool& pool) {
  guard = std::make_shared<OverloadGuard>(
      OverloadGuard::Budget{options.memory_budget_bytes, options.limits.outbound_total_bytes},
      *server, overload, base::UnreclaimableMemoryBytes,
      [&pool] { (void)pool.TryRun(base::ReturnFreedMemory); });
  const HubThreadPtr& hub = hubs.front();
  hub->thread.Post([hub, overload_guard = guard] { hub->guard = overload_guard; });
}

void RelayService::Impl::AddGauges(base::Metrics& metrics, size_t memory_budget) {
  gauges.push_back(metrics.Sample("graspd_relay_overload_level",
                                  "What is shed: 0 nothing, 1 reads, 2 connections, 3 queues.",
                                  [this] { return double(overload.level.load()); }));
  gauges.push_back(metrics.Sample("graspd_relay_memory_budget_bytes",
                                  "Memory of the process near which the relay sheds load.",
                                  [memory_budget] { return double(memory_budget); }));
  gauges.push_back(metrics.Sample("graspd_relay_address_budgets",
                                  "Client addresses whose rates are remembered.",
                                  [this] { return double(addresses.size()); }));
  gauges.push_back(metrics.Sample("graspd_relay_neg_set_bytes",
                                  "Memory of the sets that reconciliations compare.",
                                  [this] { return double(context.neg_sets->bytes()); }));
  gauges.push_back(metrics.Sample("graspd_relay_neg_sets",
                                  "Sets that are kept up to date for reconciliations.",
                                  [this] { return double(context.neg_sets->kept()); }));
  gauges.push_back(metrics.Sample("graspd_relay_neg_scans_in_flight",
                                  "Sets that are being read from the store.",
                                  [this] { return double(context.neg_sets->scans_in_flight()); }));
  gauges.push_back(metrics.SampleCounter("graspd_relay_neg_scans_total",
                                         "Sets that were read from the store.",
                                         [this] { return double(context.neg_sets->scans()); }));
  gauges.push_back(metrics.Sample("graspd_relay_reads_queued",
                                  "Store reads that wait for a thread.",
                                  [this] { return double(context.reads.queued()); }));
  gauges.push_back(metrics.Sample("graspd_relay_scans_queued",
                                  "Counts and readings of whole sets that wait for a thread.",
                                  [this] { return double(context.scans.queued()); }));
}

RelayService::RelayService(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

absl::StatusOr<std::unique_ptr<RelayService>> RelayService::Start(Options options,
                                                                  Dependencies dependencies) {
  auto impl = std::make_unique<Impl>(options, dependencies);
  impl->MakeHubs(dependencies);
  Impl* const fixed = impl.get();  // the server does not outlive it
  GRASPD_ASSIGN_OR_RETURN(
      impl->server,
      net::WebSocketServer::Start(
          dependencies.io, ServerOptions(options),
          [fixed](const net::HttpRequest& request) { return fixed->pages.Answer(request); },
          [fixed](std::shared_ptr<net::WebSocketConnection> connection) {
            const HubThreadPtr& hub = fixed->hub_of.at(&connection->thread());
            return MakeSession(fixed->context, hub->hub, std::move(connection));
          },
          dependencies.metrics));
  impl->GuardAgainstOverload(options, dependencies.reads);
  impl->AddGauges(dependencies.metrics, options.memory_budget_bytes);
  return std::unique_ptr<RelayService>(new RelayService(std::move(impl)));
}

RelayService::~RelayService() = default;

std::vector<net::ListenAddress> RelayService::addresses() const {
  return impl_->server->addresses();
}

void RelayService::SetOwnHosts(std::vector<nostr::HostPort> hosts) {
  impl_->own_hosts.Set(std::move(hosts));
}

size_t RelayService::connection_count() const { return impl_->server->connection_count(); }

void RelayService::StopAccepting() { impl_->server->StopAccepting(); }

void RelayService::Drain(base::Duration deadline) {
  StopAccepting();
  for (const HubThreadPtr& hub : impl_->hubs) {
    hub->thread.Post([hub] { hub->hub->Shutdown(); });
  }
  impl_->server->CloseAll(kGoingAway, "the relay is shutting down", deadline);
}

}  // namespace graspd::relay
