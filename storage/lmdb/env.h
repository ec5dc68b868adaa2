// The LMDB environment: opening, locking, the pool of readers, and what LMDB's errors mean here.
// LMDB's functions are called from here and txn.{h,cc} only.
#pragma once

#include <lmdb.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "storage/lmdb/keys.h"
#include "storage/lmdb/lmdb_store.h"

namespace graspd::storage {

/// The named B-trees of the data format; keys.h describes keys and values.
struct Tables {
  MDB_dbi meta = 0;
  MDB_dbi events = 0;       // change number -> row
  MDB_dbi ids = 0;          // event id -> change number, or 0 = deleted for good
  MDB_dbi by_time = 0;      // (time, id) -> IndexValue
  MDB_dbi by_kind = 0;      // (kind, time, id) -> IndexValue
  MDB_dbi by_author = 0;    // (author prefix, time, id) -> IndexValue
  MDB_dbi by_tag = 0;       // (keyed hash of letter and value, time, id) -> IndexValue
  MDB_dbi addresses = 0;    // hash of the address -> AddressRecord
  MDB_dbi tombstones = 0;   // (event id, author) -> nothing
  MDB_dbi expirations = 0;  // (expiration, change number) -> event id
  MDB_dbi removals = 0;     // change number -> RemovalRecord
  MDB_dbi keys = 0;         // key-value area: key -> version, value
};

class Pending;
class Txn;

/// One open LMDB environment in a directory that no other process may write meanwhile.
///
/// Damage (corruption, a failed sync) ends writing for good: a failed sync is never repeated,
/// because the kernel may have dropped the pages and report success the second time. Threading:
/// thread-safe. LMDB lets one write transaction run at a time, beside any number of reads.
class Env {
 public:
  /// Errors: those of OpenLmdbStore.
  static absl::StatusOr<std::unique_ptr<Env>> Open(const LmdbOptions& options);
  ~Env();
  Env(const Env&) = delete;
  Env& operator=(const Env&) = delete;

  [[nodiscard]] MDB_env* handle() const { return env_; }
  [[nodiscard]] const Tables& tables() const { return tables_; }
  [[nodiscard]] bool read_only() const { return read_only_; }
  [[nodiscard]] const std::string& directory() const { return directory_; }
  [[nodiscard]] const TagHasher& tag_hasher() const { return tag_hasher_; }

  /// What LMDB's result code means, in the classes of EventStore. kDataLoss is remembered.
  absl::Status ToStatus(int code, std::string_view operation);
  /// Remembers that the data is damaged and returns kDataLoss.
  absl::Status Damaged(std::string_view what);
  /// kDataLoss once anything was found damaged.
  [[nodiscard]] absl::Status CheckUndamaged() const;

  /// A read transaction on a fresh snapshot, from a pool: their places in LMDB's reader table are
  /// taken once. kUnavailable if more than max_readers run at once.
  absl::StatusOr<MDB_txn*> AcquireReader();
  void ReleaseReader(MDB_txn* txn);
  /// Frees the places of processes that were killed while reading: their snapshots would keep the
  /// file growing.
  absl::Status ForgetDeadReaders();

  /// The pending entries that belong to a snapshot; null if it is older than those that are kept,
  /// so that a newer one must be taken.
  absl::StatusOr<std::shared_ptr<const Pending>> PendingAt(const Txn& snapshot);
  [[nodiscard]] std::shared_ptr<const Pending> LatestPending();
  /// From the commit of transaction `id` on, readers get these.
  void PublishPending(uint64_t id, std::shared_ptr<const Pending> pending);
  /// That commit failed.
  void WithdrawPending(uint64_t id);

  struct Space {
    uint64_t used = 0;  // highest page that was ever needed; free pages below it are used again
    uint64_t capacity = 0;
  };
  [[nodiscard]] absl::StatusOr<Space> GetSpace();

 private:
  explicit Env(const LmdbOptions& options);
  absl::Status MakeDirectory();
  absl::Status LockDirectory();
  absl::Status OpenMap(const LmdbOptions& options);
  absl::Status OpenTables();
  int ReadFormat(MDB_txn* txn, std::optional<uint64_t>& format);
  absl::Status CheckFormat(std::optional<uint64_t> format);
  int OpenTables(MDB_txn* txn, bool has_format);
  absl::Status LoadTagKey();
  absl::Status LoadPending();
  absl::StatusOr<std::shared_ptr<const Pending>> FollowPending(const Txn& snapshot, uint64_t id);
  absl::Status SyncDirectory();
  [[nodiscard]] bool FileSystemFull() const;

  const std::string directory_;
  const bool read_only_;
  const size_t upgrade_rows_;
  const std::function<bool()> stop_upgrade_;
  int lock_fd_ = -1;
  MDB_env* env_ = nullptr;
  Tables tables_;
  TagHasher tag_hasher_;
  struct PendingVersion {
    uint64_t id;  // of the transaction that commits it
    std::shared_ptr<const Pending> pending;
  };
  base::Mutex mutex_;
  std::vector<PendingVersion> pending_ ABSL_GUARDED_BY(mutex_);  // ascending, a few; never empty
  std::vector<MDB_txn*> idle_readers_ ABSL_GUARDED_BY(mutex_);   // at most max_readers
  bool following_ = false;  // since the end of Open, if read only
  base::Mutex follow_mutex_;
  uint64_t followed_ ABSL_GUARDED_BY(follow_mutex_) = 0;  // id of the snapshot caught up with
  std::string damage_ ABSL_GUARDED_BY(mutex_);
  std::atomic<bool> damaged_{false};
};

}  // namespace graspd::storage
