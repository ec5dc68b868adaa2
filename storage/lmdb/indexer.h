// What connects the index tables with the entries that wait for them (pending.h).
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/lmdb/pending.h"
#include "storage/lmdb/txn.h"

namespace graspd::storage {

/// The table of an index.
[[nodiscard]] MDB_dbi TableOf(const Tables& tables, Index index);
/// The beginning of the keys of one run: nothing, 2 or 8 bytes.
[[nodiscard]] std::string IndexPrefix(Index index, uint64_t prefix);
/// The whole key in the table.
[[nodiscard]] std::string IndexKey(const IndexEntry& entry);

/// The stored event of that id: its change number; 0 = deleted for good; nothing = never heard of.
absl::StatusOr<std::optional<ChangeNumber>> FindId(const Txn& txn, const nostr::EventId& id);

/// Brings `pending` up to what the transaction sees, from the rows and removals that are new.
absl::Status CatchUp(const Txn& txn, Pending& pending);

/// Moves pending entries to their tables if it is time, at most some thousand: called once in each
/// transaction that stores events, before its commit. It keeps the number of young entries near
/// `max_young`.
absl::Status MovePending(WriteTxn& txn, size_t max_young);

}  // namespace graspd::storage
