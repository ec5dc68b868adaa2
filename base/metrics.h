// The process's metrics (prometheus-cpp), with gauges that are read at scrape time.
//
// Names: `graspd_` prefix, base units, `_total` for counters. Labels only from closed sets, never a
// pubkey, an address or anything else a stranger chooses (docs/architecture.md, section 7).
#pragma once

#include <prometheus/collectable.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"

namespace graspd::base {

/// Owner of every metric. Thread-safe. Lifetime: outlives all users; one per process or per test.
class Metrics {
 public:
  using Labels = std::map<std::string, std::string>;

  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  /// The counter (gauge, histogram) of that name and those labels, made on first use and valid as
  /// long as this object. Calling again gives the same one.
  prometheus::Counter& MakeCounter(const std::string& name, const std::string& help,
                                   const Labels& labels = {});
  prometheus::Gauge& MakeGauge(const std::string& name, const std::string& help,
                               const Labels& labels = {});
  /// `buckets`: upper bounds in the metric's unit, ascending, without +Inf.
  prometheus::Histogram& MakeHistogram(const std::string& name, const std::string& help,
                                       const std::vector<double>& buckets,
                                       const Labels& labels = {});

  /// A gauge computed at each scrape by `read`, on the scraping thread, until the returned handle
  /// is destroyed. `read` must be thread-safe and quick.
  class SampledGauge;
  [[nodiscard]] std::unique_ptr<SampledGauge> Sample(const std::string& name,
                                                     const std::string& help,
                                                     std::function<double()> read,
                                                     const Labels& labels = {});
  /// The same for a value that never falls while the process lives.
  [[nodiscard]] std::unique_ptr<SampledGauge> SampleCounter(const std::string& name,
                                                            const std::string& help,
                                                            std::function<double()> read,
                                                            const Labels& labels = {});

  /// Everything, in the Prometheus text format 0.0.4.
  [[nodiscard]] std::string Serialize() const;

 private:
  struct Sampler {
    prometheus::MetricType type;
    std::string name, help;
    Labels labels;
    std::function<double()> read;
  };
  std::unique_ptr<SampledGauge> Register(Sampler sampler);
  std::vector<prometheus::MetricFamily> CollectSamples() const;

  prometheus::Registry registry_;
  mutable Mutex mutex_;
  std::map<uint64_t, Sampler> samplers_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_sampler_ ABSL_GUARDED_BY(mutex_) = 0;
};

/// Unregisters its gauge when destroyed.
class Metrics::SampledGauge {
 public:
  SampledGauge(Metrics& metrics, uint64_t key) : metrics_(metrics), key_(key) {}
  ~SampledGauge();
  SampledGauge(const SampledGauge&) = delete;
  SampledGauge& operator=(const SampledGauge&) = delete;

 private:
  Metrics& metrics_;
  uint64_t key_;
};

}  // namespace graspd::base
