#pragma once

#include <string>

#include "absl/status/status.h"

namespace graspd::storage {

/// Reads a whole LMDB store that nobody has open: every event is in each index that it belongs to
/// or pending there, with the right value, and no index entry, address or expiration is without its
/// event. Errors: kDataLoss, naming the first table that does not agree.
absl::Status CheckConsistency(const std::string& directory);

}  // namespace graspd::storage
