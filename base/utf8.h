#pragma once

#include <cstddef>
#include <string_view>

namespace graspd::base {

/// Bytes of the UTF-8 character (RFC 3629) that `text`, not empty, begins with; 0 if it begins with
/// none: truncated, overlong, a surrogate, or past U+10FFFF.
[[nodiscard]] size_t Utf8CharacterBytes(std::string_view text);

/// Characters (code points) of `text`, which is valid UTF-8.
[[nodiscard]] size_t Utf8Characters(std::string_view text);

}  // namespace graspd::base
