#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace graspd::base {

/// Lower-case hex of `bytes`, two digits a byte.
std::string HexEncode(std::span<const uint8_t> bytes);

/// The same, written to `out`, which must have room for 2 * bytes.size() characters.
void HexEncodeTo(std::span<const uint8_t> bytes, char* out);

/// Decodes exactly out.size() bytes. False, with `out` unspecified, if `hex` has another length or
/// holds anything but 0-9 and a-f: Nostr allows lower case only (NIP-01).
[[nodiscard]] bool HexDecode(std::string_view hex, std::span<uint8_t> out);

}  // namespace graspd::base
