#pragma once

#include <string>

#include "absl/status/status.h"

namespace graspd::admin {

/// An error as gRPC sends it.
struct RpcStatus {
  int code = 0;         // grpc::StatusCode
  std::string message;  // for people
  std::string details;  // serialised google.rpc.Status, for `grpc-status-details-bin`
};

/// Dresses an error that is not OK: ErrorInfo always, BadRequest if it names a field, RetryInfo if
/// waiting helps. Texts are cut so that everything fits into 8 KiB of trailers.
RpcStatus ToRpcStatus(const absl::Status& status);

}  // namespace graspd::admin
