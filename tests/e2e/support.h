// Programs and files for the end-to-end tests. A step that cannot be done throws
// std::runtime_error, which GoogleTest reports as the failure of the test.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/demo/child_process.h"

namespace graspd::e2e {

/// For everything that happens in its own time: long, because the machine may be busy with other
/// tests.
inline constexpr std::chrono::seconds kPatience{60};

/// The value of `result`; throws its error.
template <typename T>
T Value(absl::StatusOr<T> result) {
  if (!result.ok()) throw std::runtime_error(result.status().ToString());
  return *std::move(result);
}

/// Looks again and again, for at most kPatience, whether `condition` holds.
[[nodiscard]] bool Eventually(const std::function<bool()>& condition);

/// True if GRASPD_REQUIRE_INTEROP=1: what a test needs from outside (a program, a free port) must
/// be there; a test that lacks it fails instead of being skipped.
[[nodiscard]] bool InteropIsRequired();
/// The same of GRASPD_REQUIRE_NETNS and network namespaces.
[[nodiscard]] bool NetworkNamespacesAreRequired();
/// Of GRASPD_REQUIRE_CGROUP and one that limits memory.
[[nodiscard]] bool CgroupIsRequired();
/// Of GRASPD_REQUIRE_EXT4 and a loop device to mount.
[[nodiscard]] bool Ext4IsRequired();

/// A directory of its own, removed at the end; kept, and named, if the test has failed.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

/// Starts a program. `log` takes its standard error.
[[nodiscard]] std::unique_ptr<demo::ChildProcess> Spawn(const std::vector<std::string>& arguments,
                                                        const std::string& log);

/// What a program that ended had to say.
struct Outcome {
  int exit_code = -1;
  std::string out, err;
};
[[nodiscard]] Outcome RunToEnd(const std::vector<std::string>& arguments);
/// graspd with these flags alone, expected to end by itself.
[[nodiscard]] Outcome RunGraspd(std::vector<std::string> flags);

/// A graspd that serves, on ports that the kernel chooses.
class Graspd {
 public:
  /// Waits until it is ready. `name` is that of its log in `dir`; `flags` may say where to listen;
  /// `launcher` stands before the command, as of `prlimit`.
  Graspd(const TempDir& dir, const std::string& name, const std::vector<std::string>& flags,
         const std::vector<std::string>& launcher = {});

  /// "127.0.0.1:port", or what else its ready line says.
  [[nodiscard]] std::string relay() const { return Address("relay="); }
  [[nodiscard]] std::string admin() const { return Address("admin="); }
  [[nodiscard]] std::string ops() const { return Address("ops="); }
  [[nodiscard]] std::string relay_url() const { return "ws://" + relay(); }
  [[nodiscard]] demo::ChildProcess& process() { return *process_; }

  /// SIGTERM, and its exit code.
  int Stop();
  /// SIGKILL, as a crash or a power failure of the process's own.
  void Kill();

 private:
  [[nodiscard]] std::string Address(const std::string& key) const;
  std::unique_ptr<demo::ChildProcess> process_;
};

struct HttpAnswer {
  int status = 0;
  std::string head, body;
};
/// `address` is host:port on loopback; `headers` are whole lines, each ended by "\r\n".
[[nodiscard]] HttpAnswer HttpGet(const std::string& address, const std::string& path,
                                 const std::string& headers = "");

/// The value of a series of /metrics, such as `graspd_sync_remotes{state="live"}`.
[[nodiscard]] double Metric(const std::string& ops, const std::string& series);

}  // namespace graspd::e2e
