#include "storage/lmdb/txn.h"

#include "base/status_macros.h"
#include "storage/lmdb/keys.h"

namespace graspd::storage {
namespace {

MDB_val ToVal(std::string_view bytes) {
  return {bytes.size(), const_cast<char*>(bytes.data())};  // LMDB reads keys and values only
}

}  // namespace

absl::StatusOr<std::optional<std::string_view>> Txn::Get(MDB_dbi table,
                                                         std::string_view key) const {
  MDB_val wanted = ToVal(key);
  MDB_val found{};
  const int code = mdb_get(txn_, table, &wanted, &found);
  if (code == MDB_NOTFOUND) return std::nullopt;
  if (code != 0) return env_->ToStatus(code, "get");
  return ToView(found);
}

absl::StatusOr<uint64_t> Txn::Entries(MDB_dbi table) const {
  MDB_stat stat{};
  const int code = mdb_stat(txn_, table, &stat);
  if (code != 0) return env_->ToStatus(code, "read statistics");
  return stat.ms_entries;
}

absl::StatusOr<ReadTxn> ReadTxn::Begin(Env& env) {
  // The second time at most, unless commits outrun us.
  constexpr int kAttempts = 100;
  for (int i = 0; i < kAttempts; ++i) {
    GRASPD_ASSIGN_OR_RETURN(MDB_txn * handle, env.AcquireReader());
    ReadTxn txn(env, handle);
    GRASPD_ASSIGN_OR_RETURN(txn.pending_, env.PendingAt(txn));
    if (txn.pending_ != nullptr) return txn;
  }
  return absl::UnavailableError("no snapshot to read: the store is too busy");
}

absl::StatusOr<WriteTxn> WriteTxn::Begin(Env& env) {
  GRASPD_RETURN_IF_ERROR(env.CheckUndamaged());
  MDB_txn* txn = nullptr;
  const int code = mdb_txn_begin(env.handle(), nullptr, 0, &txn);
  if (code != 0) return env.ToStatus(code, "begin writing");
  WriteTxn begun(env, txn);
  begun.working_ = std::make_shared<Pending>(*env.LatestPending());
  begun.pending_ = begun.working_;
  return begun;
}

absl::Status WriteTxn::PutWith(MDB_dbi table, std::string_view key, std::string_view value,
                               unsigned flags) {
  has_writes_ = true;
  MDB_val key_val = ToVal(key);
  MDB_val value_val = ToVal(value);
  const int code = mdb_put(txn_, table, &key_val, &value_val, flags);
  return code == 0 ? absl::OkStatus() : env_->ToStatus(code, "put");
}

absl::Status WriteTxn::Put(MDB_dbi table, std::string_view key, std::string_view value) {
  return PutWith(table, key, value, 0);
}

absl::Status WriteTxn::Append(MDB_dbi table, std::string_view key, std::string_view value) {
  return PutWith(table, key, value, MDB_APPEND);
}

absl::Status WriteTxn::PutAt(Cursor& cursor, std::string_view key, std::string_view value) {
  has_writes_ = true;
  MDB_val key_val = ToVal(key);
  MDB_val value_val = ToVal(value);
  const int code = mdb_cursor_put(cursor.cursor_, &key_val, &value_val, 0);
  return code == 0 ? absl::OkStatus() : env_->ToStatus(code, "put");
}

absl::Status WriteTxn::Drop(MDB_dbi table, bool forget) {
  has_writes_ = true;
  const int code = mdb_drop(txn_, table, forget ? 1 : 0);
  return code == 0 ? absl::OkStatus() : env_->ToStatus(code, "drop table");
}

absl::StatusOr<bool> WriteTxn::Delete(MDB_dbi table, std::string_view key) {
  has_writes_ = true;
  MDB_val key_val = ToVal(key);
  const int code = mdb_del(txn_, table, &key_val, nullptr);
  if (code == MDB_NOTFOUND) return false;
  if (code != 0) return env_->ToStatus(code, "delete");
  return true;
}

absl::Status WriteTxn::Commit() {
  // Before the commit, because a reader may see that before this thread goes on.
  const uint64_t id = mdb_txn_id(txn_);
  if (pending_changed_) env_->PublishPending(id, std::move(working_));
  const int code = mdb_txn_commit(std::exchange(txn_, nullptr));
  if (code == 0) return absl::OkStatus();
  env_->WithdrawPending(id);
  return env_->ToStatus(code, "commit");
}

absl::StatusOr<Cursor> Cursor::Open(const Txn& txn, MDB_dbi table) {
  MDB_cursor* cursor = nullptr;
  const int code = mdb_cursor_open(txn.handle(), table, &cursor);
  if (code != 0) return txn.env().ToStatus(code, "open cursor");
  return Cursor(txn.env(), cursor);
}

absl::StatusOr<bool> Cursor::Seek(std::string_view key) {
  // LMDB has no empty keys; to seek one means the first of all.
  return key.empty() ? Move(key, MDB_FIRST) : Move(key, MDB_SET_RANGE);
}

absl::StatusOr<bool> Cursor::SeekExactly(std::string_view key) { return Move(key, MDB_SET_KEY); }

absl::StatusOr<bool> Cursor::Next() { return Move({}, MDB_NEXT); }

absl::StatusOr<bool> Cursor::Move(std::string_view from, MDB_cursor_op op) {
  MDB_val key = ToVal(from);
  MDB_val value{};
  const int code = mdb_cursor_get(cursor_, &key, &value, op);
  if (code == MDB_NOTFOUND) return false;
  if (code != 0) return env_->ToStatus(code, "move cursor");
  key_ = ToView(key);
  value_ = ToView(value);
  return true;
}

}  // namespace graspd::storage
