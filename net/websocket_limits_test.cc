// What a client of the server may take: memory, time, connections.
#include "net/test_support.h"
#include "net/websocket_server.h"

namespace graspd::net {
namespace {

using WebSocketLimitsTest = NetTest;

constexpr uint8_t kText = 0x81, kClose = 0x88, kPing = 0x89, kPong = 0x8a;

TEST_F(WebSocketLimitsTest, AFloodOfPingsOrPongsIsClosed1008) {
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

TEST_F(WebSocketLimitsTest, WhileNewOnesAreRefusedThoseConnectedGoOn) {
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

TEST_F(WebSocketLimitsTest, CloseIdleSparesSessionsThatWaitForSomething) {
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

TEST_F(WebSocketLimitsTest, CutQueuesCutsThoseWithMoreUnread) {
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

TEST_F(WebSocketLimitsTest, UnfinishedMessagesAreBoundedTogether) {
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

TEST_F(WebSocketLimitsTest, CutQueuesCutsThoseWithLongUnfinishedMessages) {
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

TEST_F(WebSocketLimitsTest, AMessageThatNeverEndsIsEnded) {
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
TEST_F(WebSocketLimitsTest, APauseMidMessageDoesNotCountAgainstItsSender) {
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

TEST_F(WebSocketLimitsTest, OversizedMessageCloses1009) {
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

TEST_F(WebSocketLimitsTest, SlowReaderIsResetWhileOthersGoOn) {
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

TEST_F(WebSocketLimitsTest, OverTheTotalBudgetTheLargestIsClosed) {
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

TEST_F(WebSocketLimitsTest, OverTheTotalBudgetAsManyAreClosedAsItTakes) {
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

TEST_F(WebSocketLimitsTest, SilentConnectionIsPingedThenClosed) {
  options.ping_interval = std::chrono::seconds(1);
  options.pong_timeout = std::chrono::seconds(2);
  StartServer();
  RawClient client(address());
  client.Upgrade();
  EXPECT_EQ(client.ReadFrame().first, kPing);
  EXPECT_TRUE(client.Ended());
}

TEST_F(WebSocketLimitsTest, HandshakeThatNeverEndsIsCut) {
  options.handshake_timeout = std::chrono::seconds(1);
  StartServer();
  RawClient client(address());
  client.Send("GET / HTTP/1.1\r\nHost: te");
  EXPECT_TRUE(client.Ended());
}

TEST_F(WebSocketLimitsTest, AddressLimitCountsOpenConnectionsOfOneAddress) {
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

TEST_F(WebSocketLimitsTest, TotalLimitIsAnswered503) {
  options.connections = 1;
  StartServer();
  RawClient first(address());
  first.Upgrade();
  RawClient second(address());
  EXPECT_TRUE(second.Upgrade().starts_with("HTTP/1.1 503"));
}

}  // namespace
}  // namespace graspd::net
