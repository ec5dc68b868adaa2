#include "storage/lmdb/key_value.h"

#include <string>
#include <utility>

#include "base/status_macros.h"
#include "storage/lmdb/keys.h"

namespace graspd::storage {
namespace {

constexpr std::string_view kLastVersion = "last_key_version";  // in table meta

absl::StatusOr<KeyValue> Decode(const Txn& txn, std::string_view key, std::string_view bytes) {
  if (bytes.size() < 8) return txn.env().Damaged("a value of the key-value area is unreadable");
  return KeyValue{std::string(key), std::string(bytes.substr(8)), GetUint64(bytes)};
}

absl::StatusOr<uint64_t> NextVersion(WriteTxn& txn) {
  GRASPD_ASSIGN_OR_RETURN(const auto last, txn.Get(txn.tables().meta, kLastVersion));
  const uint64_t next = last && last->size() == 8 ? GetUint64(*last) + 1 : 1;
  std::string bytes;
  PutUint64(bytes, next);
  GRASPD_RETURN_IF_ERROR(txn.Put(txn.tables().meta, kLastVersion, bytes));
  return next;
}

}  // namespace

absl::StatusOr<std::optional<KeyValue>> ReadKey(const Txn& txn, std::string_view key) {
  GRASPD_ASSIGN_OR_RETURN(const auto bytes, txn.Get(txn.tables().keys, key));
  if (!bytes) return std::nullopt;
  GRASPD_ASSIGN_OR_RETURN(KeyValue found, Decode(txn, key, *bytes));
  return found;
}

absl::StatusOr<std::vector<KeyValue>> ReadKeys(const Txn& txn, std::string_view prefix) {
  std::vector<KeyValue> out;
  GRASPD_ASSIGN_OR_RETURN(Cursor cursor, Cursor::Open(txn, txn.tables().keys));
  GRASPD_ASSIGN_OR_RETURN(bool found, cursor.Seek(prefix));
  while (found && cursor.key().starts_with(prefix)) {
    GRASPD_ASSIGN_OR_RETURN(KeyValue entry, Decode(txn, cursor.key(), cursor.value()));
    out.push_back(std::move(entry));
    GRASPD_ASSIGN_OR_RETURN(found, cursor.Next());
  }
  return out;
}

absl::StatusOr<uint64_t> CompareAndSetKey(WriteTxn& txn, std::string_view key,
                                          uint64_t expected_version,
                                          std::optional<std::string_view> value) {
  GRASPD_ASSIGN_OR_RETURN(const auto present, ReadKey(txn, key));
  if ((present ? present->version : 0) != expected_version) {
    return absl::AbortedError("the key was changed meanwhile");
  }
  if (!value) {
    if (present) GRASPD_RETURN_IF_ERROR(txn.Delete(txn.tables().keys, key).status());
    return 0;
  }
  GRASPD_ASSIGN_OR_RETURN(const uint64_t version, NextVersion(txn));
  std::string bytes;
  PutUint64(bytes, version);
  bytes += *value;
  GRASPD_RETURN_IF_ERROR(txn.Put(txn.tables().keys, key, bytes));
  return version;
}

}  // namespace graspd::storage
