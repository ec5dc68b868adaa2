#include "bench/load/delay_line.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <list>
#include <utility>
#include <vector>

namespace graspd::bench {
namespace {

constexpr size_t kConnections = 64, kReadBytes = 64 * 1024;

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// One direction.
struct Way {
  int from, to;
  DelayQueue queue;
  bool ended = false;   // `from` has
  bool passed = false;  // the end has come out
  bool stuck = false;   // `to` takes nothing for now
};

struct Link {
  std::array<Way, 2> ways;
  Link(int client, int server, base::Duration delay)
      : ways{Way{client, server, DelayQueue(delay)}, Way{server, client, DelayQueue(delay)}} {}
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  ~Link() {
    close(ways[0].from);
    close(ways[0].to);
  }
};

// False when the link is broken.
bool ReadSome(Way& way, base::SteadyTime now, std::vector<char>& scratch) {
  const ssize_t got = recv(way.from, scratch.data(), scratch.size(), MSG_DONTWAIT);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  if (got == 0) way.ended = true;
  if (got > 0) way.queue.Push(now, {scratch.data(), static_cast<size_t>(got)});
  return true;
}

bool WriteArrived(Way& way, base::SteadyTime now) {
  way.stuck = false;
  for (auto bytes = way.queue.Arrived(now); !bytes.empty(); bytes = way.queue.Arrived(now)) {
    const ssize_t sent = send(way.to, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
      way.stuck = errno == EAGAIN;
      return way.stuck || errno == EINTR;
    }
    way.queue.Pop(static_cast<size_t>(sent));
  }
  if (way.ended && way.queue.empty() && !way.passed) {
    shutdown(way.to, SHUT_WR);
    way.passed = true;
  }
  return true;
}

class Carrier {
 public:
  Carrier(int listener, int wake, uint16_t to_port, base::Duration delay, const base::Clock& clock)
      : listener_(listener), wake_(wake), to_port_(to_port), delay_(delay), clock_(clock) {}

  void Run() {
    while (true) {
      Wait();
      if (polled_[0].revents != 0) return;
      const auto now = clock_.Now();
      size_t at = 2;
      for (auto link = links_.begin(); link != links_.end(); at += 2) {
        const bool alive = Move(*link, at, now);
        link = alive ? std::next(link) : links_.erase(link);
      }
      if ((polled_[1].revents & POLLIN) != 0) Accept();
    }
  }

 private:
  // The sockets of link n are polled at 2 + 2n, client first.
  void Wait() {
    polled_ = {{wake_, POLLIN, 0}, {links_.size() < kConnections ? listener_ : -1, POLLIN, 0}};
    std::optional<base::SteadyTime> next;
    for (const auto& link : links_) {
      for (size_t side = 0; side < 2; ++side) {
        const Way &in = link.ways[side], &out = link.ways[1 - side];
        const int events = (!in.ended && !in.queue.full() ? POLLIN : 0) | (out.stuck ? POLLOUT : 0);
        // A side that asks for nothing would wake us by its POLLHUP again and again.
        polled_.push_back({events != 0 ? in.from : -1, static_cast<short>(events), 0});
        const auto arrival = in.stuck ? std::nullopt : in.queue.NextArrival();
        if (arrival && (!next || *arrival < *next)) next = arrival;
      }
    }
    timespec timeout{};
    if (next) {
      const auto ns = std::max<int64_t>(
          0, std::chrono::duration_cast<std::chrono::nanoseconds>(*next - clock_.Now()).count());
      timeout = {.tv_sec = ns / 1'000'000'000, .tv_nsec = ns % 1'000'000'000};
    }
    ppoll(polled_.data(), polled_.size(), next ? &timeout : nullptr, nullptr);
  }

  bool Move(Link& link, size_t at, base::SteadyTime now) {
    for (size_t side = 0; side < 2; ++side) {
      Way& way = link.ways[side];
      const bool readable = (polled_[at + side].revents & (POLLIN | POLLERR | POLLHUP)) != 0;
      if (readable && !way.ended && !way.queue.full() && !ReadSome(way, now, scratch_))
        return false;
      if (!WriteArrived(way, now)) return false;
    }
    return !(link.ways[0].passed && link.ways[1].passed);
  }

  void Accept() {
    const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) return;
    const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const auto address = Loopback(to_port_);
    links_.emplace_back(client, server, delay_);
    const int on = 1;
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      links_.pop_back();
    }
  }

  const int listener_, wake_;
  const uint16_t to_port_;
  const base::Duration delay_;
  const base::Clock& clock_;
  std::list<Link> links_;
  std::vector<pollfd> polled_;
  std::vector<char> scratch_ = std::vector<char>(kReadBytes);
};

}  // namespace

void DelayQueue::Push(base::SteadyTime now, std::string_view bytes) {
  pieces_.push_back({now + delay_, std::string(bytes)});
  bytes_ += bytes.size();
}

std::string_view DelayQueue::Arrived(base::SteadyTime now) const {
  if (pieces_.empty() || pieces_.front().arrives > now) return {};
  return std::string_view(pieces_.front().bytes).substr(popped_);
}

void DelayQueue::Pop(size_t bytes) {
  popped_ += bytes;
  bytes_ -= bytes;
  if (popped_ < pieces_.front().bytes.size()) return;
  pieces_.pop_front();
  popped_ = 0;
}

std::optional<base::SteadyTime> DelayQueue::NextArrival() const {
  if (pieces_.empty()) return std::nullopt;
  return pieces_.front().arrives;
}

absl::StatusOr<std::unique_ptr<DelayLine>> DelayLine::Start(uint16_t to_port, base::Duration delay,
                                                            const base::Clock& clock) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  auto address = Loopback(0);
  socklen_t size = sizeof address;
  auto* raw = reinterpret_cast<sockaddr*>(&address);
  if (listener < 0 || bind(listener, raw, size) != 0 || listen(listener, kConnections) != 0 ||
      getsockname(listener, raw, &size) != 0) {
    const auto status = absl::UnavailableError(fmt::format("no port: {}", strerror(errno)));
    if (listener >= 0) close(listener);
    return status;
  }
  const int wake = eventfd(0, EFD_CLOEXEC);
  std::unique_ptr<DelayLine> line(new DelayLine(listener, wake, ntohs(address.sin_port)));
  line->thread_ =
      std::thread([=, &clock] { Carrier(listener, wake, to_port, delay, clock).Run(); });
  return line;
}

DelayLine::DelayLine(int listener, int wake, uint16_t port)
    : listener_(listener), wake_(wake), port_(port) {}

DelayLine::~DelayLine() {
  eventfd_write(wake_, 1);
  thread_.join();
  close(listener_);
  close(wake_);
}

}  // namespace graspd::bench
