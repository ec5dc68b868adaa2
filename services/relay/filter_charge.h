#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "nostr/filter.h"

namespace graspd::relay {

/// About how many bytes these filters take while they are kept, the index of live subscriptions
/// included.
[[nodiscard]] size_t MemoryOf(const std::vector<nostr::Filter>& filters);

/// The memory of somebody's filters, part of a total for as long as this lives. Threading: made,
/// moved and destroyed on any thread. Lifetime: the total outlives it.
class FilterCharge {
 public:
  /// Nothing if the total would pass `limit`.
  [[nodiscard]] static std::optional<FilterCharge> Take(std::atomic<int64_t>& total, size_t limit,
                                                        size_t bytes);
  FilterCharge(FilterCharge&& other) noexcept
      : total_(other.total_), bytes_(std::exchange(other.bytes_, 0)) {}
  FilterCharge& operator=(FilterCharge&&) = delete;
  ~FilterCharge() { *total_ -= bytes_; }

  [[nodiscard]] size_t bytes() const { return static_cast<size_t>(bytes_); }

 private:
  FilterCharge(std::atomic<int64_t>& total, int64_t bytes) : total_(&total), bytes_(bytes) {}

  std::atomic<int64_t>* total_;
  int64_t bytes_;
};

}  // namespace graspd::relay
