#pragma once

#include <sys/epoll.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "bench/load/connection.h"

namespace graspd::bench {

/// Connections to one relay, all driven by the calling thread with one epoll. What is queued leaves
/// with one send() a connection at the beginning and at the end of a turn. The end of any
/// connection is an error: no run expects it. Thread-compatible.
class Client {
 public:
  using OnText = std::function<absl::Status(size_t connection, std::string_view text)>;

  /// `patience`: how long to wait for a relay that sends nothing. `clock` outlives the client.
  Client(const base::Clock& clock, base::Duration patience);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// Connects `count` times more, with `at_once` handshakes under way; returns when all are open.
  /// Raises the limit of open files as far as it needs. Errors: kResourceExhausted if that cannot
  /// be raised enough; those of a turn.
  absl::Status Open(const RelayAddress& relay, size_t count, size_t at_once);

  /// Called for each text message; its error ends the turn. Messages before the first call are
  /// dropped.
  void set_on_text(OnText on_text) { on_text_ = std::move(on_text); }

  /// Queues a text message made of `parts`.
  void Send(size_t connection, std::initializer_list<std::string_view> parts);
  /// Sends what is queued.
  absl::Status Flush();
  /// Flushes, waits at most `wait` for the relay, handles what has come, flushes.
  absl::Status Turn(base::Duration wait);
  /// Turns until `done`. Errors: kDeadlineExceeded if `patience` passes in silence.
  absl::Status RunUntil(const std::function<bool()>& done);
  /// Like RunUntil, for runs that turn on their own: has the relay been silent for too long?
  absl::Status CheckPatience() const;

  [[nodiscard]] size_t size() const { return connections_.size(); }
  /// When the message that is being handled was read.
  [[nodiscard]] base::SteadyTime read_at() const { return read_at_; }
  /// Since the start: calls of recv() that brought something, and their bytes.
  [[nodiscard]] uint64_t reads() const { return reads_; }
  [[nodiscard]] uint64_t bytes_read() const { return bytes_read_; }
  /// Bytes of text messages queued so far, without framing.
  [[nodiscard]] uint64_t bytes_queued() const { return bytes_queued_; }
  [[nodiscard]] const base::Clock& clock() const { return clock_; }

 private:
  absl::Status StartOne(const RelayAddress& relay);
  absl::Status Handle(size_t connection, uint32_t events);

  const base::Clock& clock_;
  const base::Duration patience_;
  const int epoll_;
  OnText on_text_ = [](size_t, std::string_view) { return absl::OkStatus(); };
  std::deque<Connection> connections_;
  std::vector<bool> is_dirty_;
  std::vector<size_t> dirty_;  // with something queued
  std::vector<char> scratch_;
  std::vector<epoll_event> ready_;
  size_t open_ = 0;
  base::SteadyTime read_at_;
  uint64_t reads_ = 0, bytes_read_ = 0, bytes_queued_ = 0;
};

}  // namespace graspd::bench
