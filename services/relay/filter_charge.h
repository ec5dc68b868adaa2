#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "nostr/filter.h"

namespace graspd::relay {

/// About how many bytes these filters take while they are kept, the index of live subscriptions
/// included.
[[nodiscard]] size_t MemoryOf(const std::vector<nostr::Filter>& filters);

/// The memory of somebody's filters, or of a message that waits with them, part of a total for as
/// long as this lives: in a task, longer than the relay that made it. Threading: made, moved and
/// destroyed on any thread.
class FilterCharge {
 public:
  using Total = std::shared_ptr<std::atomic<int64_t>>;
  /// Nothing if the total would pass `limit`.
  [[nodiscard]] static std::optional<FilterCharge> Take(const Total& total, size_t limit,
                                                        size_t bytes);
  FilterCharge(FilterCharge&& other) noexcept
      : total_(std::move(other.total_)), bytes_(other.bytes_) {}
  FilterCharge& operator=(FilterCharge&&) = delete;
  ~FilterCharge() {
    if (total_) *total_ -= bytes_;
  }

  [[nodiscard]] size_t bytes() const { return static_cast<size_t>(bytes_); }

 private:
  FilterCharge(Total total, int64_t bytes) : total_(std::move(total)), bytes_(bytes) {}

  Total total_;
  int64_t bytes_;
};

}  // namespace graspd::relay
