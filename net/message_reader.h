#pragma once

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <optional>
#include <string_view>

#include "base/clock.h"
#include "net/asio.h"

namespace graspd::net {

/// Bytes behind a message that its receiver may read: simdjson looks at whole vectors.
inline constexpr size_t kMessagePadding = 64;

/// Reads whole messages from a Beast WebSocket. While a connection is idle it waits with a few
/// bytes of buffer; a larger one exists only while a longer message is being read, or keeps coming.
/// Threading: the connection's thread.
class MessageReader {
 public:
  struct Result {
    ErrorCode error;
    std::string_view message;  // valid until the next Read(); kMessagePadding bytes follow
  };

  /// The next message. Beast has checked its UTF-8 and its size.
  template <typename Ws>
  Awaitable<Result> Read(Ws& ws) {
    auto [error, bytes] =
        co_await ws.async_read_some(asio::buffer(first_.data(), kFirst), kNoThrow);
    if (error) co_return Result{.error = error};
    Touch();
    if (ws.is_message_done()) co_return Result{.message = {first_.data(), bytes}};
    co_return co_await ReadRest(ws, bytes);
  }

  /// When the peer was last heard of.
  [[nodiscard]] base::SteadyTime last_heard() const { return last_heard_; }
  void Touch() { last_heard_ = base::SystemClock::Instance().Now(); }

  /// Gives back the large buffer unless a message is being read into it. For a periodic sweep.
  void ReleaseIdleMemory() {
    if (!busy_) rest_ = {};
  }
  /// The caller is done with the message.
  void MessageHandled() { busy_ = false; }
  /// When the message that is being read, or handled, began; nothing if there is none, or it was
  /// whole at once.
  [[nodiscard]] std::optional<base::SteadyTime> began() const {
    return busy_ ? std::optional(began_) : std::nullopt;
  }

 private:
  static constexpr size_t kFirst = 64;
  static constexpr size_t kMinPiece = 1536, kMaxPiece = 64 * 1024;

  template <typename Ws>
  Awaitable<Result> ReadRest(Ws& ws, size_t bytes) {
    busy_ = true;
    began_ = last_heard_;
    rest_.clear();
    rest_.commit(asio::buffer_copy(rest_.prepare(kFirst), asio::buffer(first_.data(), bytes)));
    while (!ws.is_message_done()) {
      const size_t piece = std::clamp(rest_.size(), kMinPiece, kMaxPiece);
      auto [error, more] = co_await ws.async_read_some(rest_.prepare(piece), kNoThrow);
      if (error) co_return Result{.error = error};
      rest_.commit(more);
      Touch();
    }
    rest_.prepare(kMessagePadding);
    co_return Result{.message = {static_cast<const char*>(rest_.data().data()), rest_.size()}};
  }

  std::array<char, kFirst + kMessagePadding> first_{};
  boost::beast::flat_buffer rest_;
  bool busy_ = false;
  base::SteadyTime last_heard_{}, began_{};
};

}  // namespace graspd::net
