#include "base/clock.h"

namespace graspd::base {

SystemClock& SystemClock::Instance() {
  static SystemClock clock;
  return clock;
}

SteadyTime SystemClock::Now() const { return std::chrono::steady_clock::now(); }

uint64_t SystemClock::UnixMicros() const {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                   std::chrono::system_clock::now().time_since_epoch())
                                   .count());
}

}  // namespace graspd::base
