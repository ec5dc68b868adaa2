#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "nostr/fixed_bytes.h"

namespace graspd::negentropy {

/// Fingerprint of a range (NIP-77): first 16 bytes of SHA-256 of the sum of the ids (little-endian,
/// mod 2^256) followed by the number of items as a varint.
using Fingerprint = std::array<uint8_t, 16>;

/// A sum of ids, as little-endian numbers mod 2^256. A plain value.
class IdSum {
 public:
  IdSum() = default;
  explicit IdSum(const nostr::EventId& id);
  IdSum& operator+=(const IdSum& other);
  IdSum& operator-=(const IdSum& other);
  /// If this is the sum of `count` ids.
  [[nodiscard]] Fingerprint ToFingerprint(size_t count) const;

 private:
  std::array<uint64_t, 4> limbs_{};  // least significant first
};

inline IdSum& IdSum::operator+=(const IdSum& other) {
  bool carry = false;
  for (size_t i = 0; i < limbs_.size(); ++i) {
    uint64_t limb;
    const bool first = __builtin_add_overflow(limbs_[i], other.limbs_[i], &limb);
    const bool second = __builtin_add_overflow(limb, uint64_t{carry}, &limbs_[i]);
    carry = first || second;
  }
  return *this;
}

inline IdSum& IdSum::operator-=(const IdSum& other) {
  bool borrow = false;
  for (size_t i = 0; i < limbs_.size(); ++i) {
    uint64_t limb;
    const bool first = __builtin_sub_overflow(limbs_[i], other.limbs_[i], &limb);
    const bool second = __builtin_sub_overflow(limb, uint64_t{borrow}, &limbs_[i]);
    borrow = first || second;
  }
  return *this;
}

}  // namespace graspd::negentropy
