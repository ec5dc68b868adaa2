#include "services/admin/listening.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace graspd::admin {
namespace {

sockaddr_un UnixSocketAddress(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

// Connects without waiting: a listener whose backlog is full answers EAGAIN, and is alive too.
bool SomebodyListens(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return true;  // cannot tell, so touch nothing
  const sockaddr_un address = UnixSocketAddress(path);
  const int result = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const bool refused = result != 0 && errno == ECONNREFUSED;
  ::close(fd);
  return !refused;
}

}  // namespace

absl::Status RemoveStaleSocket(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return absl::OkStatus();
    return absl::UnavailableError(absl::StrCat("cannot look at ", path, ": ", strerror(errno)));
  }
  if (!S_ISSOCK(info.st_mode)) {
    return absl::AlreadyExistsError(absl::StrCat(path, " exists and is not a socket"));
  }
  if (SomebodyListens(path)) {
    return absl::AlreadyExistsError(absl::StrCat(path, " is in use by another process"));
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    return absl::UnavailableError(absl::StrCat("cannot remove ", path, ": ", strerror(errno)));
  }
  return absl::OkStatus();
}

absl::Status ExplainBindFailure(const net::ListenAddress& address) {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const bool is_unix = !address.unix_path.empty();
  if (is_unix) {
    const sockaddr_un un = UnixSocketAddress(address.unix_path);
    std::memcpy(&storage, &un, size = sizeof un);
  } else if (address.tcp.ip.v6) {
    sockaddr_in6 in6{.sin6_family = AF_INET6, .sin6_port = htons(address.tcp.port)};
    std::memcpy(&in6.sin6_addr, address.tcp.ip.bytes.data(), sizeof in6.sin6_addr);
    std::memcpy(&storage, &in6, size = sizeof in6);
  } else {
    sockaddr_in in{.sin_family = AF_INET, .sin_port = htons(address.tcp.port)};
    std::memcpy(&in.sin_addr, address.tcp.ip.bytes.data(), sizeof in.sin_addr);
    std::memcpy(&storage, &in, size = sizeof in);
  }
  const int fd = ::socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool failed = fd < 0 || ::bind(fd, reinterpret_cast<const sockaddr*>(&storage), size) != 0;
  const std::string why = failed ? strerror(errno) : "the address was taken for a moment";
  if (fd >= 0) ::close(fd);
  if (!failed && is_unix) ::unlink(address.unix_path.c_str());
  return absl::UnavailableError(
      absl::StrCat("the admin API cannot listen on ", address.ToString(), ": ", why));
}

}  // namespace graspd::admin
