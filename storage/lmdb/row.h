// How an event is stored: the fixed fields in binary, tags and content as the bytes of the
// canonical JSON. The JSON that is served is put together from both and is the same to the last
// byte, at 60 % of its size; most conditions of a filter are checked without parsing anything.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "nostr/event.h"
#include "nostr/filter.h"
#include "storage/event_store.h"

namespace graspd::storage {

/// The bytes to store. kInvalidArgument if the record's JSON is not that of its event.
absl::StatusOr<std::string> EncodeRow(const nostr::EventRecord& record, Source source);

/// A stored event. Views point into the bytes it was decoded from.
struct RowView {
  nostr::EventId id;
  nostr::PublicKey author;
  uint64_t created_at = 0;
  nostr::Kind kind = 0;
  Source source = Source::kDirect;
  std::optional<uint64_t> expiration;
  std::string_view signature;  // 64 bytes
  std::string_view body;       // "tags":[...],"content":"..."

  static std::optional<RowView> Decode(std::string_view bytes);
  /// The canonical JSON.
  [[nodiscard]] std::string Json() const;
  /// The JSON text of the tags, from `[` on, without the last `]`.
  [[nodiscard]] std::string_view TagsText() const;
};

/// The conditions of a filter on ids, authors, kinds and tags, prepared for rows. Equivalent to
/// nostr::Matches without since and until.
///
/// Tags are compared in their escaped form: canonical JSON has one form for each string, and the
/// text
/// `["e","` cannot occur inside a string, where quotes are escaped.
class RowMatcher {
 public:
  /// Keeps a pointer to `filter`.
  explicit RowMatcher(const nostr::Filter& filter);
  [[nodiscard]] bool Matches(const RowView& row) const;

 private:
  struct TagCondition {
    std::string opening;              // ["e","
    std::vector<std::string> values;  // escaped, sorted
    [[nodiscard]] bool Matches(std::string_view tags) const;
  };
  const nostr::Filter* filter_;
  std::vector<TagCondition> tags_;
};

}  // namespace graspd::storage
