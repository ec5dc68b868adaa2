#include "services/graspd/settings_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/status_macros.h"

namespace graspd::daemon {
namespace {

struct Unit {
  std::string_view suffix;
  uint64_t factor;
};
// Largest first: the formatters take the first that divides.
constexpr std::array kByteUnits = {Unit{"TiB", 1ull << 40}, Unit{"GiB", 1u << 30},
                                   Unit{"MiB", 1u << 20}, Unit{"KiB", 1u << 10}, Unit{"", 1}};
constexpr std::array kDurationUnits = {Unit{"h", 3'600'000}, Unit{"m", 60'000}, Unit{"s", 1000},
                                       Unit{"ms", 1}};
constexpr uint64_t kLongestMillis = 10ull * 365 * 24 * 3'600'000;

constexpr size_t kTypo = 2;  // two letters exchanged

absl::Status Malformed() { return absl::InvalidArgumentError(""); }

template <size_t N>
absl::StatusOr<uint64_t> ParseWithUnit(std::string_view text, const std::array<Unit, N>& units) {
  const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::string_view suffix = text.substr(digits);
  const auto unit =
      std::find_if(units.begin(), units.end(), [&](const Unit& u) { return u.suffix == suffix; });
  if (unit == units.end()) return Malformed();
  GRASPD_ASSIGN_OR_RETURN(const uint64_t number, ParseCount(text.substr(0, digits)));
  if (number > std::numeric_limits<uint64_t>::max() / unit->factor) return Malformed();
  return number * unit->factor;
}

template <size_t N>
std::string FormatWithUnit(uint64_t value, const std::array<Unit, N>& units,
                           std::string_view zero) {
  if (value == 0) return std::string(zero);
  const auto unit = std::find_if(units.begin(), units.end(),
                                 [&](const Unit& u) { return value % u.factor == 0; });
  return fmt::format("{}{}", value / unit->factor, unit->suffix);
}

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substitution = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitution});
    }
  }
  return row.back();
}

}  // namespace

absl::StatusOr<uint64_t> ParseCount(std::string_view text) {
  uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end) return Malformed();
  return value;
}

absl::StatusOr<uint64_t> ParseBytes(std::string_view text) {
  return ParseWithUnit(text, kByteUnits);
}

absl::StatusOr<double> ParseRate(std::string_view text) {
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || !std::isfinite(value) || value < 0) {
    return Malformed();
  }
  return value;
}

absl::StatusOr<bool> ParseBool(std::string_view text) {
  if (text == "true") return true;
  if (text == "false") return false;
  return Malformed();
}

absl::StatusOr<std::chrono::milliseconds> ParseDuration(std::string_view text) {
  GRASPD_ASSIGN_OR_RETURN(const uint64_t millis, ParseWithUnit(text, kDurationUnits));
  if (millis > kLongestMillis) return Malformed();
  return std::chrono::milliseconds(millis);
}

std::string FormatBytes(uint64_t bytes) { return FormatWithUnit(bytes, kByteUnits, "0"); }

std::string FormatDuration(std::chrono::milliseconds duration) {
  return FormatWithUnit(static_cast<uint64_t>(duration.count()), kDurationUnits, "0s");
}

std::string FormatRate(double rate) { return fmt::format("{}", rate); }

std::string TomlString(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\u{:04X}", byte);
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::vector<std::string> SplitList(std::string_view text) {
  std::vector<std::string> items;
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    std::string_view item = text.substr(0, comma);
    text.remove_prefix(std::min(comma + 1, text.size()));
    item.remove_prefix(std::min(item.find_first_not_of(" \t"), item.size()));
    item = item.substr(0, item.find_last_not_of(" \t") + 1);
    if (!item.empty()) items.emplace_back(item);
  }
  return items;
}

std::string NearestName(std::string_view misspelt, const std::vector<std::string>& names) {
  std::string_view nearest;
  size_t best = std::max(misspelt.size() / 3, kTypo) + 1;
  for (const std::string& name : names) {
    const size_t distance = EditDistance(misspelt, name);
    if (distance < best) {
      best = distance;
      nearest = name;
    }
  }
  return std::string(nearest);
}

}  // namespace graspd::daemon
