// What an accepted connection sends: the single writer of its socket.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "net/asio.h"
#include "net/output_buffer.h"

namespace graspd::net {

/// A socket whose whole output goes through one buffer.
///
/// Data frames, pongs and the Close are appended in order, and everything of one turn of the event
/// loop leaves in one send(), or one for each OutputBuffer::kPiece. When the kernel takes no more,
/// the stream waits for the socket to become writable; nothing is in flight meanwhile, so the
/// buffer may grow and move.
///
/// Errors: a stream that failed is closed and swallows what is appended; reading from its socket
/// then ends with an error. Threading: its IoThread only. Lifetime: member of a connection that
/// Owner::Self() keeps alive.
class OutputStream final : private FlushQueue::Member {
 public:
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

  /// Limit of one buffer, and the limit and current value of the sum over all. The sum knows a
  /// buffer to the nearest 4 KiB: all threads share it, and most buffers are empty again at once.
  struct Limits {
    size_t bytes;
    size_t total_bytes;
    std::atomic<size_t>& total;
  };

  OutputStream(StreamSocket socket, IoThread& thread, Limits limits, Owner& owner);
  ~OutputStream();
  OutputStream(const OutputStream&) = delete;
  OutputStream& operator=(const OutputStream&) = delete;

  [[nodiscard]] StreamSocket& socket() { return socket_; }

  [[nodiscard]] size_t pending() const { return buffer_.size(); }
  /// Bytes handed to the kernel so far: whether a reader makes progress.
  [[nodiscard]] uint64_t sent_bytes() const { return sent_bytes_; }
  /// Nothing more can be appended by us: a Close frame is in the buffer, or the stream failed.
  [[nodiscard]] bool closing() const { return close_appended_ || error_; }
  [[nodiscard]] bool broken() const { return bool(error_); }

  /// Append one text frame, a control frame (at most 125 bytes of payload), or bytes that are no
  /// frame. False if closing().
  bool AppendText(std::string_view prefix, std::string_view body);
  bool AppendPing() { return AppendControl(kPingOpcode, {}); }
  bool AppendPong(std::string_view payload) { return AppendControl(kPongOpcode, payload); }
  /// Nothing is appended after it. 1005, which stands for no code, is not sent.
  bool AppendClose(uint16_t code, std::string_view reason);
  bool AppendRaw(std::string_view bytes);

  /// Closes the socket. `reset`: with RST, leaving nothing queued in the kernel for a peer that
  /// does not read. Never destroys the connection: its reading ends and does that.
  void Fail(ErrorCode error, bool reset);

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
  bool AppendControl(uint8_t opcode, std::string_view payload);
  void Appended(size_t bytes);
  [[nodiscard]] size_t AddToTotal();
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
  size_t in_total_ = 0;       // pending bytes that the sum knows of
  bool above_eager_ = false;  // OnDrained is due
  bool queued_ = false;       // in the flush queue
  bool awaiting_writable_ = false;
  bool close_appended_ = false;
};

}  // namespace graspd::net
