#include "bench/load/report.h"

#include <fmt/format.h>

#include "nostr/json_writer.h"

namespace graspd::bench {
namespace {

std::string Quoted(std::string_view text) {
  std::string out;
  nostr::AppendJsonString(out, text);
  return out;
}

// Four decimals at most: no figure here is better than that.
std::string Number(double value) {
  std::string out = fmt::format("{:.4f}", value);
  out.erase(out.find_last_not_of('0') + 1);
  if (out.ends_with('.')) out.pop_back();
  return out;
}

}  // namespace

Report::Report(const Options& options) : mode_(ModeName(options.mode)), url_(options.url) {}

void Report::SetRelay(std::string_view name, std::string_view software, std::string_view version) {
  relay_ = {{"name", Quoted(name)}, {"software", Quoted(software)}, {"version", Quoted(version)}};
}
void Report::SetError(std::string_view message) { error_ = message; }

void Report::Parameter(std::string_view name, uint64_t value) {
  parameters_.emplace_back(name, std::to_string(value));
}
void Report::Parameter(std::string_view name, double value) {
  parameters_.emplace_back(name, Number(value));
}
void Report::Parameter(std::string_view name, std::string_view value) {
  parameters_.emplace_back(name, Quoted(value));
}
void Report::Result(std::string_view name, uint64_t value) {
  results_.emplace_back(name, std::to_string(value));
}
void Report::Result(std::string_view name, double value) {
  results_.emplace_back(name, Number(value));
}

void Report::Result(std::string_view prefix, const Latencies& latencies) {
  Result(fmt::format("{}_p50_ms", prefix), latencies.QuantileMs(0.5));
  Result(fmt::format("{}_p99_ms", prefix), latencies.QuantileMs(0.99));
  Result(fmt::format("{}_max_ms", prefix), latencies.QuantileMs(1));
}

void Report::Result(std::string_view prefix, const Cost& cost) {
  const auto add = [&](std::string_view name, auto value) {
    Result(fmt::format("{}{}", prefix, name), value);
  };
  add("wall_s", cost.wall_s);
  add("client_cpu_s", cost.client_cpu_s);
  if (!cost.relay) return;
  add("relay_cpu_s", cost.relay->cpu_s());
  add("relay_user_s", cost.relay->user_s);
  add("relay_system_s", cost.relay->system_s);
  add("relay_rss_before_kib", cost.relay->before.rss_kib);
  add("relay_rss_after_kib", cost.relay->after.rss_kib);
  add("relay_rss_peak_kib", cost.relay->after.peak_kib);
  add("relay_anonymous_before_kib", cost.relay->before.anonymous_kib);
  add("relay_anonymous_after_kib", cost.relay->after.anonymous_kib);
}

std::string Report::FieldsJson(const Fields& fields) {
  std::string out = "{";
  for (const auto& [name, value] : fields) {
    out += fmt::format("{}{}:{}", out.size() > 1 ? "," : "", Quoted(name), value);
  }
  return out + "}";
}

std::string Report::Json() const {
  Fields all = {{"mode", Quoted(mode_)},
                {"url", Quoted(url_)},
                {"relay", FieldsJson(relay_)},
                {"parameters", FieldsJson(parameters_)},
                {"results", FieldsJson(results_)}};
  if (!error_.empty()) all.emplace_back("error", Quoted(error_));
  return FieldsJson(all);
}

std::string Report::Summary() const {
  std::string out = fmt::format("{} {}", mode_, url_);
  for (const auto* fields : {&relay_, &parameters_}) {
    for (const auto& [name, value] : *fields) out += fmt::format(", {} {}", name, value);
  }
  out += "\n";
  for (const auto& [name, value] : results_) out += fmt::format("  {:<40}{:>16}\n", name, value);
  return out;
}

}  // namespace graspd::bench
