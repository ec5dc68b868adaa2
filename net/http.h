// Plain HTTP requests as values: the relay port's NIP-11 and landing page, the ops port, and
// nothing big.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "net/io_pool.h"
#include "net/socket_address.h"

namespace graspd::net {

/// One request whose head has come whole; it has no body. A plain value.
struct HttpRequest {
  std::string method;                                        // upper case
  std::string target;                                        // as sent: path and query
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  IpAddress peer;
  bool http_1_1 = true;     // or a later minor version; false: 1.0
  bool more_input = false;  // bytes came behind the request before it was answered

  /// First value of a header, name in lower case; "" if absent.
  [[nodiscard]] std::string_view Header(std::string_view name) const;
  [[nodiscard]] std::string_view path() const;  // target up to '?'
};

/// Its answer; Content-Length, Date and Connection are the server's. A plain value.
struct HttpResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
};

/// Answers one request, on the connection's I/O thread: must not block. HEAD is answered from the
/// GET of the same target by the server itself.
using HttpHandler = std::function<HttpResponse(const HttpRequest&)>;

/// A small HTTP/1.1 server (RFC 9112; the ops port). Bodies of requests are refused; headers up to
/// 8 KiB within 5 s; at most 64 connections. Threading: thread-safe; the handler runs on any thread
/// of the pool, on several at a time. Lifetime: the pool outlives it, and so does what the handler
/// refers to.
class HttpServer {
 public:
  virtual ~HttpServer() = default;  // stops, closing every connection
  /// What is really listened on: port 0 has become a port.
  [[nodiscard]] virtual std::vector<ListenAddress> addresses() const = 0;

  /// Errors: kUnavailable (an address in use or not ours), kPermissionDenied, kInvalidArgument.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(IoPool& pool,
                                                           std::vector<ListenAddress> listen,
                                                           HttpHandler handler);
};

}  // namespace graspd::net
