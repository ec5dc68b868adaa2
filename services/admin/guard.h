#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "base/blocking_pool.h"
#include "base/clock.h"
#include "base/metrics.h"

namespace google::protobuf {
class Message;
}
namespace grpc {
class CallbackServerContext;
class ServerUnaryReactor;
}  // namespace grpc

namespace graspd::admin {

/// What every call goes through: metrics, deadline, error details, and the audit log of calls that
/// change something (told by their `required_role`, so there is no second list of them).
///
/// Metrics are grpc_server_started_total, _handled_total and _handling_seconds, as other gRPC
/// servers name them, so that stock dashboards work.
/// Threading: thread-safe. Lifetime: outlives every call; `pool` runs what may block.
class Guard {
 public:
  /// Makes the metrics of all methods of `services` (full names, compiled into this binary).
  Guard(const std::vector<std::string>& services, base::BlockingPool& pool, base::Metrics& metrics,
        const base::Clock& clock);
  ~Guard();
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;

  /// A method's work: fills the response; `timeout` is what it may take.
  using Work = std::function<absl::Status(base::Duration timeout)>;
  /// Runs `work` on the pool and finishes the call. `method` is "package.Service/Method". `request`
  /// and what `work` refers to live as long as the call, by gRPC's contract.
  grpc::ServerUnaryReactor* Run(grpc::CallbackServerContext* context, std::string_view method,
                                const google::protobuf::Message& request, Work work);
  /// The same on this thread, for work that does not block.
  grpc::ServerUnaryReactor* RunNow(grpc::CallbackServerContext* context, std::string_view method,
                                   const google::protobuf::Message& request, const Work& work);

  /// For streams: a call began; it ended with `code` (grpc::StatusCode).
  base::SteadyTime StreamStarted(std::string_view method);
  void StreamEnded(std::string_view method, int code, base::SteadyTime started);

 private:
  struct Method;
  class Call;
  const Method& Find(std::string_view method) const;
  void CountHandled(const Method& method, int code, base::SteadyTime started);

  base::BlockingPool& pool_;
  base::Metrics& metrics_;
  const base::Clock& clock_;
  std::map<std::string, std::unique_ptr<const Method>, std::less<>> methods_;  // never changes
};

}  // namespace graspd::admin
