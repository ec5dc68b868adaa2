// Clients that send as fast as they can: forged events, valid ones, reconciliations.
#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
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

using Seconds = std::chrono::duration<double>;

double Now() { return Seconds(base::SystemClock::Instance().Now().time_since_epoch()).count(); }

std::string EventFrame(const nostr::Event& event) {
  return RawClient::ClientFrame(kText, nostr::ClientEventMessage(nostr::EventJson(event)));
}

std::vector<nostr::Event> MakeEvents(int count) {
  std::vector<nostr::Event> events;
  for (int i = 0; i < count; ++i) events.push_back(Target::MakeEvent());
  return events;
}

/// The slowest of some OKs for single events, in seconds.
double SlowestOk(const Target& target) {
  RelayClient client(target.relay_url());
  double slowest = 0;
  for (int i = 0; i < 30; ++i) {
    const double begin = Now();
    client.Publish({Target::MakeEvent()});
    slowest = std::max(slowest, Now() - begin);
  }
  return slowest;
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

// Threats C1.
TEST(FloodsTest, WhoForgesEventsIsCutAndOthersAreServedMeanwhile) {
  const Target target;
  std::string flood;
  for (nostr::Event event : MakeEvents(2000)) {
    event.sig.bytes[40] ^= 1;
    flood += EventFrame(event);
  }
  const double calm = SlowestOk(target);
  const double events = target.Metric("graspd_store_events");
  double busy = 0;
  std::atomic<int> cut{0};
  {
    const Attackers attackers(Scaled(50), [&] {
      const auto client = WebSocketClient(target);
      client->Send(flood);
      cut += client->Ended() ? 1 : 0;
    });
    EXPECT_TRUE(Eventually([&] { return cut >= Scaled(50); }));
    busy = SlowestOk(target);
  }
  EXPECT_LT(busy, 3 * calm + 0.5);
  EXPECT_GE(target.Metric("graspd_relay_struck_out_total"), Scaled(50));
  EXPECT_EQ(target.Metric("graspd_store_events"), events + 30) << "the honest client's";
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
  const Target target({"--limits-events-per-second=10", "--limits-events-burst=100",
                       "--limits-author-rate-factor=0"});
  const auto accepted = SendAll(target, MakeEvents(2000), "rate-limited:");
  EXPECT_GE(accepted.size(), 100u);
  EXPECT_LT(accepted.size(), 500u);
  EXPECT_EQ(Stored(target), accepted);
  target.ExpectHealthy();
}

TEST(FloodsTest, WithoutRatesTheSendersWaitAndQueuesStayShort) {
  const Target target;
  constexpr int kClients = 4, kEach = 1000;
  constexpr double kMostInFlight = 4 * 4096;
  std::vector<std::vector<nostr::Event>> floods;
  for (int i = 0; i < kClients; ++i) floods.push_back(MakeEvents(kEach));
  std::atomic<int> accepted{0}, done{0};
  std::vector<std::thread> senders;
  for (const auto& flood : floods) {
    senders.emplace_back([&] {
      accepted += static_cast<int>(SendAll(target, flood, "never").size());
      ++done;
    });
  }
  double most = 0;
  while (done < kClients) {
    most = std::max(most, target.Metric("graspd_ingest_in_flight_events"));
  }
  for (auto& sender : senders) sender.join();
  EXPECT_EQ(accepted, kClients * kEach);
  EXPECT_EQ(target.Metric("graspd_store_events"), kClients * kEach);
  EXPECT_LE(most, kMostInFlight);
  target.ExpectHealthy();
}

std::string NegOpen(int subscription) {
  return RawClient::ClientFrame(
      kText, "[\"NEG-OPEN\",\"" + std::to_string(subscription) + "\",{},\"6100000200\"]");
}

// Threats C5.
TEST(FloodsTest, ReconciliationsThatAreLeftOpenAreFewAndEnd) {
  constexpr int kPerConnection = 20, kAllowed = 4;
  const Target target({"--limits-neg-idle=2s"});
  RelayClient(target.relay_url()).Publish(MakeEvents(1000));
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < Scaled(100); ++i) {
    clients.push_back(WebSocketClient(target));
    for (int n = 0; n < kPerConnection; ++n) clients.back()->Send(NegOpen(n));
  }
  for (const auto& client : clients) {
    int opened = 0, refused = 0, ended = 0;
    // Of each an answer, and of those that were opened the end.
    while (refused + ended < kPerConnection) {
      const std::string message = client->ReadFrame().payload;
      if (message.starts_with("[\"NEG-MSG")) {
        ++opened;
      } else if (message.find("\"closed:") != std::string::npos) {
        ++ended;
      } else {
        ASSERT_THAT(message, StartsWith("[\"NEG-ERR"));
        ++refused;
      }
    }
    EXPECT_EQ(opened, kAllowed);
    EXPECT_EQ(ended, kAllowed);
  }
  EXPECT_EQ(target.Metric("graspd_relay_neg_sessions"), 0);
  EXPECT_LT(target.Metric("graspd_relay_neg_set_bytes"), 16 << 20);
  target.ExpectHealthy();
}

// Threats C6: each of these asks for the longest answer there is. A connection has a second of work
// at once and a twentieth of a core in the long run.
TEST(FloodsTest, ShortMessagesThatAskForMuchGetTheirShareOfWorkOnly) {
  constexpr double kInterval = 6, kAtOnce = 1, kShare = 0.05, kRest = 1;
  const Target target;
  RelayClient(target.relay_url()).Publish(MakeEvents(5000));
  const auto cpu = [&] { return target.Metric("process_cpu_seconds_total"); };
  const double cpu_before = cpu(), begin = Now();
  std::atomic<int> answers{0};
  {
    const Attackers attacker(1, [&] {
      const auto client = WebSocketClient(target);
      for (int n = 0; Now() < begin + kInterval; n = (n + 1) % 4) {
        client->Send(NegOpen(n));
        const std::string answer = client->ReadFrame().payload;
        if (answer.empty()) break;
        answers += answer.starts_with("[\"NEG-MSG") ? 1 : 0;
      }
    });
    EXPECT_TRUE(Eventually([&] { return Now() > begin + kInterval; }));
    EXPECT_LT(cpu() - cpu_before, kAtOnce + kShare * kInterval + kRest);
    EXPECT_LT(SlowestOk(target), 1);
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
    if (std::getenv("GRASPD_REQUIRE_CGROUP") != nullptr) FAIL() << "no cgroup could be made";
    GTEST_SKIP() << "no cgroup can be made here";
  }
  const e2e::TempDir dir;
  const Target target({"--store=lmdb:" + dir / "store"}, group.launcher());
  EXPECT_LE(target.Metric("graspd_relay_memory_budget_bytes"), 256 << 20);
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
  int published = 0;
  {
    const Attackers forgers(2, [&] { attack(forged, true); });
    const Attackers subscribers(2, [&] { attack(large, false); });
    const Attackers reconcilers(2, [&] { attack(NegOpen(1) + NegOpen(2), false); });
    const Attackers stalled(2, [&] {
      attack(RawClient::ClientFrame(kText, "[\"REQ\",\"s\",{}]") + big_events(), false);
    });
    RelayClient honest(target.relay_url());
    for (; Now() < end; ++published) honest.Publish({Target::MakeEvent()});
  }
  EXPECT_GT(published, 10);
  EXPECT_EQ(group.Kills(), "oom_kill 0");
  EXPECT_EQ(e2e::HttpGet(target.ops(), "/readyz").status, 200);
  EXPECT_TRUE(Eventually([&] { return target.Metric("graspd_relay_overload_level") == 0; }));
  const nostr::Event last = Target::MakeEvent();
  RelayClient(target.relay_url()).Publish({last});
  EXPECT_TRUE(e2e::HasStored(target.relay_url(), last.id));
}

}  // namespace
}  // namespace graspd::adversarial
