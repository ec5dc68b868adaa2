// The written forms of setting values: sizes, durations, numbers, TOML literals.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace graspd::daemon {

/// The parsers take the whole text or refuse it (kInvalidArgument without a message: what is
/// allowed is the caller's to say); they trim nothing.
absl::StatusOr<uint64_t> ParseCount(std::string_view text);  // decimal digits
absl::StatusOr<uint64_t> ParseBytes(std::string_view text);  // 4096, 512KiB, 8MiB, 1GiB, 1TiB
absl::StatusOr<double> ParseRate(std::string_view text);     // finite, not negative
absl::StatusOr<bool> ParseBool(std::string_view text);       // true, false
/// 500ms, 30s, 15m, 24h; a unit is needed, at most 10 years.
absl::StatusOr<std::chrono::milliseconds> ParseDuration(std::string_view text);

/// The shortest of the forms above.
[[nodiscard]] std::string FormatBytes(uint64_t bytes);
[[nodiscard]] std::string FormatDuration(std::chrono::milliseconds duration);
[[nodiscard]] std::string FormatRate(double rate);

/// `text` as a TOML basic string, quotes included.
[[nodiscard]] std::string TomlString(std::string_view text);

/// The comma-separated items of a list in a flag or variable, spaces around them and empty items
/// dropped.
[[nodiscard]] std::vector<std::string> SplitList(std::string_view text);

/// The member of `names` that `misspelt` most likely means, or "" if none is near (edit distance up
/// to a third of its length).
[[nodiscard]] std::string NearestName(std::string_view misspelt,
                                      const std::vector<std::string>& names);

}  // namespace graspd::daemon
