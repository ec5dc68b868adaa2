#include "net/websocket_server.h"

#include <sys/stat.h>

#include <filesystem>

#include "absl/status/status.h"
#include "net/test_support.h"

namespace graspd::net {
namespace {

using WebSocketServerTest = NetTest;

constexpr uint8_t kText = 0x81, kBinary = 0x82, kClose = 0x88, kPing = 0x89, kPong = 0x8a;

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

// Threats C31.
TEST_F(WebSocketServerTest, MassDisconnectDuringFanOutLosesNobodyElse) {
  constexpr int kClients = 400;
  options.connections_per_address = kClients;
  StartServer();
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

}  // namespace
}  // namespace graspd::net
