// Events in, OKs out.

#include <fmt/format.h>

#include "base/status_macros.h"
#include "bench/load/baselines.h"
#include "bench/load/publisher.h"
#include "bench/load/run.h"

namespace graspd::bench {
namespace {

constexpr size_t kVerifySample = 20'000;

void ReportOutcome(const PublishOutcome& outcome, const Cost& cost, Report& report) {
  const auto answered = static_cast<double>(outcome.accepted + outcome.refused);
  report.Result("ok_true", outcome.accepted);
  report.Result("ok_false", outcome.refused);
  report.Result("duplicates", outcome.duplicates);
  report.Result("events_per_s", answered / cost.wall_s);
  report.Result("ok", outcome.ok);
  report.Result("", cost);
  report.Result("client_us_per_event", cost.client_cpu_s / answered * 1e6);
  if (cost.relay) report.Result("relay_us_per_event", cost.relay->cpu_s() / answered * 1e6);
}

absl::Status Judge(const PublishOutcome& outcome) {
  if (outcome.refused > 0) {
    return absl::AbortedError(
        fmt::format("{} events were refused: {}", outcome.refused, outcome.first_refusal));
  }
  if (outcome.duplicates > 0) {
    return absl::AbortedError(
        fmt::format("the relay had {} of the events already: see --first", outcome.duplicates));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status RunIngest(const Run& run) {
  const Options& options = run.options;
  const EventMaker maker(options.seed, options.now);
  GRASPD_ASSIGN_OR_RETURN(const auto events, run.Events(maker));
  run.report.Parameter("connections", options.connections);
  run.report.Parameter("in_flight", options.in_flight);
  double verify_s = 0;
  if (options.verify_baseline) {
    GRASPD_ASSIGN_OR_RETURN(verify_s, VerifySecondsPerEvent(events, kVerifySample));
  }

  GRASPD_ASSIGN_OR_RETURN(const auto client, run.Connect(options.connections));
  GRASPD_ASSIGN_OR_RETURN(const auto meter, run.Measure());
  GRASPD_ASSIGN_OR_RETURN(const auto outcome,
                          Publish(*client, events, options.in_flight, run.progress));
  GRASPD_ASSIGN_OR_RETURN(const auto cost, meter.End());
  ReportOutcome(outcome, cost, run.report);

  if (options.verify_baseline) {
    GRASPD_ASSIGN_OR_RETURN(const double after, VerifySecondsPerEvent(events, kVerifySample));
    run.report.Result("verify_us_before", verify_s * 1e6);
    run.report.Result("verify_us_after", after * 1e6);
    verify_s = (verify_s + after) / 2;
    if (cost.relay) {
      run.report.Result("relay_cpu_to_verification",
                        cost.relay->cpu_s() / static_cast<double>(events.size()) / verify_s);
    }
  }
  return Judge(outcome);
}

}  // namespace graspd::bench
