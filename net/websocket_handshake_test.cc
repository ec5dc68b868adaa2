// From the request to the upgrade or the answer, over real connections.
#include "net/websocket_handshake.h"

#include "net/test_support.h"
#include "net/websocket_server.h"

namespace graspd::net {
namespace {

using WebSocketHandshakeTest = NetTest;

constexpr uint8_t kText = 0x81;

std::string Get(std::string_view target, std::string_view headers = {},
                std::string_view method = "GET") {
  return std::string(method) + " " + std::string(target) + " HTTP/1.1\r\nHost: test\r\n" +
         std::string(headers) + "\r\n";
}

TEST_F(WebSocketHandshakeTest, FirefoxConnectionHeaderUpgrades) {
  StartServer();
  RawClient client(address());
  client.Send(Get("/",
                  "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
                  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
                  "dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: "
                  "permessage-deflate\r\n"));
  const std::string head = client.ReadUntil("\r\n\r\n");
  EXPECT_TRUE(head.starts_with("HTTP/1.1 101")) << head;
  EXPECT_NE(head.find("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), std::string::npos);
  EXPECT_EQ(head.find("permessage-deflate"), std::string::npos);
}

TEST_F(WebSocketHandshakeTest, PlainHttpIsAnsweredByTheHandler) {
  options.response_headers = {{"Access-Control-Allow-Origin", "*"}};
  StartServer();
  const auto ask = [&](const std::string& request) {
    RawClient client(address());
    client.Send(request);
    return client.ReadToEnd();
  };
  const std::string get = ask(Get("/?q=1"));
  EXPECT_TRUE(get.starts_with("HTTP/1.1 200 OK\r\n")) << get;
  EXPECT_TRUE(get.ends_with("\r\n\r\nGET /?q=1 from 127.0.0.1")) << get;
  EXPECT_NE(get.find("Access-Control-Allow-Origin: *\r\n"), std::string::npos);

  const std::string head = ask(Get("/?q=1", "", "HEAD"));
  EXPECT_TRUE(head.ends_with("\r\n\r\n")) << head;
  EXPECT_NE(head.find("Content-Length: 24\r\n"), std::string::npos) << head;

  EXPECT_TRUE(ask(Get("/", "", "OPTIONS")).ends_with("OPTIONS / from 127.0.0.1"));
  EXPECT_TRUE(ask(Get("/nothing")).starts_with("HTTP/1.1 404 Not Found\r\n"));
  EXPECT_TRUE(ask("nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
  EXPECT_TRUE(ask(Get("/", "Content-Length: 3\r\n")).starts_with("HTTP/1.1 413 "));
  EXPECT_TRUE(ask(Get("/", "X: " + std::string(9000, 'x') + "\r\n")).starts_with("HTTP/1.1 431 "));
}

TEST_F(WebSocketHandshakeTest, RequestsThatAreNoHandshakeAreRefused) {
  StartServer();
  const auto status = [&](const std::string& request) {
    RawClient client(address());
    client.Send(request);
    return client.ReadUntil("\r\n\r\n").substr(9, 3);
  };
  const std::string upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
  const std::string version = "Sec-WebSocket-Version: 13\r\n";
  const std::string key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
  EXPECT_EQ(status(Get("/", upgrade + version + key)), "101");
  EXPECT_EQ(
      status(Get("/", "connection: x ,UPGRADE\r\nupgrade: h2c, WebSocket\r\n" + version + key)),
      "101");
  EXPECT_EQ(status(Get("/", upgrade + version)), "400") << "no key";
  EXPECT_EQ(status(Get("/", upgrade + version + key + key)), "400") << "two keys";
  EXPECT_EQ(status(Get("/", upgrade + version + "Sec-WebSocket-Key: c2hvcnQ=\r\n")), "400");
  EXPECT_EQ(status(Get("/", upgrade + version + "Sec-WebSocket-Key: !!hlIHNhbXBsZSBub25jZQ==\r\n")),
            "400");
  EXPECT_EQ(status(Get("/", upgrade + key)), "426") << "no version";
  EXPECT_EQ(status(Get("/", upgrade + key + "Sec-WebSocket-Version: 8\r\n")), "426");
  EXPECT_EQ(status(Get("/", upgrade + version + key, "POST")), "400");
  EXPECT_EQ(status(Get("/", upgrade + version + key) + RawClient::ClientFrame(kText, "early")),
            "400");
  EXPECT_EQ(status(Get("/", "Upgrade: websocket\r\n" + version + key)), "200") << "no upgrade";
  EXPECT_EQ(status(Get("/", "Connection: Upgrade\r\n" + version + key)), "200") << "no upgrade";
  EXPECT_EQ(status("GET / HTTP/1.0\r\nHost: test\r\n" + upgrade + version + key + "\r\n"), "200");
  EXPECT_EQ(status("GET / HTTP/1.0\r\n\r\n"), "200");
  EXPECT_EQ(status("GET / HTTP/1.1\r\n\r\n"), "400") << "no host";
  EXPECT_EQ(status(Get("/", "Host: other\r\n")), "400") << "two hosts";
}

TEST_F(WebSocketHandshakeTest, OfPipelinedRequestsTheFirstIsAnsweredAndTheConnectionEnds) {
  StartServer();
  RawClient client(address());
  client.Send(Get("/first") + Get("/second"));
  const std::string answers = client.ReadToEnd();
  EXPECT_NE(answers.find("GET /first"), std::string::npos) << answers;
  EXPECT_NE(answers.find("Connection: close"), std::string::npos) << answers;
  EXPECT_EQ(answers.find("/second"), std::string::npos) << answers;
}

TEST_F(WebSocketHandshakeTest, NoExtensionIsEverTakenUp) {
  StartServer();
  for (const std::string offer :
       {"permessage-deflate",
        "permessage-deflate; client_max_window_bits=15, x-webkit-deflate-frame",
        "permessage-deflate;server_no_context_takeover;=,;;,", ",,,", "\"", ""}) {
    RawClient client(address());
    const std::string head = client.Upgrade("Sec-WebSocket-Extensions: " + offer + "\r\n" +
                                            "Sec-WebSocket-Protocol: nostr\r\n");
    EXPECT_TRUE(head.starts_with("HTTP/1.1 101")) << head;
    EXPECT_EQ(head.find("Sec-WebSocket-Extensions"), std::string::npos) << head;
    EXPECT_EQ(head.find("Sec-WebSocket-Protocol"), std::string::npos) << head;
    client.SendFrame(0xc1, "compressed?");  // RSV1
    EXPECT_EQ(client.ReadFrame().close_code(), 1002);
  }
}

TEST_F(WebSocketHandshakeTest, ResponseHeadersAreOnTheUpgradeToo) {
  options.response_headers = {{"Graspd-Instance", "abc"}};
  StartServer();
  RawClient client(address());
  EXPECT_NE(client.Upgrade().find("Graspd-Instance: abc\r\n"), std::string::npos);
}

TEST_F(WebSocketHandshakeTest, TheUpgradeNamesNoLibrary) {
  StartServer();
  RawClient client(address());
  EXPECT_NE(client.Upgrade().find("\r\nServer: graspd\r\n"), std::string::npos);
}

TEST_F(WebSocketHandshakeTest, SecretHeaderMarksThePeer) {
  options.secret_header = {"X-Self", "s3cret"};
  StartServer();
  const auto marked = [&](std::string_view header) {
    RawClient client(address());
    client.Upgrade(header);
    return (*connections.Pop())->peer().secret_header;
  };
  EXPECT_TRUE(marked("X-Self: s3cret\r\n"));
  EXPECT_FALSE(marked("X-Self: s3creT\r\n"));
  EXPECT_FALSE(marked("X-Self: s3cret2\r\n"));
  EXPECT_FALSE(marked("X-Self:\r\n"));
  EXPECT_FALSE(marked(""));
}

TEST_F(WebSocketHandshakeTest, ForwardedForIsBelievedOnlyFromTrustedProxies) {
  StartServer();
  RawClient(address()).Upgrade("X-Forwarded-For: 203.0.113.9\r\n");
  EXPECT_EQ((*connections.Pop())->peer().address.ToString(), "127.0.0.1");

  server.reset();
  options.trusted_proxies = {Cidr::Parse("127.0.0.0/8").value()};
  StartServer();
  RawClient(address()).Upgrade("X-Forwarded-For: 6.6.6.6, 203.0.113.9, 127.0.0.2\r\n");
  EXPECT_EQ((*connections.Pop())->peer().address.ToString(), "203.0.113.9");
}

TEST(HttpServerTest, AnswersGetAndHeadAndRefusesBodies) {
  IoPool pool(1);
  auto server = HttpServer::Start(pool, {ListenAddress::Parse("127.0.0.1:0").value()},
                                  [](const HttpRequest& request) {
                                    HttpResponse response;
                                    response.status = request.path() == "/livez" ? 200 : 404;
                                    response.body = "ok\n";
                                    return response;
                                  });
  ASSERT_TRUE(server.ok()) << server.status();
  const SocketAddress address = (*server)->addresses()[0].tcp;
  const auto ask = [&](const std::string& request) {
    RawClient client(address);
    client.Send(request);
    return client.ReadToEnd();
  };
  EXPECT_TRUE(ask(Get("/livez?verbose")).ends_with("\r\n\r\nok\n"));
  EXPECT_TRUE(ask(Get("/livez", "", "HEAD")).ends_with("\r\n\r\n"));
  EXPECT_TRUE(ask(Get("/other")).starts_with("HTTP/1.1 404 "));
  EXPECT_TRUE(ask(Get("/livez", "Content-Length: 1\r\n")).starts_with("HTTP/1.1 413 "));
}

TEST(HttpServerTest, DestructionClosesWhatIsOpen) {
  IoPool pool(1);
  auto server = HttpServer::Start(pool, {ListenAddress::Parse("127.0.0.1:0").value()},
                                  [](const HttpRequest&) { return HttpResponse(); });
  ASSERT_TRUE(server.ok());
  RawClient client((*server)->addresses()[0].tcp);
  client.Send("GET / ");
  server->reset();
  EXPECT_TRUE(client.Ended());
}

}  // namespace
}  // namespace graspd::net
