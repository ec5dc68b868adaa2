#include "bench/load/delay_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <deque>
#include <thread>
#include <utility>
#include <vector>

namespace graspd::bench {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr size_t kChunk = 256 * 1024;

/// One direction of a connection. Kept alive by what is under way.
class Pipe : public std::enable_shared_from_this<Pipe> {
 public:
  Pipe(std::shared_ptr<tcp::socket> from, std::shared_ptr<tcp::socket> to, base::Duration delay)
      : from_(std::move(from)), to_(std::move(to)), timer_(from_->get_executor()), delay_(delay) {}

  void Read() {
    buffer_.resize(kChunk);
    from_->async_read_some(
        asio::buffer(buffer_), [self = shared_from_this()](error_code error, size_t bytes) {
          self->queue_.push_back({std::chrono::steady_clock::now() + self->delay_,
                                  {self->buffer_.begin(), self->buffer_.begin() + ptrdiff_t(bytes)},
                                  bool(error)});
          self->Pump();
          if (!error) self->Read();
        });
  }

 private:
  struct Chunk {
    std::chrono::steady_clock::time_point due;
    std::vector<char> bytes;
    bool last;
  };

  void Pump() {
    if (busy_ || queue_.empty()) return;
    busy_ = true;
    timer_.expires_at(queue_.front().due);
    timer_.async_wait([self = shared_from_this()](error_code) { self->Write(); });
  }
  void Write() {
    out_ = std::move(queue_.front());
    queue_.pop_front();
    asio::async_write(*to_, asio::buffer(out_.bytes),
                      [self = shared_from_this()](error_code error, size_t) {
                        self->busy_ = false;
                        if (!error && !self->out_.last) return self->Pump();
                        error_code ignored;
                        self->to_->close(ignored);
                        self->from_->close(ignored);
                      });
  }

  const std::shared_ptr<tcp::socket> from_, to_;
  asio::steady_timer timer_;
  const base::Duration delay_;
  std::vector<char> buffer_;
  std::deque<Chunk> queue_;
  Chunk out_;
  bool busy_ = false;
};

}  // namespace

struct DelayLine::Impl {
  Impl(const std::string& target, base::Duration wait)
      : acceptor(io, {asio::ip::address_v4::loopback(), 0}), delay(wait) {
    const size_t colon = target.rfind(':');
    to = {asio::ip::make_address(target.substr(0, colon)),
          static_cast<uint16_t>(std::stoul(target.substr(colon + 1)))};
    address = fmt::format("127.0.0.1:{}", acceptor.local_endpoint().port());
  }
  ~Impl() {
    io.stop();
    if (thread.joinable()) thread.join();
  }

  void Accept() {
    acceptor.async_accept([this](error_code error, tcp::socket socket) {
      if (error) return;
      const auto near = std::make_shared<tcp::socket>(std::move(socket));
      const auto far = std::make_shared<tcp::socket>(io);
      error_code failed;
      far->connect(to, failed);
      for (const auto& end : {near, far}) {
        if (!failed) end->set_option(tcp::no_delay(true), failed);
      }
      if (!failed) {
        std::make_shared<Pipe>(near, far, delay)->Read();
        std::make_shared<Pipe>(far, near, delay)->Read();
      }
      Accept();
    });
  }

  asio::io_context io;
  tcp::acceptor acceptor;
  tcp::endpoint to;
  const base::Duration delay;
  std::string address;
  std::thread thread;
};

absl::StatusOr<std::unique_ptr<DelayLine>> DelayLine::Start(const std::string& target,
                                                            base::Duration delay) {
  try {
    auto impl = std::make_unique<Impl>(target, delay);
    impl->Accept();
    impl->thread = std::thread([io = &impl->io] { io->run(); });
    return std::unique_ptr<DelayLine>(new DelayLine(std::move(impl)));
  } catch (const std::exception& error) {
    return absl::UnavailableError(fmt::format("cannot listen: {}", error.what()));
  }
}

DelayLine::DelayLine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
DelayLine::~DelayLine() = default;
const std::string& DelayLine::address() const { return impl_->address; }

}  // namespace graspd::bench
