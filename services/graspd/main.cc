// graspd: reads its settings, does what the command line says.

#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

#include "base/log.h"
#include "services/graspd/commands.h"
#include "services/graspd/daemon.h"
#include "services/graspd/settings.h"
#include "services/graspd/signals.h"

namespace graspd::daemon {
namespace {

constexpr int kUsageError = 2;

int Serve(const Settings& settings, Signals& signals) {
  const base::LogFormat by_terminal =
      isatty(STDERR_FILENO) ? base::LogFormat::kText : base::LogFormat::kJson;
  base::ConfigureLog(settings.log_level, settings.log_format.value_or(by_terminal));

  auto daemon = Daemon::Start(settings, [&] { return signals.Pending(); });
  if (absl::IsCancelled(daemon.status()) && signals.Pending()) {
    base::LogInfo("graspd", "stopped before it was ready", {{"why", daemon.status()}});
    return 0;
  }
  if (!daemon.ok()) {
    base::LogError("graspd", "cannot start", {{"error", daemon.status()}});
    return 1;
  }
  // On standard output, so that scripts find the ports without parsing the log.
  std::printf("%s\n", (*daemon)->ReadyLine().c_str());
  std::fflush(stdout);

  const bool interrupted = signals.Wait() == SIGINT;
  base::LogInfo("graspd", "draining", {{"signal", interrupted ? "SIGINT" : "SIGTERM"}});
  // A second signal ends us at once; what was acknowledged is durable all the same.
  signals.Release();
  (*daemon)->Drain();
  base::LogInfo("graspd", "stopped");
  return 0;
}

int Main(int argc, char** argv) {
  const auto invocation =
      ParseInvocation(std::vector<std::string>(argv + 1, argv + argc), EnvironmentStrings(environ));
  if (!invocation.ok()) {
    std::fprintf(stderr, "%s\n", std::string(invocation.status().message()).c_str());
    return kUsageError;
  }
  if (const auto output = CommandOutput(*invocation)) {
    std::fputs(output->c_str(), stdout);
    return 0;
  }
  Signals signals;
  if (invocation->command == Command::kExport) return RunExport(*invocation, signals);
  if (invocation->command == Command::kImport) return RunImport(*invocation, signals);
  return Serve(invocation->settings, signals);
}

}  // namespace
}  // namespace graspd::daemon

int main(int argc, char** argv) { return graspd::daemon::Main(argc, argv); }
