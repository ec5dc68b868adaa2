#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace graspd::admin {

/// `text` as valid UTF-8 of at most `max_bytes`: bytes that are not UTF-8 become `?`, and what is
/// too long is cut between characters. Protobuf strings must be UTF-8 or clients refuse the whole
/// message, and some texts here quote what strangers sent.
std::string CleanText(std::string_view text, size_t max_bytes = std::string::npos);

}  // namespace graspd::admin
