#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "net/io_pool.h"
#include "net/socket_address.h"

namespace graspd::net {

/// A socket given away: whoever holds it closes it or passes it on.
class OwnedFd {
 public:
  explicit OwnedFd(int fd) : fd_(fd) {}
  OwnedFd(OwnedFd&& other) noexcept : fd_(other.Release()) {}
  OwnedFd& operator=(OwnedFd&&) = delete;
  ~OwnedFd();
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] int Release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }

 private:
  int fd_;
};

/// A freshly accepted, non-blocking connection.
struct Accepted {
  OwnedFd fd;
  int family;      // AF_INET, AF_INET6 or AF_UNIX
  IpAddress peer;  // 127.0.0.1 for a unix socket
};

/// Accepts connections on one address until Stop(). When file descriptors run out it pauses for
/// 100 ms instead of spinning. A stale unix socket file is replaced, and removed at the end; its
/// permissions are `unix_mode` if that is given, else what the umask leaves.
///
/// Threading: `on_accept` runs on `thread`; the rest from any thread. Lifetime: Stop() (or the
/// destructor) returns once no further on_accept can run; `thread` outlives it.
class Listener {
 public:
  using OnAccept = std::function<void(Accepted)>;
  virtual ~Listener() = default;
  /// What is really listened on: port 0 has become a port.
  [[nodiscard]] virtual const ListenAddress& address() const = 0;
  virtual void Stop() = 0;

  /// Errors: kUnavailable (address in use or not ours), kPermissionDenied, kInvalidArgument.
  static absl::StatusOr<std::unique_ptr<Listener>> Open(IoThread& thread,
                                                        const ListenAddress& address,
                                                        OnAccept on_accept,
                                                        std::optional<mode_t> unix_mode = {});
};

/// Listens on every address; all or nothing.
absl::StatusOr<std::vector<std::unique_ptr<Listener>>> OpenListeners(
    IoThread& thread, const std::vector<ListenAddress>& addresses, Listener::OnAccept on_accept,
    std::optional<mode_t> unix_mode = {});

}  // namespace graspd::net
