// A longer way to a remote.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "absl/status/statusor.h"
#include "base/clock.h"

namespace graspd::bench {

/// Bytes on their way: each comes out `delay` after it went in, in order, however many there are.
/// Thread-compatible.
class DelayQueue {
 public:
  static constexpr size_t kMaxBytes = 64u << 20;

  explicit DelayQueue(base::Duration delay) : delay_(delay) {}
  void Push(base::SteadyTime now, std::string_view bytes);
  /// What has arrived and was not yet popped, from the first on; empty if nothing has.
  [[nodiscard]] std::string_view Arrived(base::SteadyTime now) const;
  /// Takes `bytes` of Arrived() away.
  void Pop(size_t bytes);
  /// When Arrived() gives something; nullopt while nothing is under way.
  [[nodiscard]] std::optional<base::SteadyTime> NextArrival() const;
  [[nodiscard]] bool empty() const { return pieces_.empty(); }
  /// Nothing more should be pushed for now.
  [[nodiscard]] bool full() const { return bytes_ >= kMaxBytes; }

 private:
  struct Piece {
    base::SteadyTime arrives;
    std::string bytes;
  };
  const base::Duration delay_;
  std::deque<Piece> pieces_;
  size_t popped_ = 0;  // of the first piece
  size_t bytes_ = 0;
};

/// Carries TCP connections from a port of its own on 127.0.0.1 to another, each direction delayed.
/// Establishing a connection takes no longer than without it, its first bytes do. At most 64
/// connections at a time. A thread of its own does all; cuts what is left when it goes.
class DelayLine {
 public:
  static absl::StatusOr<std::unique_ptr<DelayLine>> Start(uint16_t to_port, base::Duration delay,
                                                          const base::Clock& clock);
  ~DelayLine();
  DelayLine(const DelayLine&) = delete;
  DelayLine& operator=(const DelayLine&) = delete;
  [[nodiscard]] uint16_t port() const { return port_; }

 private:
  DelayLine(int listener, int wake, uint16_t port);

  const int listener_, wake_;
  const uint16_t port_;
  std::thread thread_;
};

}  // namespace graspd::bench
