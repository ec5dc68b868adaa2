#include "services/admin/admin_server.h"

#include <grpc/support/log.h>
#include <grpc/support/time.h>
#include <grpcpp/impl/service_type.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <sys/stat.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>

#include "base/blocking_pool.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "proto/descriptor_set.h"
#include "services/admin/guard.h"
#include "services/admin/health_service.h"
#include "services/admin/listening.h"
#include "services/admin/reflection_index.h"
#include "services/admin/reflection_service.h"
#include "services/admin/rpc_services.h"
#include "services/admin/stream_set.h"

namespace graspd::admin {
namespace {

constexpr size_t kPoolThreads = 4;
constexpr size_t kPoolQueue = 64;
constexpr size_t kMaxStreams = 64;
constexpr int kMaxMessage = 4 << 20;
constexpr int kMaxHeader = 8 << 10;
constexpr int kStreamsPerConnection = 100;
constexpr size_t kMemoryQuota = 64 << 20;  // for buffers of all connections together
constexpr int kMinPingMillis = 5'000;      // grpcurl's -keepalive-time is at least 10 s
constexpr std::chrono::seconds kPollEvery(1);

/// Files made while it lives, on any thread, belong to the owner alone: a socket must never be
/// open to others, not even between bind() and chmod().
class PrivateFiles {
 public:
  PrivateFiles() : before_(::umask(S_IRWXG | S_IRWXO | S_IXUSR)) {}
  ~PrivateFiles() { ::umask(before_); }
  PrivateFiles(const PrivateFiles&) = delete;
  PrivateFiles& operator=(const PrivateFiles&) = delete;

 private:
  const mode_t before_;
};

// gRPC's complaints become lines of our log, whatever its format is. For the whole process.
void RouteGrpcLog() {
  static std::once_flag once;
  std::call_once(once, [] {
    gpr_set_log_function([](gpr_log_func_args* line) {
      if (line->severity != GPR_LOG_SEVERITY_ERROR) return;
      base::LogWarn("admin", "gRPC reports an error", {{"error", std::string_view(line->message)}});
    });
  });
}

void SetLimits(grpc::ServerBuilder& builder) {
  grpc::ResourceQuota quota("admin");
  quota.Resize(kMemoryQuota);
  builder.SetResourceQuota(quota);
  builder.SetMaxReceiveMessageSize(kMaxMessage);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxHeader);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreamsPerConnection);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kMinPingMillis);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  // Or a second daemon on the same port would start happily, and get every other connection.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
}

// Refuses what other machines could reach; makes way for unix sockets.
absl::Status Prepare(const std::vector<net::ListenAddress>& addresses) {
  if (addresses.empty()) return absl::InvalidArgumentError("the admin API has no address");
  for (const auto& address : addresses) {
    if (!address.is_loopback()) {
      return absl::InvalidArgumentError(
          address.ToString() +
          " is not local, and the admin API has no authentication: reach it from elsewhere by "
          "ssh -L or kubectl port-forward");
    }
    if (!address.unix_path.empty()) GRASPD_RETURN_IF_ERROR(RemoveStaleSocket(address.unix_path));
  }
  return absl::OkStatus();
}

// Full names of what the server serves.
std::vector<std::string> ServedNames(const ReflectionIndex& index, bool reflection) {
  std::vector<std::string> names = index.services();
  if (!reflection) {
    std::erase_if(names, [](const std::string& n) { return n.starts_with("grpc.reflection."); });
  }
  return names;
}

}  // namespace

struct AdminServer::Impl {
  Impl(bool reflection, const AdminControls& controls, base::Metrics& metrics,
       const base::Clock& clock)
      : index(proto::AdminDescriptorSet()),
        pool(kPoolThreads, kPoolQueue, "admin"),
        guard(ServedNames(index, reflection), pool, metrics, clock),
        health(controls.health, ServedNames(index, reflection)),
        streams(kMaxStreams) {}

  absl::Status Listen(const std::vector<net::ListenAddress>& wanted);

  // In the order of use: each outlives those below it.
  ReflectionIndex index;
  base::BlockingPool pool;
  Guard guard;
  HealthState health;
  StreamSet streams;
  std::vector<std::unique_ptr<grpc::Service>> services;
  std::unique_ptr<grpc::Server> server;
  std::vector<net::ListenAddress> addresses;
  std::once_flag shut_down;
  std::jthread poller;
};

absl::Status AdminServer::Impl::Listen(const std::vector<net::ListenAddress>& wanted) {
  grpc::ServerBuilder builder;
  SetLimits(builder);
  for (const auto& service : services) builder.RegisterService(service.get());
  std::vector<int> ports(wanted.size(), 0);
  for (size_t i = 0; i < wanted.size(); ++i) {
    builder.AddListeningPort(wanted[i].ToString(), grpc::InsecureServerCredentials(), &ports[i]);
  }
  {
    const PrivateFiles private_files;
    server = builder.BuildAndStart();
  }
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (server == nullptr && ports[i] == 0) return ExplainBindFailure(wanted[i]);
    net::ListenAddress& real = addresses.emplace_back(wanted[i]);
    if (real.unix_path.empty()) real.tcp.port = static_cast<uint16_t>(ports[i]);
  }
  return server != nullptr ? absl::OkStatus()
                           : absl::InternalError("the admin API's gRPC server did not start");
}

absl::StatusOr<std::unique_ptr<AdminServer>> AdminServer::Start(AdminOptions options,
                                                                AdminControls controls,
                                                                BuildInfo build,
                                                                base::Metrics& metrics,
                                                                const base::Clock& clock) {
  RouteGrpcLog();
  GRASPD_RETURN_IF_ERROR(Prepare(options.listen));
  auto impl = std::make_unique<Impl>(options.reflection, controls, metrics, clock);
  impl->services = MakeAdminServices(controls, build, clock.UnixNow(), impl->guard);
  impl->services.push_back(MakeHealthService(impl->health, impl->guard, impl->streams));
  if (options.reflection) {
    impl->services.push_back(MakeReflectionV1(impl->index, impl->guard, impl->streams));
    impl->services.push_back(MakeReflectionV1Alpha(impl->index, impl->guard, impl->streams));
  }
  GRASPD_RETURN_IF_ERROR(impl->Listen(options.listen));
  for (const auto& address : impl->addresses) {
    base::LogInfo("admin", "listening", {{"address", address.ToString()}});
  }
  impl->poller = std::jthread([&streams = impl->streams](std::stop_token stop) {
    std::mutex mutex;
    std::condition_variable_any wake;
    std::unique_lock lock(mutex);
    while (!wake.wait_for(lock, stop, kPollEvery, [&] { return stop.stop_requested(); })) {
      streams.PokeAll();
    }
  });
  return std::unique_ptr<AdminServer>(new AdminServer(std::move(impl)));
}

AdminServer::AdminServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

AdminServer::~AdminServer() { Shutdown(base::Duration::zero()); }

const std::vector<net::ListenAddress>& AdminServer::addresses() const { return impl_->addresses; }

void AdminServer::SetServing(bool serving) {
  impl_->health.SetServing(serving);
  impl_->streams.PokeAll();
}

void AdminServer::Shutdown(base::Duration grace) {
  std::call_once(impl_->shut_down, [&] {
    SetServing(false);
    impl_->streams.StopAll();
    using std::chrono::duration_cast;
    const auto micros = duration_cast<std::chrono::microseconds>(grace).count();
    impl_->server->Shutdown(
        gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_micros(micros, GPR_TIMESPAN)));
    impl_->server->Wait();
  });
}

}  // namespace graspd::admin
