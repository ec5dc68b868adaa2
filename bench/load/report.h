#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/load/latencies.h"
#include "bench/load/options.h"
#include "bench/load/process_stats.h"

namespace graspd::bench {

/// All that a run has to say: figures with their names, in order. The same figures become a JSON
/// object for programs and a summary for people. Names carry their unit. Thread-compatible.
class Report {
 public:
  explicit Report(const Options& options);

  /// Who answers under the URL (NIP-11); empty = it does not say.
  void SetRelay(std::string_view name, std::string_view software, std::string_view version);
  /// Why the run failed.
  void SetError(std::string_view message);

  void Parameter(std::string_view name, uint64_t value);
  void Parameter(std::string_view name, double value);
  void Parameter(std::string_view name, std::string_view value);
  void Result(std::string_view name, uint64_t value);
  void Result(std::string_view name, double value);
  /// Count, p50, p99 and maximum in milliseconds, as `prefix`_p50_ms and so on.
  void Result(std::string_view prefix, const Latencies& latencies);
  /// Time, CPU and memory; `prefix` ends with its separator or is empty.
  void Result(std::string_view prefix, const Cost& cost);

  /// One object: mode, url, relay, parameters, results, and error if there is one.
  [[nodiscard]] std::string Json() const;
  /// Lines for people.
  [[nodiscard]] std::string Summary() const;

 private:
  using Fields = std::vector<std::pair<std::string, std::string>>;  // name, value as JSON
  static std::string FieldsJson(const Fields& fields);

  std::string mode_, url_, error_;
  Fields relay_, parameters_, results_;
};

}  // namespace graspd::bench
