// Clients that send as fast as they can: forged events, valid ones, reconciliations.
#include <gmock/gmock.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "nostr/message.h"
#include "tests/adversarial/target.h"
#include "tests/e2e/relay_client.h"

namespace graspd::adversarial {
namespace {

using e2e::Eventually;
using e2e::RelayClient;
using net::RawClient;
using testing::HasSubstr;
using testing::StartsWith;

const std::vector<std::string> kAllInOneAnswer = {"--limits-limit-max=100000",
                                                  "--limits-limit-default=100000"};

std::string EventFrame(const nostr::Event& event) {
  return RawClient::ClientFrame(kText, nostr::ClientEventMessage(nostr::EventJson(event)));
}

std::vector<nostr::Event> MakeEvents(int count) {
  std::vector<nostr::Event> events;
  for (int i = 0; i < count; ++i) events.push_back(Target::MakeEvent());
  return events;
}

/// How long OKs for single events take, in seconds: the 99th percentile of 200, and of more until
/// so many seconds have passed.
double OkP99(const Target& target, double at_least = 0) {
  RelayClient client(target.relay_url());
  std::vector<double> times;
  const double until = Now() + at_least;
  while (times.size() < 200 || Now() < until) {
    const nostr::Event event = Target::MakeEvent();
    const double begin = Now();
    client.Publish({event});
    times.push_back(Now() - begin);
  }
  return P99(std::move(times));
}

/// Runs `attack` on threads of its own, again and again, until destroyed.
class Attackers {
 public:
  template <typename Attack>
  Attackers(int count, Attack attack) {
    for (int i = 0; i < count; ++i) {
      threads_.emplace_back([this, attack] {
        while (!stop_) attack();
      });
    }
  }
  ~Attackers() {
    stop_ = true;
    for (auto& thread : threads_) thread.join();
  }

 private:
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

/// Sends, and reads answers until the server says goodbye; its close code, 0 if it just ended.
uint16_t SendUntilClosed(const Target& target, const std::string& flood) {
  const auto client = WebSocketClient(target);
  client->Send(flood);
  for (;;) {
    const RawClient::Frame frame = client->ReadFrame();
    if (frame.first == 0 || frame.first == kClose) return frame.first == 0 ? 0 : frame.close_code();
  }
}

// Threats C1.
TEST(FloodsTest, WhoForgesEventsIsCutAndOthersAreServedMeanwhile) {
  constexpr int kHonest = 50;
  const Target target;
  std::string flood;
  for (nostr::Event event : MakeEvents(2000)) {
    event.sig.bytes[40] ^= 1;
    flood += EventFrame(event);
  }
  RelayClient witness(target.relay_url());
  witness.Subscribe("all", {{.limit = 0}});
  std::atomic<int> cut{0};
  {
    const Attackers attackers(Scaled(50), [&] {
      if (SendUntilClosed(target, flood) == 1008) ++cut;
    });
    RelayClient honest(target.relay_url());
    for (int i = 0; i < kHonest; ++i) honest.Publish(MakeEvents(1));
    EXPECT_TRUE(Eventually([&] { return cut >= 2 * Scaled(50); }));
  }
  EXPECT_GE(target.Metric("graspd_relay_struck_out_total"), cut);
  const nostr::Event last = Target::MakeEvent();
  RelayClient(target.relay_url()).Publish({last});
  ASSERT_TRUE(witness.AwaitEvent("all", last.id));
  EXPECT_EQ(witness.heard().events.at("all").size(), kHonest + 1u)
      << "the honest clients' events alone";
  EXPECT_EQ(target.Metric("graspd_store_events"), kHonest + 1);
  target.ExpectHealthy();
}

// The same at 20,000 a second: each of 50 comes back four times a second for as many as it may.
TEST(FloodsTest, ForgeriesDoNotSlowOthersMuch) {
  constexpr double kInterval = 0.25;
  constexpr int kForged = 105;  // cut after 100
  const Target target;
  std::string burst;
  for (nostr::Event event : MakeEvents(kForged)) {
    event.sig.bytes[40] ^= 1;
    burst += EventFrame(event);
  }
  const double calm = OkP99(target, 2);
  double busy = 0;
  std::atomic<int> bursts{0};
  const double begin = Now();
  {
    std::atomic<int> began{0};
    const Attackers attackers(Scaled(50), [&] {
      thread_local bool in_step = false;
      if (!std::exchange(in_step, true)) poll(nullptr, 0, ++began * 5);
      const double until = Now() + kInterval;
      SendUntilClosed(target, burst);
      ++bursts;
      poll(nullptr, 0, std::max(0, static_cast<int>(1000 * (until - Now()))));
    });
    busy = OkP99(target, 2);
  }
  const double forged_per_second = kForged * bursts / (Now() - begin);
  RecordProperty("forged_per_second", static_cast<int>(forged_per_second));
  RecordMillis("ok_p99_calm", calm);
  RecordMillis("ok_p99_under_attack", busy);
  EXPECT_GT(forged_per_second, 10'000 / kSlower / kShare) << "no attack";
  EXPECT_LT(busy, 3 * calm + 0.02 * kSlower);
  target.ExpectHealthy();
}

/// Sends everything without waiting, and returns the ids that were accepted once all are answered;
/// refusals must begin as `refusal`.
std::set<std::string> SendAll(const Target& target, const std::vector<nostr::Event>& events,
                              const std::string& refusal) {
  const auto client = WebSocketClient(target);
  std::string flood;
  for (const auto& event : events) flood += EventFrame(event);
  std::thread sender([&] { client->Send(flood); });
  std::set<std::string> accepted;
  for (size_t i = 0; i < events.size(); ++i) {
    const std::string ok = client->ReadFrame().payload;
    EXPECT_THAT(ok, StartsWith("[\"OK\",\""));
    const std::string id = ok.size() > 71 ? ok.substr(7, 64) : "";
    if (ok.find("\",true,") != std::string::npos) {
      accepted.insert(id);
    } else {
      EXPECT_THAT(ok, HasSubstr(",false,\"" + refusal));
    }
  }
  sender.join();
  return accepted;
}

std::set<std::string> Stored(const Target& target) {
  std::set<std::string> ids;
  for (const auto& id : e2e::AllStored(target.relay_url())) ids.insert(id.ToHex());
  return ids;
}

// Threats C2.
TEST(FloodsTest, WhoSendsTooManyEventsIsToldSoAndWhatWasAcceptedIsStored) {
  const e2e::TempDir dir;
  const Target target({"--store=lmdb:" + dir / "store", "--limits-events-per-second=10",
                       "--limits-events-burst=100", "--limits-author-rate-factor=0"});
  const auto accepted = SendAll(target, MakeEvents(2000), "rate-limited:");
  EXPECT_GE(accepted.size(), 100u);
  EXPECT_LT(accepted.size(), 500u);
  EXPECT_EQ(Stored(target), accepted);
  target.ExpectHealthy();
}

TEST(FloodsTest, WithoutRatesTheSendersWaitAndQueuesStayShort) {
  const Target target(kAllInOneAnswer);
  constexpr int kClients = 4, kEach = 2000;
  // 256 of each connection may be in flight, and some that were read before it was held.
  constexpr double kMostInFlight = 1.25 * kClients * 256, kMostBytes = kMostInFlight * 2048;
  std::vector<std::vector<nostr::Event>> floods;
  for (int i = 0; i < kClients; ++i) floods.push_back(MakeEvents(kEach));
  std::atomic<int> done{0};
  std::vector<std::set<std::string>> accepted(kClients);
  std::vector<std::thread> senders;
  for (size_t i = 0; i < floods.size(); ++i) {
    senders.emplace_back([&, i] {
      accepted[i] = SendAll(target, floods[i], "never");
      ++done;
    });
  }
  double most = 0, most_bytes = 0, most_queued = 0;
  const auto look = [&](double& highest, const char* metric) {
    highest = std::max(highest, target.Metric(metric));
  };
  while (done < kClients) {
    look(most, "graspd_ingest_in_flight_events");
    look(most_bytes, "graspd_ingest_in_flight_bytes");
    look(most_queued, "graspd_ingest_write_queue_events{lane=\"client\"}");
  }
  for (auto& sender : senders) sender.join();
  std::set<std::string> all;
  for (const auto& some : accepted) {
    EXPECT_EQ(some.size(), size_t{kEach});
    all.insert(some.begin(), some.end());
  }
  EXPECT_EQ(Stored(target), all);
  EXPECT_GT(most, 0);
  EXPECT_LE(most, kMostInFlight);
  EXPECT_LE(most_bytes, kMostBytes);
  EXPECT_LE(most_queued, kMostInFlight);
  target.ExpectHealthy();
}

std::string NegOpen(int subscription, const std::string& filter = "{}") {
  return RawClient::ClientFrame(kText, "[\"NEG-OPEN\",\"" + std::to_string(subscription) + "\"," +
                                           filter + ",\"6100000200\"]");
}

// Threats C5.
TEST(FloodsTest, ReconciliationsThatAreLeftOpenAreFewAndEnd) {
  // A set of 1,000 items takes 40 kB, and room to grow.
  constexpr int kPerConnection = 200, kAllowed = 4;
  constexpr double kBudget = 1 << 20, kIdle = 4;
  const Target target({"--limits-neg-idle=4s", "--limits-neg-memory-bytes=1MiB"});
  RelayClient(target.relay_url()).Publish(MakeEvents(1000));
  std::vector<std::unique_ptr<RawClient>> clients;
  const double begin = Now();
  for (int i = 0; i < Scaled(100); ++i) {
    clients.push_back(WebSocketClient(target));
    for (int n = 0; n < kPerConnection; ++n) {  // each of another set
      const int since = i * kPerConnection + n;
      clients.back()->Send(NegOpen(n, "{\"since\":" + std::to_string(since) + "}"));
    }
  }
  double most = 0;
  int opened = 0, without_room = 0, too_many = 0;
  std::vector<int> opened_by(clients.size());
  for (size_t i = 0; i < clients.size(); ++i) {
    for (int n = 0; n < kPerConnection; ++n) {
      const std::string message = clients[i]->ReadFrame().payload;
      if (message.starts_with("[\"NEG-MSG")) {
        ++opened_by[i];
      } else {
        ASSERT_THAT(message, StartsWith("[\"NEG-ERR"));
        without_room += message.find("\"error:") != std::string::npos ? 1 : 0;
        too_many += message.find("\"blocked: too many") != std::string::npos ? 1 : 0;
      }
    }
    EXPECT_LE(opened_by[i], kAllowed);
    opened += opened_by[i];
    most = std::max(most, target.Metric("graspd_relay_neg_set_bytes"));
  }
  EXPECT_GT(opened, 0);
  EXPECT_GT(without_room, 0) << "the budget was not reached";
  EXPECT_GT(too_many, 0) << "of one connection";
  EXPECT_EQ(opened + without_room + too_many, Scaled(100) * kPerConnection) << "or there is more";
  EXPECT_GT(most, 0);
  EXPECT_LE(most, kBudget);
  const double last_opened = Now();
  for (size_t i = 0; i < clients.size(); ++i) {
    for (int n = 0; n < opened_by[i]; ++n) {
      EXPECT_THAT(clients[i]->ReadFrame().payload, HasSubstr("\"closed:"));
      EXPECT_GE(Now() - begin, kIdle);
    }
  }
  EXPECT_LT(Now() - last_opened, (kIdle + 2) * kSlower);
  EXPECT_EQ(target.Metric("graspd_relay_neg_sessions"), 0);
  target.ExpectHealthy();
}

// Threats C6: the wrong fingerprint of everything, for which the relay reads its whole set and
// splits it. A connection has a second of work at once and a twentieth of a core in the long run.
TEST(FloodsTest, ShortMessagesThatAskForMuchGetTheirShareOfWorkOnly) {
  constexpr double kInterval = 5, kShare = 0.1;
  constexpr int kRounds = 5;
  const std::string question = "6100000178787878787878787878787878787878";
  ASSERT_EQ(question.size(), 2u * 20);
  const Target target;
  RelayClient(target.relay_url()).Publish(MakeEvents(5000));
  std::atomic<int> answers{0}, refusals{0};
  std::atomic<bool> attacking{true};
  const auto attack = [&] {
    const auto client = WebSocketClient(target);
    client->Send(NegOpen(0));
    while (attacking) {
      const std::string answer = client->ReadFrame().payload;
      if (answer.empty()) break;
      if (answer.starts_with("[\"NEG-MSG")) {
        ++answers;
        client->SendFrame(kText, "[\"NEG-MSG\",\"0\",\"" + question + "\"]");
      } else {
        ++refusals;
        client->Send(NegOpen(0));
      }
    }
  };
  std::vector<double> calm, busy;
  for (int round = 0; round < kRounds; ++round) {  // the machine may be busy with others for a time
    calm.push_back(OkP99(target));
    attacking = true;
    const Attackers attacker(1, attack);
    const absl::Cleanup stop = [&] { attacking = false; };
    const int before = answers;
    ASSERT_TRUE(Eventually([&] { return answers > before; }));
    busy.push_back(OkP99(target));
  }
  RecordMillis("ok_p99_calm", Median(calm));
  RecordMillis("ok_p99_under_attack", Median(busy));
  EXPECT_LT(Median(busy), 3 * Median(calm) + 0.01 * kSlower);
  {
    attacking = true;
    const Attackers attacker(1, attack);
    const absl::Cleanup stop = [&] { attacking = false; };
    EXPECT_TRUE(Eventually([&] { return refusals > 0; }))
        << "for ever the same question is no progress";
    if (kSlower == 1) {  // else its second takes long to use up
      ASSERT_TRUE(Eventually([&] { return target.Metric("graspd_relay_neg_waiting") > 0; }));
      const auto cpu = [&] { return target.Metric("process_cpu_seconds_total"); };
      const double cpu_before = cpu(), begin = Now();
      const int answers_before = answers;
      EXPECT_TRUE(Eventually([&] { return Now() > begin + kInterval; }));
      const double share = (cpu() - cpu_before) / (Now() - begin);
      RecordProperty("share_of_a_core", std::to_string(share));
      EXPECT_LT(share, kShare);
      EXPECT_GT(answers, answers_before);
    }
  }
  EXPECT_GT(answers, 4);
  target.ExpectHealthy();
}

/// A cgroup with a limit on memory, of either version. Removed in the end.
class MemoryGroup {
 public:
  explicit MemoryGroup(size_t bytes) {
    const bool version1 = std::filesystem::exists("/sys/fs/cgroup/memory/memory.limit_in_bytes");
    path_ = std::string(version1 ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup") + "/graspd-test-" +
            std::to_string(getpid());
    std::error_code error;
    std::filesystem::create_directory(path_, error);
    std::ofstream limit(path_ + (version1 ? "/memory.limit_in_bytes" : "/memory.max"));
    made_ = bool(limit << bytes << std::flush);
    kills_ = path_ + (version1 ? "/memory.oom_control" : "/memory.events");
  }
  ~MemoryGroup() {
    // Empty a moment after its last process has been waited for.
    EXPECT_TRUE(!made_ || Eventually([&] { return rmdir(path_.c_str()) == 0; }));
  }
  [[nodiscard]] bool made() const { return made_; }
  /// Starts a command in it.
  [[nodiscard]] std::vector<std::string> launcher() const {
    return {"/bin/sh", "-c", "echo $$ > " + path_ + "/cgroup.procs && exec \"$0\" \"$@\""};
  }
  [[nodiscard]] std::string Kills() const {
    std::ifstream file(kills_);
    for (std::string line; std::getline(file, line);) {
      if (line.starts_with("oom_kill ")) return line;
    }
    return "unknown";
  }

 private:
  std::string path_, kills_;
  bool made_ = false;
};

// Threats D11, and everything else at once.
TEST(FloodsTest, WithLittleMemoryItShedsAndIsNotKilled) {
  constexpr double kInterval = 8;
  const MemoryGroup group(256 << 20);
  if (!group.made()) {
    if (e2e::CgroupIsRequired()) FAIL() << "no cgroup could be made";
    GTEST_SKIP() << "no cgroup can be made here";
  }
  const e2e::TempDir dir;
  std::vector<std::string> flags = kAllInOneAnswer;
  flags.push_back("--store=lmdb:" + dir / "store");
  const Target target(flags, group.launcher());
  EXPECT_EQ(target.Metric("graspd_relay_memory_budget_bytes"), 192 << 20);
  std::string forged;
  for (nostr::Event event : MakeEvents(500)) {
    event.sig.bytes[40] ^= 1;
    forged += EventFrame(event);
  }
  std::string large;
  for (int i = 0; i < 20; ++i) {
    large += RawClient::ClientFrame(kText, "[\"REQ\",\"" + std::to_string(i) +
                                               "\",{\"limit\":0,\"#t\":[\"" +
                                               std::string(500'000, 'x') + "\"]}]");
  }
  const auto big_events = [] {
    std::string flood;
    for (int i = 0; i < 20; ++i) flood += EventFrame(Target::MakeEvent(8000));
    return flood;
  };
  const double end = Now() + kInterval;
  const auto attack = [&](const std::string& flood, bool until_cut) {
    try {
      const auto client = WebSocketClient(target, 4096);
      client->Send(flood);
      if (until_cut) (void)client->Ended();
    } catch (const std::exception&) {  // refused, or cut in the course of this
    }
  };
  std::vector<nostr::EventId> published;
  double highest = 0;
  {
    const Attackers forgers(2, [&] { attack(forged, true); });
    const Attackers subscribers(2, [&] { attack(large, false); });
    const Attackers reconcilers(2, [&] { attack(NegOpen(1) + NegOpen(2), false); });
    const Attackers stalled(2, [&] {
      attack(RawClient::ClientFrame(kText, "[\"REQ\",\"s\",{}]") + big_events(), false);
    });
    const Attackers hesitant(1, [&] {
      const RawClient half(target.relay()), other(target.relay());
      RawClient(target.relay()).Send("GET / HTTP/1.1\r\nHost: re");
    });
    // These stay: their filters are more than all filters may take.
    std::vector<std::unique_ptr<RawClient>> hoard;
    RelayClient honest(target.relay_url());
    while (Now() < end) {
      const nostr::Event event = Target::MakeEvent();
      honest.Publish({event});
      published.push_back(event.id);
      try {
        hoard.push_back(WebSocketClient(target, 4096));
        hoard.back()->Send(large);
      } catch (const std::exception&) {  // not let in
      }
      highest = std::max(highest, target.Metric("graspd_relay_overload_level"));
    }
  }
  EXPECT_GT(published.size(), 10u);
  EXPECT_GT(highest + target.Metric("graspd_relay_connections_total{result=\"overload\"}") +
                target.Metric("graspd_relay_shed_closes_total") +
                target.Metric("graspd_relay_refusals_total{reason=\"rate-limited\"}"),
            0)
      << "nothing was shed or refused: the attack was too weak";
  EXPECT_EQ(group.Kills(), "oom_kill 0");
  EXPECT_EQ(e2e::HttpGet(target.ops(), "/readyz").status, 200);
  EXPECT_TRUE(Eventually([&] { return target.Metric("graspd_relay_overload_level") == 0; }));
  const auto stored = e2e::AllStored(target.relay_url());
  for (const auto& id : published) EXPECT_TRUE(stored.contains(id));
}

}  // namespace
}  // namespace graspd::adversarial
