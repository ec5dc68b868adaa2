#pragma once

#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"

namespace graspd::ops {

/// What Prometheus expects of every process, under its standard names, and graspd_build_info: start
/// time, CPU seconds, resident memory, open and permitted file descriptors. Read from the kernel at
/// each scrape; what cannot be read is 0. Lifetime: until destroyed, within that of `metrics`.
class ProcessMetrics {
 public:
  /// The present time of `clock` becomes the start time: make it early in main().
  ProcessMetrics(base::Metrics& metrics, const base::Clock& clock);

 private:
  std::vector<std::unique_ptr<base::Metrics::SampledGauge>> samples_;
};

}  // namespace graspd::ops
