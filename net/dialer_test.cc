#include "net/dialer.h"

#include <poll.h>
#include <sys/socket.h>

#include "net/sockaddr.h"
#include "net/test_support.h"
#include "net/websocket_handshake.h"

namespace graspd::net {
namespace {

using DialerTest = NetTest;

std::shared_ptr<RecordingHandler> NewHandler() { return std::make_shared<RecordingHandler>(); }

nostr::RelayUrl Url(const std::string& text) { return nostr::RelayUrl::Parse(text).value(); }

DialOptions To(const RawServer& remote) {
  return DialOptions(Url("ws://" + remote.address().ToString()));
}

TEST_F(DialerTest, MessagesOfEverySizeGoThereAndBack) {
  options.message_bytes = 1 << 20;
  StartServer();
  auto handler = NewHandler();
  auto connection = Dial(Options(), handler);
  EXPECT_EQ(handler->Open().address, address());
  for (const size_t size : {0u, 1u, 64u, 65u, 4096u, 70'000u, 1'000'000u}) {
    const std::string message(size, 'x');
    EXPECT_TRUE(On(connection->thread(), [&] { return connection->SendText(message); }));
    EXPECT_TRUE(handler->Next() == message) << size;
  }
  On(connection->thread(), [&] { return connection->Close(), 0; });
  EXPECT_EQ(handler->Closed().error, DialError::kNone);
}

TEST_F(DialerTest, ManyMessagesKeepTheirOrder) {
  StartServer();
  auto handler = NewHandler();
  auto connection = Dial(Options(), handler);
  handler->Open();
  On(connection->thread(), [&] {
    for (int i = 0; i < 2000; ++i) connection->SendText(std::to_string(i));
    return 0;
  });
  for (int i = 0; i < 2000; ++i) ASSERT_EQ(handler->Next(), std::to_string(i));
}

TEST_F(DialerTest, UpgradeRequestCarriesHostTargetAgentAndHeaders) {
  std::promise<std::string> head;
  RawServer remote([&](int fd) { head.set_value(ReadHead(fd)); });
  dialer_options.user_agent = "graspd-test";
  DialOptions dial(Url("ws://" + remote.address().ToString() + "/path?q=1"));
  dial.headers = {{"X-Extra", "yes"}};
  auto handler = NewHandler();
  auto connection = Dial(dial, handler);
  const std::string request = Await(head.get_future());
  EXPECT_TRUE(request.starts_with("GET /path?q=1 HTTP/1.1\r\n")) << request;
  EXPECT_NE(request.find("Host: " + remote.address().ToString() + "\r\n"), std::string::npos);
  EXPECT_NE(request.find("User-Agent: graspd-test\r\n"), std::string::npos);
  EXPECT_NE(request.find("X-Extra: yes\r\n"), std::string::npos);
  EXPECT_EQ(request.find("permessage-deflate"), std::string::npos);
  EXPECT_NE(handler->Closed().error, DialError::kNone);
}

// Threats A9.
TEST_F(DialerTest, OddUrlsMakeExactlyOneWellFormedRequestEach) {
  resolver.names["relay.test"] = {"127.0.0.1"};
  const std::string long_path = "/" + std::string(490, 'x');  // a URL has at most 512 bytes
  struct Case {
    std::string host, path, target;
  };
  for (const auto& [host, path, target] : std::vector<Case>{
           {"127.0.0.1", "/%20HTTP/1.1%C3%A9", "/%20HTTP/1.1%C3%A9"},
           {"127.0.0.1", long_path, long_path},
           {"[::ffff:127.0.0.1]", "/v6", "/v6"},
           {"relay.test", "?a=1&url=ws://[::1]/?", "/?a=1&url=ws://[::1]/?"},
           {"relay.test", "/u@h:1/..//*;='(,)!$/", "/u@h:1/..//*;='(,)!$"},
       }) {
    std::promise<std::string> sent;
    RawServer remote([&](int fd) {
      const std::string request = ReadHead(fd);
      ::shutdown(fd, SHUT_WR);  // the dialer ends it, and may have sent more
      sent.set_value(request + ReadHead(fd));
    });
    const std::string authority = host + ":" + std::to_string(remote.address().port);
    auto handler = NewHandler();
    const auto connection = Dial(DialOptions(Url("ws://" + authority + path)), handler);
    std::string request = Await(sent.get_future());
    const size_t key = request.find("Sec-WebSocket-Key: ") + 19;
    ASSERT_LT(key + 24, request.size()) << request;
    request.replace(key, 24, "KEY");
    EXPECT_EQ(request, "GET " + target + " HTTP/1.1\r\nHost: " + authority +
                           "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                           "Sec-WebSocket-Key: KEY\r\nSec-WebSocket-Version: 13\r\n"
                           "User-Agent: graspd\r\n\r\n");
    EXPECT_NE(handler->Closed().error, DialError::kNone);
    EXPECT_EQ(remote.accepted(), 1);
  }
}

TEST_F(DialerTest, InstanceHeaderIsReported) {
  options.response_headers = {{"Graspd-Instance", "0123abcd"}};
  StartServer();
  auto handler = NewHandler();
  auto connection = Dial(Options(), handler);
  EXPECT_EQ(handler->Open().instance, "0123abcd");
}

TEST_F(DialerTest, RedirectIsAnHttpFailureAndNotFollowed) {
  RawServer target;
  RawServer remote([&](int fd) {
    ReadHead(fd);
    WriteAll(fd,
             "HTTP/1.1 302 Found\r\nLocation: http://" + target.address().ToString() + "/\r\n\r\n");
    ReadHead(fd);  // until the dialer ends it: the answer has no end of its own
  });
  auto handler = NewHandler();
  auto connection = Dial(To(remote), handler);
  const DialFailure failure = handler->Closed();
  EXPECT_EQ(failure.error, DialError::kHttp);
  EXPECT_EQ(failure.http_status, 302);
  EXPECT_EQ(remote.accepted(), 1);
  EXPECT_EQ(target.accepted(), 0);
}

TEST_F(DialerTest, AnswerThatIsNotAnUpgradeIsAWebSocketFailure) {
  for (const auto* answer : {"SSH-2.0-OpenSSH_9.2p1 Debian\r\n\r\n",
                             "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                             "Upgrade: websocket\r\nSec-WebSocket-Accept: forged\r\n\r\n",
                             "HTTP/1.1 101 Switching Protocols\r\n\r\n"}) {
    RawServer remote([&](int fd) {
      ReadHead(fd);
      WriteAll(fd, answer);
      ReadHead(fd);
    });
    auto handler = NewHandler();
    auto connection = Dial(To(remote), handler);
    EXPECT_EQ(handler->Closed().error, DialError::kWebSocket) << answer;
  }
}

TEST_F(DialerTest, EndlessUpgradeAnswerIsCut) {
  RawServer remote([](int fd) {
    ReadHead(fd);
    WriteAll(fd, "HTTP/1.1 101 Switching Protocols\r\nX: " + std::string(1 << 20, 'x'));
    ReadHead(fd);
  });
  auto handler = NewHandler();
  auto connection = Dial(To(remote), handler);
  EXPECT_EQ(handler->Closed().error, DialError::kWebSocket);
}

TEST_F(DialerTest, ForbiddenAnswerRefusesTheWholeNameWithoutConnecting) {
  RawServer remote;
  const std::string port = std::to_string(remote.address().port);
  resolver.names["mixed.example"] = {"127.0.0.1", "10.0.0.1"};
  auto handler = NewHandler();
  auto connection = Dial(DialOptions(Url("ws://mixed.example:" + port)), handler);
  const DialFailure failure = handler->Closed();
  EXPECT_EQ(failure.error, DialError::kBlocked);
  EXPECT_EQ(failure.detail, "private");
  EXPECT_EQ(remote.accepted(), 0);
}

TEST_F(DialerTest, OwnEndpointIsBlockedUnlessPermitted) {
  StartServer();
  guard.AddOwnEndpoint(address());
  auto blocked = NewHandler();
  auto refused = Dial(Options(), blocked);
  EXPECT_EQ(blocked->Closed().detail, "own endpoint");
  EXPECT_EQ(server->connection_count(), 0u);

  DialOptions self(Url("ws://relay.example"));
  self.self_permit = guard.IssueSelfDialPermit(address());
  auto handler = NewHandler();
  auto connection = Dial(self, handler);
  EXPECT_EQ(handler->Open().address, address());
  EXPECT_EQ(resolver.asked, 1);  // by the first dial only
}

TEST_F(DialerTest, PlaintextOutsideTheOperatorsRangesIsBlocked) {
  resolver.names["relay.example"] = {"8.8.8.8"};
  auto handler = NewHandler();
  auto connection = Dial(DialOptions(Url("ws://relay.example")), handler);
  const DialFailure failure = handler->Closed();
  EXPECT_EQ(failure.error, DialError::kBlocked);
  EXPECT_EQ(failure.detail, "plaintext");
}

TEST_F(DialerTest, UnknownNameIsADnsFailure) {
  auto handler = NewHandler();
  auto connection = Dial(DialOptions(Url("wss://nowhere.example")), handler);
  EXPECT_EQ(handler->Closed().error, DialError::kDns);
}

TEST_F(DialerTest, ResolverThatNeverAnswersTimesOut) {
  resolver.silent = true;
  DialOptions dial(Url("wss://slow.example"));
  dial.dns_timeout = std::chrono::milliseconds(30);
  auto handler = NewHandler();
  auto connection = Dial(dial, handler);
  EXPECT_EQ(handler->Closed().error, DialError::kTimeout);
  EXPECT_EQ(resolver.awaited, 0);
}

// ---- deadlines ----

class DialDeadlineTest : public DialerTest {
 protected:
  /// Fails unless the dial times out after `expected`, give or take a fifth.
  static void ExpectTimeout(Dialer& dialer, IoThread& thread, DialOptions dial,
                            std::chrono::milliseconds expected, const char* what) {
    const auto begin = base::SystemClock::Instance().Now();
    auto handler = NewHandler();
    auto connection = dialer.Dial(std::move(dial), handler, thread);
    EXPECT_EQ(handler->Closed().error, DialError::kTimeout) << what;
    const std::chrono::duration<double> taken = base::SystemClock::Instance().Now() - begin;
    const double seconds = std::chrono::duration<double>(expected).count();
    EXPECT_GE(taken.count(), 0.8 * seconds) << what;
    EXPECT_LE(taken.count(), 1.2 * seconds + 1) << what << " (a busy machine takes its time)";
  }
};

/// Listens, but has no room for connections.
class FullServer {
 public:
  FullServer() {
    Sockaddr local = ToSockaddr({IpAddress{.bytes = {127, 0, 0, 1}}, 0});
    EXPECT_EQ(::bind(fd_.get(), local.get(), local.length), 0);
    EXPECT_EQ(::listen(fd_.get(), 0), 0);
    ::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&local.storage), &local.length);
    address_ = *FromSockaddr(local.get());
    for (const auto& client : clients_) ::connect(client.get(), local.get(), local.length);
  }
  [[nodiscard]] SocketAddress address() const { return address_; }

 private:
  static OwnedFd Socket() {
    return OwnedFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  }
  OwnedFd fd_ = Socket();
  SocketAddress address_;
  const OwnedFd clients_[2] = {Socket(), Socket()};
};

/// Says after `delay` that every name is here.
class SlowResolver final : public Resolver {
 public:
  explicit SlowResolver(base::Duration delay) : delay_(delay) {}
  std::unique_ptr<LookUp> Resolve(std::string, base::Executor& executor, Callback done) override {
    struct Waiting final : LookUp {
      std::unique_ptr<IoThread::Timer> timer;
    };
    auto waiting = std::make_unique<Waiting>();
    waiting->timer = static_cast<IoThread&>(executor).After(
        delay_, [done = std::move(done)] { done(std::vector{*IpAddress::Parse("127.0.0.1")}); });
    return waiting;
  }

 private:
  const base::Duration delay_;
};

TEST_F(DialDeadlineTest, APhaseHasFiveSecondsAndTheWholeDialTen) {
  const DialOptions dial(Url("wss://relay.example"));
  for (const auto phase :
       {dial.dns_timeout, dial.connect_timeout, dial.tls_timeout, dial.upgrade_timeout}) {
    EXPECT_EQ(phase, std::chrono::seconds(5));
  }
  EXPECT_EQ(dial.dial_timeout, std::chrono::seconds(10));
}

TEST_F(DialDeadlineTest, EachPhaseEndsAtItsOwn) {
  constexpr std::chrono::milliseconds kTimeout{1000};
  resolver.silent = true;
  const auto deaf = MakeDialer(guard, resolver, {});
  FakeResolver names;
  const auto others = MakeDialer(guard, names, {});
  const FullServer full;
  const RawServer silent([](int fd) {
    ReadHead(fd);
    ReadHead(fd);  // returns when the dialer has gone
  });
  std::vector<std::future<void>> dials;
  const auto expect = [&](const char* phase, Dialer& with, const std::string& url,
                          std::chrono::milliseconds DialOptions::*timeout) {
    DialOptions dial(Url(url));
    dial.*timeout = kTimeout;
    dials.push_back(std::async(std::launch::async, [&, phase, dial] {
      ExpectTimeout(with, pool.Next(), dial, kTimeout, phase);
    }));
  };
  const std::string silent_at = silent.address().ToString();
  expect("name", *deaf, "wss://slow.example", &DialOptions::dns_timeout);
  expect("TCP", *others, "ws://" + full.address().ToString(), &DialOptions::connect_timeout);
  expect("TLS", *others, "wss://" + silent_at, &DialOptions::tls_timeout);
  expect("upgrade", *others, "ws://" + silent_at, &DialOptions::upgrade_timeout);
  expect("all", *deaf, "wss://slow.example", &DialOptions::dial_timeout);
  for (auto& dial : dials) dial.get();
}

TEST_F(DialDeadlineTest, ALittleTimeInEachPhaseIsNotMoreInAll) {
  SlowResolver slow(std::chrono::milliseconds(600));
  const auto patient = MakeDialer(guard, slow, {});
  const RawServer silent([](int fd) { ReadHead(fd); });
  DialOptions dial(Url("wss://slow.example:" + std::to_string(silent.address().port)));
  dial.dns_timeout = dial.tls_timeout = std::chrono::milliseconds(900);
  dial.dial_timeout = std::chrono::milliseconds(1000);
  ExpectTimeout(*patient, pool.Next(), dial, dial.dial_timeout, "all");
}

TEST_F(DialerTest, RefusedConnectionIsATcpFailure) {
  SocketAddress nobody;
  {
    RawServer remote;
    nobody = remote.address();
  }
  auto handler = NewHandler();
  auto connection = Dial(DialOptions(Url("ws://" + nobody.ToString())), handler);
  EXPECT_EQ(handler->Closed().error, DialError::kTcp);
}

TEST_F(DialerTest, NextAddressIsTriedWhenOneRefuses) {
  StartServer();
  resolver.names["two.example"] = {"127.0.0.9", "127.0.0.1"};
  auto handler = NewHandler();
  auto connection =
      Dial(DialOptions(Url("ws://two.example:" + std::to_string(address().port))), handler);
  EXPECT_EQ(handler->Open().address, address());
}

TEST_F(DialerTest, SilentServerTimesOutInTheUpgrade) {
  RawServer remote([](int fd) {
    ReadHead(fd);
    ReadHead(fd);  // returns when the dialer has gone
  });
  DialOptions dial = To(remote);
  dial.upgrade_timeout = std::chrono::milliseconds(50);
  auto handler = NewHandler();
  auto connection = Dial(dial, handler);
  EXPECT_EQ(handler->Closed().error, DialError::kTimeout);
}

TEST_F(DialerTest, PeerThatFallsSilentTimesOut) {
  StartServer();
  DialOptions dial = Options();
  dial.ping_interval = std::chrono::seconds(1);
  dial.pong_timeout = std::chrono::seconds(1);
  auto handler = NewHandler();
  auto connection = Dial(dial, handler);
  handler->Open();
  const auto other_end = *connections.Pop();
  On(other_end->thread(), [&] { return other_end->PauseReading(), 0; });  // answers no ping now
  On(connection->thread(), [&] { return connection->SendText("unread"); });
  const DialFailure failure = handler->Closed();
  EXPECT_EQ(failure.error, DialError::kTimeout);
  EXPECT_GE(failure.silence, dial.pong_timeout);
}

TEST_F(DialerTest, CloseOfTheRemoteIsReportedWithItsCode) {
  StartServer([](WebSocketConnection& c, std::string_view) { c.Close(1013, "try later"); });
  auto handler = NewHandler();
  auto connection = Dial(Options(), handler);
  handler->Open();
  On(connection->thread(), [&] { return connection->SendText("go"); });
  const DialFailure failure = handler->Closed();
  EXPECT_EQ(failure.error, DialError::kRemoteClosed);
  EXPECT_EQ(failure.close_code, 1013);
  EXPECT_EQ(failure.detail, "try later");
}

TEST_F(DialerTest, OversizedMessageOfTheRemoteIsAWebSocketFailure) {
  StartServer([](WebSocketConnection& c, std::string_view) { c.SendText(std::string(2000, 'x')); });
  DialOptions dial = Options();
  dial.message_bytes = 1999;
  auto handler = NewHandler();
  auto connection = Dial(dial, handler);
  handler->Open();
  On(connection->thread(), [&] { return connection->SendText("go"); });
  EXPECT_EQ(handler->Closed().error, DialError::kWebSocket);
}

/// A server's view of one frame of a client, unmasked: FIN and opcode, payload. 0 at the end.
std::pair<uint8_t, std::string> ReadClientFrame(int fd, std::string* mask = nullptr) {
  const auto read = [fd](size_t bytes) {
    std::string out(bytes, '\0');
    const ssize_t got = ::recv(fd, out.data(), bytes, MSG_WAITALL);
    out.resize(static_cast<size_t>(std::max<ssize_t>(got, 0)));
    return out;
  };
  const std::string head = read(2);
  if (head.size() < 2) return {};
  EXPECT_TRUE(head[1] & 0x80) << "a client masks";
  const std::string key = read(4);
  std::string payload = read(head[1] & 0x7f);
  for (size_t i = 0; i < payload.size(); ++i)
    payload[i] = static_cast<char>(payload[i] ^ key[i % 4]);
  if (mask) *mask = key;
  return {static_cast<uint8_t>(head[0]), payload};
}

class HostileServerTest : public DialerTest {
 protected:
  struct End {
    DialError error;
    uint16_t said;  // the code of our Close frame, 0 without one
    bool operator==(const End&) const = default;
  };
  // How the connection ends when a server upgrades and then does what `attack` does.
  End EndAfter(std::function<void(int fd)> attack,
               std::chrono::seconds patience = std::chrono::seconds(2)) {
    uint16_t said = 0;
    std::optional<RawServer> remote(std::in_place, [&](int fd) {
      AcceptUpgrade(fd);
      attack(fd);
      for (auto frame = ReadClientFrame(fd); frame.first != 0; frame = ReadClientFrame(fd)) {
        if (frame.first != kClose || frame.second.size() < 2) continue;
        said = static_cast<uint16_t>(static_cast<uint8_t>(frame.second[0]) << 8 |
                                     static_cast<uint8_t>(frame.second[1]));
      }
    });
    DialOptions dial = To(*remote);
    dial.message_bytes = 64 * 1024;
    dial.ping_interval = dial.pong_timeout = dial.message_timeout = patience;
    auto handler = NewHandler();
    auto connection = Dial(dial, handler);
    handler->Open();
    const DialFailure failure = handler->Closed();
    EXPECT_EQ(handler->unread(), 0u);
    remote.reset();  // when it has read what we said
    EXPECT_EQ(failure.close_code, failure.error == DialError::kWebSocket ? said : 0);
    return {failure.error, said};
  }
  static constexpr uint8_t kText = 0x81, kTextBegins = 0x01, kGoesOn = 0x00, kPing = 0x89,
                           kClose = 0x88;
  static constexpr uint16_t kProtocolError = 1002, kBadData = 1007, kTooBig = 1009;
};

TEST_F(DialerTest, WhatComesRightBehindTheAnswerIsNotLost) {
  RawServer remote([](int fd) {
    std::string answer = HeadOf(AnswerHandshake(ParseHead(ReadHead(fd))));
    WriteAll(fd, answer + ServerFrame(0x81, "first") + ServerFrame(0x81, std::string(5000, 'x')));
  });
  auto handler = NewHandler();
  auto connection = Dial(To(remote), handler);
  handler->Open();
  EXPECT_EQ(handler->Next(), "first");
  EXPECT_EQ(handler->Next(), std::string(5000, 'x'));
}

TEST_F(DialerTest, AMessageInManyFragmentsIsWhole) {
  RawServer remote([](int fd) {
    AcceptUpgrade(fd);
    std::string frames = ServerFrame(0x01, "0");
    for (int i = 1; i < 500; ++i) frames += ServerFrame(0x00, std::to_string(i % 10));
    WriteAll(fd, frames + ServerFrame(0x80, ""));
  });
  auto handler = NewHandler();
  auto connection = Dial(To(remote), handler);
  handler->Open();
  EXPECT_EQ(handler->Next().size(), 500u);
}

TEST_F(DialerTest, PingsAreAnsweredAndEveryFrameHasAMaskOfItsOwn) {
  std::vector<std::pair<uint8_t, std::string>> frames;
  std::string masks[2];
  std::optional<RawServer> remote(std::in_place, [&](int fd) {
    AcceptUpgrade(fd);
    for (std::string& mask : masks) {
      WriteAll(fd, ServerFrame(0x89, "ping" + std::to_string(frames.size())));
      frames.push_back(ReadClientFrame(fd, &mask));
    }
    WriteAll(fd, ServerFrame(0x88, "\x03\xe9gone"));
    frames.push_back(ReadClientFrame(fd));
  });
  auto handler = NewHandler();
  auto connection = Dial(To(*remote), handler);
  handler->Open();
  const DialFailure failure = handler->Closed();
  EXPECT_EQ(failure.error, DialError::kRemoteClosed);
  EXPECT_EQ(failure.close_code, 1001);
  EXPECT_EQ(failure.detail, "gone");
  remote.reset();  // when it has read what it wanted
  EXPECT_EQ(frames, (std::vector<std::pair<uint8_t, std::string>>{
                        {0x8a, "ping0"}, {0x8a, "ping1"}, {0x88, "\x03\xe9"}}));
  EXPECT_NE(masks[0], masks[1]);
}

TEST_F(DialerTest, AnAnswerThatTakesUpWhatWasNotOfferedIsRefused) {
  RawServer remote([](int fd) {
    HttpResponse answer = AnswerHandshake(ParseHead(ReadHead(fd)));
    answer.headers.emplace_back("Sec-WebSocket-Extensions", "permessage-deflate");
    WriteAll(fd, HeadOf(answer));
    ReadHead(fd);
  });
  auto handler = NewHandler();
  auto connection = Dial(To(remote), handler);
  EXPECT_EQ(handler->Closed().error, DialError::kWebSocket);
}

TEST_F(HostileServerTest, FramesThatBreakTheProtocolEndTheConnectionAndAreToldWhy) {
  const std::pair<std::string, uint16_t> cases[] = {
      {ServerFrame(kPing, std::string(126, 'x')), kProtocolError},
      {RawClient::ClientFrame(kText, "[]"), kProtocolError},
      {ServerFrame(0xc1, "deflated"), kProtocolError},
      {ServerFrame(0x83, "reserved"), kProtocolError},
      {ServerFrame(kGoesOn, "of nothing"), kProtocolError},
      {ServerFrame(kText, "\xff\xfe"), kBadData},
      {ServerFrameHead(kText, uint64_t{100} << 20), kTooBig},
      {ServerFrameHead(kText, uint64_t{1} << 63), kProtocolError}};
  for (const auto& [bytes, code] : cases) {
    const End end = EndAfter([&bytes = bytes](int fd) { WriteAll(fd, bytes); });
    EXPECT_EQ(end.error, DialError::kWebSocket) << testing::PrintToString(bytes.substr(0, 10));
    EXPECT_EQ(end.said, code) << testing::PrintToString(bytes.substr(0, 10));
  }
}

TEST_F(HostileServerTest, FragmentsWithoutEndAreCut) {
  for (const std::string& fragment : {ServerFrame(kGoesOn, ""), ServerFrame(kGoesOn, "x")}) {
    std::string many;
    for (int i = 0; i < 1000; ++i) many += fragment;
    const auto attack = [&](int fd) {
      WriteAll(fd, ServerFrame(kTextBegins, ""));
      for (int i = 0; i < 1000 && WriteAll(fd, many); ++i) {
      }
    };
    EXPECT_EQ(EndAfter(attack, std::chrono::seconds(60)), (End{DialError::kWebSocket, kTooBig}));
  }
}

TEST_F(HostileServerTest, PingsWithoutEndAreCut) {
  std::string many;
  for (int i = 0; i < 1000; ++i) many += ServerFrame(kPing, "hello");
  const auto attack = [&](int fd) {
    for (int i = 0; i < 10'000 && WriteAll(fd, many); ++i) {
    }
  };
  EXPECT_NE(EndAfter(attack).error, DialError::kNone);
}

TEST_F(HostileServerTest, AMessageThatStopsHalfwayTimesOutPingsOrNot) {
  EXPECT_EQ(EndAfter([](int fd) {
              WriteAll(fd, ServerFrameHead(kText, 1000) + std::string(500, 'x'));
            }).error,
            DialError::kTimeout);
  const auto drips = [](int fd) {  // never silent for long
    WriteAll(fd, ServerFrame(kTextBegins, std::string(100, 'x')));
    pollfd gone{.fd = fd, .events = POLLRDHUP};
    while (::poll(&gone, 1, 100) == 0) WriteAll(fd, ServerFrame(kPing, ""));
  };
  EXPECT_EQ(EndAfter(drips).error, DialError::kTimeout);
}

TEST_F(DialerTest, SendingPastTheLimitClosesTheConnection) {
  StartServer();
  DialOptions dial = Options();
  dial.outbound_bytes = 1000;
  auto handler = NewHandler();
  auto connection = Dial(dial, handler);
  handler->Open();
  EXPECT_FALSE(
      On(connection->thread(), [&] { return connection->SendText(std::string(1001, 'x')); }));
  EXPECT_EQ(handler->Closed().error, DialError::kTcp);
  EXPECT_FALSE(On(connection->thread(), [&] { return connection->SendText("late"); }));
}

TEST_F(DialerTest, PausedConnectionDeliversNothingUntilResumed) {
  StartServer();
  auto handler = NewHandler();
  auto connection = Dial(Options(), handler);
  handler->Open();
  On(connection->thread(), [&] {
    connection->PauseReading();
    return connection->SendText("one") && connection->SendText("two");
  });
  auto witness = NewHandler();
  auto other = Dial(Options(), witness);
  witness->Open();
  On(other->thread(), [&] { return other->SendText("round trip"); });
  EXPECT_EQ(witness->Next(), "round trip");
  EXPECT_EQ(handler->unread(), 0u);
  On(connection->thread(), [&] { return connection->ResumeReading(), 0; });
  EXPECT_EQ(handler->Next(), "one");
  EXPECT_EQ(handler->Next(), "two");
}

TEST_F(DialerTest, CloseEndsADialInEveryPhase) {
  RawServer silent([](int fd) {
    ReadHead(fd);
    ReadHead(fd);
  });
  {
    auto handler = NewHandler();  // upgrading
    auto connection = Dial(To(silent), handler);
    while (silent.accepted() == 0) std::this_thread::yield();
    On(connection->thread(), [&] { return connection->Close(), 0; });
    EXPECT_EQ(handler->Closed().error, DialError::kNone);
  }
  resolver.silent = true;  // resolving
  auto handler = NewHandler();
  auto connection = Dial(DialOptions(Url("wss://slow.example")), handler);
  On(connection->thread(), [&] { return connection->Close(), 0; });
  EXPECT_EQ(handler->Closed().error, DialError::kNone);
  EXPECT_EQ(resolver.awaited, 0);
}

// ---- the relay's document ----

class RelayDocumentTest : public DialerTest {
 protected:
  using Document = absl::StatusOr<RelayDocument>;
  /// Dials, and asks for the document at once.
  Document Fetch(DialOptions dial) {
    if (!dialer) dialer = MakeDialer(guard, resolver, dialer_options);
    IoThread& thread = pool.thread(0);
    handler = NewHandler();
    return Await(On(thread, [&] {
      connection = dialer->Dial(std::move(dial), handler, thread);
      return Ask();
    }));
  }
  /// On the connection's thread.
  std::future<Document> Ask() {
    auto document = std::make_shared<std::promise<Document>>();
    connection->FetchDocument([=](Document fetched) { document->set_value(std::move(fetched)); });
    return document->get_future();
  }
  /// What a relay that answers `answer` and closes makes of it.
  Document FetchAnswer(std::string answer) {
    const auto relay = Relay([=, this](int fd, std::string head) {
      request = std::move(head);
      WriteAll(fd, answer);
    });
    Document document = Fetch(To(*relay));
    Close();
    return document;
  }
  /// Takes connections, and has `serve` answer who wants the document.
  static std::unique_ptr<RawServer> Relay(std::function<void(int fd, std::string head)> serve) {
    return std::make_unique<RawServer>([serve = std::move(serve)](int fd) {
      std::string head = ReadHead(fd);
      const HttpRequest asked = ParseHead(head);
      if (asked.Header("upgrade").empty()) return serve(fd, std::move(head));
      WriteAll(fd, HeadOf(AnswerHandshake(asked)));
      char c;
      ::recv(fd, &c, 1, 0);  // the dialer ends it
    });
  }
  void Close() {
    On(connection->thread(), [&] { return connection->Close(), 0; });
    handler->Closed();
  }
  static constexpr char kDocument[] = "HTTP/1.1 200 OK\r\n\r\n{}";
  std::shared_ptr<RecordingHandler> handler;
  std::shared_ptr<DialledConnection> connection;
  std::string request;
};

TEST_F(RelayDocumentTest, IsAskedForByItsTypeAndReturned) {
  const auto document = FetchAnswer(
      "HTTP/1.1 200 OK\r\nGraspd-Instance: n-1\r\nContent-Length: 15\r\n\r\n"
      "{\"name\":\"here\"}");
  ASSERT_TRUE(document.ok()) << document.status();
  EXPECT_EQ(document->text, R"({"name":"here"})");
  EXPECT_EQ(document->instance, "n-1");
  EXPECT_TRUE(request.starts_with("GET / HTTP/1.1\r\n")) << request;
  EXPECT_NE(request.find("Accept: application/nostr+json\r\n"), std::string::npos) << request;
}

TEST_F(RelayDocumentTest, MayEndWithTheStream) {
  const auto document = FetchAnswer("HTTP/1.1 200 OK\r\n\r\n{}");
  ASSERT_TRUE(document.ok()) << document.status();
  EXPECT_EQ(document->text, "{}");
}

TEST_F(RelayDocumentTest, RedirectsAreNotFollowed) {
  RawServer target;
  const auto document = FetchAnswer("HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: http://" +
                                    target.address().ToString() + "/\r\n\r\n");
  EXPECT_TRUE(absl::IsNotFound(document.status())) << document.status();
  EXPECT_EQ(target.accepted(), 0);
}

TEST_F(RelayDocumentTest, TooLongIsRefused) {
  const auto endless = FetchAnswer("HTTP/1.1 200 OK\r\n\r\n" + std::string(1 << 20, 'x'));
  EXPECT_TRUE(absl::IsUnavailable(endless.status())) << endless.status();
  const auto head = FetchAnswer("HTTP/1.1 200 OK\r\nX: " + std::string(1 << 20, 'x'));
  EXPECT_TRUE(absl::IsUnavailable(head.status())) << head.status();
}

TEST_F(RelayDocumentTest, SilenceTimesOut) {
  const auto relay = Relay([](int fd, const auto&) { ReadHead(fd); });
  auto dial = To(*relay);
  dial.upgrade_timeout = std::chrono::milliseconds(50);
  const auto document = Fetch(std::move(dial));
  EXPECT_TRUE(absl::IsUnavailable(document.status())) << document.status();
  EXPECT_NE(document.status().message().find("timeout"), absl::string_view::npos);
  Close();
}

TEST_F(RelayDocumentTest, ComesFromTheAddressThatIsConnectedWithoutAnotherLookUp) {
  const auto relay = Relay([](int fd, const auto&) { WriteAll(fd, kDocument); });
  resolver.names["two.example"] = {"127.0.0.9", "127.0.0.1"};  // nobody is at the first
  const auto document =
      Fetch(DialOptions(Url("ws://two.example:" + std::to_string(relay->address().port))));
  EXPECT_TRUE(document.ok()) << document.status();
  EXPECT_EQ(handler->Open().address, relay->address());
  EXPECT_EQ(relay->accepted(), 2);
  EXPECT_EQ(resolver.asked, 1);
  Close();
}

TEST_F(RelayDocumentTest, MayBeAskedForWhenTheConnectionIsOpenButNotWhenItHasEnded) {
  const auto relay = Relay([](int fd, const auto&) { WriteAll(fd, kDocument); });
  handler = NewHandler();
  connection = Dial(To(*relay), handler);
  const auto fetch = [&] { return Await(On(connection->thread(), [&] { return Ask(); })); };
  handler->Open();
  EXPECT_TRUE(fetch().ok());
  Close();
  EXPECT_TRUE(absl::IsUnavailable(fetch().status()));
  EXPECT_EQ(relay->accepted(), 2);
}

TEST_F(RelayDocumentTest, EndsWithTheConnection) {
  std::promise<void> asked;
  const auto relay = Relay([&asked](int fd, const auto&) {
    asked.set_value();
    ReadHead(fd);  // silent, until the other side ends it
  });
  handler = NewHandler();
  connection = Dial(To(*relay), handler);
  handler->Open();
  auto document = On(connection->thread(), [&] { return Ask(); });
  asked.get_future().wait();
  Close();
  EXPECT_TRUE(absl::IsUnavailable(Await(std::move(document)).status()));
}

TEST_F(RelayDocumentTest, IsNotToBeHadOfWhatCannotBeConnectedTo) {
  EXPECT_EQ(Fetch(DialOptions(Url("wss://nowhere.example"))).status(),
            absl::UnavailableError("dns: no such name"));
  SocketAddress nobody;
  {
    RawServer remote;
    nobody = remote.address();
  }
  const auto document = Fetch(DialOptions(Url("ws://" + nobody.ToString())));
  EXPECT_TRUE(absl::IsUnavailable(document.status())) << document.status();
  EXPECT_EQ(document.status().message().find("tcp: "), 0u) << document.status();
}

TEST_F(RelayDocumentTest, ForbiddenAddressesAreNotAsked) {
  RawServer remote;
  resolver.names["mixed.example"] = {"127.0.0.1", "10.0.0.1"};
  const auto document =
      Fetch(DialOptions(Url("ws://mixed.example:" + std::to_string(remote.address().port))));
  EXPECT_TRUE(absl::IsUnavailable(document.status())) << document.status();
  EXPECT_EQ(remote.accepted(), 0);
}

}  // namespace
}  // namespace graspd::net
