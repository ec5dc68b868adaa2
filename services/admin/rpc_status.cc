#include "services/admin/rpc_status.h"

#include <string_view>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "services/admin/errors.h"
#include "services/admin/text.h"

namespace graspd::admin {
namespace {

constexpr char kDomain[] = "admin.graspd";
constexpr size_t kMaxMessage = 512;
constexpr size_t kMaxMetadata = 256;
constexpr int kRetrySeconds = 1;

// For errors that were not made by AdminError().
Reason NearestReason(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return Reason::kArgumentInvalid;
    case absl::StatusCode::kUnavailable:
      return Reason::kEngineBusy;
    case absl::StatusCode::kResourceExhausted:
      return Reason::kServerBusy;
    case absl::StatusCode::kDeadlineExceeded:
      return Reason::kDeadlineExceeded;
    case absl::StatusCode::kCancelled:
      return Reason::kCancelled;
    default:
      return Reason::kInternal;
  }
}

bool WaitingHelps(absl::StatusCode code) {
  return code == absl::StatusCode::kUnavailable || code == absl::StatusCode::kResourceExhausted;
}

}  // namespace

RpcStatus ToRpcStatus(const absl::Status& status) {
  const ErrorDetail detail =
      GetErrorDetail(status).value_or(ErrorDetail{NearestReason(status.code()), "", {}});
  const absl::string_view message = status.message();
  RpcStatus result;
  result.code = static_cast<int>(status.code());
  result.message = CleanText({message.data(), message.size()}, kMaxMessage);
  google::rpc::Status full;
  full.set_code(result.code);
  full.set_message(result.message);

  google::rpc::ErrorInfo info;
  info.set_reason(std::string(ReasonName(detail.reason)));
  info.set_domain(kDomain);
  for (const auto& [key, value] : detail.metadata) {
    (*info.mutable_metadata())[key] = CleanText(value, kMaxMetadata);
  }
  full.add_details()->PackFrom(info);
  if (!detail.field.empty()) {
    google::rpc::BadRequest bad;
    auto* violation = bad.add_field_violations();
    violation->set_field(detail.field);
    violation->set_description(result.message);
    full.add_details()->PackFrom(bad);
  }
  if (WaitingHelps(status.code())) {
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_seconds(kRetrySeconds);
    full.add_details()->PackFrom(retry);
  }
  result.details = full.SerializeAsString();
  return result;
}

}  // namespace graspd::admin
