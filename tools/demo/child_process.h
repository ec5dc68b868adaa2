#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"

namespace graspd::demo {

/// A program we started: its standard output is read for one line, its standard error goes to a file.
/// Ended with SIGTERM and awaited by the destructor.
class ChildProcess {
 public:
  /// Starts `arguments[0]` and waits until it has printed a line that begins with `ready`.
  /// Errors: kUnavailable with the end of the log if it ends before, kDeadlineExceeded.
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Start(
      const std::vector<std::string>& arguments, const std::string& log_file,
      const std::string& ready, base::Duration timeout);
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  [[nodiscard]] const std::string& ready_line() const { return ready_line_; }
  [[nodiscard]] bool Running() const;

 private:
  ChildProcess(pid_t pid, int output) : pid_(pid), output_(output) {}
  absl::Status AwaitLine(const std::string& ready, base::Duration timeout);

  const pid_t pid_;
  const int output_;
  mutable bool ended_ = false;
  std::string ready_line_;
};

}  // namespace graspd::demo
