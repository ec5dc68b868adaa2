// The bytes of negentropy protocol version 1 (NIP-77, appendix): varints, bounds, ranges. Private
// to this folder; nothing here knows a set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "nostr/negentropy/item.h"
#include "nostr/negentropy/item_set.h"

namespace graspd::negentropy {

inline constexpr uint8_t kProtocolVersion = 0x61;
/// The reserved `created_at`: a bound with it is above every item.
inline constexpr uint64_t kInfinity = std::numeric_limits<uint64_t>::max();

/// Base 128, most significant digit first.
void AppendVarint(std::string& out, uint64_t value);

/// Exclusive upper end of a range: an item of which only the first `prefix` bytes of the id are
/// sent, the others being zero.
struct Bound {
  Item item;
  size_t prefix = 0;

  static Bound Infinity() { return {{kInfinity, {}}, 0}; }
  static Bound At(const Item& item) { return {item, nostr::EventId::kSize}; }
  /// The shortest bound that is above `below` and not above `above`. Requires below < above.
  static Bound Between(const Item& below, const Item& above);
};

enum class Mode : uint8_t { kSkip = 0, kFingerprint = 1, kIdList = 2 };

/// One range of a message; its lower end is the upper end of the range before.
struct Range {
  Bound upper;
  Mode mode = Mode::kSkip;
  Fingerprint fingerprint{};  // kFingerprint only
  std::string_view ids;       // kIdList only: 32 bytes each; points into the message
};

/// Takes a message apart, range by range. A range is at least 3 bytes long, so the size of the
/// message caps their number. Thread-compatible; the message must outlive the reader.
class RangeReader {
 public:
  /// `ranges`: the message without its version byte.
  explicit RangeReader(std::string_view ranges) : rest_(ranges) {}
  [[nodiscard]] bool done() const { return rest_.empty(); }
  /// Requires !done(). Bounds never descend: an offset past 2^64-1 ends at infinity. Errors:
  /// kInvalidArgument, after which the reader is of no more use.
  absl::StatusOr<Range> Next();

 private:
  std::optional<uint64_t> ReadVarint();
  std::optional<std::string_view> ReadBytes(uint64_t count);
  absl::StatusOr<Bound> ReadBound();

  std::string_view rest_;
  Item last_;  // bound of the range before
};

/// Puts a message together, range by range, with ascending bounds. Neighbouring Skips become one,
/// and a Skip at the end, which NIP-77 implies, is left out. Thread-compatible.
class RangeWriter {
 public:
  RangeWriter() : out_(1, static_cast<char>(kProtocolVersion)) {}

  void Skip(const Bound& upper) { skip_ = upper; }
  void AddFingerprint(const Bound& upper, const Fingerprint& fingerprint);
  /// The ids of [from, to).
  void AddIdList(const Bound& upper, const ItemView& view, size_t from, size_t to);

  /// Bytes so far, without a Skip that still waits for what follows it.
  [[nodiscard]] size_t size() const { return out_.size(); }
  std::string Take() && { return std::move(out_); }

  /// A place to go back to.
  struct Mark {
    size_t size;
    uint64_t last_created_at;
    std::optional<Bound> skip;
  };
  [[nodiscard]] Mark mark() const { return {out_.size(), last_created_at_, skip_}; }
  void Rollback(const Mark& mark);

 private:
  void Open(const Bound& upper, Mode mode);
  void AppendBound(const Bound& bound);

  std::string out_;
  uint64_t last_created_at_ = 0;  // offsets of bounds count from here
  std::optional<Bound> skip_;     // not yet written
};

}  // namespace graspd::negentropy
