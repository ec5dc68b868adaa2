#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace graspd::admin {

/// Why a call failed, for programs: the `reason` of the google.rpc.ErrorInfo that every error
/// carries. Values and names are those of graspd.admin.v1.ErrorReason, whose comments are the
/// manual.
enum class Reason : int {
  kInternal = 1,
  kArgumentInvalid = 2,
  kPageTokenInvalid = 3,
  kUrlInvalid = 4,
  kRemoteNotFound = 5,
  kRemotePaused = 6,
  kRemoteDead = 7,
  kRemoteBlocked = 8,
  kSyncDisabled = 9,
  kJobQueueFull = 10,
  kRemoteNotConnected = 11,
  kStoreUnavailable = 12,
  kEngineBusy = 13,
  kServerBusy = 14,
  kDeadlineExceeded = 15,
  kCancelled = 16,
  kComponentUnknown = 17,
};

/// What an error tells beyond its message.
struct ErrorDetail {
  Reason reason = Reason::kInternal;
  std::string field;                            // request field at fault, "" if none
  std::map<std::string, std::string> metadata;  // ErrorInfo.metadata: the values concerned
};

/// The error of `reason`. Its code follows from the reason, so that a reason never comes with two
/// codes; `message` is a sentence that says what to do. Thread-safe, as everything here.
absl::Status AdminError(Reason reason, std::string_view message,
                        std::map<std::string, std::string> metadata = {});
/// kArgumentInvalid (or a more precise `reason`) that names the request field at fault.
absl::Status FieldError(std::string_view field, std::string_view message,
                        Reason reason = Reason::kArgumentInvalid);

/// The usual ones, so that every control words them alike.
absl::Status RemoteNotFound(std::string_view remote);
absl::Status EngineBusy();

/// What the two makers above attached, nullopt for a status from elsewhere.
std::optional<ErrorDetail> GetErrorDetail(const absl::Status& status);

/// "REMOTE_NOT_FOUND".
std::string_view ReasonName(Reason reason);

}  // namespace graspd::admin
