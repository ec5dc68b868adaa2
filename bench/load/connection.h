#pragma once

#include <cstddef>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "bench/load/frames.h"
#include "bench/load/relay_address.h"

namespace graspd::bench {

/// One WebSocket connection to a relay: a non-blocking socket, and what is queued for it. Does no
/// waiting of its own; Client drives it. Thread-compatible.
///
/// Errors: kUnavailable when the relay refuses, closes or resets the connection or answers the
/// handshake with anything but 101; kInvalidArgument when it breaks the protocol.
class Connection {
 public:
  using OnText = std::function<absl::Status(std::string_view text)>;

  /// Begins to connect.
  static absl::StatusOr<Connection> Start(const RelayAddress& relay);
  Connection(Connection&& other) noexcept;
  Connection& operator=(Connection&&) = delete;
  ~Connection();

  [[nodiscard]] int fd() const { return fd_; }
  /// The handshake is done.
  [[nodiscard]] bool open() const { return state_ == State::kOpen; }

  /// Queues one text message made of `parts`.
  void Send(std::initializer_list<std::string_view> parts) {
    AppendFrame(out_, Opcode::kText, parts);
  }
  /// Sends what is queued, as far as the socket takes it.
  absl::Status Flush();
  /// The socket can be written (again): Flush(), once connected.
  absl::Status OnWritable();
  /// Reads what has come, `scratch` at a time. `on_read` is called after each read and before the
  /// messages of it.
  absl::Status OnReadable(std::span<char> scratch, const std::function<void(size_t)>& on_read,
                          const OnText& on_text);

 private:
  enum class State { kConnecting, kUpgrading, kOpen };

  explicit Connection(int fd) : fd_(fd) {}
  absl::Status Take(std::string_view bytes, const OnText& on_text);
  absl::Status OnFrame(Opcode opcode, std::string_view payload, const OnText& on_text);

  int fd_;
  State state_ = State::kConnecting;
  std::string head_;     // of the answer to the handshake
  std::string out_;      // to be sent
  size_t out_sent_ = 0;  // of out_
  FrameReader reader_;
};

}  // namespace graspd::bench
