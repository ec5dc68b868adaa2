#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/clock.h"

namespace graspd::bench {

/// Makes loopback as far away as another continent: accepts TCP connections for `target` and hands
/// on what comes, either way, in order and `delay` later. Bandwidth is not limited, and neither are
/// the bytes on their way: those of `delay`. A thread of its own; the destructor ends it and all
/// connections.
class DelayLine {
 public:
  /// `target` is "127.0.0.1:port". Errors: kUnavailable if it cannot listen.
  static absl::StatusOr<std::unique_ptr<DelayLine>> Start(const std::string& target,
                                                          base::Duration delay);
  ~DelayLine();
  DelayLine(const DelayLine&) = delete;
  DelayLine& operator=(const DelayLine&) = delete;

  /// "127.0.0.1:port" to connect to.
  [[nodiscard]] const std::string& address() const;

 private:
  struct Impl;
  explicit DelayLine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace graspd::bench
