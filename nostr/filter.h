// NIP-01 filters.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "nostr/event.h"

namespace graspd::nostr {

/// What a subscriber wants. A plain value.
///
/// An absent field does not restrict; a present but empty list matches nothing. `tags` maps one
/// letter (a-z, A-Z) to the values, any of which the first value of a tag of that name must equal
/// (a tag without a value equals nothing, not even ""). ParseFilter leaves every list sorted and
/// without duplicates; who builds a Filter by hand calls Normalize() before matching.
struct Filter {
  std::optional<std::vector<EventId>> ids;
  std::optional<std::vector<PublicKey>> authors;
  std::optional<std::vector<Kind>> kinds;
  std::map<char, std::vector<std::string>> tags;
  std::optional<uint64_t> since;  // inclusive
  std::optional<uint64_t> until;  // inclusive
  std::optional<uint64_t> limit;  // not part of matching

  /// Sorts and dedupes every list.
  void Normalize();
  /// Ids, authors, kinds and tag values together.
  [[nodiscard]] size_t ValueCount() const;
  /// True if some list is present and empty, so that nothing can match.
  [[nodiscard]] bool MatchesNothing() const;
  bool operator==(const Filter&) const = default;
};

/// Reads a filter object. Strict like ParseEvent; unknown keys are refused as well, because an
/// unheeded condition would return too much. Values of "#e" and "#p" (and "#E", "#P") must be 64
/// lower-case hex digits. Integers beyond 2^53 are refused.
/// Errors: kInvalidArgument (say "invalid:"), kUnimplemented for an unknown key (say
/// "unsupported:").
absl::StatusOr<Filter> ParseFilter(std::string_view json);

/// Compact JSON, keys in a fixed order, so that equal filters give equal text.
std::string FilterJson(const Filter& filter);

/// The first values of an event's one-letter tags, each once: made once, to match the event against
/// many filters. Views into the tags. Cost: that of sorting them; its memory is kept for the next.
class TagValues {
 public:
  struct Entry {
    char letter;
    std::string_view value;
    auto operator<=>(const Entry&) const = default;
  };

  TagValues() = default;
  explicit TagValues(const Tags& tags) { Assign(tags); }
  void Assign(const Tags& tags);
  /// Ascending.
  [[nodiscard]] std::span<const Entry> all() const { return entries_; }
  [[nodiscard]] std::span<const Entry> Of(char letter) const;

 private:
  std::vector<Entry> entries_;
};

/// True if `event` satisfies every condition of `filter`. `limit` and expiry play no part.
[[nodiscard]] bool Matches(const Filter& filter, const Event& event);
/// The same, with the event's own `tags`. Cost: at worst that of reading the filter's values and
/// the event's once.
[[nodiscard]] bool Matches(const Filter& filter, const Event& event, const TagValues& tags);
[[nodiscard]] bool MatchesAny(const std::vector<Filter>& filters, const Event& event);

}  // namespace graspd::nostr
