#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "storage/event_store.h"

namespace graspd::storage {

/// Version of the format in which the data is kept on disk.
inline constexpr uint32_t kLmdbDataFormat = 2;

/// Where the embedded store lives and how far it may grow.
struct LmdbOptions {
  std::string directory;               // made if absent
  size_t map_bytes = size_t{1} << 40;  // upper bound of the file; address space, not disk
  size_t max_readers = 256;
  /// Index entries (4 per event and one per tag) that gather in memory, 64 bytes each, before they
  /// go into their tables; up to twice as many wait at a time. More make writing cheaper and
  /// opening slower.
  size_t pending_entries = 200'000;
  /// Events that an upgrade of the data format handles in one transaction.
  size_t upgrade_rows = 5'000;
  /// Asked between those transactions, if set: true ends the upgrade, and the next opening goes on.
  std::function<bool()> stop_upgrade;
  /// Reads what is there, while another process may go on writing it: takes no lock of ours, makes
  /// no file but LMDB's own, and every write is kFailedPrecondition. What the other process commits
  /// is seen at once, but Position() stays what it was when opened.
  bool read_only = false;
};

/// Opens (or creates) the embedded store. Durable: every commit is synced before Write returns; no
/// unsafe LMDB flag is used. The directory is locked against a second process that writes. A store
/// of an older data format is upgraded in place first, unless read_only.
/// Errors: kFailedPrecondition if another process holds it or its data format is newer than we know
/// (read_only: or older); kResourceExhausted if an upgrade needs more room, kCancelled if it
/// was stopped; kPermissionDenied,
/// kNotFound (read_only: nothing stored there yet), kDataLoss as found.
absl::StatusOr<std::unique_ptr<EventStore>> OpenLmdbStore(const LmdbOptions& options);

}  // namespace graspd::storage
