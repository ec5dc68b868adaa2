#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "storage/lmdb/env.h"

namespace graspd::storage {

struct UpgradeOptions {
  size_t max_rows = 5'000;     // events in one transaction
  std::function<bool()> stop;  // asked before each transaction, if set
};

/// Brings an open store from an older data format to the present one, in place, format by format.
///
/// Each step works in transactions of at most max_rows events that record how far they got, and
/// the last of them sets the new format: a process that is killed goes on where it was. Progress is
/// logged. Errors: kResourceExhausted if disk or map are full, with what to do about it, kCancelled
/// if stopped; nothing is lost, and the next opening goes on. Threading: nobody else uses `env`
/// meanwhile.
absl::Status UpgradeFormat(Env& env, uint64_t from, const UpgradeOptions& options);

/// What to say if disk or map are full.
absl::Status NeedsRoom(const Env& env, uint64_t from, const absl::Status& why);

}  // namespace graspd::storage
