#pragma once

#include <cstddef>
#include <string_view>

#include "base/clock.h"

namespace graspd::bench {

/// One line on standard error that says how far a run is, if that is a terminal. Thread-compatible.
class Progress {
 public:
  explicit Progress(const base::Clock& clock);
  /// "1234 events sent"; cheap enough to call for every event.
  void Show(std::string_view what, size_t done);
  /// Takes the line away.
  void Clear();

 private:
  const base::Clock& clock_;
  const bool on_terminal_;
  size_t calls_ = 0;
  base::SteadyTime next_;
};

}  // namespace graspd::bench
