// The whole relay port over loopback: net's server, sessions, ingest, a memory store.
#include "services/relay/relay_service.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "ingest/pipeline.h"
#include "ingest/policy/policy.h"
#include "net/dialer.h"
#include "nostr/event_builder.h"
#include "nostr/keys.h"
#include "nostr/message.h"
#include "storage/memory/memory_store.h"

namespace graspd::relay {
namespace {

using nostr::Event;
using nostr::EventBuilder;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

// A client that keeps what it hears.
class TestClient final : public net::DialHandler {
 public:
  void OnOpen(const net::DialSuccess& success) override {
    Note([&] {
      open_ = true;
      instance = success.instance;
    });
  }
  void OnText(std::string_view message) override {
    Note([&] { heard_.emplace_back(message); });
  }
  void OnClosed(const net::DialFailure& failure) override {
    Note([&] { closed_ = failure; });
  }

  void WaitUntilOpen() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return open_ || closed_; });
    ASSERT_TRUE(open_) << closed_->detail;
  }
  std::vector<std::string> Receive(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return heard_.size() >= count || closed_; });
    return std::exchange(heard_, {});
  }
  net::DialFailure WaitUntilClosed() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return closed_.has_value(); });
    return *closed_;
  }

  std::string instance;  // after WaitUntilOpen

 private:
  template <typename Change>
  void Note(Change change) {
    {
      const std::lock_guard lock(mutex_);
      change();
    }
    changed_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
  std::optional<net::DialFailure> closed_;
  std::vector<std::string> heard_;
};

class RelayServiceTest : public testing::Test {
 protected:
  RelayServiceTest() {
    options_.info.name = "test relay";
    options_.listen = {*net::ListenAddress::Parse("127.0.0.1:0")};
    options_.instance = "nonce";
    options_.secret_header = {"X-Test-Secret", "secret"};
    dialer_ = net::MakeDialer(guard_, resolver_, {});
  }
  // Connections end before the threads that serve them.
  ~RelayServiceTest() override {
    for (const auto& connection : connections_) {
      connection->thread().Post([connection] { connection->Close(); });
    }
    for (const auto& client : clients_) client->WaitUntilClosed();
    service_.reset();
    pipeline_.reset();
    reads_.reset();
    cpu_.reset();
    io_.Stop();
  }

  void Start() {
    auto service =
        RelayService::Start(options_, {*pipeline_, *store_, feed_, neg_sets_, io_, *reads_, *reads_,
                                       *cpu_, base::SystemClock::Instance(), metrics_});
    ASSERT_TRUE(service.ok()) << service.status();
    service_ = *std::move(service);
  }
  uint16_t port() const { return service_->addresses().at(0).tcp.port; }

  std::shared_ptr<TestClient> Connect(
      std::vector<std::pair<std::string, std::string>> headers = {}) {
    net::DialOptions options(*nostr::RelayUrl::Parse("ws://127.0.0.1:" + std::to_string(port())));
    options.headers = std::move(headers);
    clients_.push_back(std::make_shared<TestClient>());
    connections_.push_back(dialer_->Dial(std::move(options), clients_.back(), io_.Next()));
    clients_.back()->WaitUntilOpen();
    return clients_.back();
  }
  // From the client connected last.
  void Send(std::string message) {
    auto connection = connections_.back();
    connection->thread().Post(
        [connection, message = std::move(message)] { connection->SendText(message); });
  }
  // A socket, over which `request` has been sent.
  int Ask(std::string_view request) {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(send(fd, request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
    return fd;
  }
  static void ReadUntil(int fd, std::string_view end) {
    std::string answer;
    char byte;
    while (answer.find(end) == std::string::npos && recv(fd, &byte, 1, 0) == 1) answer += byte;
    EXPECT_THAT(answer, HasSubstr(std::string(end)));
  }
  std::string Http(std::string_view request) {
    const int fd = Ask(request);
    std::string answer;
    char buffer[4096];
    for (ssize_t n; (n = recv(fd, buffer, sizeof buffer, 0)) > 0;) answer.append(buffer, n);
    close(fd);
    return answer;
  }
  Event Note(std::string_view content) {
    return EventBuilder(1, base::SystemClock::Instance().UnixNow()).Content(content).Sign(key_);
  }
  static std::string EventMessage(const Event& event) {
    return nostr::ClientEventMessage(nostr::EventJson(event));
  }

  RelayService::Options options_;
  const nostr::SecretKey key_ = nostr::SecretKey::FromSeed("author");
  base::Metrics metrics_;
  const std::unique_ptr<storage::EventStore> store_ = storage::OpenMemoryStore();
  storage::CommitFeed feed_;
  std::shared_ptr<storage::NegSets> neg_sets_ = std::make_shared<storage::NegSets>(
      *store_, feed_, base::SystemClock::Instance(), 1'000'000, 64u << 20);
  ingest::Policy policy_{{ingest::PolicyMode::kOpen, {}, true}};
  net::IoPool io_{2};
  std::unique_ptr<base::CpuPool> cpu_ = std::make_unique<base::CpuPool>(2);
  std::unique_ptr<base::BlockingPool> reads_ = std::make_unique<base::BlockingPool>(2, 64, "reads");
  std::unique_ptr<ingest::Pipeline> pipeline_ = std::make_unique<ingest::Pipeline>(
      ingest::Pipeline::Dependencies{*store_, feed_, policy_, *cpu_, base::SystemClock::Instance(),
                                     metrics_},
      nostr::Limits{});
  std::unique_ptr<RelayService> service_;
  net::AddressGuard guard_{{.allow = {*net::Cidr::Parse("127.0.0.0/8")}}};
  net::SystemResolver resolver_;
  std::unique_ptr<net::Dialer> dialer_;
  std::vector<std::shared_ptr<TestClient>> clients_;
  std::vector<std::shared_ptr<net::DialledConnection>> connections_;
};

TEST_F(RelayServiceTest, AnEventGoesFromOneClientToTheOthers) {
  Start();
  // More than one I/O thread has a subscriber.
  std::vector<std::shared_ptr<TestClient>> readers;
  for (int i = 0; i < 4; ++i) {
    readers.push_back(Connect());
    Send(R"(["REQ","s",{"kinds":[1]}])");
    EXPECT_THAT(readers.back()->Receive(1), ElementsAre(nostr::EoseMessage("s")));
  }
  const Event note = Note("hello");
  const auto author = Connect();
  Send(EventMessage(note));
  EXPECT_THAT(author->Receive(1), ElementsAre(nostr::OkMessage(note.id.ToHex(), true, "")));
  const std::string delivery = nostr::EventMessagePrefix("s") + nostr::EventJson(note) + "]";
  for (const auto& reader : readers) EXPECT_THAT(reader->Receive(1), ElementsAre(delivery));
  Send(R"(["REQ","s",{}])");
  EXPECT_THAT(author->Receive(2), ElementsAre(delivery, nostr::EoseMessage("s")));
  EXPECT_EQ(author->instance, "nonce");
}

TEST_F(RelayServiceTest, PlainHttpIsAnsweredWithTheRightPageAndCorsHeaders) {
  Start();
  const std::string tail = " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
  const std::string document = Http("GET /" + tail + "Accept: application/nostr+json\r\n\r\n");
  EXPECT_THAT(document, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(document, HasSubstr(R"("name":"test relay")"));
  const std::string options = Http("OPTIONS /" + tail + "\r\n");
  EXPECT_THAT(options, StartsWith("HTTP/1.1 204"));
  const std::string missing = Http("GET /nothing" + tail + "\r\n");
  EXPECT_THAT(missing, StartsWith("HTTP/1.1 404"));
  for (const std::string& answer : {document, options, missing}) {
    EXPECT_THAT(answer, HasSubstr("Access-Control-Allow-Origin: *"));
    EXPECT_THAT(answer, HasSubstr("Access-Control-Allow-Methods: GET, POST"));
    EXPECT_THAT(answer, HasSubstr("Access-Control-Allow-Headers: Content-Type"));
    EXPECT_THAT(answer, HasSubstr("Graspd-Instance: nonce"));
  }
}

TEST_F(RelayServiceTest, OnlyTheSecretHeaderLiftsTheRates) {
  options_.limits.reqs_burst = 1;
  options_.limits.reqs_per_second = 0.001;
  Start();
  for (const bool own : {false, true}) {
    const auto client = Connect({{"X-Test-Secret", own ? "secret" : "guess"}});
    Send(R"(["REQ","a",{}])");
    Send(R"(["REQ","b",{}])");
    const auto answers = client->Receive(2);
    EXPECT_EQ(std::count(answers.begin(), answers.end(),
                         nostr::ClosedMessage("b", "rate-limited: slow down")),
              own ? 0 : 1);
  }
}

TEST_F(RelayServiceTest, AClientAuthenticatesUnderAPortThatIsKnownLate) {
  Start();
  const std::string url = "ws://127.0.0.1:" + std::to_string(port());
  service_->SetOwnHosts({*nostr::ParseHostPort(url)});
  const uint64_t now = base::SystemClock::Instance().UnixNow();
  const Event event = EventBuilder(1, now).Tag({"-"}).Sign(key_);
  const auto client = Connect();
  Send(EventMessage(event));
  const auto challenged = client->Receive(2);
  const auto message = nostr::ParseRelayMessage(challenged.at(0));
  ASSERT_TRUE(std::holds_alternative<nostr::RelayAuth>(message)) << challenged[0];
  const Event auth = EventBuilder(22242, now)
                         .Tag({"relay", url})
                         .Tag({"challenge", std::get<nostr::RelayAuth>(message).challenge})
                         .Sign(key_);
  Send(nostr::ClientAuthMessage(nostr::EventJson(auth)));
  Send(EventMessage(event));  // without waiting for the answer
  EXPECT_THAT(client->Receive(2), ElementsAre(nostr::OkMessage(auth.id.ToHex(), true, ""),
                                              nostr::OkMessage(event.id.ToHex(), true, "")));
}

// Threats C31, where ThreadSanitizer sees it.
TEST_F(RelayServiceTest, SubscribersThatVanishDuringTheFanOutHurtNobody) {
  constexpr int kSubscribers = 400, kEvents = 50;
  options_.limits.connections_per_address = kSubscribers + 2;
  Start();
  const std::string req = R"(["REQ","s",{"limit":0}])";
  const std::string upgrade =
      "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
  const std::string frame =  // masked with zeros
      "\x81" + std::string(1, static_cast<char>(0x80 | req.size())) + std::string(4, 0) + req;
  std::vector<int> subscribers;
  while (subscribers.size() < kSubscribers) {
    const int fd = subscribers.emplace_back(Ask(upgrade));
    ReadUntil(fd, "\r\n\r\n");
    ASSERT_EQ(send(fd, frame.data(), frame.size(), 0), static_cast<ssize_t>(frame.size()));
    ReadUntil(fd, "EOSE");
  }
  const auto reader = Connect();
  Send(req);
  reader->Receive(1);
  Connect();
  for (int i = 0; i < kEvents; ++i) Send(EventMessage(Note(std::to_string(i))));
  size_t received = reader->Receive(1).size();
  for (const int fd : subscribers) {
    constexpr linger kReset{.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &kReset, sizeof kReset);
    close(fd);
  }
  while (received < kEvents) received += reader->Receive(1).size();
  EXPECT_EQ(received, size_t{kEvents});
  while (service_->connection_count() > 2) std::this_thread::yield();
}

TEST_F(RelayServiceTest, DrainEndsSubscriptionsThenConnections) {
  Start();
  const auto client = Connect();
  Send(R"(["REQ","s",{}])");
  client->Receive(1);
  service_->Drain(std::chrono::seconds(5));
  EXPECT_EQ(client->WaitUntilClosed().close_code, 1001);
  EXPECT_THAT(client->Receive(1), ElementsAre(StartsWith(R"(["CLOSED","s","closed: )")));
  EXPECT_EQ(service_->connection_count(), 0u);
}

}  // namespace
}  // namespace graspd::relay
