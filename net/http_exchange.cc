#include "net/http_exchange.h"

#include <algorithm>
#include <array>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/status.hpp>
#include <cctype>

namespace graspd::net {
namespace {

namespace http = boost::beast::http;

constexpr size_t kMaxHead = 8 * 1024;

HttpRequest FromBeast(const http::request<http::empty_body>& parsed) {
  HttpRequest request;
  request.method = std::string(parsed.method_string());
  request.target = std::string(parsed.target());
  request.http_1_1 = parsed.version() > 10;
  request.headers = HeadersOf(parsed);
  return request;
}

/// RFC 9112, 3.2: an HTTP/1.1 request names its host, once.
bool NamesItsHost(const HttpRequest& request) {
  const auto hosts = std::count_if(request.headers.begin(), request.headers.end(),
                                   [](const auto& header) { return header.first == "host"; });
  return hosts == 1 || (hosts == 0 && !request.http_1_1);
}

bool HasControlCharacter(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

std::string_view ReasonPhrase(int status) {
  const auto phrase = http::obsolete_reason(http::int_to_status(static_cast<unsigned>(status)));
  return {phrase.data(), phrase.size()};
}

}  // namespace

std::string_view HttpRequest::Header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return {};
}

std::string_view HttpRequest::path() const {
  return std::string_view(target).substr(0, target.find('?'));
}

Awaitable<RequestOutcome> ReadRequest(StreamSocket& socket) {
  constexpr int kBadRequest = 400, kTooLarge = 413, kHeadTooLarge = 431;
  http::request_parser<http::empty_body> parser;
  parser.header_limit(kMaxHead);
  std::array<char, kMaxHead> head;
  size_t used = 0, parsed = 0;
  while (!parser.is_header_done()) {
    if (used == head.size()) co_return RequestOutcome{.refusal = kHeadTooLarge};
    auto [error, bytes] = co_await socket.async_read_some(
        asio::buffer(head.data() + used, head.size() - used), kNoThrow);
    if (error) co_return RequestOutcome{};
    used += bytes;
    ErrorCode parse_error;
    parsed += parser.put(asio::buffer(head.data() + parsed, used - parsed), parse_error);
    if (parse_error == http::error::header_limit) {
      co_return RequestOutcome{.refusal = kHeadTooLarge};
    }
    if (parse_error && parse_error != http::error::need_more) {
      co_return RequestOutcome{.refusal = kBadRequest};
    }
  }
  if (parser.chunked() || parser.content_length().value_or(0) != 0) {
    co_return RequestOutcome{.refusal = kTooLarge};
  }
  HttpRequest request = FromBeast(parser.get());
  if (!NamesItsHost(request)) co_return RequestOutcome{.refusal = kBadRequest};
  // A pipelined request: never read, as our answer ends the connection. Or frames, too early.
  request.more_input = parsed != used;
  co_return RequestOutcome{.request = std::move(request)};
}

std::string SerializeResponse(const HttpResponse& response, bool head_only,
                              const std::vector<std::pair<std::string, std::string>>& extra) {
  std::string out = "HTTP/1.1 " + std::to_string(response.status) + " ";
  out += ReasonPhrase(response.status);
  out += "\r\n";
  const auto add = [&out](std::string_view name, std::string_view value) {
    if (HasControlCharacter(name) || HasControlCharacter(value)) return;
    out.append(name).append(": ").append(value).append("\r\n");
  };
  constexpr int kSwitchingProtocols = 101, kNoContent = 204;
  const bool upgrade = response.status == kSwitchingProtocols;
  const bool has_body = !upgrade && response.status != kNoContent;
  if (has_body) {
    add("Content-Type", response.content_type);
    add("Content-Length", std::to_string(response.body.size()));
  }
  for (const auto& [name, value] : response.headers) add(name, value);
  for (const auto& [name, value] : extra) add(name, value);
  if (!upgrade) add("Connection", "close");
  out += "\r\n";
  if (!head_only && has_body) out += response.body;
  return out;
}

HttpResponse StatusResponse(int status) {
  return {.status = status, .body = std::string(ReasonPhrase(status)) + "\n"};
}

HttpResponse Handle(const HttpHandler& handler, HttpRequest request) {
  if (request.method == "HEAD") request.method = "GET";
  return handler(request);
}

}  // namespace graspd::net
