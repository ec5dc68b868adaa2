#include "storage/lmdb/keys.h"

#include <algorithm>
#include <cstring>

#include "base/sip_hash.h"
#include "nostr/keys.h"

namespace graspd::storage {
namespace {

nostr::EventId ReadId(std::string_view bytes) {
  nostr::EventId id;
  std::copy_n(bytes.begin(), nostr::EventId::kSize, id.bytes.begin());
  return id;
}

uint64_t FirstWord(const char* bytes) {
  uint64_t word = 0;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

}  // namespace

std::string ChangeNumber::Key() const {
  std::string key;
  PutUint64(key, value_);
  return key;
}

std::string IndexValue::Encode() const {
  std::string out;
  PutUint64(out, change.value());
  PutUint16(out, kind);
  out += expires ? '\1' : '\0';
  return out;
}

std::optional<IndexValue> IndexValue::Decode(std::string_view bytes) {
  if (bytes.size() != kSize) return std::nullopt;
  return IndexValue{ChangeNumber(GetUint64(bytes)), GetUint16(bytes.substr(8)), bytes[10] != '\0'};
}

void PutTimeId(uint64_t created_at, const nostr::EventId& id, char* out) {
  const uint64_t time = __builtin_bswap64(~created_at);
  std::memcpy(out, &time, sizeof time);
  std::copy_n(id.view().data(), nostr::EventId::kSize, out + sizeof time);
}

std::string TimeIdKey(uint64_t created_at, const nostr::EventId& id) {
  std::string key;
  key.reserve(kTimeIdBytes);
  PutUint64(key, ~created_at);
  key += id.view();
  return key;
}

uint64_t CreatedAtOf(std::string_view time_id) { return ~GetUint64(time_id); }
nostr::EventId IdOf(std::string_view time_id) { return ReadId(time_id.substr(8)); }

TagHasher::TagHasher(std::string_view key)
    : key_{FirstWord(key.data()), FirstWord(key.data() + 8)} {}

uint64_t TagHasher::operator()(char letter, std::string_view value) const {
  base::SipHash<2, 4> hash(key_[0], key_[1]);
  hash.Take(static_cast<uint8_t>(letter));  // in a word of its own: no copy of the value
  return hash.Finish(value);
}

uint64_t AuthorPrefix(const nostr::PublicKey& author) { return GetUint64(author.view()); }

std::vector<uint64_t> TagPrefixes(const nostr::Tags& tags, const TagHasher& hasher) {
  std::vector<uint64_t> prefixes;
  for (const nostr::Tag tag : tags) {
    const std::string_view name = tag.name();
    if (tag.size() < 2 || name.size() != 1) continue;
    const char lower = static_cast<char>(name[0] | 0x20);
    if (lower < 'a' || lower > 'z') continue;
    prefixes.push_back(hasher(name[0], tag.value()));
  }
  std::sort(prefixes.begin(), prefixes.end());
  prefixes.erase(std::unique(prefixes.begin(), prefixes.end()), prefixes.end());
  return prefixes;
}

std::string AddressKey(const nostr::Address& address) {
  std::string text;
  PutUint16(text, address.kind);
  text += address.author.view();
  text += address.identifier;
  const nostr::Digest digest = nostr::Sha256(text);
  return {digest.begin(), digest.end()};
}

std::string AddressRecord::Encode() const {
  std::string out;
  PutUint64(out, current.value());
  PutUint64(out, deleted_until ? *deleted_until + 1 : 0);  // created_at stays below 2^53
  if (floor) {
    PutUint64(out, floor->created_at);
    out += floor->id.view();
  }
  return out;
}

std::optional<AddressRecord> AddressRecord::Decode(std::string_view bytes) {
  constexpr size_t kShort = 16;
  if (bytes.size() != kShort && bytes.size() != kShort + kTimeIdBytes) return std::nullopt;
  AddressRecord record;
  record.current = ChangeNumber(GetUint64(bytes));
  if (const uint64_t until = GetUint64(bytes.substr(8)); until != 0) {
    record.deleted_until = until - 1;
  }
  if (bytes.size() > kShort) {
    record.floor = Version{GetUint64(bytes.substr(kShort)), ReadId(bytes.substr(kShort + 8))};
  }
  return record;
}

std::string TombstoneKey(const nostr::EventId& id, const nostr::PublicKey& author) {
  std::string key(id.view());
  key += author.view();
  return key;
}

std::string ExpirationKey(uint64_t expiration, ChangeNumber change) {
  std::string key;
  PutUint64(key, expiration);
  PutUint64(key, change.value());
  return key;
}

std::string RemovalRecord::Encode() const {
  std::string out;
  out += static_cast<char>(reason);
  PutUint16(out, kind);
  PutUint64(out, created_at);
  out += id.view();
  return out;
}

std::optional<RemovalRecord> RemovalRecord::Decode(std::string_view bytes) {
  if (bytes.size() != 1 + 2 + 8 + nostr::EventId::kSize) return std::nullopt;
  return RemovalRecord{static_cast<Removal>(bytes[0]), GetUint16(bytes.substr(1)),
                       GetUint64(bytes.substr(3)), ReadId(bytes.substr(11))};
}

}  // namespace graspd::storage
