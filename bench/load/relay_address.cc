#include "bench/load/relay_address.h"

#include <fmt/format.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/json.hpp>
#include <cstring>
#include <memory>
#include <optional>

#include "base/status_macros.h"
#include "nostr/relay_url.h"

namespace graspd::bench {
namespace {

namespace http = boost::beast::http;

class Socket {
 public:
  explicit Socket(int family) : fd_(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)) {}
  ~Socket() {
    if (fd_ >= 0) close(fd_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
};

// The body of the answer to one GET; nullopt if anything goes wrong.
std::optional<std::string> GetInfoDocument(const RelayAddress& relay) {
  const Socket socket(relay.address.ss_family);
  const timeval patience{.tv_sec = 5, .tv_usec = 0};
  setsockopt(socket.fd(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const auto* address = reinterpret_cast<const sockaddr*>(&relay.address);
  if (connect(socket.fd(), address, relay.address_size) != 0) return std::nullopt;
  const std::string request = fmt::format(
      "GET {} HTTP/1.1\r\nHost: {}\r\nAccept: application/nostr+json\r\n"
      "Connection: close\r\n\r\n",
      relay.target, relay.authority);
  if (send(socket.fd(), request.data(), request.size(), MSG_NOSIGNAL) < 0) return std::nullopt;

  http::response_parser<http::string_body> parser;
  parser.eager(true);
  std::string pending;
  std::array<char, 4096> chunk;
  while (!parser.is_done()) {
    const ssize_t size = recv(socket.fd(), chunk.data(), chunk.size(), 0);
    boost::system::error_code error;
    if (size < 0) return std::nullopt;
    if (size == 0) {
      parser.put_eof(error);
      break;
    }
    pending.append(chunk.data(), static_cast<size_t>(size));
    const size_t used = parser.put(boost::asio::buffer(pending), error);
    if (error && error != http::error::need_more) return std::nullopt;
    pending.erase(0, used);
  }
  return std::move(parser.get().body());
}

std::string TextOf(const boost::json::object& document, const char* name) {
  const auto* value = document.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
}

}  // namespace

absl::StatusOr<RelayAddress> ResolveRelay(const std::string& url) {
  GRASPD_ASSIGN_OR_RETURN(const auto parsed, nostr::RelayUrl::Parse(url));
  if (parsed.secure()) return absl::InvalidArgumentError("only ws:// can be measured, not wss://");
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(parsed.port());
  if (const int error = getaddrinfo(parsed.host().c_str(), port.c_str(), &hints, &found)) {
    return absl::NotFoundError(fmt::format("{}: {}", parsed.host(), gai_strerror(error)));
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, freeaddrinfo);
  RelayAddress relay{.authority = parsed.authority(), .target = parsed.target()};
  std::memcpy(&relay.address, found->ai_addr, found->ai_addrlen);
  relay.address_size = found->ai_addrlen;
  return relay;
}

RelayIdentity AskIdentity(const RelayAddress& relay) {
  const auto body = GetInfoDocument(relay);
  if (!body) return {};
  boost::system::error_code error;
  const auto document = boost::json::parse(*body, error);
  if (error || !document.is_object()) return {};
  const auto& fields = document.get_object();
  return {TextOf(fields, "name"), TextOf(fields, "software"), TextOf(fields, "version")};
}

}  // namespace graspd::bench
