#include "services/graspd/daemon.h"

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <boost/version.hpp>
#include <optional>
#include <thread>
#include <utility>

#include "base/blocking_pool.h"
#include "base/build_info.h"
#include "base/clock.h"
#include "base/cpu_pool.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/process_memory.h"
#include "base/random.h"
#include "base/status_macros.h"
#include "ingest/pipeline.h"
#include "ingest/policy/policy.h"
#include "net/address_guard.h"
#include "net/dialer.h"
#include "net/io_pool.h"
#include "net/resolver.h"
#include "services/admin/admin_server.h"
#include "services/graspd/admin_controls.h"
#include "services/graspd/assembly.h"
#include "services/graspd/health.h"
#include "services/graspd/key_file.h"
#include "services/graspd/periodic.h"
#include "services/ops/ops_server.h"
#include "services/ops/process_metrics.h"
#include "services/relay/relay_service.h"
#include "storage/commit_feed.h"
#include "storage/lmdb/lmdb_store.h"
#include "sync/sync_manager.h"

namespace graspd::daemon {
namespace {

constexpr size_t kReadThreads = 4, kScanThreads = 2, kQueuedReads = 4096;
constexpr auto kExpiryInterval = std::chrono::seconds(10);
constexpr char kSecretHeader[] = "Graspd-Self";

size_t Cores() { return std::max(1u, std::thread::hardware_concurrency()); }

absl::Status Prefixed(std::string_view what, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(), std::string(what) + ": " + std::string(status.message()));
}

// Thousands of connections need as many descriptors; the soft limit is often 1,024.
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// The rest is for the kernel: sockets, and the store's pages.
size_t DefaultMemoryBudget() { return base::MemoryLimitBytes() / 4 * 3; }

// Where our own relay port is reached from this machine: a wildcard is reached over loopback.
net::SocketAddress LocalEndpoint(const std::vector<net::ListenAddress>& addresses) {
  for (const auto& address : addresses) {
    if (!address.unix_path.empty()) continue;
    net::SocketAddress local = address.tcp;
    if (address.is_wildcard()) {
      local.ip = *net::IpAddress::Parse(local.ip.v6 ? "::1" : "127.0.0.1");
    }
    return local;
  }
  return {};
}

std::vector<std::string> Texts(const std::vector<net::ListenAddress>& addresses) {
  std::vector<std::string> texts;
  for (const auto& address : addresses) texts.push_back(address.ToString());
  return texts;
}

std::string Join(const std::vector<std::string>& texts) {
  std::string joined;
  for (const auto& text : texts) joined += (joined.empty() ? "" : ",") + text;
  return joined.empty() ? "off" : joined;
}

admin::BuildInfo DescribeBuild(const Settings& settings) {
  admin::BuildInfo build;
  build.version = base::BuildVersion();
  constexpr std::string_view kDirty = "-dirty";  // as `git describe` ends it
  std::string_view commit = base::BuildCommit();
  build.dirty = commit.ends_with(kDirty);
  if (build.dirty) commit.remove_suffix(kDirty.size());
  if (commit != "unknown") build.commit = commit;
#ifdef __clang__
  build.compiler = "clang++ " __clang_version__;
#else
  build.compiler = "g++ " __VERSION__;
#endif
  build.libraries["boost"] = std::to_string(BOOST_VERSION / 100'000) + "." +
                             std::to_string(BOOST_VERSION / 100 % 1000) + "." +
                             std::to_string(BOOST_VERSION % 100);
  if (settings.store.starts_with("lmdb:")) build.schema_version = storage::kLmdbDataFormat;
  build.features = {"storage.memory", "storage.lmdb"};
  if (settings.sync_enabled) build.features.emplace_back("sync");
  build.nips.assign(std::begin(relay::kSupportedNips), std::end(relay::kSupportedNips));
  if (settings.sync_enabled) build.grasps.emplace_back("GRASP-02");
  if (settings.policy_mode == ingest::PolicyMode::kArchive) build.grasps.emplace_back("GRASP-05");
  return build;
}

}  // namespace

// Members stand in the order in which they are made. Threads are ended before anything they use
// goes: StopAll() does that, whatever exists by then.
struct Daemon::Parts {
  explicit Parts(const Settings& s) : settings(s) {}
  ~Parts() { StopAll(); }

  absl::Status Start(std::function<bool()> stop);
  std::vector<net::IoThread*> Loops();
  absl::Status ReadKey();
  void SampleStore();
  void SampleCpuQueues();
  void SampleLookUps();
  absl::Status StartPolicy();
  absl::Status StartRelay();
  absl::Status StartSync();
  absl::Status StartAdmin();
  absl::Status StartOps();
  void StopAll();

  Settings settings;
  base::Clock& clock = base::SystemClock::Instance();
  base::Random& random = base::SystemRandom::Instance();
  const std::string instance = base::SystemRandom::HexToken(16);
  const std::pair<std::string, std::string> secret_header{kSecretHeader,
                                                          base::SystemRandom::HexToken(32)};

  base::Metrics metrics;
  ops::ProcessMetrics process_metrics{metrics, clock};
  std::unique_ptr<storage::EventStore> store;
  std::vector<std::unique_ptr<base::Metrics::SampledGauge>> store_gauges;
  storage::CommitFeed feed;
  net::IoPool io{Cores()};
  net::IoPool sync_io{1, "sync"};  // its one thread is the sync thread
  base::BlockingPool reads{kReadThreads, kQueuedReads, "read"};
  base::BlockingPool scans{kScanThreads, kQueuedReads, "scan"};
  base::BlockingPool sync_scans{1, kQueuedReads, "sync-scan"};  // not behind clients' COUNTs
  base::CpuPool cpu{Cores()};
  std::vector<std::unique_ptr<base::Metrics::SampledGauge>> cpu_gauges;

  std::shared_ptr<const nostr::SecretKey> key;  // our own identity; null without one
  std::unique_ptr<ingest::PolicyLists> lists;
  std::optional<ingest::Policy> policy;
  std::unique_ptr<ingest::Pipeline> pipeline;
  std::unique_ptr<Periodic> expiry;
  std::shared_ptr<storage::NegSets> neg_sets;
  std::unique_ptr<relay::RelayService> relay;
  std::unique_ptr<net::AddressGuard> guard;
  std::unique_ptr<net::SystemResolver> resolver;
  std::vector<std::unique_ptr<base::Metrics::SampledGauge>> resolver_gauges;
  std::unique_ptr<net::Dialer> dialer;
  std::unique_ptr<sync::SyncManager> sync;
  std::unique_ptr<Health> health;
  std::unique_ptr<AdminControls> controls;
  std::unique_ptr<admin::AdminServer> admin;
  std::unique_ptr<ops::OpsServer> ops;
};

absl::Status Daemon::Parts::Start(std::function<bool()> stop) {
  RaiseDescriptorLimit();
  GRASPD_RETURN_IF_ERROR(Prefixed("sync.key_file", ReadKey()));
  GRASPD_ASSIGN_OR_RETURN(store, OpenStore(settings, StoreAccess::kReadWrite, std::move(stop)));
  SampleStore();
  SampleCpuQueues();
  GRASPD_RETURN_IF_ERROR(Prefixed("policy", StartPolicy()));
  GRASPD_RETURN_IF_ERROR(StartRelay());
  GRASPD_RETURN_IF_ERROR(Prefixed("sync", StartSync()));
  health = std::make_unique<Health>(*store, Loops(), sync.get(), clock);
  GRASPD_RETURN_IF_ERROR(Prefixed("admin.listen", StartAdmin()));
  GRASPD_RETURN_IF_ERROR(Prefixed("ops.listen", StartOps()));
  health->SetStarted();
  return absl::OkStatus();
}

absl::Status Daemon::Parts::ReadKey() {
  if (settings.sync_key_file.empty()) return absl::OkStatus();
  GRASPD_ASSIGN_OR_RETURN(auto read, ReadOrMakeKey(settings.sync_key_file));
  key = std::make_shared<const nostr::SecretKey>(std::move(read));
  return absl::OkStatus();
}

void Daemon::Parts::SampleStore() {
  using Stats = storage::EventStore::Stats;
  const auto sample = [&](const char* name, const char* help, uint64_t Stats::*field) {
    store_gauges.push_back(metrics.Sample(name, help, [this, field] {
      const auto stats = store->GetStats();
      return stats.ok() ? static_cast<double>((*stats).*field) : 0.0;
    }));
  };
  sample("graspd_store_events", "Events that are stored.", &Stats::events);
  sample("graspd_store_bytes", "Size of the store, free pages included.", &Stats::bytes);
  sample("graspd_store_capacity_bytes", "What the store may grow to; 0 = no bound.",
         &Stats::capacity);
  sample("graspd_store_pending_index_entries", "Index entries that wait in memory.",
         &Stats::pending_entries);
}

void Daemon::Parts::SampleCpuQueues() {
  using Priority = base::CpuPool::Priority;
  const auto sample = [&](const char* name, Priority priority) {
    cpu_gauges.push_back(metrics.Sample(
        "graspd_cpu_queue_tasks", "Computations that wait for a thread.",
        [this, priority] { return double(cpu.queued(priority)); }, {{"priority", name}}));
  };
  sample("client_verify", Priority::kClientVerify);
  sample("sync_verify", Priority::kSyncVerify);
  sample("negentropy", Priority::kNegentropy);
}

void Daemon::Parts::SampleLookUps() {
  using Load = net::SystemResolver::Load;
  const auto sample = [&](const char* state, size_t Load::*field) {
    resolver_gauges.push_back(metrics.Sample(
        "graspd_dns_lookups", "Look-ups of names that wait or are under way.",
        [this, field] { return double(resolver->load().*field); }, {{"state", state}}));
  };
  sample("queued", &Load::queued);
  sample("awaited", &Load::awaited);
  sample("abandoned", &Load::abandoned);
}

std::vector<net::IoThread*> Daemon::Parts::Loops() {
  std::vector<net::IoThread*> loops = {&sync_io.thread(0)};
  for (size_t i = 0; i < io.size(); ++i) loops.push_back(&io.thread(i));
  return loops;
}

absl::Status Daemon::Parts::StartPolicy() {
  GRASPD_ASSIGN_OR_RETURN(lists, LoadPolicyLists(settings, *store));
  policy.emplace(PolicyOptionsOf(settings, *lists, metrics));
  return absl::OkStatus();
}

absl::Status Daemon::Parts::StartRelay() {
  const size_t memory =
      settings.limits_memory_bytes != 0 ? settings.limits_memory_bytes : DefaultMemoryBudget();
  settings.limits = LimitsWithin(settings.limits, memory);
  pipeline = std::make_unique<ingest::Pipeline>(
      ingest::Pipeline::Dependencies{*store, feed, *policy, cpu, clock, metrics}, settings.limits);

  lists->OnChange([this] { pipeline->PolicyChanged(); });

  neg_sets = std::make_shared<storage::NegSets>(*store, feed, clock, settings.limits.neg_set_items,
                                                settings.limits.neg_memory_bytes);

  // Expired events are never served; this frees their place.
  expiry = std::make_unique<Periodic>(sync_io.thread(0), kExpiryInterval,
                                      [this] { pipeline->SweepExpired(); });

  relay::RelayService::Options options;
  options.info.name = settings.relay_name;
  options.info.description = settings.relay_description;
  options.info.contact = settings.relay_contact;
  options.info.pubkey = settings.relay_pubkey;
  if (key) options.info.self = key->public_key().ToHex();
  if (!settings.relay_urls.empty()) options.info.url = settings.relay_urls.front().ToString();
  options.info.software = "graspd";
  options.info.version = base::BuildVersion();
  options.info.mode = settings.policy_mode;
  options.info.sync_enabled = settings.sync_enabled;
  options.info.git_service_beside = settings.relay_git_service;
  options.info.operator_chooses =
      settings.policy_mode == ingest::PolicyMode::kArchive
          ? !settings.policy_archive_repositories.empty() || !settings.policy_archive_hosts.empty()
          : !settings.policy_repository_whitelist.empty();
  options.info.blacklists =
      !settings.policy_author_blacklist.empty() || !settings.policy_repository_blacklist.empty();
  options.limits = settings.limits;
  if (settings.sync_enabled) options.reserved_descriptors += settings.sync_max_remotes;
  options.listen = settings.relay_listen;
  options.own_hosts = HostsOf(settings.relay_urls);
  options.trusted_proxies = settings.relay_trusted_proxies;
  options.memory_budget_bytes = memory;
  options.instance = instance;
  options.secret_header = secret_header;
  auto started = relay::RelayService::Start(
      std::move(options),
      {*pipeline, *store, feed, neg_sets, io, reads, scans, cpu, clock, metrics});
  GRASPD_RETURN_IF_ERROR(Prefixed("relay.listen", started.status()));
  relay = *std::move(started);

  // With port 0 our own URLs are known only now; nobody can have used the port before it was
  // printed.
  if (settings.relay_urls.empty()) {
    GRASPD_ASSIGN_OR_RETURN(settings.relay_urls, DefaultRelayUrls(relay->addresses()));
    policy->SetOwnHosts(HostsOf(settings.relay_urls));
    relay->SetOwnHosts(HostsOf(settings.relay_urls));
  }
  return absl::OkStatus();
}

absl::Status Daemon::Parts::StartSync() {
  if (!settings.sync_enabled) return absl::OkStatus();
  guard = std::make_unique<net::AddressGuard>(
      net::AddressGuard::Rules{.allow = settings.sync_allow_cidrs,
                               .deny = settings.sync_deny_cidrs,
                               .allow_ports = settings.sync_allow_ports});
  for (const auto& address : relay->addresses()) {
    if (address.unix_path.empty()) guard->AddOwnEndpoint(address.tcp);
  }
  const net::SocketAddress own = LocalEndpoint(relay->addresses());
  if (own.port == 0) {
    return absl::InvalidArgumentError(
        "sync needs the relay on a TCP port: relay.listen names only unix sockets");
  }
  resolver = std::make_unique<net::SystemResolver>();
  SampleLookUps();
  net::DialerOptions dial;
  dial.allow_plaintext = settings.sync_allow_plaintext;
  dial.user_agent =
      "graspd/" + std::string(base::BuildVersion()) +
      (settings.relay_urls.empty() ? "" : " (+" + settings.relay_urls.front().ToString() + ")");
  dialer = net::MakeDialer(*guard, *resolver, dial);

  GRASPD_ASSIGN_OR_RETURN(auto self_url, nostr::RelayUrl::Parse("ws://" + own.ToString()));
  sync::SyncManager::Options options{.engine = {},
                                     .self = {.url = std::move(self_url),
                                              .permit = guard->IssueSelfDialPermit(own),
                                              .secret_header = secret_header}};
  options.engine.bootstrap = settings.sync_bootstrap;
  options.engine.own_hosts = HostsOf(settings.relay_urls);
  if (settings.policy_mode == ingest::PolicyMode::kGrasp) {
    options.engine.lists_us = [this](const auto& announcement) {
      return policy->ListsUs(announcement);
    };
  }
  options.engine.instance = instance;
  options.engine.startup_delay = settings.sync_startup_delay;
  options.engine.max_remotes = settings.sync_max_remotes;
  options.engine.new_remotes_per_minute = settings.sync_new_remotes_per_minute;
  options.engine.local_ranges = settings.sync_allow_cidrs;
  options.key = key;
  sync = std::make_unique<sync::SyncManager>(
      sync::SyncManager::Dependencies{*store, neg_sets, *pipeline, pipeline->known_refusals(),
                                      *dialer, io, sync_io.thread(0), reads, sync_scans, cpu, clock,
                                      random, metrics},
      std::move(options));
  return sync->Start();
}

absl::Status Daemon::Parts::StartAdmin() {
  if (settings.admin_listen.empty()) return absl::OkStatus();
  controls = std::make_unique<AdminControls>(sync.get());
  GRASPD_ASSIGN_OR_RETURN(admin,
                          admin::AdminServer::Start({.listen = settings.admin_listen},
                                                    {*controls, *controls, *controls, *health},
                                                    DescribeBuild(settings), metrics, clock));
  return absl::OkStatus();
}

absl::Status Daemon::Parts::StartOps() {
  if (settings.ops_listen.empty()) return absl::OkStatus();
  GRASPD_ASSIGN_OR_RETURN(
      ops, ops::OpsServer::Start(io, settings.ops_listen, health->OpsProbes(), metrics));
  return absl::OkStatus();
}

// What calls others goes before them: servers and sync, then the pools' tasks, then the loops. Safe
// on whatever Start() had come to.
void Daemon::Parts::StopAll() {
  ops.reset();
  admin.reset();
  if (sync) sync->Stop();
  relay.reset();
  expiry.reset();
  if (pipeline) pipeline->Drain();
  health.reset();
  reads.Stop();
  scans.Stop();
  sync_scans.Stop();
  cpu.Stop();
  io.Stop();
  sync_io.Stop();
}

Daemon::Daemon(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Daemon::~Daemon() = default;

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Start(const Settings& settings,
                                                      std::function<bool()> stop) {
  auto parts = std::make_unique<Parts>(settings);
  GRASPD_RETURN_IF_ERROR(parts->Start(std::move(stop)));
  return std::unique_ptr<Daemon>(new Daemon(std::move(parts)));
}

std::string Daemon::ReadyLine() const {
  const auto& p = *parts_;
  return "graspd ready relay=" + Join(Texts(p.relay->addresses())) +
         " admin=" + Join(p.admin ? Texts(p.admin->addresses()) : std::vector<std::string>()) +
         " ops=" + Join(p.ops ? Texts(p.ops->addresses()) : std::vector<std::string>());
}

void Daemon::Drain() {
  auto& p = *parts_;
  const auto deadline = p.clock.Now() + p.settings.limits.drain_timeout;
  const auto left = [&] {
    return std::max(deadline - p.clock.Now(), base::Duration(std::chrono::milliseconds(100)));
  };
  p.health->SetDraining();
  if (p.admin) p.admin->SetServing(false);
  p.relay->StopAccepting();
  if (p.sync) p.sync->Stop();
  p.pipeline->Drain();
  p.relay->Drain(left());
  if (p.admin) p.admin->Shutdown(left());
}

}  // namespace graspd::daemon
