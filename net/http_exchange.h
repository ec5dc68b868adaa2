// One HTTP request read, one response written: what both servers share.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "net/asio.h"
#include "net/http.h"

namespace graspd::net {

/// The fields of one of Beast's messages, names in lower case.
template <typename Fields>
std::vector<std::pair<std::string, std::string>> HeadersOf(const Fields& fields) {
  std::vector<std::pair<std::string, std::string>> headers;
  for (const auto& field : fields) {
    const auto name = field.name_string();
    headers.emplace_back(absl::AsciiStrToLower({name.data(), name.size()}), field.value());
  }
  return headers;
}

/// What ReadRequest got.
struct RequestOutcome {
  std::optional<HttpRequest> request;
  int refusal = 0;  // without a request: the status to answer with; 0 = the peer has gone
};

/// Reads one request without a body; HTTP/1.1 must name its host. The caller bounds the time by
/// closing the socket.
Awaitable<RequestOutcome> ReadRequest(StreamSocket& socket);

/// The whole response, `Connection: close` included unless it is a 101; `extra` are further
/// headers. Headers with control characters are left out.
std::string SerializeResponse(const HttpResponse& response, bool head_only,
                              const std::vector<std::pair<std::string, std::string>>& extra);

/// A response that explains its status with the standard phrase.
HttpResponse StatusResponse(int status);

/// Calls `handler`, giving it GET for HEAD.
HttpResponse Handle(const HttpHandler& handler, HttpRequest request);

}  // namespace graspd::net
