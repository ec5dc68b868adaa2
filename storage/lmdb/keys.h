// Keys and values of the tables (env.h). All integers are big-endian, so that LMDB's
// bytewise order is theirs; created_at is stored as its complement, so that a scan forward goes
// from the newest to the oldest and, within one second, from the lower id to the higher: the order
// in which events are served.
//
// An index key carries the whole id: order, merging and resuming need no row, and neither do
// counting and listing where the index decides alone. The value carries what most other conditions
// need. Authors are cut and tags hashed to 8 bytes; whoever finds two of the same key gains
// nothing, because the row is compared as well.
#pragma once

#include <lmdb.h>

#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nostr/event.h"
#include "nostr/rules.h"
#include "storage/apply.h"
#include "storage/event_store.h"

namespace graspd::storage {

inline std::string_view ToView(const MDB_val& value) {
  return {static_cast<const char*>(value.mv_data), value.mv_size};
}

static_assert(std::endian::native == std::endian::little);

inline void PutUint16(std::string& out, uint16_t value) {
  const uint16_t bytes = __builtin_bswap16(value);
  out.append(reinterpret_cast<const char*>(&bytes), sizeof bytes);
}
inline void PutUint64(std::string& out, uint64_t value) {
  const uint64_t bytes = __builtin_bswap64(value);
  out.append(reinterpret_cast<const char*>(&bytes), sizeof bytes);
}
/// The first 2 or 8 bytes, which the caller has made sure are there.
inline uint16_t GetUint16(std::string_view bytes) {
  uint16_t value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return __builtin_bswap16(value);
}
inline uint64_t GetUint64(std::string_view bytes) {
  uint64_t value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return __builtin_bswap64(value);
}

/// The number of one change: commits in their order, then the changes within a commit. Key of the
/// row of an added event and of a removal record, so that ReadFeed is a merge of the two tables and
/// no row needs to say in which commit it came.
class ChangeNumber {
 public:
  static constexpr int kBits = 24;
  static constexpr uint64_t kMaxPerCommit = uint64_t{1} << kBits;

  ChangeNumber() = default;
  bool operator==(const ChangeNumber&) const = default;
  explicit ChangeNumber(uint64_t value) : value_(value) {}
  ChangeNumber(FeedPosition position, uint64_t index) : value_(position.value << kBits | index) {}
  [[nodiscard]] FeedPosition position() const { return {value_ >> kBits}; }
  [[nodiscard]] uint64_t value() const { return value_; }
  [[nodiscard]] std::string Key() const;

 private:
  uint64_t value_ = 0;
};

/// What every index entry carries.
struct IndexValue {
  static constexpr size_t kSize = 11;
  ChangeNumber change;
  nostr::Kind kind = 0;
  bool expires = false;  // the row holds the time

  [[nodiscard]] std::string Encode() const;
  static std::optional<IndexValue> Decode(std::string_view bytes);
};

/// The end of every index key.
inline constexpr size_t kTimeIdBytes = 8 + nostr::EventId::kSize;
[[nodiscard]] std::string TimeIdKey(uint64_t created_at, const nostr::EventId& id);
void PutTimeId(uint64_t created_at, const nostr::EventId& id, char* out);  // kTimeIdBytes
[[nodiscard]] uint64_t CreatedAtOf(std::string_view time_id);
[[nodiscard]] nostr::EventId IdOf(std::string_view time_id);

/// Hashes tags for the index: SipHash-2-4 with a key that each store draws for itself, so that
/// nobody can make tags that share a run.
class TagHasher {
 public:
  static constexpr size_t kKeyBytes = 16;
  TagHasher() = default;
  /// `key` has kKeyBytes.
  explicit TagHasher(std::string_view key);
  [[nodiscard]] uint64_t operator()(char letter, std::string_view value) const;

 private:
  uint64_t key_[2] = {0, 0};
};

// The beginnings of index keys, as numbers whose bytes they are.
[[nodiscard]] uint64_t AuthorPrefix(const nostr::PublicKey& author);
/// The prefixes of all indexed tags: those named by one letter that have a value. Sorted, without
/// duplicates.
[[nodiscard]] std::vector<uint64_t> TagPrefixes(const nostr::Tags& tags, const TagHasher& hasher);

[[nodiscard]] std::string AddressKey(const nostr::Address& address);

/// All that is known about an address.
struct AddressRecord {
  ChangeNumber current;                   // row of the stored version; 0 = none
  std::optional<uint64_t> deleted_until;  // address tombstone
  std::optional<Version> floor;

  [[nodiscard]] std::string Encode() const;
  static std::optional<AddressRecord> Decode(std::string_view bytes);
};

[[nodiscard]] std::string TombstoneKey(const nostr::EventId& id, const nostr::PublicKey& author);
[[nodiscard]] std::string ExpirationKey(uint64_t expiration, ChangeNumber change);

/// One entry of the removal log.
struct RemovalRecord {
  Removal reason = Removal::kReplaced;
  nostr::Kind kind = 0;
  uint64_t created_at = 0;
  nostr::EventId id;

  [[nodiscard]] std::string Encode() const;
  static std::optional<RemovalRecord> Decode(std::string_view bytes);
};

}  // namespace graspd::storage
