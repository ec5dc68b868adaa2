#include "tools/demo/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <fstream>
#include <sstream>
#include <utility>

namespace graspd::demo {
namespace {

constexpr size_t kLogTail = 2000;

std::string TailOf(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  const std::string all = text.str();
  return all.size() <= kLogTail ? all : all.substr(all.size() - kLogTail);
}

// True once `fd` is readable, false at `deadline`.
bool AwaitReadable(int fd, base::SteadyTime deadline) {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(
        deadline - base::SystemClock::Instance().Now());
    if (left.count() <= 0) return false;
    pollfd wait{fd, POLLIN, 0};
    if (poll(&wait, 1, static_cast<int>(left.count())) > 0) return true;
  }
}

base::SteadyTime In(base::Duration timeout) {
  return base::SystemClock::Instance().Now() + timeout;
}

// In the child, between fork and exec: nothing that allocates.
[[noreturn]] void Become(char* const* argv, int output, int log) {
  // Its own process group: Ctrl-C reaches us alone, and we end it in order. It dies with us.
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  dup2(output, STDOUT_FILENO);
  dup2(log, STDERR_FILENO);
  execv(argv[0], argv);
  _exit(127);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Spawn(
    const std::vector<std::string>& arguments, const std::string& log_file) {
  const int log = open(log_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (log < 0) return absl::ErrnoToStatus(errno, "cannot write " + log_file);
  int output[2];
  if (pipe2(output, O_CLOEXEC) != 0) {
    close(log);
    return absl::ErrnoToStatus(errno, "pipe");
  }
  std::vector<char*> argv;
  for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);

  const pid_t pid = fork();
  if (pid == 0) Become(argv.data(), output[1], log);
  const int fork_error = errno;
  close(output[1]);
  close(log);
  if (pid < 0) {
    close(output[0]);
    return absl::ErrnoToStatus(fork_error, "fork");
  }
  return std::unique_ptr<ChildProcess>(new ChildProcess(pid, output[0]));
}

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Start(
    const std::vector<std::string>& arguments, const std::string& log_file,
    const std::string& ready, base::Duration timeout) {
  auto child = Spawn(arguments, log_file);
  if (!child.ok()) return child.status();
  auto line = (*child)->AwaitLine(ready, timeout);
  if (!line.ok()) {
    return absl::Status(line.status().code(),
                        arguments[0] + ": not ready: " + std::string(line.status().message()) +
                            "; its log (" + log_file + ") ends:\n" + TailOf(log_file));
  }
  (*child)->ready_line_ = *std::move(line);
  return child;
}

absl::StatusOr<bool> ChildProcess::ReadMore(base::SteadyTime deadline) {
  if (!AwaitReadable(output_, deadline)) {
    return absl::DeadlineExceededError("did not print it in time");
  }
  char buffer[4096];
  const ssize_t n = read(output_, buffer, sizeof buffer);
  if (n <= 0) return false;
  unread_.append(buffer, static_cast<size_t>(n));
  return true;
}

absl::StatusOr<std::string> ChildProcess::AwaitLine(const std::string& prefix,
                                                    base::Duration timeout) {
  const auto deadline = In(timeout);
  for (;;) {
    for (size_t end; (end = unread_.find('\n')) != std::string::npos;) {
      const std::string line = unread_.substr(0, end);
      unread_.erase(0, end + 1);
      if (line.starts_with(prefix)) return line;
    }
    const auto more = ReadMore(deadline);
    if (!more.ok()) return more.status();
    if (!*more) return absl::UnavailableError("its output has ended");
  }
}

absl::StatusOr<std::string> ChildProcess::ReadToEnd(base::Duration timeout) {
  const auto deadline = In(timeout);
  for (;;) {
    const auto more = ReadMore(deadline);
    if (!more.ok()) return more.status();
    if (!*more) return std::exchange(unread_, {});
  }
}

bool ChildProcess::Running() const {
  Reap(WNOHANG);
  return !exit_code_;
}

void ChildProcess::Reap(int options) const {
  int status = 0;
  if (!exit_code_ && waitpid(pid_, &status, options) == pid_) {
    exit_code_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }
}

void ChildProcess::Signal(int signal) {
  if (Running()) kill(pid_, signal);
}

absl::StatusOr<int> ChildProcess::Wait(base::Duration timeout) {
  if (!Running()) return *exit_code_;
  // Not by glibc's pidfd_open: its header in Debian 12 does not declare it for C++.
  const int handle = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
  if (handle < 0) return absl::ErrnoToStatus(errno, "pidfd_open");
  const bool ended = AwaitReadable(handle, In(timeout));
  close(handle);
  if (ended) Reap(0);  // waits: the handle may be readable a moment before
  if (Running()) return absl::DeadlineExceededError("did not end in time");
  return *exit_code_;
}

ChildProcess::~ChildProcess() {
  if (Running()) {
    kill(pid_, SIGTERM);
    waitpid(pid_, nullptr, 0);
  }
  close(output_);
}

}  // namespace graspd::demo
