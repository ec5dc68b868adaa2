#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"

namespace graspd::demo {

/// A program we started: its standard output is read here, its standard error goes to a file.
/// Ended with SIGTERM and awaited by the destructor.
///
/// Threading: thread-compatible. The program is ended too if the thread that started it ends first.
class ChildProcess {
 public:
  /// Starts `arguments[0]` and waits until it has printed a line that begins with `ready`.
  /// Errors: kUnavailable with the end of the log if it ends before, kDeadlineExceeded.
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Start(
      const std::vector<std::string>& arguments, const std::string& log_file,
      const std::string& ready, base::Duration timeout);
  /// Starts `arguments[0]` without waiting for anything; exit code 127 if there is no such program.
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Spawn(
      const std::vector<std::string>& arguments, const std::string& log_file);
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  [[nodiscard]] const std::string& ready_line() const { return ready_line_; }
  [[nodiscard]] bool Running() const;

  /// Does nothing if it has ended.
  void Signal(int signal);
  /// Its exit code; 128 + n if signal n ended it. Errors: kDeadlineExceeded.
  absl::StatusOr<int> Wait(base::Duration timeout);

  /// The next line of its output that begins with `prefix`, and drops the ones before it.
  /// Errors: kUnavailable if the output ends first, kDeadlineExceeded.
  absl::StatusOr<std::string> AwaitLine(const std::string& prefix, base::Duration timeout);
  /// What is left of its output until that ends. Errors: kDeadlineExceeded.
  absl::StatusOr<std::string> ReadToEnd(base::Duration timeout);

 private:
  void Reap(int options) const;  // as waitpid's
  ChildProcess(pid_t pid, int output) : pid_(pid), output_(output) {}
  // Appends to unread_; false at the end of the output.
  absl::StatusOr<bool> ReadMore(base::SteadyTime deadline);

  const pid_t pid_;
  const int output_;
  mutable std::optional<int> exit_code_;
  std::string ready_line_, unread_;
};

}  // namespace graspd::demo
