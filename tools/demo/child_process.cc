#include "tools/demo/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <sstream>

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

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Start(
    const std::vector<std::string>& arguments, const std::string& log_file,
    const std::string& ready, base::Duration timeout) {
  const int log = open(log_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (log < 0) return absl::ErrnoToStatus(errno, "cannot write " + log_file);
  int output[2];
  if (pipe2(output, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "pipe");
  std::vector<char*> argv;
  for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);

  const pid_t pid = fork();
  if (pid == 0) Become(argv.data(), output[1], log);
  close(output[1]);
  close(log);
  if (pid < 0) return absl::ErrnoToStatus(errno, "fork");

  std::unique_ptr<ChildProcess> child(new ChildProcess(pid, output[0]));
  if (const auto awaited = child->AwaitLine(ready, timeout); !awaited.ok()) {
    return absl::Status(awaited.code(), arguments[0] + ": " + std::string(awaited.message()) +
                                            "; its log (" + log_file + ") ends:\n" +
                                            TailOf(log_file));
  }
  return child;
}

absl::Status ChildProcess::AwaitLine(const std::string& ready, base::Duration timeout) {
  const auto& clock = base::SystemClock::Instance();
  const auto deadline = clock.Now() + timeout;
  std::string text;
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - clock.Now()).count();
    if (left <= 0) return absl::DeadlineExceededError("was not ready in time");
    pollfd wait{output_, POLLIN, 0};
    if (poll(&wait, 1, static_cast<int>(left)) <= 0) continue;
    char buffer[512];
    const ssize_t n = read(output_, buffer, sizeof buffer);
    if (n <= 0) return absl::UnavailableError("ended before it was ready");
    text.append(buffer, static_cast<size_t>(n));
    for (size_t end; (end = text.find('\n')) != std::string::npos; text.erase(0, end + 1)) {
      if (!text.starts_with(ready)) continue;
      ready_line_ = text.substr(0, end);
      return absl::OkStatus();
    }
  }
}

bool ChildProcess::Running() const {
  if (!ended_ && waitpid(pid_, nullptr, WNOHANG) == pid_) ended_ = true;
  return !ended_;
}

ChildProcess::~ChildProcess() {
  if (Running()) {
    kill(pid_, SIGTERM);
    waitpid(pid_, nullptr, 0);
  }
  close(output_);
}

}  // namespace graspd::demo
