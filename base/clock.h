// Time, as a value that callers pass around and tests control.
//
// Two times exist and are never mixed: SteadyTime for deadlines and intervals (never steps back),
// UnixSeconds for what Nostr events carry. Only this folder reads the machine's clocks;
// tools/lint.py refuses std::chrono::system_clock and steady_clock::now() anywhere else.
#pragma once

#include <chrono>
#include <cstdint>

namespace graspd::base {

using SteadyTime = std::chrono::steady_clock::time_point;
using Duration = std::chrono::steady_clock::duration;

/// Seconds since 1970-01-01 UTC, the unit of `created_at` (NIP-01).
using UnixSeconds = uint64_t;

/// Source of both times. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual SteadyTime Now() const = 0;
  /// Microseconds since 1970-01-01 UTC.
  [[nodiscard]] virtual uint64_t UnixMicros() const = 0;
  [[nodiscard]] UnixSeconds UnixNow() const { return UnixMicros() / 1'000'000; }
};

/// The machine's clocks. One process-wide instance.
class SystemClock final : public Clock {
 public:
  static SystemClock& Instance();
  SteadyTime Now() const override;
  uint64_t UnixMicros() const override;
};

}  // namespace graspd::base
