#include "net/websocket_server.h"

#include <sys/stat.h>

#include <filesystem>

#include "absl/status/status.h"
#include "net/test_support.h"

namespace graspd::net {
namespace {

using WebSocketServerTest = NetTest;

constexpr uint8_t kText = 0x81, kBinary = 0x82, kClose = 0x88, kPing = 0x89, kPong = 0x8a;

std::string Get(std::string_view target, std::string_view headers = {},
                std::string_view method = "GET") {
  return std::string(method) + " " + std::string(target) + " HTTP/1.1\r\nHost: test\r\n" +
         std::string(headers) + "\r\n";
}

TEST_F(WebSocketServerTest, EchoesMessagesOfEveryFrameLength) {
  StartServer();
  RawClient client(address());
  EXPECT_TRUE(client.Upgrade().starts_with("HTTP/1.1 101"));
  for (const size_t size : {0u, 1u, 63u, 64u, 65u, 125u, 126u, 1535u, 65535u, 65536u, 500'000u}) {
    const std::string message(size, 'x');
    client.SendFrame(kText, message);
    const auto frame = client.ReadFrame();
    EXPECT_EQ(frame.first, kText);
    EXPECT_TRUE(frame.payload == message) << size;
  }
}

TEST_F(WebSocketServerTest, JoinsFragmentsWithAPingBetweenThem) {
  StartServer();
  RawClient client(address());
  client.Upgrade();
  client.SendFrame(0x01, "one, ");
  client.SendFrame(kPing, "p");
  client.SendFrame(0x80, "two");
  EXPECT_EQ(client.ReadFrame().first, kPong);
  EXPECT_EQ(client.ReadFrame().payload, "one, two");
}

TEST_F(WebSocketServerTest, MessagesHaveReadablePadding) {
  std::atomic<int> sum{0};
  StartServer([&](WebSocketConnection& connection, std::string_view message) {
    for (size_t i = 0; i < 64; ++i) sum += message.data()[message.size() + i];  // for ASan
    connection.SendText(message);
  });
  RawClient client(address());
  client.Upgrade();
  for (const size_t size : {1u, 64u, 65u, 1536u, 70'000u}) {
    client.SendFrame(kText, std::string(size, 'x'));
    EXPECT_EQ(client.ReadFrame().payload.size(), size);
  }
}

TEST_F(WebSocketServerTest, PrefixAndBodyArriveAsOneMessageInOrder) {
  StartServer([](WebSocketConnection& connection, std::string_view) {
    for (int i = 0; i < 1000; ++i) connection.SendText("[" + std::to_string(i) + ",", "body]");
  });
  RawClient client(address());
  client.Upgrade();
  client.SendFrame(kText, "go");
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(client.ReadFrame().payload, "[" + std::to_string(i) + ",body]");
  }
}

TEST_F(WebSocketServerTest, APingIsAnsweredWithItsPayloadBeforeWhatCameBehindIt) {
  StartServer();
  RawClient client(address());
  client.Upgrade();
  for (const auto* payload : {"a", ""}) {
    client.Send(RawClient::ClientFrame(kPing, payload) + RawClient::ClientFrame(kText, "after"));
    const auto frame = client.ReadFrame();
    EXPECT_EQ(frame.first, kPong);
    EXPECT_EQ(frame.payload, payload);
    EXPECT_EQ(client.ReadFrame().payload, "after");
  }
}

TEST_F(WebSocketServerTest, OfPingsThatComeTogetherTheLastIsAnswered) {
  StartServer();
  RawClient client(address());
  client.Upgrade();
  std::string pings;
  for (int i = 1; i <= 50; ++i) pings += RawClient::ClientFrame(kPing, std::to_string(i));
  client.Send(pings + RawClient::ClientFrame(kText, "after"));
  EXPECT_EQ(client.ReadFrame().payload, "50");
  EXPECT_EQ(client.ReadFrame().payload, "after");
}

TEST_F(WebSocketServerTest, AFloodOfPingsOrPongsIsClosed1008) {
  StartServer();
  for (const uint8_t opcode : {kPing, kPong}) {
    RawClient client(address());
    client.Upgrade();
    std::string flood;
    for (int i = 0; i < 5'000; ++i) flood += RawClient::ClientFrame(opcode, "");
    client.Send(flood);
    RawClient::Frame frame;
    int pongs = 0;
    while ((frame = client.ReadFrame()).first == kPong) ++pongs;
    EXPECT_EQ(frame.close_code(), 1008);
    EXPECT_LE(pongs, 100);
  }
}

TEST_F(WebSocketServerTest, WhatComesBehindAPauseInTheSameBytesIsKept) {
  std::atomic<int> delivered{0};
  StartServer([&](WebSocketConnection& connection, std::string_view message) {
    if (++delivered == 1) connection.PauseReading();
    connection.SendText(message);
  });
  RawClient client(address());
  client.Upgrade();
  const auto paused = *connections.Pop();
  const std::string long_one(10'000, 'x');
  client.Send(RawClient::ClientFrame(kText, "first") + RawClient::ClientFrame(kText, "second") +
              RawClient::ClientFrame(kText, long_one).substr(0, 5'000));
  EXPECT_EQ(client.ReadFrame().payload, "first");
  client.Send(RawClient::ClientFrame(kText, long_one).substr(5'000));
  On(paused->thread(), [&] { return paused->ResumeReading(), 0; });
  EXPECT_EQ(client.ReadFrame().payload, "second");
  EXPECT_EQ(client.ReadFrame().payload, long_one);
}

TEST_F(WebSocketServerTest, APausedConnectionThatIsClosedStillEndsInOrder) {
  StartServer([](WebSocketConnection& connection, std::string_view) { connection.PauseReading(); });
  RawClient client(address());
  client.Upgrade();
  const auto paused = *connections.Pop();
  client.SendFrame(kText, "stop");
  client.SendFrame(kText, "never delivered");
  On(paused->thread(), [&] { return paused->Close(1008, "enough"), 0; });
  EXPECT_EQ(client.ReadFrame().close_code(), 1008);
  client.SendFrame(kClose, std::string("\x03\xf0", 2));
  EXPECT_TRUE(client.Ended());
  AwaitClosedSessions(1);
}

TEST_F(WebSocketServerTest, WhileNewOnesAreRefusedThoseConnectedGoOn) {
  StartServer();
  RawClient first(address());
  first.Upgrade();
  server->RefuseNew(true);
  EXPECT_TRUE(RawClient(address()).Upgrade().starts_with("HTTP/1.1 503"));
  first.SendFrame(kText, "still here");
  EXPECT_EQ(first.ReadFrame().payload, "still here");
  server->RefuseNew(false);
  EXPECT_TRUE(RawClient(address()).Upgrade().starts_with("HTTP/1.1 101"));
}

TEST_F(WebSocketServerTest, CloseIdleSparesSessionsThatWaitForSomething) {
  StartServer();
  RawClient idle(address()), waiting(address());
  idle.Upgrade();
  waiting.Upgrade();
  waiting.SendFrame(kText, "wait");  // not idle from here on (TestSession)
  EXPECT_EQ(waiting.ReadFrame().payload, "wait");
  server->CloseIdle(std::chrono::hours(1));  // nobody has been silent so long
  server->CloseIdle(base::Duration::zero());
  EXPECT_EQ(idle.ReadFrame().close_code(), 1013);
  waiting.SendFrame(kText, "still here");
  EXPECT_EQ(waiting.ReadFrame().payload, "still here");
}

TEST_F(WebSocketServerTest, CutQueuesCutsThoseWithMoreUnread) {
  options.outbound_bytes = 64 << 20;
  StartServer([](WebSocketConnection& connection, std::string_view message) {
    const std::string piece(100'000, 'x');
    for (int i = 0; i < std::stoi(std::string(message)); ++i) connection.SendText(piece);
  });
  RawClient small(address(), 4096), large(address(), 4096);
  small.Upgrade();
  large.Upgrade();
  small.SendFrame(kText, "40");
  large.SendFrame(kText, "120");
  while (server->outbound_bytes() < 13'000'000) std::this_thread::yield();
  server->CutQueues(6 << 20);
  AwaitClosedSessions(1);
  EXPECT_TRUE(large.Ended());
  for (int i = 0; i < 40; ++i) ASSERT_EQ(small.ReadFrame().payload.size(), 100'000u);
}

TEST_F(WebSocketServerTest, UnfinishedMessagesAreBoundedTogether) {
  options.message_bytes = 4 << 20;
  options.inbound_total_bytes = 5 << 20;
  StartServer();
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(std::make_unique<RawClient>(address()));
    clients.back()->Upgrade();
    clients.back()->SendFrame(0x01, std::string(2'000'000, 'x'));  // without FIN
  }
  AwaitClosedSessions(2);
  while (server->connection_count() > 2) std::this_thread::yield();  // a moment after the session
  EXPECT_EQ(server->connection_count(), 2u);
  RawClient other(address());
  other.Upgrade();
  other.SendFrame(kText, std::string(4000, 'x'));
  EXPECT_EQ(other.ReadFrame().payload.size(), 4000u) << "short messages pass all the same";
  clients.clear();
  AwaitClosedSessions(4);
  EXPECT_NE(metrics.Serialize().find("graspd_relay_inbound_bytes 0"), std::string::npos);
}

TEST_F(WebSocketServerTest, CutQueuesCutsThoseWithLongUnfinishedMessages) {
  options.message_bytes = 4 << 20;
  StartServer();
  RawClient small(address()), large(address());
  small.Upgrade();
  large.Upgrade();
  small.SendFrame(0x01, std::string(1000, 'x'));
  large.SendFrame(0x01, std::string(1'000'000, 'x'));
  while (metrics.Serialize().find("graspd_relay_inbound_bytes 1001000") == std::string::npos) {
    std::this_thread::yield();
  }
  server->CutQueues(6 << 20);
  AwaitClosedSessions(1);
  EXPECT_TRUE(large.Ended());
  small.SendFrame(0x80, "end");
  EXPECT_EQ(small.ReadFrame().payload.size(), 1003u);
}

TEST_F(WebSocketServerTest, AMessageThatNeverEndsIsEnded) {
  options.ping_interval = std::chrono::seconds(1);
  options.pong_timeout = std::chrono::seconds(2);
  StartServer();
  RawClient client(address());
  client.Upgrade();
  client.SendFrame(0x01, "begin");
  RawClient::Frame frame;
  do {  // it goes on and on, a byte for each ping
    frame = client.ReadFrame();
    if ((frame.first & 0x0f) == 0x9) client.SendFrame(0x00, "x");
  } while ((frame.first & 0x0f) == 0x9);
  EXPECT_EQ(frame.close_code(), 1008);
}

// The time that we did not read is not the client's.
TEST_F(WebSocketServerTest, APauseMidMessageDoesNotCountAgainstItsSender) {
  options.ping_interval = std::chrono::seconds(1);
  options.pong_timeout = std::chrono::seconds(2);
  std::atomic<int> delivered{0};
  StartServer([&](WebSocketConnection& connection, std::string_view message) {
    if (++delivered == 1) connection.PauseReading();
    connection.SendText(message);
  });
  RawClient client(address());
  client.Upgrade();
  const auto paused = *connections.Pop();
  client.Send(RawClient::ClientFrame(kText, "first") +
              RawClient::ClientFrame(kText, "second").substr(0, 9));
  EXPECT_EQ(client.ReadFrame().payload, "first");
  RawClient silent(address());  // lives for as long as one may be silent
  silent.Upgrade();
  while (silent.ReadFrame().first != 0) {
  }
  On(paused->thread(), [&] { return paused->ResumeReading(), 0; });
  RawClient other(address());
  other.Upgrade();
  EXPECT_EQ(other.ReadFrame().first, kPing);  // so connections were looked at since
  client.Send(RawClient::ClientFrame(kText, "second").substr(9));
  RawClient::Frame frame;
  do frame = client.ReadFrame();
  while (frame.first == kPing);
  EXPECT_EQ(frame.payload, "second");
}

TEST_F(WebSocketServerTest, OversizedMessageCloses1009) {
  options.message_bytes = 1000;
  StartServer();
  RawClient client(address());
  client.Upgrade();
  client.SendFrame(kText, std::string(1000, 'x'));
  EXPECT_EQ(client.ReadFrame().payload.size(), 1000u);
  client.SendFrame(kText, std::string(1001, 'x'));
  const auto frame = client.ReadFrame();
  EXPECT_EQ(frame.first, kClose);
  EXPECT_EQ(frame.close_code(), 1009);
}

TEST_F(WebSocketServerTest, ProtocolViolationsCloseWithTheirCode) {
  StartServer();
  const auto close_code = [&](uint8_t first, std::string_view payload) {
    RawClient client(address());
    client.Upgrade();
    client.SendFrame(first, payload);
    return client.ReadFrame().close_code();
  };
  EXPECT_EQ(close_code(kText, "\xff\xfe"), 1007);             // not UTF-8
  EXPECT_EQ(close_code(0xc1, "x"), 1002);                     // RSV1 without deflate
  EXPECT_EQ(close_code(0x83, "x"), 1002);                     // reserved opcode
  EXPECT_EQ(close_code(kPing, std::string(126, 'x')), 1002);  // control frame over 125
  EXPECT_EQ(close_code(0x80, "continuation of nothing"), 1002);
}

TEST_F(WebSocketServerTest, BinaryMessagesAreReported) {
  StartServer();
  RawClient client(address());
  client.Upgrade();
  client.SendFrame(kBinary, "12345");
  client.SendFrame(kText, "text");
  EXPECT_EQ(client.ReadFrame().payload, "text");
  EXPECT_EQ(binary_bytes, 5u);
}

TEST_F(WebSocketServerTest, CloseOfTheClientIsAnsweredBehindQueuedMessages) {
  StartServer([](WebSocketConnection& connection, std::string_view) {
    for (int i = 0; i < 1000; ++i) connection.SendText(std::string(500, 'x'));
  });
  RawClient client(address());
  client.Upgrade();
  client.SendFrame(kText, "go");
  client.SendFrame(kClose, std::string("\x03\xe8", 2));
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(client.ReadFrame().payload.size(), 500u);
  EXPECT_EQ(client.ReadFrame().close_code(), 1000);
  EXPECT_EQ(client.ReadFrame().first, 0);  // nothing after Close
}

TEST_F(WebSocketServerTest, CloseOfTheServerFollowsQueuedMessages) {
  StartServer([](WebSocketConnection& connection, std::string_view) {
    for (int i = 0; i < 1000; ++i) connection.SendText(std::string(500, 'x'));
    connection.Close(1008, "enough");
    EXPECT_FALSE(connection.SendText("too late"));
  });
  RawClient client(address());
  client.Upgrade();
  client.SendFrame(kText, "go");
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(client.ReadFrame().payload.size(), 500u);
  const auto frame = client.ReadFrame();
  EXPECT_EQ(frame.close_code(), 1008);
  EXPECT_EQ(frame.payload.substr(2), "enough");
}

TEST_F(WebSocketServerTest, SlowReaderIsResetWhileOthersGoOn) {
  options.outbound_bytes = 1 << 20;
  StartServer([](WebSocketConnection& connection, std::string_view message) {
    if (message != "flood") return void(connection.SendText(message));
    const std::string piece(100'000, 'x');
    for (int i = 0; i < 1000 && connection.SendText(piece); ++i) {
    }
  });
  RawClient slow(address(), /*receive_buffer=*/4096), other(address());
  slow.Upgrade();
  other.Upgrade();
  slow.SendFrame(kText, "flood");
  AwaitClosedSessions(1);  // reading before would make it a fast reader
  EXPECT_TRUE(slow.Ended());
  other.SendFrame(kText, "still here");
  EXPECT_EQ(other.ReadFrame().payload, "still here");
  EXPECT_NE(metrics.Serialize().find("graspd_relay_slow_client_closes_total 1"), std::string::npos);
}

TEST_F(WebSocketServerTest, OverTheTotalBudgetTheLargestIsClosed) {
  options.outbound_bytes = 16 << 20;
  options.outbound_total_bytes = 8 << 20;
  StartServer([](WebSocketConnection& connection, std::string_view message) {
    const std::string piece(100'000, 'x');
    for (int i = 0; i < std::stoi(std::string(message)); ++i) connection.SendText(piece);
  });
  RawClient small(address(), 4096), large(address(), 4096);
  small.Upgrade();
  large.Upgrade();
  small.SendFrame(kText, "40");  // 4 MB
  const auto small_connection = *connections.Pop();
  large.SendFrame(kText, "120");  // 12 MB: over 8 MiB together
  AwaitClosedSessions(1);
  EXPECT_TRUE(large.Ended());
  for (int i = 0; i < 40; ++i) ASSERT_EQ(small.ReadFrame().payload.size(), 100'000u);
}

TEST_F(WebSocketServerTest, OverTheTotalBudgetAsManyAreClosedAsItTakes) {
  options.outbound_bytes = 16 << 20;
  options.outbound_total_bytes = 8 << 20;
  std::atomic<int> left{6};
  std::promise<void> sent;
  StartServer([&](WebSocketConnection& connection, std::string_view) {
    // Less than the budget, for each alone; and nobody sends anything afterwards.
    for (int i = 0; i < 60; ++i) connection.SendText(std::string(100'000, 'x'));
    if (--left == 0) sent.set_value();
  });
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 6; ++i) {
    clients.push_back(std::make_unique<RawClient>(address(), 4096));
    clients.back()->Upgrade();
    clients.back()->SendFrame(kText, "flood");
  }
  Await(sent.get_future());
  AwaitClosedSessions(5);  // 6 MB are within the budget
  while (server->connection_count() > 1) std::this_thread::yield();
  EXPECT_EQ(server->connection_count(), 1u);
}

TEST_F(WebSocketServerTest, WhenDrainedIsCalledOnceTheReaderHasCaughtUp) {
  std::promise<size_t> drained;
  std::promise<void> sent;
  StartServer([&](WebSocketConnection& connection, std::string_view) {
    const std::string piece(100'000, 'x');
    for (int i = 0; i < 30; ++i) connection.SendText(piece);
    EXPECT_GT(connection.pending_bytes(), connection.soft_limit());
    connection.WhenDrained([&] { drained.set_value(connection.pending_bytes()); });
    sent.set_value();
  });
  RawClient client(address(), 4096);
  client.Upgrade();
  client.SendFrame(kText, "go");
  Await(sent.get_future());
  for (int i = 0; i < 30; ++i) ASSERT_EQ(client.ReadFrame().payload.size(), 100'000u);
  EXPECT_LT(Await(drained.get_future()), 256u << 10);
}

TEST_F(WebSocketServerTest, WhenDrainedOfAnEmptyBufferIsCalledButNotInside) {
  std::promise<bool> inside;
  StartServer([&](WebSocketConnection& connection, std::string_view) {
    auto returned = std::make_shared<bool>(false);
    connection.WhenDrained([&, returned] { inside.set_value(!*returned); });
    *returned = true;
  });
  RawClient client(address());
  client.Upgrade();
  client.SendFrame(kText, "go");
  EXPECT_FALSE(Await(inside.get_future()));
}

TEST_F(WebSocketServerTest, PausedConnectionDeliversNothingUntilResumed) {
  std::atomic<int> delivered{0};
  StartServer([&](WebSocketConnection& connection, std::string_view message) {
    if (++delivered == 1) connection.PauseReading();
    connection.SendText(message);
  });
  RawClient client(address());
  client.Upgrade();
  const auto paused = *connections.Pop();
  client.SendFrame(kText, "first");
  client.SendFrame(kText, "second");
  EXPECT_EQ(client.ReadFrame().payload, "first");
  client.SendFrame(kPing, "unanswered while paused");
  // Several turns of the loop, in which the second message would be delivered.
  for (int i = 0; i < 20; ++i) On(paused->thread(), [] { return 0; });
  EXPECT_EQ(delivered, 1);
  On(paused->thread(), [&] { return paused->ResumeReading(), 0; });
  EXPECT_EQ(client.ReadFrame().payload, "second");
  EXPECT_EQ(client.ReadFrame().first, kPong);
}

TEST_F(WebSocketServerTest, SilentConnectionIsPingedThenClosed) {
  options.ping_interval = std::chrono::seconds(1);
  options.pong_timeout = std::chrono::seconds(2);
  StartServer();
  RawClient client(address());
  client.Upgrade();
  EXPECT_EQ(client.ReadFrame().first, kPing);
  EXPECT_TRUE(client.Ended());
}

TEST_F(WebSocketServerTest, HandshakeThatNeverEndsIsCut) {
  options.handshake_timeout = std::chrono::seconds(1);
  StartServer();
  RawClient client(address());
  client.Send("GET / HTTP/1.1\r\nHost: te");
  EXPECT_TRUE(client.Ended());
}

TEST_F(WebSocketServerTest, FirefoxConnectionHeaderUpgrades) {
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

TEST_F(WebSocketServerTest, PlainHttpIsAnsweredByTheHandler) {
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

TEST_F(WebSocketServerTest, RequestsThatAreNoHandshakeAreRefused) {
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

TEST_F(WebSocketServerTest, OfPipelinedRequestsTheFirstIsAnsweredAndTheConnectionEnds) {
  StartServer();
  RawClient client(address());
  client.Send(Get("/first") + Get("/second"));
  const std::string answers = client.ReadToEnd();
  EXPECT_NE(answers.find("GET /first"), std::string::npos) << answers;
  EXPECT_NE(answers.find("Connection: close"), std::string::npos) << answers;
  EXPECT_EQ(answers.find("/second"), std::string::npos) << answers;
}

TEST_F(WebSocketServerTest, NoExtensionIsEverTakenUp) {
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

TEST_F(WebSocketServerTest, ResponseHeadersAreOnTheUpgradeToo) {
  options.response_headers = {{"Graspd-Instance", "abc"}};
  StartServer();
  RawClient client(address());
  EXPECT_NE(client.Upgrade().find("Graspd-Instance: abc\r\n"), std::string::npos);
}

TEST_F(WebSocketServerTest, TheUpgradeNamesNoLibrary) {
  StartServer();
  RawClient client(address());
  EXPECT_NE(client.Upgrade().find("\r\nServer: graspd\r\n"), std::string::npos);
}

TEST_F(WebSocketServerTest, AddressLimitCountsOpenConnectionsOfOneAddress) {
  options.connections_per_address = 2;
  options.secret_header = {"X-Self", "s3cret"};
  StartServer();
  auto first = std::make_unique<RawClient>(address());
  RawClient second(address());
  EXPECT_TRUE(first->Upgrade().starts_with("HTTP/1.1 101"));
  EXPECT_TRUE(second.Upgrade().starts_with("HTTP/1.1 101"));
  EXPECT_TRUE(RawClient(address()).Upgrade().starts_with("HTTP/1.1 429"));
  EXPECT_TRUE(RawClient(address()).Upgrade("X-Self: s3cret\r\n").starts_with("HTTP/1.1 101"));
  first.reset();
  while (server->connection_count() > 1) std::this_thread::yield();
  EXPECT_TRUE(RawClient(address()).Upgrade().starts_with("HTTP/1.1 101"));
}

TEST_F(WebSocketServerTest, TotalLimitIsAnswered503) {
  options.connections = 1;
  StartServer();
  RawClient first(address());
  first.Upgrade();
  RawClient second(address());
  EXPECT_TRUE(second.Upgrade().starts_with("HTTP/1.1 503"));
}

TEST_F(WebSocketServerTest, SecretHeaderMarksThePeer) {
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

TEST_F(WebSocketServerTest, ForwardedForIsBelievedOnlyFromTrustedProxies) {
  StartServer();
  RawClient(address()).Upgrade("X-Forwarded-For: 203.0.113.9\r\n");
  EXPECT_EQ((*connections.Pop())->peer().address.ToString(), "127.0.0.1");

  server.reset();
  options.trusted_proxies = {Cidr::Parse("127.0.0.0/8").value()};
  StartServer();
  RawClient(address()).Upgrade("X-Forwarded-For: 6.6.6.6, 203.0.113.9, 127.0.0.2\r\n");
  EXPECT_EQ((*connections.Pop())->peer().address.ToString(), "203.0.113.9");
}

TEST_F(WebSocketServerTest, CloseAllCloses1001AndEndsEverySession) {
  StartServer();
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 2; ++i) {
    clients.push_back(std::make_unique<RawClient>(address()));
    clients.back()->Upgrade();
  }
  auto closing = std::async(
      std::launch::async, [&] { server->CloseAll(1001, "going away", std::chrono::seconds(10)); });
  for (auto& client : clients) {
    const auto frame = client->ReadFrame();
    EXPECT_EQ(frame.close_code(), 1001);
    client->SendFrame(kClose, frame.payload);
    EXPECT_TRUE(client->Ended());
    client.reset();
  }
  Await(std::move(closing));
  EXPECT_EQ(sessions_closed, 2);
  EXPECT_EQ(sessions_alive, 0);
  EXPECT_EQ(server->connection_count(), 0u);
}

TEST_F(WebSocketServerTest, CloseAllCutsThoseWhoDoNotAnswer) {
  StartServer();
  RawClient client(address());
  client.Upgrade();
  server->CloseAll(1001, "", std::chrono::milliseconds(50));
  EXPECT_EQ(sessions_closed, 1);
}

TEST_F(WebSocketServerTest, StopAcceptingKeepsOpenConnections) {
  StartServer();
  RawClient client(address());
  client.Upgrade();
  server->StopAccepting();
  client.SendFrame(kText, "still here");
  EXPECT_EQ(client.ReadFrame().payload, "still here");
}

TEST_F(WebSocketServerTest, ClosedConnectionSwallowsWhatIsSent) {
  StartServer();
  RawClient client(address());
  client.Upgrade();
  auto connection = *connections.Pop();
  server->CloseAll(1001, "", std::chrono::milliseconds(1));
  EXPECT_FALSE(On(connection->thread(), [&] { return connection->SendText("late"); }));
}

TEST_F(WebSocketServerTest, UsedAddressIsUnavailable) {
  StartServer();
  options.listen = server->addresses();
  const auto second = WebSocketServer::Start(pool, options, nullptr, nullptr, metrics);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable) << second.status();
}

TEST_F(WebSocketServerTest, ListensOnUnixSockets) {
  const std::string path = ::testing::TempDir() + "/graspd_net_test.sock";
  options.listen = {ListenAddress::Parse("unix:" + path).value()};
  StartServer();
  RawClient client(path);
  EXPECT_TRUE(client.Upgrade().starts_with("HTTP/1.1 101"));
  client.SendFrame(kText, "over a file");
  EXPECT_EQ(client.ReadFrame().payload, "over a file");
  server.reset();
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(WebSocketServerTest, EverybodyMayOpenAUnixSocketWhateverTheUmask) {
  const std::string path = ::testing::TempDir() + "/graspd_net_mode_test.sock";
  options.listen = {ListenAddress::Parse("unix:" + path).value()};
  const mode_t before = ::umask(0077);
  StartServer();
  ::umask(before);
  EXPECT_EQ(std::filesystem::status(path).permissions(), std::filesystem::perms(0666));
}

TEST_F(WebSocketServerTest, APeerOnAUnixSocketSpeaksForTheClientItNames) {
  const std::string path = ::testing::TempDir() + "/graspd_net_proxy_test.sock";
  options.listen = {ListenAddress::Parse("unix:" + path).value()};
  options.connections_per_address = 1;
  StartServer();
  std::vector<std::unique_ptr<RawClient>> open;
  const auto upgrade = [&](std::string_view headers) {
    open.push_back(std::make_unique<RawClient>(path));
    return open.back()->Upgrade(headers).substr(9, 3);
  };
  const auto address_of_next = [&] { return (*connections.Pop())->peer().address.ToString(); };
  ASSERT_EQ(upgrade("X-Forwarded-For: 6.6.6.6, 203.0.113.1\r\n"), "101");
  EXPECT_EQ(address_of_next(), "203.0.113.1");
  ASSERT_EQ(upgrade("X-Forwarded-For: 203.0.113.2\r\n"), "101");
  EXPECT_EQ(address_of_next(), "203.0.113.2");
  EXPECT_EQ(upgrade("X-Forwarded-For: 203.0.113.1\r\n"), "429");
  for (int i = 0; i < 3; ++i) {  // nobody is named: nobody to count for
    ASSERT_EQ(upgrade(""), "101");
    EXPECT_EQ(address_of_next(), "127.0.0.1");
  }
}

TEST_F(WebSocketServerTest, MassDisconnectDuringFanOutLosesNobodyElse) {
  StartServer();
  constexpr int kClients = 60;
  std::vector<std::unique_ptr<RawClient>> clients;
  std::vector<std::shared_ptr<WebSocketConnection>> all;
  for (int i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<RawClient>(address()));
    clients.back()->Upgrade();
    all.push_back(*connections.Pop());
  }
  const auto fan_out = [&] {
    for (auto& connection : all) {
      connection->thread().Post([connection] { connection->SendText("to everybody"); });
    }
  };
  for (int i = 0; i < 20; ++i) {
    fan_out();
    if (i == 5) clients.resize(kClients / 2);
  }
  for (auto& client : clients) {
    for (int i = 0; i < 20; ++i) ASSERT_EQ(client->ReadFrame().payload, "to everybody");
  }
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

TEST(IoPoolTest, TimerRunsUnlessItsHandleIsDestroyed) {
  IoPool pool(1);
  IoThread& thread = pool.thread(0);
  std::promise<void> ran;
  std::unique_ptr<IoThread::Timer> kept, dropped;
  std::atomic<bool> dropped_ran{false};
  thread.Post([&] {
    dropped = thread.After(std::chrono::milliseconds(1), [&] { dropped_ran = true; });
    kept = thread.After(std::chrono::milliseconds(30), [&] {
      EXPECT_TRUE(thread.IsCurrent());
      ran.set_value();
    });
    dropped.reset();
  });
  Await(ran.get_future());
  EXPECT_FALSE(dropped_ran);
  EXPECT_FALSE(thread.IsCurrent());
  On(thread, [&] { return kept.reset(), 0; });
}

}  // namespace
}  // namespace graspd::net
