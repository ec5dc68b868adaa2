#include "net/output_stream.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>

namespace graspd::net {

OutputStream::OutputStream(StreamSocket socket, IoThread& thread, Limits limits, Owner& owner)
    : socket_(std::move(socket)),
      loop_(thread.impl()),
      limits_(limits),
      owner_(owner),
      buffer_(loop_.chunks) {}

OutputStream::~OutputStream() {
  if (queued_) loop_.flush_queue.Remove(*this);
  ReleaseBuffer();
}

bool OutputStream::AppendText(std::string_view prefix, std::string_view body) {
  if (closing()) return false;
  const size_t payload = prefix.size() + body.size();
  char* out = buffer_.Prepare(kMaxFrameHeader + payload);
  const size_t header = WriteFrameHeader(kTextOpcode, payload, out);
  std::memcpy(out + header, prefix.data(), prefix.size());
  if (!body.empty()) std::memcpy(out + header + prefix.size(), body.data(), body.size());
  Appended(header + payload);
  return !broken();
}

bool OutputStream::AppendControl(uint8_t opcode, std::string_view payload) {
  std::array<char, kMaxFrameHeader + kMaxControlPayload> frame;
  const size_t header = WriteFrameHeader(opcode, payload.size(), frame.data());
  payload.copy(frame.data() + header, kMaxControlPayload);
  return AppendRaw({frame.data(), header + payload.size()});
}

bool OutputStream::AppendClose(uint16_t code, std::string_view reason) {
  constexpr uint16_t kNoCode = 1005;
  std::string payload;
  if (code != kNoCode) {
    payload = {static_cast<char>(code >> 8), static_cast<char>(code)};
    payload += reason.substr(0, kMaxControlPayload - payload.size());
  }
  const bool appended = AppendControl(kCloseOpcode, payload);
  close_appended_ = true;
  return appended;
}

bool OutputStream::AppendRaw(std::string_view bytes) {
  if (closing()) return false;
  std::memcpy(buffer_.Prepare(bytes.size()), bytes.data(), bytes.size());
  Appended(bytes.size());
  return !broken();
}

void OutputStream::ShutdownSend() {
  ErrorCode ignored;
  socket_.shutdown(StreamSocket::shutdown_send, ignored);
}

bool OutputStream::DiscardInput() {
  constexpr int kReadsPerTurn = 16;  // a peer that floods us must not hold the thread
  char scratch[4096];
  for (int i = 0; i < kReadsPerTurn && !error_; ++i) {
    const ssize_t received =
        ::recv(socket_.native_handle(), scratch, sizeof(scratch), MSG_DONTWAIT);
    if (received > 0 || (received < 0 && errno == EINTR)) continue;
    if (received < 0 && errno == EAGAIN) return true;
    Fail(asio::error::eof, /*reset=*/false);
  }
  return !error_;
}

void OutputStream::Appended(size_t bytes) {
  buffer_.Commit(bytes);
  if (pending() > limits_.bytes) {
    // What is pending may be 32 KiB that were never offered to the kernel yet: offer first.
    if (!awaiting_writable_) SendPending();
    if (pending() > limits_.bytes) return Fail(asio::error::no_buffer_space, /*reset=*/true);
  }
  constexpr size_t kStep = 4096;
  if (pending() >= in_total_ + kStep && AddToTotal() > limits_.total_bytes) owner_.OnOverBudget();
  above_eager_ |= pending() >= kEagerFlush;
  if (awaiting_writable_) return;
  if (pending() >= kEagerFlush) {
    SendPending();
  } else if (!queued_) {
    queued_ = true;
    if (loop_.flush_queue.Add(*this)) {  // post: behind everything that is ready in this turn
      asio::post(loop_.io, [&queue = loop_.flush_queue] { queue.FlushAll(); });
    }
  }
}

void OutputStream::Flush() {
  queued_ = false;
  FlushNow();
}

void OutputStream::FlushNow() {
  if (!awaiting_writable_ && !error_) SendPending();
}

void OutputStream::SendPending() {
  while (pending() != 0) {
    const std::string_view piece = buffer_.front();
    const ssize_t sent = ::send(socket_.native_handle(), piece.data(), piece.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      buffer_.Consume(static_cast<size_t>(sent));
      sent_bytes_ += static_cast<uint64_t>(sent);
    } else if (errno == EAGAIN) {
      AwaitWritable();
      break;
    } else if (errno != EINTR) {
      return Fail(ErrorCode(errno, boost::system::system_category()), /*reset=*/false);
    }
  }
  if (pending() < in_total_) (void)AddToTotal();
  if (above_eager_ && pending() < kEagerFlush) {
    above_eager_ = false;
    owner_.OnDrained();
  }
  if (pending() != 0) return;
  ReleaseBuffer();
  if (emptied_) emptied_->cancel();
}

void OutputStream::AwaitWritable() {
  awaiting_writable_ = true;
  // A success that is already queued outlives the socket: the handler keeps the owner, and so us.
  socket_.async_wait(StreamSocket::wait_write, [this, self = owner_.Self()](ErrorCode error) {
    awaiting_writable_ = false;
    if (error_) return;
    if (error) return Fail(error, /*reset=*/false);
    SendPending();
  });
}

void OutputStream::Fail(ErrorCode error, bool reset) {
  if (error_) return;
  error_ = error;
  ErrorCode ignored;
  if (reset) socket_.set_option(asio::socket_base::linger(true, 0), ignored);
  socket_.close(ignored);
  ReleaseBuffer();
  if (emptied_) emptied_->cancel();
  owner_.OnBroken();
}

void OutputStream::ReleaseBuffer() {
  buffer_.Release();
  if (in_total_ != 0) (void)AddToTotal();
}

/// Corrects what the sum holds for this buffer; returns the sum.
size_t OutputStream::AddToTotal() {
  const size_t change = pending() - in_total_;  // modulo 2^64 when it is negative
  in_total_ = pending();
  return limits_.total.fetch_add(change) + change;
}

}  // namespace graspd::net
