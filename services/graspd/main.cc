// graspd: reads its settings, runs until told to stop.

#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

#include "base/log.h"
#include "services/graspd/daemon.h"
#include "services/graspd/settings.h"

namespace graspd::daemon {
namespace {

constexpr int kUsageError = 2;

// Signals are taken by sigwait in main's thread; every other thread inherits the mask.
sigset_t BlockSignals() {
  std::signal(SIGPIPE, SIG_IGN);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  return set;
}

std::string WaitForSignal(const sigset_t& set) {
  int signal = 0;
  sigwait(&set, &signal);
  return signal == SIGINT ? "SIGINT" : "SIGTERM";
}

int Serve(const Settings& settings) {
  const base::LogFormat by_terminal =
      isatty(STDERR_FILENO) ? base::LogFormat::kText : base::LogFormat::kJson;
  base::ConfigureLog(settings.log_level, settings.log_format.value_or(by_terminal));
  const sigset_t signals = BlockSignals();

  auto daemon = Daemon::Start(settings);
  if (!daemon.ok()) {
    base::LogError("graspd", "cannot start", {{"error", daemon.status()}});
    return 1;
  }
  // On standard output, so that scripts find the ports without parsing the log.
  std::printf("%s\n", (*daemon)->ReadyLine().c_str());
  std::fflush(stdout);

  base::LogInfo("graspd", "draining", {{"signal", WaitForSignal(signals)}});
  // A second signal ends us at once; what was acknowledged is durable all the same.
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
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
  return Serve(invocation->settings);
}

}  // namespace
}  // namespace graspd::daemon

int main(int argc, char** argv) { return graspd::daemon::Main(argc, argv); }
