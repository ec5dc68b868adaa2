// The stream below Beast's websocket::stream on accepted connections: the single writer.
#pragma once

#include <atomic>
#include <boost/asio/buffer.hpp>
#include <boost/asio/compose.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/core/role.hpp>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "net/asio.h"
#include "net/output_buffer.h"

namespace graspd::net {

/// A socket whose whole output goes through one buffer.
///
/// Beast does the handshake, the reading, pongs and closes; what it writes arrives here one whole
/// frame a call and is appended behind our own data frames, which never pass through Beast. So the
/// order is total, a Close frame is last, and everything of one turn of the event loop leaves in
/// one send(). When the kernel takes no more, the stream waits for the socket to become writable;
/// nothing is in flight meanwhile, so the buffer may grow and move.
///
/// Errors: a stream that failed is closed and swallows what is appended; its reader then ends with
/// an error. Threading: its IoThread only. Lifetime: member of a connection that Owner::Self()
/// keeps alive.
class OutputStream final : private FlushQueue::Member {
 public:
  // What Beast asks of a next layer.
  using executor_type = IoExecutor;
  using next_layer_type = StreamSocket;

  /// Past kEagerFlush bytes the buffer is sent at once: larger ones only cost cache misses. A
  /// producer that can wait waits above kSoftLimit, until the buffer is below kEagerFlush again.
  static constexpr size_t kEagerFlush = 32 << 10;
  static constexpr size_t kSoftLimit = 256 << 10;

  /// The connection that the stream belongs to. No call may destroy it or append.
  class Owner {
   public:
    virtual std::shared_ptr<void> Self() = 0;
    /// The buffer has fallen below kEagerFlush.
    virtual void OnDrained() = 0;
    /// The stream has failed and is closed.
    virtual void OnBroken() = 0;
    /// The sum over all streams has passed its limit.
    virtual void OnOverBudget() = 0;

   protected:
    ~Owner() = default;
  };

  /// Limit of one buffer, and the limit and current value of the sum over all.
  struct Limits {
    size_t bytes;
    size_t total_bytes;
    std::atomic<size_t>& total;
  };

  OutputStream(StreamSocket socket, IoThread& thread, Limits limits, Owner& owner);
  ~OutputStream();
  OutputStream(const OutputStream&) = delete;
  OutputStream& operator=(const OutputStream&) = delete;

  executor_type get_executor() noexcept { return socket_.get_executor(); }
  next_layer_type& next_layer() noexcept { return socket_; }
  const next_layer_type& next_layer() const noexcept { return socket_; }

  [[nodiscard]] size_t pending() const { return buffer_.size(); }
  /// Bytes handed to the kernel so far: whether a reader makes progress.
  [[nodiscard]] uint64_t sent_bytes() const { return sent_bytes_; }
  /// Nothing more can be appended by us: a Close frame is in the buffer, or the stream failed.
  [[nodiscard]] bool closing() const { return close_appended_ || error_; }
  [[nodiscard]] bool broken() const { return bool(error_); }

  /// Append one text frame, an empty ping, or bytes that are no frame. False if closing().
  bool AppendText(std::string_view prefix, std::string_view body);
  bool AppendPing();
  bool AppendRaw(std::string_view bytes);

  /// Closes the socket. `reset`: with RST, leaving nothing queued in the kernel for a peer that
  /// does not read. Never destroys the connection: its reading ends and does that.
  void Fail(ErrorCode error, bool reset);

  template <typename Buffers, typename Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    return socket_.async_read_some(buffers, std::forward<Token>(token));
  }
  template <typename Buffers, typename Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    return asio::async_compose<Token, void(ErrorCode, size_t)>(AppendOp<Buffers>{*this, buffers},
                                                               token, socket_);
  }
  void ShutdownSend();
  /// Drops what the peer has sent. False at its end of stream, when the stream becomes broken.
  [[nodiscard]] bool DiscardInput();

  /// Completes once the buffer is empty, or the stream broken. One waiter at a time.
  template <typename Token>
  auto AwaitEmpty(Token&& token) {
    if (!emptied_) emptied_.emplace(socket_.get_executor());
    FlushNow();
    const bool wait = pending() != 0 && !error_;
    emptied_->expires_at(wait ? SteadyTimer::time_point::max() : SteadyTimer::time_point::min());
    return emptied_->async_wait(std::forward<Token>(token));
  }

 private:
  template <typename Buffers>
  struct AppendOp {
    OutputStream& stream;
    Buffers buffers;
    size_t appended = 0;
    bool posted = false;

    template <typename Self>
    void operator()(Self& self, ErrorCode = {}, size_t = 0) {
      if (posted) return self.complete(appended != 0 ? ErrorCode{} : stream.error_, appended);
      appended = stream.AppendBuffers(buffers);
      posted = true;  // an asynchronous operation must not complete before it returns
      const auto executor = stream.get_executor();
      asio::post(executor, std::move(self));
    }
  };

  template <typename Buffers>
  size_t AppendBuffers(const Buffers& buffers) {
    const size_t bytes = asio::buffer_size(buffers);
    if (error_ || bytes == 0) return 0;
    char* out = buffer_.Prepare(bytes);
    asio::buffer_copy(asio::buffer(out, bytes), buffers);
    // The whole first byte: the low half alone would also match the H of "HTTP/1.1 101".
    constexpr char kCloseFrame = '\x88';
    close_appended_ |= *out == kCloseFrame;
    Appended(bytes);
    return bytes;
  }

  void Appended(size_t bytes);
  void Flush() override;
  void FlushNow();
  void SendPending();
  void AwaitWritable();
  void ReleaseBuffer();

  StreamSocket socket_;
  IoThread::Impl& loop_;
  const Limits limits_;
  Owner& owner_;
  OutputBuffer buffer_;
  std::optional<SteadyTimer> emptied_;
  ErrorCode error_;
  uint64_t sent_bytes_ = 0;
  bool above_eager_ = false;  // OnDrained is due
  bool queued_ = false;       // in the flush queue
  bool awaiting_writable_ = false;
  bool close_appended_ = false;
};

/// One run of the teardown below.
struct TeardownOp {
  enum class Step { kFlush, kShutdown, kDiscard };
  OutputStream& stream;
  Step step = Step::kFlush;

  template <typename Self>
  void operator()(Self& self, ErrorCode = {}) {
    OutputStream& out = stream;  // `self`, and we in it, are moved from below
    switch (step) {
      case Step::kFlush:
        step = Step::kShutdown;
        return out.AwaitEmpty(std::move(self));
      case Step::kShutdown:
        step = Step::kDiscard;
        out.ShutdownSend();
        [[fallthrough]];
      case Step::kDiscard:
        if (!out.DiscardInput()) return self.complete({});
        return out.next_layer().async_wait(StreamSocket::wait_read, std::move(self));
    }
  }
};

/// Ends the TCP connection: sends what is pending, says so, and waits for the peer's end of stream,
/// so that no RST overtakes the last bytes. The owner bounds how long that may take. Beast finds it
/// by name.
template <typename Token>
auto async_teardown(boost::beast::role_type, OutputStream& stream, Token&& token) {
  return asio::async_compose<Token, void(ErrorCode)>(TeardownOp{stream}, token,
                                                     stream.next_layer());
}

}  // namespace graspd::net
