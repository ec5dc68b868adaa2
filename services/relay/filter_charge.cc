#include "services/relay/filter_charge.h"

namespace graspd::relay {
namespace {

// A value in its list, and as a key of the index with the list behind it.
constexpr size_t kPerValue = 160;

}  // namespace

size_t MemoryOf(const std::vector<nostr::Filter>& filters) {
  size_t bytes = 0;
  for (const nostr::Filter& filter : filters) {
    bytes += sizeof(nostr::Filter) + kPerValue * (1 + filter.ValueCount());
    for (const auto& [letter, values] : filter.tags) {
      for (const std::string& value : values) bytes += 2 * value.size();
    }
  }
  return bytes;
}

std::optional<FilterCharge> FilterCharge::Take(const Total& total, size_t limit, size_t bytes) {
  const auto more = static_cast<int64_t>(bytes);
  FilterCharge charge(total, more);
  if (total->fetch_add(more) + more > static_cast<int64_t>(limit)) return std::nullopt;
  return charge;
}

}  // namespace graspd::relay
