// What the relay port makes of HTTP, well and ill formed, and of addresses that proxies report.
#include <gmock/gmock.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/adversarial/target.h"

namespace graspd::adversarial {
namespace {

using net::RawClient;
using testing::HasSubstr;
using testing::StartsWith;

constexpr std::string_view kHandshake =
    "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

std::string Request(std::string_view line, std::string_view headers = "") {
  return std::string(line) + "\r\nHost: relay\r\n" + std::string(headers) + "\r\n";
}

std::string Answer(const Target& target, std::string_view request) {
  RawClient client(target.relay());
  client.Send(request);
  if (request.find("Sec-WebSocket-Key") != std::string_view::npos) {
    return client.ReadUntil("\r\n\r\n");
  }
  return client.ReadToEnd();
}

TEST(HttpTest, EveryAnswerHasItsStatusAndTheHeadersThatBrowsersNeed) {
  const Target target;
  const std::string upgrade(kHandshake), key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {Request("GET / HTTP/1.1"), "200"},
      {Request("HEAD / HTTP/1.1"), "200"},
      {Request("GET / HTTP/1.0"), "200"},
      {"GET / HTTP/1.0\r\n\r\n", "200"},
      {Request("OPTIONS / HTTP/1.1"), "204"},
      {Request("OPTIONS /nowhere HTTP/1.1"), "204"},
      {Request("GET /nowhere HTTP/1.1"), "404"},
      {Request("POST / HTTP/1.1"), "405"},
      {Request("POST / HTTP/1.1", "Content-Length: 5\r\n") + "hello", "413"},
      {Request("POST / HTTP/1.1", "Transfer-Encoding: chunked\r\n"), "413"},
      {Request("GET / HTTP/1.1", "X: " + std::string(9000, 'x') + "\r\n"), "431"},
      {"GET /" + std::string(9000, 'x') + " HTTP/1.1\r\n\r\n", "431"},
      {"GET / HTTP/1.1\r\n\r\n", "400"},  // no host
      {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"},
      {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", "400"},
      {"\x16\x03\x01\x02\x01\xfc\x03\x03\r\n\r\n", "400"},  // TLS where there is none
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400"},
      {Request("GET / HTTP/1.1", upgrade), "101"},
      {Request("GET /any/path HTTP/1.1", upgrade), "101"},
      {Request("GET / HTTP/1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\n" + key), "426"},
      {Request("GET / HTTP/1.1", upgrade + key), "400"},  // two keys
      {Request("POST / HTTP/1.1", upgrade), "400"},
  };
  for (const auto& [request, status] : cases) {
    const std::string answer = Answer(target, request);
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 " + status + " ")) << request.substr(0, 100);
    EXPECT_THAT(answer, HasSubstr("\r\nAccess-Control-Allow-Origin: *\r\n")) << request;
    EXPECT_THAT(answer, HasSubstr("\r\nAccess-Control-Allow-Methods: GET, POST")) << request;
    EXPECT_THAT(answer, HasSubstr("\r\nAccess-Control-Allow-Headers: Content-Type")) << request;
  }
  target.ExpectHealthy();
}

TEST(HttpTest, TheClientBehindATrustedProxyIsTheFirstStrangerFromTheRight) {
  const Target target(
      {"--relay-trusted-proxies=127.0.0.0/8,10.0.0.0/8", "--limits-connections-per-address=1"});
  // Holds a connection as `client`, then sees whether the header counts as the same one.
  const auto counts_as = [&](const std::string& client, const std::string& header) {
    RawClient first(target.relay());
    EXPECT_THAT(first.Upgrade("X-Forwarded-For: " + client + "\r\n"), StartsWith("HTTP/1.1 101"));
    return RawClient(target.relay()).Upgrade(header).starts_with("HTTP/1.1 429");
  };
  EXPECT_TRUE(counts_as("203.0.113.1", "X-Forwarded-For: 6.6.6.6, 203.0.113.1\r\n"));
  EXPECT_TRUE(counts_as("203.0.113.2", "X-Forwarded-For: 203.0.113.2, 10.1.1.1, 127.0.0.9\r\n"));
  EXPECT_TRUE(
      counts_as("203.0.113.3", "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 203.0.113.3\r\n"));
  EXPECT_FALSE(counts_as("203.0.113.4", "X-Forwarded-For: 203.0.113.4, 203.0.113.5\r\n"));
  EXPECT_FALSE(
      counts_as("203.0.113.6", "X-Real-IP: 203.0.113.6\r\nForwarded: for=203.0.113.6\r\n"));
  std::string fifty_hops = "203.0.113.7";
  for (int i = 0; i < 50; ++i) fifty_hops += ", 10.0.0." + std::to_string(i);
  EXPECT_TRUE(counts_as("203.0.113.7", "X-Forwarded-For: " + fifty_hops + "\r\n"));
  // Garbage ends the walk at the hop that is known, here our own proxy.
  EXPECT_TRUE(counts_as("10.9.9.9", "X-Forwarded-For: 203.0.113.8, rubbish, 10.9.9.9\r\n"));
  EXPECT_TRUE(counts_as("2001:db8::1", "X-Forwarded-For: 2001:db8::ffff\r\n")) << "one /64";
  target.ExpectHealthy();
}

TEST(HttpTest, WhatAnUntrustedPeerSaysAboutItsAddressIsIgnored) {
  const Target target({"--limits-connections-per-address=1"});
  auto first = std::make_unique<RawClient>(target.relay());
  EXPECT_THAT(first->Upgrade("X-Forwarded-For: 203.0.113.1\r\n"), StartsWith("HTTP/1.1 101"));
  for (const char* header : {"", "X-Forwarded-For: 203.0.113.2\r\n", "X-Real-IP: 203.0.113.3\r\n",
                             "Forwarded: for=203.0.113.4\r\n"}) {
    EXPECT_THAT(RawClient(target.relay()).Upgrade(header), StartsWith("HTTP/1.1 429")) << header;
  }
  first.reset();
  ASSERT_TRUE(e2e::Eventually([&] { return target.Metric("graspd_relay_connections") == 0; }));
  target.ExpectHealthy();
}

}  // namespace
}  // namespace graspd::adversarial
