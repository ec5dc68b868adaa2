#include "bench/load/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

namespace graspd::bench {
namespace {
constexpr auto kInterval = std::chrono::milliseconds(200);
constexpr size_t kCallsPerLook = 64;  // at the clock
}  // namespace

Progress::Progress(const base::Clock& clock)
    : clock_(clock), on_terminal_(isatty(STDERR_FILENO) == 1), next_(clock.Now()) {}

void Progress::Show(std::string_view what, size_t done) {
  if (!on_terminal_ || ++calls_ % kCallsPerLook != 0 || clock_.Now() < next_) return;
  next_ = clock_.Now() + kInterval;
  fmt::print(stderr, "\r\033[K{} {}", done, what);
}

void Progress::Clear() {
  if (on_terminal_) fmt::print(stderr, "\r\033[K");
}

}  // namespace graspd::bench
