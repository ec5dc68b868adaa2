#include "bench/load/latencies.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <ratio>

namespace graspd::bench {
namespace {
using Unit = std::chrono::duration<int64_t, std::ratio<1, 10'000'000>>;
constexpr double kUnitsPerMs = 10'000;
}  // namespace

void Latencies::Add(base::Duration duration) {
  const int64_t units = std::chrono::duration_cast<Unit>(duration).count();
  samples_.push_back(
      static_cast<uint32_t>(std::clamp<int64_t>(units, 0, std::numeric_limits<uint32_t>::max())));
}

double Latencies::QuantileMs(double share) const {
  if (samples_.empty()) return 0;
  const auto wanted = static_cast<size_t>(std::ceil(share * static_cast<double>(size())));
  const auto at =
      samples_.begin() + static_cast<ptrdiff_t>(std::clamp<size_t>(wanted, 1, size()) - 1);
  std::nth_element(samples_.begin(), at, samples_.end());
  return *at / kUnitsPerMs;
}

}  // namespace graspd::bench
