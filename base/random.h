#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <string>

namespace graspd::base {

/// Source of random bits, so that tests and simulations can repeat a run from its seed.
class Random {
 public:
  virtual ~Random() = default;
  [[nodiscard]] virtual uint64_t Next() = 0;
  /// Uniform in [0, bound). Requires bound > 0. The bias of the modulo is below 2^-32 for the small
  /// bounds (jitter, shuffles) this is meant for.
  [[nodiscard]] uint64_t Below(uint64_t bound) { return Next() % bound; }
};

/// The kernel's generator: for secrets and nonces as well as for jitter. Thread-safe.
class SystemRandom final : public Random {
 public:
  static SystemRandom& Instance();
  uint64_t Next() override;
  /// Fills `out` with unpredictable bytes; aborts if the kernel has none to give.
  static void Fill(std::span<uint8_t> out);
  /// `bytes` random bytes as lower-case hex.
  static std::string HexToken(size_t bytes);
};

/// Repeatable sequence for tests and benchmarks. Thread-compatible.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(uint64_t seed) : engine_(seed) {}
  uint64_t Next() override { return engine_(); }

 private:
  std::mt19937_64 engine_;
};

}  // namespace graspd::base
