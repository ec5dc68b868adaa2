#include "services/admin/listen_address.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace graspd::admin {
namespace {

constexpr std::string_view kUnixPrefix = "unix:";
constexpr size_t kMaxUnixPath = sizeof(sockaddr_un{}.sun_path) - 1;

std::string Quoted(std::string_view text) { return "admin address '" + std::string(text) + "'"; }

absl::StatusOr<ListenAddress> ParseUnix(std::string_view text, std::string_view path) {
  if (path.empty() || path.size() > kMaxUnixPath) {
    return absl::InvalidArgumentError(
        absl::StrCat(Quoted(text), ": the path must have 1 to ", kMaxUnixPath, " bytes"));
  }
  ListenAddress address;
  address.unix_path = std::string(path);
  return address;
}

bool IsLoopback(std::string_view host) {
  // Literals only: a name other than localhost could resolve to anything.
  return host == "localhost" || host == "127.0.0.1" || host == "[::1]";
}

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

absl::StatusOr<ListenAddress> ListenAddress::Parse(std::string_view text) {
  if (text.starts_with(kUnixPrefix)) return ParseUnix(text, text.substr(kUnixPrefix.size()));
  const size_t colon = text.rfind(':');
  const std::string_view digits =
      colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  ListenAddress address;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), address.port);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(Quoted(text), ": expected 127.0.0.1:PORT, [::1]:PORT or unix:PATH"));
  }
  address.host = std::string(text.substr(0, colon));
  if (!IsLoopback(address.host)) {
    return absl::InvalidArgumentError(absl::StrCat(
        Quoted(text), " is not local: the admin API has no authentication, so it listens on ",
        "127.0.0.1, [::1], localhost or unix:PATH only; reach it from elsewhere by ssh -L or ",
        "kubectl port-forward"));
  }
  // What the name means elsewhere (/etc/hosts) does not matter, and `[::1]` may be asked for too.
  if (address.host == "localhost") address.host = "127.0.0.1";
  return address;
}

std::string ListenAddress::ToString() const {
  return is_unix() ? absl::StrCat("unix:", unix_path) : absl::StrCat(host, ":", port);
}

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

absl::Status ExplainBindFailure(const ListenAddress& address) {
  sockaddr_storage storage{};
  socklen_t size = sizeof(sockaddr_un);
  if (address.is_unix()) {
    const sockaddr_un un = UnixSocketAddress(address.unix_path);
    std::memcpy(&storage, &un, sizeof un);
  } else if (address.host == "[::1]") {
    sockaddr_in6 in6{.sin6_family = AF_INET6, .sin6_port = htons(address.port)};
    in6.sin6_addr = in6addr_loopback;
    std::memcpy(&storage, &in6, size = sizeof in6);
  } else {
    sockaddr_in in{.sin_family = AF_INET, .sin_port = htons(address.port)};
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    std::memcpy(&storage, &in, size = sizeof in);
  }
  const int fd = ::socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool failed = fd < 0 || ::bind(fd, reinterpret_cast<const sockaddr*>(&storage), size) != 0;
  const std::string why = failed ? strerror(errno) : "the address was taken for a moment";
  if (fd >= 0) ::close(fd);
  if (!failed && address.is_unix()) ::unlink(address.unix_path.c_str());
  return absl::UnavailableError(
      absl::StrCat("the admin API cannot listen on ", address.ToString(), ": ", why));
}

}  // namespace graspd::admin
