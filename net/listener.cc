#include "net/listener.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "base/status_macros.h"
#include "net/asio.h"
#include "net/sockaddr.h"

namespace graspd::net {
namespace {

constexpr int kBacklog = 1024;
constexpr int kAcceptsPerTurn = 64;
constexpr std::chrono::milliseconds kOutOfDescriptorsPause{100};

absl::Status ErrnoStatus(const std::string& what, int error) {
  const std::string text = what + ": " + std::strerror(error);
  switch (error) {
    case EADDRINUSE:
    case EADDRNOTAVAIL:
    case EMFILE:
    case ENFILE:
      return absl::UnavailableError(text);
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(text);
    default:
      return absl::InvalidArgumentError(text);
  }
}

OwnedFd NewSocket(int family) {
  return OwnedFd(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

/// Removes a socket file that nobody listens on any more; a live one stays and makes bind() fail.
void RemoveStaleSocketFile(const ListenAddress& address) {
  struct stat info {};
  if (::lstat(address.unix_path.c_str(), &info) != 0 || !S_ISSOCK(info.st_mode)) return;
  const OwnedFd probe = NewSocket(AF_UNIX);
  const Sockaddr target = ToSockaddr(address);
  if (::connect(probe.get(), target.get(), target.length) != 0 && errno == ECONNREFUSED) {
    ::unlink(address.unix_path.c_str());
  }
}

absl::StatusOr<OwnedFd> BindAndListen(const ListenAddress& address,
                                      std::optional<mode_t> unix_mode) {
  const std::string what = "cannot listen on " + address.ToString();
  if (!address.unix_path.empty()) RemoveStaleSocketFile(address);
  const Sockaddr local = ToSockaddr(address);
  OwnedFd fd = NewSocket(local.storage.ss_family);
  if (fd.get() < 0) return ErrnoStatus(what, errno);
  const int on = 1, off = 0;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (local.storage.ss_family == AF_INET6) {  // [::] serves IPv4 too, whatever the system's default
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
  }
  if (::bind(fd.get(), local.get(), local.length) != 0) return ErrnoStatus(what, errno);
  const bool set_mode = unix_mode && !address.unix_path.empty();
  if (set_mode && ::chmod(address.unix_path.c_str(), *unix_mode) != 0) {
    return ErrnoStatus(what, errno);
  }
  if (::listen(fd.get(), kBacklog) != 0) return ErrnoStatus(what, errno);
  return fd;
}

ListenAddress BoundAddress(int fd, ListenAddress address) {
  Sockaddr local;
  local.length = sizeof(local.storage);
  if (address.unix_path.empty() &&
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&local.storage), &local.length) == 0) {
    address.tcp.port = FromSockaddr(local.get())->port;
  }
  return address;
}

IpAddress PeerAddress(const sockaddr* from) {
  if (const auto tcp = FromSockaddr(from)) return tcp->ip.Unmapped();
  return IpAddress{.bytes = {127, 0, 0, 1}};
}

/// The accepting half, shared with its own pending handlers.
class AcceptLoop : public std::enable_shared_from_this<AcceptLoop> {
 public:
  AcceptLoop(IoThread& thread, OwnedFd fd, Listener::OnAccept on_accept)
      : socket_(thread.impl().io.get_executor(), fd.Release()),
        pause_(thread.impl().io.get_executor()),
        on_accept_(std::move(on_accept)) {}

  void AwaitConnection() {
    socket_.async_wait(Descriptor::wait_read, [self = shared_from_this()](ErrorCode error) {
      if (!error) self->AcceptSome();
    });
  }

  void Close() {
    ErrorCode ignored;
    socket_.close(ignored);
    pause_.cancel();
    on_accept_ = nullptr;
  }

 private:
  using Descriptor = asio::posix::basic_stream_descriptor<IoExecutor>;

  void AcceptSome() {
    for (int i = 0; i < kAcceptsPerTurn && on_accept_; ++i) {
      Sockaddr from;
      from.length = sizeof(from.storage);
      OwnedFd fd(::accept4(socket_.native_handle(), reinterpret_cast<sockaddr*>(&from.storage),
                           &from.length, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (fd.get() < 0) {
        if (errno == EAGAIN) break;
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
          return Pause(errno);
        }
        continue;  // this one connection failed (ECONNABORTED and the like)
      }
      const int family = from.storage.ss_family;
      on_accept_(Accepted{std::move(fd), family, PeerAddress(from.get())});
    }
    if (on_accept_) AwaitConnection();
  }

  void Pause(int error) {
    base::LogWarn("net", "accepting paused", {{"error", std::strerror(error)}});
    pause_.expires_after(kOutOfDescriptorsPause);
    pause_.async_wait([self = shared_from_this()](ErrorCode cancelled) {
      if (!cancelled && self->on_accept_) self->AwaitConnection();
    });
  }

  Descriptor socket_;
  SteadyTimer pause_;
  Listener::OnAccept on_accept_;  // null once closed
};

class ListenerImpl final : public Listener {
 public:
  ListenerImpl(IoThread& thread, ListenAddress address, std::shared_ptr<AcceptLoop> loop)
      : thread_(thread), address_(std::move(address)), loop_(std::move(loop)) {
    thread_.Post([accept = loop_] { accept->AwaitConnection(); });
  }
  ~ListenerImpl() override { Stop(); }

  const ListenAddress& address() const override { return address_; }

  void Stop() override {
    if (stopped_.exchange(true)) return;
    RunOn(thread_, [this] { loop_->Close(); });
    if (!address_.unix_path.empty()) ::unlink(address_.unix_path.c_str());
  }

 private:
  IoThread& thread_;
  const ListenAddress address_;
  const std::shared_ptr<AcceptLoop> loop_;
  std::atomic<bool> stopped_{false};
};

}  // namespace

OwnedFd::~OwnedFd() {
  if (fd_ >= 0) ::close(fd_);
}

absl::StatusOr<std::unique_ptr<Listener>> Listener::Open(IoThread& thread,
                                                         const ListenAddress& address,
                                                         OnAccept on_accept,
                                                         std::optional<mode_t> unix_mode) {
  GRASPD_ASSIGN_OR_RETURN(OwnedFd fd, BindAndListen(address, unix_mode));
  ListenAddress bound = BoundAddress(fd.get(), address);
  auto loop = std::make_shared<AcceptLoop>(thread, std::move(fd), std::move(on_accept));
  return std::make_unique<ListenerImpl>(thread, std::move(bound), std::move(loop));
}

absl::StatusOr<std::vector<std::unique_ptr<Listener>>> OpenListeners(
    IoThread& thread, const std::vector<ListenAddress>& addresses, Listener::OnAccept on_accept,
    std::optional<mode_t> unix_mode) {
  std::vector<std::unique_ptr<Listener>> listeners;
  for (const ListenAddress& address : addresses) {
    GRASPD_ASSIGN_OR_RETURN(auto listener, Listener::Open(thread, address, on_accept, unix_mode));
    listeners.push_back(std::move(listener));
  }
  return listeners;
}

}  // namespace graspd::net
