#include "services/admin/guard.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <grpc/support/time.h>
#include <grpcpp/server_context.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <memory>

#include "base/log.h"
#include "graspd/admin/v1/types.pb.h"
#include "services/admin/errors.h"
#include "services/admin/rpc_status.h"

namespace graspd::admin {
namespace {

using std::chrono::duration_cast;
using std::chrono::seconds;

constexpr base::Duration kDefaultTimeout = seconds(10);
constexpr base::Duration kMaxTimeout = seconds(60);  // longer would hold a pool thread for too long

constexpr std::array<const char*, 17> kCodeNames = {
    "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
    "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
    "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
    "DataLoss", "Unauthenticated"};

std::string CodeName(int code) {
  return code >= 0 && static_cast<size_t>(code) < kCodeNames.size() ? kCodeNames[code] : "Unknown";
}

// What is left until the caller's deadline; Duration::max() without one.
base::Duration TimeLeft(const grpc::CallbackServerContext& context) {
  const gpr_timespec deadline = gpr_convert_clock_type(context.raw_deadline(), GPR_CLOCK_MONOTONIC);
  if (gpr_time_cmp(deadline, gpr_inf_future(GPR_CLOCK_MONOTONIC)) == 0) {
    return base::Duration::max();
  }
  const gpr_timespec left = gpr_time_sub(deadline, gpr_now(GPR_CLOCK_MONOTONIC));
  // Callers may ask for centuries, which nanoseconds cannot hold.
  if (seconds(left.tv_sec) > 2 * kMaxTimeout) return 2 * kMaxTimeout;
  return seconds(left.tv_sec) + std::chrono::nanoseconds(left.tv_nsec);
}

base::Duration Budget(base::Duration left) {
  if (left == base::Duration::max()) return kDefaultTimeout;
  // A tenth is kept for the way back: our error tells more than the caller's own deadline.
  return std::min(left - left / 10, kMaxTimeout);
}

double InSeconds(base::Duration duration) {
  return duration_cast<std::chrono::duration<double>>(duration).count();
}

}  // namespace

struct Guard::Method {
  std::string name;  // "package.Service/Method"
  base::Metrics::Labels labels;
  bool audited = false;
  prometheus::Counter* started = nullptr;
  prometheus::Histogram* seconds = nullptr;
};

/// One call from its beginning to its end. Used by one thread at a time.
class Guard::Call {
 public:
  Call(Guard& guard, grpc::CallbackServerContext* context, const Method& method,
       const google::protobuf::Message& request)
      : guard_(guard),
        context_(context),
        method_(method),
        request_(request),
        reactor_(context->DefaultReactor()),
        started_(guard.clock_.Now()) {
    method_.started->Increment();
  }

  grpc::ServerUnaryReactor* reactor() const { return reactor_; }

  void Run(const Work& work) {
    const base::Duration left = TimeLeft(*context_);
    if (left <= base::Duration::zero()) {
      return Finish(AdminError(Reason::kDeadlineExceeded, "the deadline passed before the start"));
    }
    if (context_->IsCancelled()) {
      return Finish(AdminError(Reason::kCancelled, "the caller went away before the start"));
    }
    Finish(work(Budget(left)));
  }

  // The last thing to be done: gRPC may free context and request from here on.
  void Finish(const absl::Status& status) {
    guard_.CountHandled(method_, static_cast<int>(status.code()), started_);
    if (method_.audited) Audit(status);
    if (status.ok()) return reactor_->Finish(grpc::Status::OK);
    const RpcStatus error = ToRpcStatus(status);
    reactor_->Finish(
        grpc::Status(static_cast<grpc::StatusCode>(error.code), error.message, error.details));
  }

 private:
  void Audit(const absl::Status& status) const {
    const auto detail = GetErrorDetail(status);
    base::LogInfo("admin", "call",
                  {{"method", method_.name},
                   {"peer", context_->peer()},
                   {"request", request_.ShortDebugString()},
                   {"code", CodeName(static_cast<int>(status.code()))},
                   {"reason", detail ? ReasonName(detail->reason) : std::string_view()},
                   {"seconds", InSeconds(guard_.clock_.Now() - started_)}});
  }

  Guard& guard_;
  grpc::CallbackServerContext* const context_;
  const Method& method_;
  const google::protobuf::Message& request_;
  grpc::ServerUnaryReactor* const reactor_;
  const base::SteadyTime started_;
};

Guard::Guard(const std::vector<std::string>& services, base::BlockingPool& pool,
             base::Metrics& metrics, const base::Clock& clock)
    : pool_(pool), metrics_(metrics), clock_(clock) {
  for (const std::string& name : services) {
    const auto* service =
        google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(name);
    for (int i = 0; service != nullptr && i < service->method_count(); ++i) {
      const auto& descriptor = *service->method(i);
      Method method{
          .name = name + "/" + descriptor.name(),
          .labels = {{"grpc_service", name}, {"grpc_method", descriptor.name()}},
          .audited = descriptor.options().GetExtension(v1::required_role) > v1::ROLE_VIEWER};
      method.started = &metrics.MakeCounter("grpc_server_started_total",
                                            "RPCs started on the admin server.", method.labels);
      method.seconds = &metrics.MakeHistogram(
          "grpc_server_handling_seconds", "Time from start to end of RPCs on the admin server.",
          {0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60}, method.labels);
      methods_[method.name] = std::make_unique<const Method>(method);
    }
  }
}

Guard::~Guard() = default;

const Guard::Method& Guard::Find(std::string_view method) const {
  const auto found = methods_.find(method);
  if (found == methods_.end()) {
    base::LogError("admin", "a method is not in the descriptors", {{"method", method}});
    std::abort();
  }
  return *found->second;
}

grpc::ServerUnaryReactor* Guard::Run(grpc::CallbackServerContext* context, std::string_view method,
                                     const google::protobuf::Message& request, Work work) {
  auto call = std::make_shared<Call>(*this, context, Find(method), request);
  grpc::ServerUnaryReactor* reactor = call->reactor();
  if (!pool_.TryRun([call, work = std::move(work)] { call->Run(work); })) {
    call->Finish(AdminError(Reason::kServerBusy, "too many admin calls at once; try again"));
  }
  return reactor;
}

grpc::ServerUnaryReactor* Guard::RunNow(grpc::CallbackServerContext* context,
                                        std::string_view method,
                                        const google::protobuf::Message& request,
                                        const Work& work) {
  Call call(*this, context, Find(method), request);
  call.Run(work);
  return call.reactor();
}

base::SteadyTime Guard::StreamStarted(std::string_view method) {
  Find(method).started->Increment();
  return clock_.Now();
}

void Guard::StreamEnded(std::string_view method, int code, base::SteadyTime started) {
  CountHandled(Find(method), code, started);
}

void Guard::CountHandled(const Method& method, int code, base::SteadyTime started) {
  base::Metrics::Labels labels = method.labels;
  labels["grpc_code"] = CodeName(code);
  metrics_.MakeCounter("grpc_server_handled_total", "RPCs ended on the admin server.", labels)
      .Increment();
  method.seconds->Observe(InSeconds(clock_.Now() - started));
}

}  // namespace graspd::admin
