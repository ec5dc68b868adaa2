// Another JSON implementation, to compare ours with.
#pragma once

#include <boost/json/value.hpp>
#include <optional>
#include <string_view>

namespace graspd::fuzz {

/// The value of `text`; nothing if Boost refuses it. Of duplicate keys the last one counts.
[[nodiscard]] std::optional<boost::json::value> ReferenceParse(std::string_view text);

/// True if `text` is an array whose first element is the string `type`: any answer of ours.
[[nodiscard]] bool IsMessage(std::string_view text, std::string_view type);

}  // namespace graspd::fuzz
