#include "services/relay/overload_ladder.h"

#include <algorithm>
#include <array>

namespace graspd::relay {
namespace {

constexpr std::array<double, 3> kBegins = {0.80, 0.90, 0.95};  // of the levels above kNone
constexpr double kEndsBelow = 0.05;

double Filled(const OverloadLadder::Resource& resource) {
  if (resource.budget == 0) return 0;
  return static_cast<double>(resource.used) / static_cast<double>(resource.budget);
}

/// The highest level that begins at or below `filled`.
OverloadLevel Reached(double filled) {
  const auto above = std::upper_bound(kBegins.begin(), kBegins.end(), filled);
  return static_cast<OverloadLevel>(above - kBegins.begin());
}

}  // namespace

std::string_view OverloadLevelName(OverloadLevel level) {
  switch (level) {
    case OverloadLevel::kNone:
      return "none";
    case OverloadLevel::kReads:
      return "reads";
    case OverloadLevel::kConnections:
      return "connections";
    case OverloadLevel::kQueues:
      return "queues";
  }
  return "";
}

OverloadLevel OverloadLadder::Update(const Load& load) {
  const double filled = std::max(Filled(load.memory), Filled(load.outbound));
  const OverloadLevel begun = Reached(filled), not_ended = Reached(filled + kEndsBelow);
  level_ = std::clamp(level_, begun, not_ended);
  return level_;
}

}  // namespace graspd::relay
