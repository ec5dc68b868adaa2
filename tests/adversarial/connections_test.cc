// Clients that are too many, too slow, or gone without a word.
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "nostr/message.h"
#include "tests/adversarial/target.h"
#include "tests/e2e/admin_client.h"
#include "tests/e2e/relay_client.h"

namespace graspd::adversarial {
namespace {

using e2e::Eventually;
using e2e::RelayClient;
using net::RawClient;
using testing::StartsWith;
using Clients = std::vector<std::unique_ptr<RawClient>>;

constexpr char kLive[] = R"(["REQ","live",{"limit":0}])";

/// WebSocket clients with a subscription to everything new.
Clients Subscribers(const Target& target, int count, int receive_buffer = 0) {
  Clients clients;
  for (int i = 0; i < count; ++i) {
    clients.push_back(WebSocketClient(target, receive_buffer));
    clients.back()->SendFrame(kText, kLive);
    EXPECT_EQ(clients.back()->ReadFrame().payload, R"(["EOSE","live"])");
  }
  return clients;
}

/// Reads what clients are sent, and drops it, on a thread of its own until destroyed.
class Drain {
 public:
  explicit Drain(const Clients& clients) {
    for (const auto& client : clients) polled_.push_back({client->fd(), POLLIN, 0});
    thread_ = std::thread([this] { Run(); });
  }
  ~Drain() {
    stop_ = true;
    thread_.join();
  }

 private:
  void Run() {
    std::string dropped(256 << 10, 0);
    while (!stop_) {
      poll(polled_.data(), polled_.size(), 10);
      for (const pollfd& client : polled_) {
        if (client.revents != 0) recv(client.fd, dropped.data(), dropped.size(), MSG_DONTWAIT);
      }
    }
  }
  std::vector<pollfd> polled_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

/// Publishes 500 events a second, ten at once, and notes how long their OKs take, in seconds.
class Firehose {
 public:
  explicit Firehose(const Target& target) : publisher_(target.relay_url()) {}

  void Burst() {
    constexpr double kInterval = 0.02;
    constexpr int kEvents = 10;
    poll(nullptr, 0, std::max(0, static_cast<int>(1000 * (next_ - Now()))));
    std::vector<nostr::Event> events;
    for (int i = 0; i < kEvents; ++i) events.push_back(Target::MakeEvent(100));
    const double begin = Now();
    publisher_.Publish(events);  // throws if it does not get each OK
    times_.push_back(Now() - begin);
    published_.insert(published_.end(), events.begin(), events.end());
    next_ = std::max(next_, begin) + kInterval;
  }
  [[nodiscard]] const std::vector<double>& times() const { return times_; }
  [[nodiscard]] const std::vector<nostr::Event>& published() const { return published_; }
  [[nodiscard]] int per_second() const {
    return static_cast<int>(static_cast<double>(published_.size()) / (Now() - begin_));
  }

 private:
  RelayClient publisher_;
  const double begin_ = Now();
  double next_ = begin_;
  std::vector<double> times_;
  std::vector<nostr::Event> published_;
};

// Threats C8.
TEST(ConnectionsTest, StalledReadersAreCutAndEverybodyElseGetsEverything) {
  constexpr size_t kQueue = 256 << 10, kPiece = 64 << 10;
  const int stalled_count = Scaled(1000);
  const Target target({"--limits-outbound-bytes=256KiB", "--limits-event-bytes=64KiB",
                       "--limits-message-bytes=64KiB", "--limits-neg-message-bytes=64KiB"});
  Firehose calm(target);
  {
    const Clients reading = Subscribers(target, stalled_count);
    const Drain drain(reading);
    for (int i = 0; i < 150; ++i) calm.Burst();
    RecordProperty("calm_events_per_second", calm.per_second());
  }
  Clients stalled = Subscribers(target, stalled_count, /*receive_buffer=*/4096);
  RelayClient reader(target.relay_url());
  reader.Subscribe("live", {{.limit = 0}});
  const double before = target.Metric("process_resident_memory_bytes");
  double most = 0;
  const auto closes = [&] { return target.Metric("graspd_relay_slow_client_closes_total"); };
  const double cut_before = closes();
  const auto cut = [&] { return closes() - cut_before; };
  Firehose busy(target);
  while (cut() < stalled_count && busy.published().size() < 20'000) {
    for (int i = 0; i < 10; ++i) busy.Burst();
    most = std::max(most, target.Metric("process_resident_memory_bytes"));
  }
  RecordProperty("events_per_second", busy.per_second());
  EXPECT_EQ(cut(), stalled_count);
  for (const auto& client : stalled) EXPECT_TRUE(client->Ended());
  for (const auto& event : busy.published()) ASSERT_TRUE(reader.AwaitEvent("live", event.id));
  // While they stall and are cut, against as many who read.
  RecordMillis("ok_p99_calm", P99(calm.times()));
  RecordMillis("ok_p99_under_attack", P99(busy.times()));
  const double calm_p99 = P99(calm.times());
  EXPECT_LT(P99(busy.times()), std::max(2 * calm_p99, calm_p99 + 0.03 * kSlower));
  // Every queue may be a piece over its limit, which is not full.
  EXPECT_LT(most, before + stalled_count * double{kQueue + 2 * kPiece} + 2 * kMoreMemory);
  RecordProperty("published", static_cast<int>(busy.published().size()));
  RecordProperty("resident_growth_bytes", std::to_string(most - before));
  target.ExpectHealthy();
}

// Rows that are read ahead for each filter must not wait with the client.
TEST(ConnectionsTest, WhoAsksByManyFiltersAndReadsLittleHoldsLittleMemory) {
  constexpr int kReqs = 100, kFilters = 20;
  const Target target;
  std::vector<nostr::Event> events;
  for (int i = 0; i < 20; ++i) events.push_back(Target::MakeEvent(250'000));
  for (const auto& event : events) RelayClient(target.relay_url()).Publish({event});
  const double before = target.Metric("process_resident_memory_bytes");

  // A page of each has to be read, so that all have begun.
  auto client = WebSocketClient(target);
  std::string filters;
  for (int i = 0; i < kFilters; ++i) filters += ",{\"since\":" + std::to_string(i) + "}";
  for (int i = 0; i < kReqs; ++i) {
    client->SendFrame(kText, "[\"REQ\",\"" + std::to_string(i) + "\"" + filters + "]");
  }
  std::set<std::string> begun;
  while (begun.size() < kReqs) {
    const std::string message = client->ReadFrame().payload;
    ASSERT_TRUE(message.starts_with("[\"EVENT\"")) << message.substr(0, 100);
    begun.insert(message.substr(0, message.find(',', 10)));
  }
  EXPECT_LT(target.Metric("process_resident_memory_bytes"), before + 2 * kMoreMemory);
  client.reset();
  target.ExpectHealthy();
}

TEST(ConnectionsTest, ASlowReaderOfManyLongAnswersGetsAllOfThem) {
  constexpr int kReqs = 40, kEvents = 32;  // 256 KiB for each REQ
  const Target target({"--limits-outbound-bytes=2MiB"});
  std::vector<nostr::Event> events;
  for (int i = 0; i < kEvents; ++i) events.push_back(Target::MakeEvent(8 << 10));
  RelayClient(target.relay_url()).Publish(events);
  const auto client = WebSocketClient(target, /*receive_buffer=*/4096);
  for (int i = 0; i < kReqs; ++i) {
    client->SendFrame(kText, "[\"REQ\",\"" + std::to_string(i) + "\",{}]");
  }
  ASSERT_TRUE(
      Eventually([&] { return target.Metric("graspd_relay_outbound_queue_bytes") > 256 << 10; }));
  int received = 0, ended = 0;
  while (ended < kReqs) {
    const std::string message = client->ReadFrame().payload;
    ASSERT_NE(message, "") << "cut off";
    received += message.starts_with("[\"EVENT\"") ? 1 : 0;
    ended += message.starts_with("[\"EOSE\"") ? 1 : 0;
  }
  EXPECT_EQ(received, kReqs * kEvents);
  EXPECT_EQ(target.Metric("graspd_relay_slow_client_closes_total"), 0);
  target.ExpectHealthy();
}

TEST(ConnectionsTest, AllQueuesTogetherAreBoundedToo) {
  const Target target({"--limits-outbound-bytes=8MiB", "--limits-outbound-total-bytes=16MiB"});
  Clients stalled = Subscribers(target, 20, /*receive_buffer=*/4096);
  RelayClient publisher(target.relay_url());
  for (int i = 0; i < 30; ++i) publisher.Publish({Target::MakeEvent(200'000)});
  EXPECT_TRUE(
      Eventually([&] { return target.Metric("graspd_relay_outbound_queue_bytes") <= (16 << 20); }));
  EXPECT_GT(target.Metric("graspd_relay_slow_client_closes_total"), 0);
  stalled.clear();
  target.ExpectHealthy();
}

TEST(ConnectionsTest, SlowHandshakesAreCutAndHoldUpNobody) {
  const Target target({"--limits-handshake-timeout=2s"});
  Clients slow;
  for (int i = 0; i < Scaled(5000); ++i) {
    slow.push_back(std::make_unique<RawClient>(target.relay()));
    if (i % 4 == 1) slow.back()->Send("GET / HTTP/1.1\r\nHost: re");
    if (i % 4 == 2)
      slow.back()->Send("POST / HTTP/1.1\r\nHost: relay\r\nContent-Length: 10\r\n\r\n");
    if (i % 4 == 3) slow.back()->Upgrade();
  }
  const nostr::Event event = Target::MakeEvent();
  std::vector<double> times;  // to connect and be answered, while they are there
  for (int i = 0; i < 5; ++i) {
    const double begin = Now();
    RelayClient(target.relay_url()).Subscribe("new", {{.limit = 0}});
    times.push_back(Now() - begin);
  }
  RecordMillis("newcomer", Median(times));
  EXPECT_LT(Median(times), 1 * kSlower);
  RelayClient(target.relay_url()).Publish({event});
  EXPECT_TRUE(e2e::HasStored(target.relay_url(), event.id));
  for (size_t i = 0; i < slow.size(); ++i) {
    const bool upgraded = i % 4 == 3;
    EXPECT_TRUE(upgraded || slow[i]->Ended());
  }
  // Silence after the upgrade is no fault: such a client is pinged, and may be idle for ever.
  slow[3]->SendFrame(kText, kLive);
  EXPECT_EQ(slow[3]->ReadFrame().payload, R"(["EOSE","live"])");
  slow.clear();
  target.ExpectHealthy();
}

TEST(ConnectionsTest, SubscribersThatVanishDuringTheFanOutHurtNobody) {
  const Target target;
  Clients clients = Subscribers(target, Scaled(5000));
  RelayClient reader(target.relay_url()), publisher(target.relay_url());
  reader.Subscribe("live", {{.limit = 0}});
  std::vector<nostr::Event> events;
  for (int i = 0; i < 200; ++i) events.push_back(Target::MakeEvent(1000));
  publisher.Send(events);
  clients.clear();  // with unread input, so that the kernel sends RST
  for (const auto& event : events) ASSERT_TRUE(reader.AwaitEvent("live", event.id));
  EXPECT_TRUE(Eventually([&] { return target.Metric("graspd_relay_connections") <= 2; }));
  EXPECT_EQ(target.Metric("graspd_relay_subscriptions"), 1);
  target.ExpectHealthy();
}

TEST(ConnectionsTest, AtTheLimitOfConnectionsOthersAreTold503) {
  const Target target({"--limits-connections=3"});
  Clients inside = Subscribers(target, 3);
  for (int i = 0; i < 10; ++i) {
    EXPECT_THAT(RawClient(target.relay()).Upgrade(), StartsWith("HTTP/1.1 503"));
  }
  inside[0]->SendFrame(kText, kLive);
  EXPECT_EQ(inside[0]->ReadFrame().payload, R"(["EOSE","live"])");
  inside.clear();
  EXPECT_TRUE(Eventually([&] { return target.Metric("graspd_relay_connections") == 0; }));
  target.ExpectHealthy();
}

TEST(ConnectionsTest, WithFewDescriptorsOperatorsAreStillServedAndNothingSpins) {
  const e2e::TempDir dir;
  const Target target({"--store=lmdb:" + dir / "store"}, {"/usr/bin/prlimit", "--nofile=256:256"});
  RelayClient before(target.relay_url());
  Clients many;
  for (int i = 0; i < 1000; ++i) many.push_back(std::make_unique<RawClient>(target.relay()));
  EXPECT_EQ(e2e::HttpGet(target.ops(), "/readyz").status, 200);
  EXPECT_EQ(e2e::AdminClient(target.admin()).Find("wss://nobody.example").url(), "");
  EXPECT_LT(target.Metric("process_open_fds"), 256);
  const nostr::Event event = Target::MakeEvent();
  before.Publish({event});
  EXPECT_TRUE(before.Fetch({.ids = {{event.id}}}).contains(event.id));
  const double cpu = target.Metric("process_cpu_seconds_total");
  const double begin = Now();
  EXPECT_TRUE(many.front()->Ended());  // when its handshake has taken too long
  EXPECT_LT(target.Metric("process_cpu_seconds_total") - cpu,
            0.2 * std::max(Now() - begin, 1.0) * kSlower);
  many.clear();
  EXPECT_TRUE(Eventually([&] { return target.Metric("graspd_relay_connections") == 1; }));
  target.ExpectHealthy();
}

TEST(ConnectionsTest, WithoutMemoryReadsAndNewcomersAreRefusedButEventsAreTaken) {
  const Target target({"--limits-memory-bytes=1MiB"});
  const auto client = WebSocketClient(target);
  client->SendFrame(kText, kLive);
  EXPECT_EQ(client->ReadFrame().payload, R"(["EOSE","live"])");
  ASSERT_TRUE(Eventually([&] { return target.Metric("graspd_relay_overload_level") == 3; }));
  EXPECT_THAT(RawClient(target.relay()).Upgrade(), StartsWith("HTTP/1.1 503"));
  client->SendFrame(kText, R"(["REQ","stored",{}])");
  EXPECT_THAT(client->ReadFrame().payload, StartsWith(R"(["CLOSED","stored","rate-limited: )"));
  const nostr::Event event = Target::MakeEvent();
  client->SendFrame(kText, nostr::ClientEventMessage(nostr::EventJson(event)));
  const std::vector<std::string> answers = {client->ReadFrame().payload,
                                            client->ReadFrame().payload};
  EXPECT_THAT(answers, testing::Contains(nostr::OkMessage(event.id.ToHex(), true, "")));
  EXPECT_THAT(answers, testing::Contains(StartsWith(R"(["EVENT","live",)")));
}

}  // namespace
}  // namespace graspd::adversarial
