#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/hex.h"
#include "base/keyed_hash.h"

namespace graspd::nostr {

/// N bytes that mean one thing: an event id is never taken for a public key. A plain value, all
/// zero by default, ordered bytewise (which is the order of the lower-case hex).
template <size_t N, typename Tag>
struct FixedBytes {
  static constexpr size_t kSize = N;
  std::array<uint8_t, N> bytes{};

  /// Lower-case hex of exactly 2 * N digits, or nothing.
  static std::optional<FixedBytes> FromHex(std::string_view hex) {
    FixedBytes out;
    if (!base::HexDecode(hex, out.bytes)) return std::nullopt;
    return out;
  }
  [[nodiscard]] std::string ToHex() const { return base::HexEncode(bytes); }
  /// The raw bytes as a string view, for keys of maps and databases. Points into this object.
  [[nodiscard]] std::string_view view() const {
    return {reinterpret_cast<const char*>(bytes.data()), N};
  }
  friend auto operator<=>(const FixedBytes&, const FixedBytes&) = default;
};

/// SHA-256 of an event's canonical form (NIP-01).
using EventId = FixedBytes<32, struct EventIdTag>;
/// X-only secp256k1 public key (BIP-340).
using PublicKey = FixedBytes<32, struct PublicKeyTag>;
/// BIP-340 signature.
using Signature = FixedBytes<64, struct SignatureTag>;

}  // namespace graspd::nostr

/// Keyed: ids and keys in filters and messages are whatever strangers choose.
template <size_t N, typename Tag>
struct std::hash<graspd::nostr::FixedBytes<N, Tag>> {
  size_t operator()(const graspd::nostr::FixedBytes<N, Tag>& value) const noexcept {
    return graspd::base::KeyedHash(value.view());
  }
};
