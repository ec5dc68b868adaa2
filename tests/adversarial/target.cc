#include "tests/adversarial/target.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <ctime>
#include <filesystem>

#include "base/clock.h"
#include "nostr/event_builder.h"
#include "nostr/keys.h"
#include "tests/descriptor_limit.h"
#include "tests/e2e/relay_client.h"

namespace graspd::adversarial {
namespace {

constexpr char kName[] = "graspd";

std::vector<std::string> Flags(const std::vector<std::string>& more) {
  std::vector<std::string> flags = {"--store=memory:",
                                    "--policy-mode=open",
                                    "--sync-enabled=false",
                                    "--limits-connections-per-address=100000",
                                    "--limits-events-per-second=0",
                                    "--limits-reqs-per-second=0"};
  flags.insert(flags.end(), more.begin(), more.end());
  return flags;
}

}  // namespace

Target::Target(const std::vector<std::string>& flags, const std::vector<std::string>& launcher) {
  tests::RaiseDescriptorLimit();  // the attackers are many, and all in this process
  graspd_ = std::make_unique<e2e::Graspd>(dir_, kName, Flags(flags), launcher);
  // Once it has served somebody: much of the program is read from disk only then.
  (void)e2e::HasStored(relay_url(), nostr::EventId());
  resident_at_start_ = Metric("process_resident_memory_bytes");
}

net::SocketAddress Target::relay() const {
  return e2e::Value(net::SocketAddress::Parse(graspd_->relay()));
}

double Target::Metric(const std::string& name) const { return e2e::Metric(ops(), name); }

void Target::ExpectHealthy() const {
  constexpr long kMostSeries = 2000;
  constexpr uintmax_t kMostLog = 64 << 10;
  constexpr double kRoundTrip = 2 * kSlower;
  EXPECT_EQ(e2e::HttpGet(ops(), "/livez").status, 200);
  EXPECT_EQ(e2e::HttpGet(ops(), "/readyz").status, 200);
  // Looked at once a second: until then newcomers may still be refused.
  EXPECT_TRUE(e2e::Eventually([&] { return Metric("graspd_relay_overload_level") == 0; }));
  const nostr::Event event = MakeEvent();
  const double begin = Now();
  e2e::RelayClient client(relay_url());
  client.Publish({event});
  EXPECT_TRUE(client.Fetch({.ids = {{event.id}}}).contains(event.id));
  EXPECT_LT(Now() - begin, kRoundTrip);
  EXPECT_TRUE(e2e::Eventually([&] {
    return Metric("process_resident_memory_bytes") < resident_at_start_ + kMoreMemory;
  })) << resident_at_start_
      << " -> " << Metric("process_resident_memory_bytes");
  const std::string metrics = e2e::HttpGet(ops(), "/metrics").body;
  EXPECT_LE(std::count(metrics.begin(), metrics.end(), '\n'), kMostSeries);
  EXPECT_LE(std::filesystem::file_size(dir_ / (std::string(kName) + ".log")), kMostLog);
}

nostr::Event Target::MakeEvent(size_t content_bytes) {
  static std::atomic<int> count{0};
  static const nostr::SecretKey key = nostr::SecretKey::FromSeed("adversary");
  std::string content = std::to_string(++count) + " ";
  content.append(content_bytes, 'x');
  const auto now = static_cast<uint64_t>(std::time(nullptr));
  return nostr::EventBuilder(1, now).Content(content).Sign(key);
}

std::unique_ptr<net::RawClient> WebSocketClient(const Target& target, int receive_buffer) {
  auto client = std::make_unique<net::RawClient>(target.relay(), receive_buffer);
  const std::string head = client->Upgrade();
  if (!head.starts_with("HTTP/1.1 101")) throw std::runtime_error("no upgrade: " + head);
  return client;
}

double Now() {
  const auto since = base::SystemClock::Instance().Now().time_since_epoch();
  return std::chrono::duration<double>(since).count();
}

double P99(std::vector<double> times) {
  std::sort(times.begin(), times.end());
  const size_t rank = (times.size() * 99 + 99) / 100;
  return times.at(rank - 1);
}

double Median(std::vector<double> times) {
  std::sort(times.begin(), times.end());
  return times.at(times.size() / 2);
}

void RecordMillis(const std::string& name, double seconds) {
  const std::string millis = std::to_string(seconds * 1000);
  testing::Test::RecordProperty(name + "_ms", millis);
  std::cout << name << ": " << millis << " ms\n";
}

}  // namespace graspd::adversarial
