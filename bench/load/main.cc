// graspd-bench: measures a relay from outside. See options.h, or graspd-bench --help.

#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <vector>

#include "base/status_macros.h"
#include "bench/load/options.h"
#include "bench/load/run.h"

namespace graspd::bench {
namespace {

absl::Status RunMode(const Run& run) {
  switch (run.options.mode) {
    case Mode::kIngest:
      return RunIngest(run);
    case Mode::kReq:
      return RunReq(run);
    case Mode::kFanout:
      return RunFanout(run);
    case Mode::kIdle:
      return RunIdle(run);
    case Mode::kNegentropy:
      return RunNegentropy(run);
  }
  return absl::InternalError("no such mode");
}

absl::Status Measure(const Options& options, Report& report) {
  const auto& clock = base::SystemClock::Instance();
  GRASPD_ASSIGN_OR_RETURN(const auto relay, ResolveRelay(options.url));
  const auto identity = AskIdentity(relay);
  report.SetRelay(identity.software, identity.version);
  Progress progress(clock);
  const absl::Status status = RunMode({options, relay, clock, progress, report});
  progress.Clear();
  return status;
}

int Main(const std::vector<std::string>& arguments) {
  if (!arguments.empty() && (arguments[0] == "--help" || arguments[0] == "help")) {
    fmt::print("{}", GeneralHelp());
    return 0;
  }
  const auto options = ParseOptions(arguments);
  if (!options.ok()) {
    fmt::print(stderr, "graspd-bench: {}\nTry graspd-bench --help.\n",
               std::string(options.status().message()));
    return 2;
  }
  if (options->help) {
    fmt::print("{}", ModeHelp(options->mode));
    return 0;
  }
  Report report(*options);
  const absl::Status status = Measure(*options, report);
  if (!status.ok()) report.SetError(std::string(status.message()));
  fmt::print(stderr, "{}", report.Summary());
  fmt::print("{}\n", report.Json());
  if (status.ok()) return 0;
  fmt::print(stderr, "graspd-bench: {}\n", std::string(status.message()));
  return 1;
}

}  // namespace
}  // namespace graspd::bench

int main(int argc, char** argv) { return graspd::bench::Main({argv + 1, argv + argc}); }
