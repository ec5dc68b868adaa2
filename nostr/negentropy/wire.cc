#include "nostr/negentropy/wire.h"

#include <algorithm>
#include <array>

#include "base/status_macros.h"

namespace graspd::negentropy {
namespace {

constexpr size_t kIdBytes = nostr::EventId::kSize;

absl::Status Malformed(const char* what) { return absl::InvalidArgumentError(what); }

std::string_view AsText(const uint8_t* bytes, size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

}  // namespace

void AppendVarint(std::string& out, uint64_t value) {
  std::array<char, 10> digits;
  size_t first = digits.size();
  do {
    const uint8_t more = first == digits.size() ? 0 : 0x80;
    digits[--first] = static_cast<char>((value & 0x7f) | more);
    value >>= 7;
  } while (value != 0);
  out.append(digits.data() + first, digits.size() - first);
}

Bound Bound::Between(const Item& below, const Item& above) {
  Bound bound{{above.created_at, {}}, 0};
  if (below.created_at != above.created_at) return bound;
  const auto& id = above.id.bytes;
  const auto differs = std::mismatch(id.begin(), id.end(), below.id.bytes.begin()).first;
  bound.prefix = std::min<size_t>(static_cast<size_t>(differs - id.begin()) + 1, kIdBytes);
  std::copy_n(id.begin(), bound.prefix, bound.item.id.bytes.begin());
  return bound;
}

std::optional<uint64_t> RangeReader::ReadVarint() {
  uint64_t value = 0;
  for (size_t i = 0; i < rest_.size(); ++i) {
    if (value >> 57 != 0) return std::nullopt;  // the next digit would not fit
    const auto byte = static_cast<uint8_t>(rest_[i]);
    value = value << 7 | (byte & 0x7f);
    if ((byte & 0x80) == 0) {
      rest_.remove_prefix(i + 1);
      return value;
    }
  }
  return std::nullopt;
}

std::optional<std::string_view> RangeReader::ReadBytes(uint64_t count) {
  if (count > rest_.size()) return std::nullopt;
  const auto bytes = rest_.substr(0, count);
  rest_.remove_prefix(count);
  return bytes;
}

absl::StatusOr<Bound> RangeReader::ReadBound() {
  const auto time = ReadVarint();
  if (!time) return Malformed("bad timestamp of a bound");
  const auto length = ReadVarint();
  if (!length || *length > kIdBytes) return Malformed("bad id length of a bound");
  const auto prefix = ReadBytes(*length);
  if (!prefix) return Malformed("message ends within a bound");

  Bound bound{{kInfinity, {}}, prefix->size()};
  if (*time != 0 && *time - 1 < kInfinity - last_.created_at) {
    bound.item.created_at = last_.created_at + *time - 1;
  }
  std::copy(prefix->begin(), prefix->end(), bound.item.id.bytes.begin());
  if (bound.item < last_) return Malformed("bounds descend");
  last_ = bound.item;
  return bound;
}

absl::StatusOr<Range> RangeReader::Next() {
  Range range;
  GRASPD_ASSIGN_OR_RETURN(range.upper, ReadBound());
  const auto mode = ReadVarint();
  if (!mode || *mode > static_cast<uint64_t>(Mode::kIdList))
    return Malformed("bad mode of a range");
  range.mode = static_cast<Mode>(*mode);
  if (range.mode == Mode::kFingerprint) {
    const auto bytes = ReadBytes(range.fingerprint.size());
    if (!bytes) return Malformed("message ends within a fingerprint");
    std::copy(bytes->begin(), bytes->end(), range.fingerprint.begin());
  } else if (range.mode == Mode::kIdList) {
    const auto count = ReadVarint();
    // Divides rather than multiplies: the count is a stranger's.
    if (!count || *count > rest_.size() / kIdBytes) return Malformed("bad length of an id list");
    range.ids = *ReadBytes(*count * kIdBytes);
  }
  return range;
}

void RangeWriter::AddFingerprint(const Bound& upper, const Fingerprint& fingerprint) {
  Open(upper, Mode::kFingerprint);
  out_ += AsText(fingerprint.data(), fingerprint.size());
}

void RangeWriter::AddIdList(const Bound& upper, const ItemView& view, size_t from, size_t to) {
  Open(upper, Mode::kIdList);
  AppendVarint(out_, to - from);
  view.AppendIds(from, to, out_);
}

void RangeWriter::Rollback(const Mark& mark) {
  out_.resize(mark.size);
  last_created_at_ = mark.last_created_at;
  skip_ = mark.skip;
}

void RangeWriter::Open(const Bound& upper, Mode mode) {
  if (const auto skip = std::exchange(skip_, std::nullopt)) Open(*skip, Mode::kSkip);
  AppendBound(upper);
  AppendVarint(out_, static_cast<uint64_t>(mode));
}

void RangeWriter::AppendBound(const Bound& bound) {
  const uint64_t time = bound.item.created_at;
  AppendVarint(out_, time == kInfinity ? 0 : time - last_created_at_ + 1);
  last_created_at_ = time;
  AppendVarint(out_, bound.prefix);
  out_ += AsText(bound.item.id.bytes.data(), bound.prefix);
}

}  // namespace graspd::negentropy
