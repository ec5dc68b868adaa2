#include "services/admin/health_service.h"

#include <utility>

#include "base/mutex.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "services/admin/errors.h"
#include "services/admin/guard.h"
#include "services/admin/stream_set.h"

namespace graspd::admin {
namespace {

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using grpc::health::v1::HealthListRequest;
using grpc::health::v1::HealthListResponse;

constexpr char kWatch[] = "grpc.health.v1.Health/Watch";

HealthCheckResponse::ServingStatus ToProto(bool serving) {
  return serving ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
}

/// One Watch call: sends the status at once and then whenever it is another.
/// Threading: thread-safe; gRPC and StreamSet call from threads of their own. At most one write is
/// under way, and none after `finished_`. Lifetime: owns itself until OnDone().
class WatchStream final : public grpc::ServerWriteReactor<HealthCheckResponse>, public OpenStream {
 public:
  WatchStream(const HealthState& state, Guard& guard, StreamSet& streams, std::string name)
      : state_(state),
        guard_(guard),
        streams_(streams),
        name_(std::move(name)),
        started_(guard.StreamStarted(kWatch)) {}

  static grpc::ServerWriteReactor<HealthCheckResponse>* Start(std::shared_ptr<WatchStream> stream) {
    stream->self_ = stream;
    if (stream->streams_.Add(stream)) {
      stream->Poke();
    } else {
      stream->End({grpc::StatusCode::RESOURCE_EXHAUSTED, "too many open streams"});
    }
    return stream.get();
  }

  void Poke() override {
    const auto serving = state_.Serving(name_);
    const auto status = serving ? ToProto(*serving) : HealthCheckResponse::SERVICE_UNKNOWN;
    {
      base::MutexLock lock(mutex_);
      if (busy_ || finished_ || end_ || sent_ == status) return;
      busy_ = true;
      sent_ = status;
      response_.set_status(status);
    }
    StartWrite(&response_);
  }

  void Stop() override { End({grpc::StatusCode::UNAVAILABLE, "the server is shutting down"}); }
  void OnCancel() override { End(grpc::Status::CANCELLED); }
  void OnWriteDone(bool ok) override {
    {
      base::MutexLock lock(mutex_);
      busy_ = false;
    }
    if (!ok) return End(grpc::Status::CANCELLED);
    FinishIfDue();
    Poke();  // it may have changed while this write was under way
  }
  void OnDone() override {
    guard_.StreamEnded(kWatch, code_, started_);
    streams_.Remove(self_);
    self_.reset();
  }

 private:
  void End(grpc::Status status) {
    {
      base::MutexLock lock(mutex_);
      if (!end_) end_ = std::move(status);
    }
    FinishIfDue();
  }
  void FinishIfDue() {
    grpc::Status status;
    {
      base::MutexLock lock(mutex_);
      if (busy_ || finished_ || !end_) return;
      finished_ = true;
      status = *end_;
    }
    code_ = status.error_code();
    Finish(std::move(status));
  }

  const HealthState& state_;
  Guard& guard_;
  StreamSet& streams_;
  const std::string name_;
  const base::SteadyTime started_;
  std::shared_ptr<WatchStream> self_;
  int code_ = 0;  // written once, before Finish()
  HealthCheckResponse response_;

  base::Mutex mutex_;
  bool busy_ ABSL_GUARDED_BY(mutex_) = false;                // response_ is being written
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;            // Finish() is or will be called
  std::optional<grpc::Status> end_ ABSL_GUARDED_BY(mutex_);  // how to finish once not busy
  std::optional<HealthCheckResponse::ServingStatus> sent_ ABSL_GUARDED_BY(mutex_);
};

class HealthService final : public Health::CallbackService {
 public:
  HealthService(const HealthState& state, Guard& guard, StreamSet& streams)
      : state_(state), guard_(guard), streams_(streams) {}

  grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* context,
                                  const HealthCheckRequest* request,
                                  HealthCheckResponse* response) override {
    return guard_.RunNow(context, "grpc.health.v1.Health/Check", *request, [&](base::Duration) {
      const auto serving = state_.Serving(request->service());
      if (!serving) {
        return FieldError("service", "no such health name; List shows the names",
                          Reason::kComponentUnknown);
      }
      response->set_status(ToProto(*serving));
      return absl::OkStatus();
    });
  }

  grpc::ServerUnaryReactor* List(grpc::CallbackServerContext* context,
                                 const HealthListRequest* request,
                                 HealthListResponse* response) override {
    return guard_.RunNow(context, "grpc.health.v1.Health/List", *request, [&](base::Duration) {
      for (const std::string& name : state_.names()) {
        (*response->mutable_statuses())[name].set_status(ToProto(*state_.Serving(name)));
      }
      return absl::OkStatus();
    });
  }

  grpc::ServerWriteReactor<HealthCheckResponse>* Watch(grpc::CallbackServerContext* /*context*/,
                                                       const HealthCheckRequest* request) override {
    return WatchStream::Start(
        std::make_shared<WatchStream>(state_, guard_, streams_, request->service()));
  }

 private:
  const HealthState& state_;
  Guard& guard_;
  StreamSet& streams_;
};

}  // namespace

HealthState::HealthState(HealthControl& control, const std::vector<std::string>& services)
    : control_(control), names_(services.begin(), services.end()) {
  names_.insert({"", "liveness", "readiness", "startup", "sync"});
}

std::optional<bool> HealthState::Serving(const std::string& name) const {
  if (!names_.contains(name)) return std::nullopt;
  if (name == "liveness") return control_.GetProbes().live;
  if (name == "startup") return control_.GetProbes().started;
  if (!serving_) return false;
  if (name == "readiness") return control_.GetProbes().ready;
  if (name == "sync") return control_.GetProbes().in_sync;
  return true;
}

std::unique_ptr<grpc::Service> MakeHealthService(const HealthState& state, Guard& guard,
                                                 StreamSet& streams) {
  return std::make_unique<HealthService>(state, guard, streams);
}

}  // namespace graspd::admin
