// Appends JSON, in the one form that ids are computed over (NIP-01): no white space, shortest
// escapes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace graspd::nostr {

/// `text`, which must be UTF-8, as a string with quotes: `\n \" \\ \r \t \b \f`, the other
/// characters below 0x20 as `\u00xx`, all else verbatim.
void AppendJsonString(std::string& out, std::string_view text);

/// `value` in decimal.
void AppendInteger(std::string& out, uint64_t value);

/// `bytes` as a string of lower-case hex, with quotes.
void AppendHexString(std::string& out, std::span<const uint8_t> bytes);

}  // namespace graspd::nostr
