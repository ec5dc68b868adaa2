// Transactions and cursors of LMDB as values that end themselves, with absl::Status for errors.
#pragma once

#include <lmdb.h>

#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/lmdb/env.h"
#include "storage/lmdb/pending.h"

namespace graspd::storage {

class Cursor;

/// An open transaction of either kind. What Get() and cursors return points into the map: it is
/// valid until the transaction ends or, in a write transaction, until its next write. Threading:
/// one thread at a time.
class Txn {
 public:
  Txn(const Txn&) = delete;
  Txn& operator=(const Txn&) = delete;

  [[nodiscard]] absl::StatusOr<std::optional<std::string_view>> Get(MDB_dbi table,
                                                                    std::string_view key) const;
  [[nodiscard]] absl::StatusOr<uint64_t> Entries(MDB_dbi table) const;
  [[nodiscard]] Env& env() const { return *env_; }
  /// What of this snapshot is not in the index tables.
  [[nodiscard]] const Pending& pending() const { return *pending_; }
  [[nodiscard]] const Tables& tables() const { return env_->tables(); }
  [[nodiscard]] MDB_txn* handle() const { return txn_; }

 protected:
  Txn(Env& env, MDB_txn* txn) : env_(&env), txn_(txn) {}
  Txn(Txn&& other) noexcept
      : env_(other.env_),
        txn_(std::exchange(other.txn_, nullptr)),
        pending_(std::move(other.pending_)) {}
  ~Txn() = default;

  Env* env_;
  MDB_txn* txn_;  // null once moved from or ended
  std::shared_ptr<const Pending> pending_;
};

/// A consistent snapshot. Returns to the pool when destroyed.
class ReadTxn final : public Txn {
 public:
  static absl::StatusOr<ReadTxn> Begin(Env& env);
  ReadTxn(ReadTxn&&) noexcept = default;
  ~ReadTxn() {
    if (txn_ != nullptr) env_->ReleaseReader(txn_);
  }

 private:
  using Txn::Txn;
};

/// The write transaction. Aborted when destroyed without Commit().
class WriteTxn final : public Txn {
 public:
  static absl::StatusOr<WriteTxn> Begin(Env& env);
  WriteTxn(WriteTxn&&) noexcept = default;
  ~WriteTxn() {
    if (txn_ != nullptr) mdb_txn_abort(txn_);
  }

  absl::Status Put(MDB_dbi table, std::string_view key, std::string_view value);
  /// Put with a key above all others of the table: fills its pages completely.
  absl::Status Append(MDB_dbi table, std::string_view key, std::string_view value);
  /// Put with a cursor of the table: quick for ascending keys.
  absl::Status PutAt(Cursor& cursor, std::string_view key, std::string_view value);
  /// False if there was no such key.
  absl::StatusOr<bool> Delete(MDB_dbi table, std::string_view key);
  /// Empties a table; with `forget` the table itself goes too.
  absl::Status Drop(MDB_dbi table, bool forget);
  [[nodiscard]] bool has_writes() const { return has_writes_; }
  /// Readers see what is done to it from the commit on.
  [[nodiscard]] Pending& mutable_pending() {
    pending_changed_ = true;
    return *working_;
  }

  /// Durable on return. After an error nothing of the transaction is stored.
  absl::Status Commit();

 private:
  using Txn::Txn;
  absl::Status PutWith(MDB_dbi table, std::string_view key, std::string_view value, unsigned flags);
  bool has_writes_ = false, pending_changed_ = false;
  std::shared_ptr<Pending> working_;  // what pending_ points to
};

/// A place in one table. Must not outlive its transaction.
class Cursor {
 public:
  static absl::StatusOr<Cursor> Open(const Txn& txn, MDB_dbi table);
  Cursor(Cursor&& other) noexcept
      : env_(other.env_),
        cursor_(std::exchange(other.cursor_, nullptr)),
        key_(other.key_),
        value_(other.value_) {}
  Cursor& operator=(Cursor&& other) noexcept {
    std::swap(cursor_, other.cursor_);
    env_ = other.env_;
    key_ = other.key_;
    value_ = other.value_;
    return *this;
  }
  ~Cursor() {
    if (cursor_ != nullptr) mdb_cursor_close(cursor_);
  }

  /// To the first key that is not below `key`; false if there is none.
  absl::StatusOr<bool> Seek(std::string_view key);
  /// To this key; false if there is none. Quick if it is on the page where the cursor stands.
  absl::StatusOr<bool> SeekExactly(std::string_view key);
  absl::StatusOr<bool> Next();
  // Of the place where the latest successful move led.
  [[nodiscard]] std::string_view key() const { return key_; }
  [[nodiscard]] std::string_view value() const { return value_; }

 private:
  friend class WriteTxn;
  Cursor(Env& env, MDB_cursor* cursor) : env_(&env), cursor_(cursor) {}
  absl::StatusOr<bool> Move(std::string_view from, MDB_cursor_op op);
  Env* env_;
  MDB_cursor* cursor_;
  std::string_view key_, value_;
};

}  // namespace graspd::storage
