// The key-value area: table `keys` (key -> version, value). The version counter is one for all
// keys.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "storage/event_store.h"
#include "storage/lmdb/txn.h"

namespace graspd::storage {

/// The operations of EventStore within one transaction; keys and values have been checked.
absl::StatusOr<std::optional<KeyValue>> ReadKey(const Txn& txn, std::string_view key);
absl::StatusOr<std::vector<KeyValue>> ReadKeys(const Txn& txn, std::string_view prefix);
absl::StatusOr<uint64_t> CompareAndSetKey(WriteTxn& txn, std::string_view key,
                                          uint64_t expected_version,
                                          std::optional<std::string_view> value);

}  // namespace graspd::storage
