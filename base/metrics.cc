#include "base/metrics.h"

#include <prometheus/text_serializer.h>

#include <utility>

namespace graspd::base {

Metrics::Metrics() = default;
Metrics::~Metrics() = default;

prometheus::Counter& Metrics::MakeCounter(const std::string& name, const std::string& help,
                                          const Labels& labels) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry_).Add(labels);
}

prometheus::Gauge& Metrics::MakeGauge(const std::string& name, const std::string& help,
                                      const Labels& labels) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry_).Add(labels);
}

prometheus::Histogram& Metrics::MakeHistogram(const std::string& name, const std::string& help,
                                              const std::vector<double>& buckets,
                                              const Labels& labels) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(registry_).Add(labels,
                                                                                    buckets);
}

std::unique_ptr<Metrics::SampledGauge> Metrics::Sample(const std::string& name,
                                                       const std::string& help,
                                                       std::function<double()> read,
                                                       const Labels& labels) {
  return Register({prometheus::MetricType::Gauge, name, help, labels, std::move(read)});
}

std::unique_ptr<Metrics::SampledGauge> Metrics::SampleCounter(const std::string& name,
                                                              const std::string& help,
                                                              std::function<double()> read,
                                                              const Labels& labels) {
  return Register({prometheus::MetricType::Counter, name, help, labels, std::move(read)});
}

std::unique_ptr<Metrics::SampledGauge> Metrics::Register(Sampler sampler) {
  MutexLock lock(mutex_);
  const uint64_t key = next_sampler_++;
  samplers_.emplace(key, std::move(sampler));
  return std::make_unique<SampledGauge>(*this, key);
}

Metrics::SampledGauge::~SampledGauge() {
  MutexLock lock(metrics_.mutex_);
  metrics_.samplers_.erase(key_);
}

std::vector<prometheus::MetricFamily> Metrics::CollectSamples() const {
  std::map<std::string, prometheus::MetricFamily> families;
  MutexLock lock(mutex_);
  for (const auto& [key, sampler] : samplers_) {
    auto& family = families[sampler.name];
    family.name = sampler.name;
    family.help = sampler.help;
    family.type = sampler.type;
    prometheus::ClientMetric metric;
    (sampler.type == prometheus::MetricType::Counter ? metric.counter.value : metric.gauge.value) =
        sampler.read();
    for (const auto& [name, value] : sampler.labels) metric.label.push_back({name, value});
    family.metric.push_back(std::move(metric));
  }
  std::vector<prometheus::MetricFamily> out;
  for (auto& [name, family] : families) out.push_back(std::move(family));
  return out;
}

std::string Metrics::Serialize() const {
  auto families = registry_.Collect();
  for (auto& family : CollectSamples()) families.push_back(std::move(family));
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace graspd::base
