#include "services/graspd/signals.h"

#include <pthread.h>

#include <ctime>

namespace graspd::daemon {
namespace {

constexpr int kWake = SIGUSR1;

}  // namespace

Signals::Signals() : main_(pthread_self()) {
  std::signal(SIGPIPE, SIG_IGN);
  sigemptyset(&set_);
  for (const int signal : {SIGINT, SIGTERM, kWake}) sigaddset(&set_, signal);
  pthread_sigmask(SIG_BLOCK, &set_, nullptr);
}

std::optional<int> Signals::Wait(std::optional<base::Duration> timeout) {
  int signal = 0;
  if (timeout) {
    const auto nanos = std::chrono::duration_cast<std::chrono::nanoseconds>(*timeout).count();
    const timespec most{static_cast<time_t>(nanos / 1'000'000'000), nanos % 1'000'000'000};
    signal = sigtimedwait(&set_, nullptr, &most);
    if (signal < 0) return std::nullopt;
  } else if (sigwait(&set_, &signal) != 0) {
    return std::nullopt;
  }
  return signal == kWake ? 0 : signal;
}

bool Signals::Pending() const {
  sigset_t pending;
  sigpending(&pending);
  return sigismember(&pending, SIGINT) == 1 || sigismember(&pending, SIGTERM) == 1;
}

void Signals::Wake() const { pthread_kill(main_, kWake); }

void Signals::Release() const {
  sigset_t ending;
  sigemptyset(&ending);
  for (const int signal : {SIGINT, SIGTERM}) sigaddset(&ending, signal);
  pthread_sigmask(SIG_UNBLOCK, &ending, nullptr);
}

}  // namespace graspd::daemon
