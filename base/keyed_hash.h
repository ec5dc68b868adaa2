#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

namespace graspd::base {

/// The hash for tables whose keys strangers choose: std::hash has no key, so that anybody could
/// send thousands that fall into one bucket. The key is drawn once per process. Thread-safe.
[[nodiscard]] uint64_t KeyedHash(std::string_view text);

/// The same for unordered containers of strings, with look-up by string_view.
struct KeyedStringHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return KeyedHash(text); }
};

/// Makes the order of unordered containers repeatable, for simulations. Before anything is hashed.
void FixHashKeyForTest();

}  // namespace graspd::base
