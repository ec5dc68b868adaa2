#include "services/admin/errors.h"

#include <utility>

#include "absl/strings/cord.h"

namespace graspd::admin {
namespace {

// Status payloads: one for the reason and the field, one for each metadata entry.
constexpr char kReasonUrl[] = "graspd.admin/reason";
constexpr char kFieldUrl[] = "graspd.admin/field";
constexpr std::string_view kMetadataPrefix = "graspd.admin/metadata/";

struct ReasonRow {
  std::string_view name;
  absl::StatusCode code;
};

ReasonRow Row(Reason reason) {
  using Code = absl::StatusCode;
  switch (reason) {
    case Reason::kInternal:
      break;
    case Reason::kArgumentInvalid:
      return {"ARGUMENT_INVALID", Code::kInvalidArgument};
    case Reason::kPageTokenInvalid:
      return {"PAGE_TOKEN_INVALID", Code::kInvalidArgument};
    case Reason::kUrlInvalid:
      return {"URL_INVALID", Code::kInvalidArgument};
    case Reason::kRemoteNotFound:
      return {"REMOTE_NOT_FOUND", Code::kNotFound};
    case Reason::kRemotePaused:
      return {"REMOTE_PAUSED", Code::kFailedPrecondition};
    case Reason::kRemoteDead:
      return {"REMOTE_DEAD", Code::kFailedPrecondition};
    case Reason::kRemoteBlocked:
      return {"REMOTE_BLOCKED", Code::kFailedPrecondition};
    case Reason::kSyncDisabled:
      return {"SYNC_DISABLED", Code::kFailedPrecondition};
    case Reason::kJobQueueFull:
      return {"JOB_QUEUE_FULL", Code::kResourceExhausted};
    case Reason::kRemoteNotConnected:
      return {"REMOTE_NOT_CONNECTED", Code::kFailedPrecondition};
    case Reason::kStoreUnavailable:
      return {"STORE_UNAVAILABLE", Code::kUnavailable};
    case Reason::kEngineBusy:
      return {"ENGINE_BUSY", Code::kUnavailable};
    case Reason::kServerBusy:
      return {"SERVER_BUSY", Code::kResourceExhausted};
    case Reason::kDeadlineExceeded:
      return {"DEADLINE_EXCEEDED", Code::kDeadlineExceeded};
    case Reason::kCancelled:
      return {"CANCELLED", Code::kCancelled};
    case Reason::kComponentUnknown:
      return {"COMPONENT_UNKNOWN", Code::kNotFound};
  }
  return {"INTERNAL", Code::kInternal};
}

absl::string_view ToAbsl(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace

absl::Status AdminError(Reason reason, std::string_view message,
                        std::map<std::string, std::string> metadata) {
  absl::Status status(Row(reason).code, ToAbsl(message));
  status.SetPayload(kReasonUrl, absl::Cord(std::to_string(static_cast<int>(reason))));
  for (auto& [key, value] : metadata) {
    status.SetPayload(ToAbsl(std::string(kMetadataPrefix) + key), absl::Cord(std::move(value)));
  }
  return status;
}

absl::Status FieldError(std::string_view field, std::string_view message, Reason reason) {
  absl::Status status = AdminError(reason, std::string(field) + ": " + std::string(message));
  status.SetPayload(kFieldUrl, absl::Cord(ToAbsl(field)));
  return status;
}

absl::Status RemoteNotFound(std::string_view remote) {
  return AdminError(Reason::kRemoteNotFound,
                    "no remote " + std::string(remote) +
                        "; ListRemotes shows the remotes, ListCandidates why a relay is not one",
                    {{"remote", std::string(remote)}});
}

absl::Status EngineBusy() {
  return AdminError(Reason::kEngineBusy,
                    "the sync engine did not answer in time; the call may be repeated");
}

std::optional<ErrorDetail> GetErrorDetail(const absl::Status& status) {
  const auto reason = status.GetPayload(kReasonUrl);
  if (!reason) return std::nullopt;
  ErrorDetail detail;
  detail.reason = static_cast<Reason>(std::stoi(std::string(*reason)));
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& value) {
    const std::string_view key(url.data(), url.size());
    if (key == kFieldUrl) detail.field = std::string(value);
    if (key.starts_with(kMetadataPrefix)) {
      detail.metadata[std::string(key.substr(kMetadataPrefix.size()))] = std::string(value);
    }
  });
  return detail;
}

std::string_view ReasonName(Reason reason) { return Row(reason).name; }

}  // namespace graspd::admin
