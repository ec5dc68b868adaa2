#include "bench/load/client.h"

#include <errno.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <string>
#include <utility>

#include "base/status_macros.h"

namespace graspd::bench {
namespace {

constexpr size_t kScratchBytes = 256 * 1024, kReadyAtOnce = 512;
constexpr size_t kOtherFiles = 64;  // beside the connections
constexpr auto kLook = std::chrono::milliseconds(500);

absl::Status AllowFiles(size_t count) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur >= count) return absl::OkStatus();
  if (limit.rlim_max < count) {
    return absl::ResourceExhaustedError(fmt::format(
        "{} open files are needed and {} allowed: see ulimit -Hn", count, limit.rlim_max));
  }
  limit.rlim_cur = count;
  setrlimit(RLIMIT_NOFILE, &limit);
  return absl::OkStatus();
}

timespec ToTimespec(base::Duration duration) {
  const auto ns = std::max<int64_t>(0, std::chrono::nanoseconds(duration).count());
  return {.tv_sec = ns / 1'000'000'000, .tv_nsec = ns % 1'000'000'000};
}

}  // namespace

Client::Client(const base::Clock& clock, base::Duration patience)
    : clock_(clock),
      patience_(patience),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      scratch_(kScratchBytes),
      ready_(kReadyAtOnce),
      read_at_(clock.Now()) {}

Client::~Client() { close(epoll_); }

absl::Status Client::StartOne(const RelayAddress& relay) {
  GRASPD_ASSIGN_OR_RETURN(auto connection, Connection::Start(relay));
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLET;
  event.data.u64 = connections_.size();
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.fd(), &event) != 0) {
    return absl::ResourceExhaustedError(fmt::format("epoll: {}", strerror(errno)));
  }
  connections_.push_back(std::move(connection));
  is_dirty_.push_back(false);
  return absl::OkStatus();
}

absl::Status Client::Open(const RelayAddress& relay, size_t count, size_t at_once) {
  const size_t wanted = size() + count;
  GRASPD_RETURN_IF_ERROR(AllowFiles(wanted + kOtherFiles));
  read_at_ = clock_.Now();
  while (open_ < wanted) {
    while (size() < wanted && size() - open_ < at_once) GRASPD_RETURN_IF_ERROR(StartOne(relay));
    GRASPD_RETURN_IF_ERROR(Turn(kLook));
    GRASPD_RETURN_IF_ERROR(CheckPatience());
  }
  return absl::OkStatus();
}

void Client::Send(size_t connection, std::initializer_list<std::string_view> parts) {
  for (const auto part : parts) bytes_queued_ += part.size();
  connections_[connection].Send(parts);
  if (is_dirty_[connection]) return;
  is_dirty_[connection] = true;
  dirty_.push_back(connection);
}

absl::Status Client::Flush() {
  for (const size_t connection : dirty_) {
    is_dirty_[connection] = false;
    GRASPD_RETURN_IF_ERROR(connections_[connection].Flush());
  }
  dirty_.clear();
  return absl::OkStatus();
}

absl::Status Client::Handle(size_t index, uint32_t events) {
  Connection& connection = connections_[index];
  const bool was_open = connection.open();
  if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0) {
    const auto on_read = [&](size_t bytes) {
      ++reads_;
      bytes_read_ += bytes;
      read_at_ = clock_.Now();
    };
    GRASPD_RETURN_IF_ERROR(connection.OnReadable(
        scratch_, on_read, [&](std::string_view text) { return on_text_(index, text); }));
  }
  if ((events & EPOLLOUT) != 0) GRASPD_RETURN_IF_ERROR(connection.OnWritable());
  if (!was_open && connection.open()) ++open_;
  return absl::OkStatus();
}

absl::Status Client::Turn(base::Duration wait) {
  GRASPD_RETURN_IF_ERROR(Flush());
  const timespec timeout = ToTimespec(wait);
  const int count =
      epoll_pwait2(epoll_, ready_.data(), static_cast<int>(ready_.size()), &timeout, nullptr);
  if (count < 0 && errno != EINTR) {
    return absl::InternalError(fmt::format("epoll: {}", strerror(errno)));
  }
  for (int i = 0; i < count; ++i) {
    const auto& event = ready_[static_cast<size_t>(i)];
    if (absl::Status status = Handle(event.data.u64, event.events); !status.ok()) {
      return absl::Status(status.code(), fmt::format("connection {}: {}", event.data.u64,
                                                     std::string(status.message())));
    }
  }
  return Flush();
}

absl::Status Client::RunUntil(const std::function<bool()>& done) {
  while (!done()) {
    GRASPD_RETURN_IF_ERROR(Turn(kLook));
    GRASPD_RETURN_IF_ERROR(CheckPatience());
  }
  return absl::OkStatus();
}

absl::Status Client::CheckPatience() const {
  if (clock_.Now() - read_at_ <= patience_) return absl::OkStatus();
  return absl::DeadlineExceededError("nothing has come from the relay for too long (--timeout)");
}

}  // namespace graspd::bench
