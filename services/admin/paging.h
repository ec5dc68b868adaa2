#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace graspd::admin {

/// Items a page: 0 means 50, more than 500 means 500; negative is an error of the field
/// `page_size`.
absl::StatusOr<size_t> PageSize(int32_t requested);

/// A page token: the last key of a page, and a mark of the filters that the list was narrowed with.
/// Url-safe base64, opaque to clients. It holds nothing secret, and a forged one can do no more
/// than start a page at another key, so it is checked for shape and filters but not signed; hence
/// it stays good across restarts and replicas.
///
/// `filter` is any text that is equal for equal filters.
std::string MakePageToken(std::string_view last_key, std::string_view filter);
/// The last key; "" for the empty token (the first page). Errors: kPageTokenInvalid.
absl::StatusOr<std::string> ReadPageToken(std::string_view token, std::string_view filter);

}  // namespace graspd::admin
