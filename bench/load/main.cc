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
    case Mode::kCatchup:
      return RunCatchup(run);
    case Mode::kDiscovery:
      return RunDiscovery(run);
  }
  return absl::InternalError("no such mode");
}

absl::Status Measure(const Options& options, const RelayAddress& relay, Report& report) {
  const auto& clock = base::SystemClock::Instance();
  Progress progress(clock);
  const Run run{options, relay, clock, progress, report};
  // Signing takes a while: look first whether anybody is there.
  GRASPD_RETURN_IF_ERROR(run.Connect(1).status());
  const auto identity = AskIdentity(relay);
  report.SetRelay(identity.name, identity.software, identity.version);
  const absl::Status status = RunMode(run);
  progress.Clear();
  return status;
}

int BadArguments(const absl::Status& status) {
  fmt::print(stderr, "graspd-bench: {}\nTry graspd-bench --help.\n", std::string(status.message()));
  return 2;
}

int Main(const std::vector<std::string>& arguments) {
  if (!arguments.empty() && (arguments[0] == "--help" || arguments[0] == "help")) {
    fmt::print("{}", GeneralHelp());
    return 0;
  }
  const auto options = ParseOptions(arguments);
  if (!options.ok()) return BadArguments(options.status());
  if (options->help) {
    fmt::print("{}", ModeHelp(options->mode));
    return 0;
  }
  const auto relay = ResolveRelay(options->url);
  if (!relay.ok()) return BadArguments(relay.status());
  Report report(*options);
  const absl::Status status = Measure(*options, *relay, report);
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
