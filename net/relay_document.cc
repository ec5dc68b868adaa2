#include "net/relay_document.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

#include "base/log.h"
#include "net/outbound.h"

namespace graspd::net {
namespace {

namespace http = boost::beast::http;

constexpr size_t kMaxDocument = 64 * 1024, kMaxHeader = 16 * 1024;
constexpr int kHttp11 = 11;

/// One GET on a connection of its own. Lifetime: its coroutine holds it; every phase has a
/// deadline.
class DocumentFetch final : public Outbound {
 public:
  DocumentFetch(std::shared_ptr<DialerCore> core, DialOptions options, SocketAddress address,
                DialledConnection::DocumentCallback done, IoThread& thread)
      : Outbound(std::move(core), std::move(options), thread),
        known_(address),
        done_(std::move(done)),
        stream_(thread.impl().io.get_executor()) {}

  void Start() {
    asio::co_spawn(
        thread_.impl().io,
        [self = std::static_pointer_cast<DocumentFetch>(shared_from_this())] {
          return self->Run(self);
        },
        [](std::exception_ptr) {});
  }

 private:
  Awaitable<void> Run(std::shared_ptr<DocumentFetch> self) {
    absl::StatusOr<RelayDocument> document = absl::UnavailableError("");
    try {
      document = co_await Fetch();
    } catch (const std::exception& e) {  // out of memory
      base::LogError("net", "fetching a relay document failed", {{"error", e.what()}});
    }
    self->CancelDeadline();
    self->CloseSocket();
    self->done_(std::move(document));
  }

  Awaitable<absl::StatusOr<RelayDocument>> Fetch() {
    if (const auto failure = co_await EstablishAt(Addresses(1, known_))) {
      co_return NoDocument(*failure);
    }
    SetPhaseDeadline(options_.upgrade_timeout);

    http::request<http::empty_body> request(http::verb::get, options_.url.target(), kHttp11);
    request.set(http::field::host, options_.url.authority());
    request.set(http::field::accept, "application/nostr+json");
    request.set(http::field::user_agent, core_->options.user_agent);
    request.set(http::field::connection, "close");
    if (auto [error, bytes] = co_await http::async_write(stream_, request, kNoThrow); error) {
      co_return NoDocument(Failed(DialError::kTcp, error.message()));
    }
    boost::beast::flat_buffer buffer(kMaxHeader + kMaxDocument);
    http::response_parser<http::string_body> parser;
    parser.header_limit(kMaxHeader);
    parser.body_limit(kMaxDocument);
    auto [error, bytes] = co_await http::async_read(stream_, buffer, parser, kNoThrow);
    // Where the end of the stream ends the body, TLS is often ended without a farewell.
    const bool ended =
        error == asio::ssl::error::stream_truncated && parser.is_header_done() && parser.need_eof();
    if (error && !ended) co_return NoDocument(Failed(DialError::kHttp, error.message()));
    if (parser.get().result() != http::status::ok) {  // redirects are not followed
      co_return absl::NotFoundError("HTTP status " + std::to_string(parser.get().result_int()));
    }
    const auto instance = parser.get()[kInstanceHeader];
    co_return RelayDocument{std::move(parser.get().body()),
                            Printable({instance.data(), std::min(instance.size(), kMaxInstance)})};
  }

  ClientStream& stream() override { return stream_; }

  const SocketAddress known_;
  const DialledConnection::DocumentCallback done_;
  ClientStream stream_;
};

}  // namespace

std::weak_ptr<Outbound> StartDocumentFetch(std::shared_ptr<DialerCore> core, DialOptions options,
                                           SocketAddress address,
                                           DialledConnection::DocumentCallback done,
                                           IoThread& thread) {
  const auto fetch = MakeSharedOn<DocumentFetch>(thread, std::move(core), std::move(options),
                                                 address, std::move(done), thread);
  fetch->Start();
  return fetch;
}

absl::Status NoDocument(const DialFailure& failure) {
  return absl::UnavailableError(std::string(DialErrorName(failure.error)) + ": " + failure.detail);
}

}  // namespace graspd::net
