#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "net/socket_address.h"
#include "services/admin/controls.h"

namespace graspd::admin {

/// Where the admin server listens and what it offers. A plain value.
struct AdminOptions {
  /// Loopback addresses and unix sockets; port 0 picks a free one. Anything else is refused:
  /// callers are not authenticated yet, so only this machine may connect. A unix socket is made
  /// with mode 0600; a stale file in its place is removed. Not empty.
  std::vector<net::ListenAddress> listen;
  /// Serve grpc.reflection, which is what lets grpcurl work without proto files.
  bool reflection = true;
};

/// The parts of graspd that the API steers. All of them outlive the server.
struct AdminControls {
  RemoteControl& remotes;
  DiscoveryControl& discovery;
  SyncControl& sync;
  HealthControl& health;
};

/// The gRPC server of the admin API: graspd.admin.v1.*, grpc.health.v1.Health and server
/// reflection.
///
/// Bounds: 4 MiB a message, 8 KiB of headers, 100 streams a connection, 4 calls running and 64
/// waiting (more get RESOURCE_EXHAUSTED), 64 open health watches and reflection streams. A call
/// without a deadline gets 10 s.
/// Threading: thread-safe. gRPC's threads never block: calls run on a pool of four threads, which
/// are the ones that call the controls; one more thread polls the probes for health watches.
/// Lifetime: stops in the destructor at the latest. `metrics` and `clock` outlive it.
class AdminServer {
 public:
  /// Errors: kInvalidArgument (no address, or one that is not local), kAlreadyExists (another
  /// process or a file in the place of the unix socket), kUnavailable (cannot bind); the message
  /// says which address and why.
  static absl::StatusOr<std::unique_ptr<AdminServer>> Start(AdminOptions options,
                                                            AdminControls controls, BuildInfo build,
                                                            base::Metrics& metrics,
                                                            const base::Clock& clock);
  ~AdminServer();
  AdminServer(const AdminServer&) = delete;
  AdminServer& operator=(const AdminServer&) = delete;

  /// Where it listens, in the order of AdminOptions::listen, with real port numbers.
  [[nodiscard]] const std::vector<net::ListenAddress>& addresses() const;

  /// False makes every health name but "liveness" and "startup" NOT_SERVING at once, and tells
  /// the watchers: the first thing to do at SIGTERM. True (as after Start) leaves it to the probes.
  void SetServing(bool serving);

  /// Stops taking calls, lets the ones under way finish for up to `grace`, then cancels them. Open
  /// watches and reflection streams end at once. Blocks; may be called again, which does nothing.
  void Shutdown(base::Duration grace);

 private:
  struct Impl;
  explicit AdminServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace graspd::admin
