#pragma once

#include <cstdint>
#include <optional>

namespace graspd::storage {

/// Says once when a space of fixed size has passed a mark on its way to full, and again only after
/// it was below that mark. Threading: thread-compatible.
class FillWatch {
 public:
  static constexpr uint64_t kMarks[] = {80, 95};  // per cent

  /// The mark that was passed since the last call.
  std::optional<uint64_t> Passed(uint64_t used, uint64_t capacity) {
    uint64_t mark = 0;
    for (const uint64_t m : kMarks) {
      if (static_cast<double>(used) >=
          static_cast<double>(capacity) * static_cast<double>(m) / 100) {
        mark = m;
      }
    }
    const bool higher = mark > mark_;
    mark_ = mark;
    return higher ? std::optional(mark) : std::nullopt;
  }

 private:
  uint64_t mark_ = 0;  // that the space was beyond last time; 0 = none
};

}  // namespace graspd::storage
