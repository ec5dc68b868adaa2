// What a remote played by this tool holds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "nostr/filter.h"
#include "nostr/negentropy/item.h"

namespace graspd::bench {

/// Events in memory, indexed by id, tag and kind, so that answering costs little beside what the
/// relay under test does with the answer. As large as what is added. Thread-compatible.
class RemoteSet {
 public:
  /// `json` outlives the set. Errors: those of nostr::ParseEvent.
  absl::Status Add(std::string_view json);

  [[nodiscard]] size_t size() const { return rows_.size(); }
  [[nodiscard]] std::string_view json(size_t row) const { return rows_[row].json; }
  [[nodiscard]] const negentropy::Item& item(size_t row) const { return rows_[row].item; }
  /// Rows that match, newest first, at most `filter.limit`.
  [[nodiscard]] std::vector<uint32_t> Select(const nostr::Filter& filter) const;

 private:
  using Rows = std::vector<uint32_t>;
  struct Row {
    std::string_view json;
    negentropy::Item item;
    nostr::Kind kind;
  };
  [[nodiscard]] bool Selects(const nostr::Filter& filter, const Row& row) const;
  // A few of which all that match are among.
  [[nodiscard]] Rows Candidates(const nostr::Filter& filter) const;

  std::vector<Row> rows_;
  absl::flat_hash_map<std::string, uint32_t> by_id_;  // 32 bytes
  absl::flat_hash_map<std::string, Rows> by_tag_;     // letter and value
  absl::flat_hash_map<nostr::Kind, Rows> by_kind_;
};

}  // namespace graspd::bench
