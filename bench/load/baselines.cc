#include "bench/load/baselines.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/status_macros.h"
#include "bench/load/process_stats.h"
#include "nostr/event.h"
#include "nostr/keys.h"

namespace graspd::bench {
namespace {

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&&) = delete;
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

// Sending and receiving ends, in the same order.
struct Pairs {
  std::vector<Fd> senders, receivers;
};

absl::StatusOr<Pairs> ConnectPairs(size_t count) {
  const Fd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* raw = reinterpret_cast<sockaddr*>(&address);
  bool ok = bind(listener.get(), raw, size) == 0 && listen(listener.get(), 1) == 0 &&
            getsockname(listener.get(), raw, &size) == 0;
  Pairs pairs;
  while (ok && pairs.senders.size() < count) {
    pairs.receivers.emplace_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ok = connect(pairs.receivers.back().get(), raw, size) == 0;
    pairs.senders.emplace_back(ok ? accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC) : -1);
    const int on = 1;
    ok =
        ok && setsockopt(pairs.senders.back().get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0;
  }
  if (!ok) return absl::UnavailableError("send baseline: no pair of sockets");
  return pairs;
}

// Reads until every peer has closed.
void Drain(const std::vector<Fd>& receivers) {
  const Fd epoll(epoll_create1(EPOLL_CLOEXEC));
  for (const auto& fd : receivers) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd.get();
    epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd.get(), &event);
  }
  std::vector<char> scratch(256 * 1024);
  std::array<epoll_event, 512> ready;
  for (size_t open = receivers.size(); open > 0;) {
    const int count = epoll_wait(epoll.get(), ready.data(), static_cast<int>(ready.size()), -1);
    for (int i = 0; i < count; ++i) {
      const int fd = ready[static_cast<size_t>(i)].data.fd;
      if (recv(fd, scratch.data(), scratch.size(), 0) > 0) continue;
      epoll_ctl(epoll.get(), EPOLL_CTL_DEL, fd, nullptr);
      --open;
    }
  }
}

}  // namespace

absl::StatusOr<double> VerifySecondsPerEvent(const EventSet& events, size_t count) {
  count = std::min(count, events.size());
  std::vector<nostr::Event> parsed;
  parsed.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    GRASPD_ASSIGN_OR_RETURN(auto event, nostr::ParseEvent(events.json(i)));
    parsed.push_back(std::move(event));
  }
  const double before = ThreadCpuSeconds();
  for (const auto& event : parsed) {
    if (!nostr::VerifySignature(event)) return absl::InternalError("a wrong signature of our own");
  }
  return (ThreadCpuSeconds() - before) / static_cast<double>(count);
}

absl::StatusOr<double> SendSecondsPerCall(size_t sockets, size_t bytes, size_t sends,
                                          base::Duration interval) {
  GRASPD_ASSIGN_OR_RETURN(auto pairs, ConnectPairs(sockets));
  const std::string message(bytes, 'x');
  const size_t rounds = std::max<size_t>(1, sends / sockets);
  std::thread reader([&] { Drain(pairs.receivers); });
  bool ok = true;
  const double before = ThreadCpuSeconds();
  const auto& clock = base::SystemClock::Instance();
  auto due = clock.Now();
  for (size_t round = 0; round < rounds && ok; ++round) {
    for (const auto& fd : pairs.senders) {
      ok = send(fd.get(), message.data(), message.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(message.size());
    }
    due += interval;
    for (auto now = clock.Now(); now < due; now = clock.Now()) {
      poll(nullptr, 0,
           static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(due - now).count()));
    }
  }
  const double spent = ThreadCpuSeconds() - before;
  pairs.senders.clear();
  reader.join();
  if (!ok) return absl::UnavailableError("send baseline: a send failed");
  return spent / static_cast<double>(rounds * sockets);
}

}  // namespace graspd::bench
