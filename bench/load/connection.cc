#include "bench/load/connection.h"

#include <errno.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <utility>

#include "base/status_macros.h"

namespace graspd::bench {
namespace {

absl::Status Lost(const std::string& what) { return absl::UnavailableError(what); }
absl::Status LostWithErrno() { return Lost(fmt::format("connection lost: {}", strerror(errno))); }

// The key is any 16 bytes in base 64; what the server makes of it is not checked here.
std::string UpgradeRequest(const RelayAddress& relay) {
  return fmt::format(
      "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: Z3Jhc3BkLWJlbmNoIGtleQ==\r\n\r\n",
      relay.target, relay.authority);
}

// Code and reason of a Close frame.
std::string DescribeClose(std::string_view payload) {
  if (payload.size() < 2) return "the relay closed the connection";
  const int code = static_cast<uint8_t>(payload[0]) << 8 | static_cast<uint8_t>(payload[1]);
  return fmt::format("the relay closed the connection: {} {}", code, payload.substr(2));
}

}  // namespace

absl::StatusOr<Connection> Connection::Start(const RelayAddress& relay) {
  const int fd = socket(relay.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return Lost(fmt::format("no socket: {}", strerror(errno)));
  Connection connection(fd);
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const auto* address = reinterpret_cast<const sockaddr*>(&relay.address);
  if (connect(fd, address, relay.address_size) != 0 && errno != EINPROGRESS) {
    return Lost(fmt::format("cannot connect: {}", strerror(errno)));
  }
  connection.out_ = UpgradeRequest(relay);
  return connection;
}

Connection::Connection(Connection&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      state_(other.state_),
      head_(std::move(other.head_)),
      out_(std::move(other.out_)),
      out_sent_(other.out_sent_),
      reader_(std::move(other.reader_)) {}

Connection::~Connection() {
  if (fd_ >= 0) close(fd_);
}

absl::Status Connection::Flush() {
  while (out_sent_ < out_.size()) {
    const ssize_t sent = send(fd_, out_.data() + out_sent_, out_.size() - out_sent_, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return errno == EAGAIN ? absl::OkStatus() : LostWithErrno();
    out_sent_ += static_cast<size_t>(sent);
  }
  out_.clear();
  out_sent_ = 0;
  return absl::OkStatus();
}

absl::Status Connection::OnWritable() {
  if (state_ == State::kConnecting) state_ = State::kUpgrading;
  return Flush();
}

absl::Status Connection::OnReadable(std::span<char> scratch,
                                    const std::function<void(size_t)>& on_read,
                                    const OnText& on_text) {
  while (true) {
    const ssize_t size = recv(fd_, scratch.data(), scratch.size(), 0);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return errno == EAGAIN ? absl::OkStatus() : LostWithErrno();
    if (size == 0) return Lost("the relay closed the connection");
    const auto bytes = static_cast<size_t>(size);
    on_read(bytes);
    GRASPD_RETURN_IF_ERROR(Take({scratch.data(), bytes}, on_text));
    if (bytes < scratch.size()) return absl::OkStatus();
  }
}

absl::Status Connection::Take(std::string_view bytes, const OnText& on_text) {
  const auto visit = [&](Opcode opcode, std::string_view payload) {
    return OnFrame(opcode, payload, on_text);
  };
  if (open()) return reader_.Feed(bytes, visit);
  head_ += bytes;
  const size_t end = head_.find("\r\n\r\n");
  if (end == std::string::npos) return absl::OkStatus();
  if (!head_.starts_with("HTTP/1.1 101")) {
    return Lost(fmt::format("no WebSocket: {}", head_.substr(0, head_.find("\r\n"))));
  }
  state_ = State::kOpen;
  const std::string rest = std::exchange(head_, {}).substr(end + 4);
  return reader_.Feed(rest, visit);
}

absl::Status Connection::OnFrame(Opcode opcode, std::string_view payload, const OnText& on_text) {
  switch (opcode) {
    case Opcode::kPing:
      AppendFrame(out_, Opcode::kPong, {payload});
      return Flush();
    case Opcode::kClose:
      return Lost(DescribeClose(payload));
    case Opcode::kPong:
      return absl::OkStatus();
    case Opcode::kText:
    case Opcode::kBinary:
    case Opcode::kContinuation:
      return on_text(payload);
  }
  return absl::InvalidArgumentError("a WebSocket frame of an unknown sort");
}

}  // namespace graspd::bench
