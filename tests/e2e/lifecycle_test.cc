// What happens to events when the disk is full and when the process is told to end under load.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "net/test_support.h"
#include "nostr/event_builder.h"
#include "nostr/keys.h"
#include "nostr/message.h"
#include "nostr/nip34.h"
#include "tests/descriptor_limit.h"
#include "tests/e2e/relay_client.h"
#include "tests/e2e/support.h"
#include "tests/small_disk.h"

namespace graspd::e2e {
namespace {

using nostr::Event;
using testing::HasSubstr;
using testing::StartsWith;

constexpr char kOpen[] = "--policy-mode=open";
constexpr char kUnlimited[] = "--limits-events-per-second=0";

std::vector<Event> MakeEvents(const std::string& name, size_t count, size_t bytes) {
  static const nostr::SecretKey author = nostr::SecretKey::FromSeed("lifecycle");
  const uint64_t now = base::SystemClock::Instance().UnixNow();
  std::vector<Event> events;
  for (size_t i = 0; i < count; ++i) {
    events.push_back(nostr::EventBuilder(1, now)
                         .Content(name + std::to_string(i) + std::string(bytes, 'x'))
                         .Sign(author));
  }
  return events;
}

int Readiness(const Graspd& graspd) { return HttpGet(graspd.ops(), "/readyz").status; }

/// The answer to one event.
nostr::RelayOk Offer(RelayClient& client, const Event& event) {
  client.Send({event});
  if (!client.Await([&](const auto& heard) { return heard.oks.contains(event.id) || heard.end; })) {
    throw std::runtime_error("no answer");
  }
  return client.heard().oks.at(event.id);
}

std::set<nostr::EventId> Acknowledged(const RelayClient& client) {
  std::set<nostr::EventId> ids;
  for (const auto& [id, ok] : client.heard().oks) {
    if (ok.accepted) ids.insert(id);
  }
  return ids;
}

bool Includes(const std::set<nostr::EventId>& all, const std::set<nostr::EventId>& some) {
  return std::includes(all.begin(), all.end(), some.begin(), some.end());
}

// ---- no room -----------------------------------------------------------------------------------

/// Offers events of 20 kB until one is refused for want of room; returns those that were taken.
std::vector<Event> Fill(RelayClient& client) {
  std::vector<Event> taken;
  for (const Event& event : MakeEvents("fill", 1000, 20'000)) {
    const auto ok = Offer(client, event);
    if (!ok.accepted) {
      EXPECT_THAT(ok.message, StartsWith("error: "));
      return taken;
    }
    taken.push_back(event);
  }
  ADD_FAILURE() << "it never became full";
  return taken;
}

// Threats D8.
class FullDiskTest : public testing::TestWithParam<const char*> {};

TEST_P(FullDiskTest, RefusesWritesUntilThereIsRoomAndReadsGoOn) {
  const std::string type = GetParam();
  const TempDir dir;
  const tests::SmallDisk disk(type, dir / "", 9);
  if (!disk.mounted()) {
    if (type == "ext4" ? Ext4IsRequired() : InteropIsRequired()) FAIL() << "may not mount " << type;
    GTEST_SKIP() << "may not mount " << type;
  }
  const std::string ballast = disk.path() + "/ballast";
  std::ofstream(ballast) << std::string(4 << 20, 'x');
  const std::vector<std::string> flags = {"--store=lmdb:" + disk.path() + "/db", kOpen, kUnlimited};
  std::set<nostr::EventId> stored;
  {
    Graspd graspd(dir, "graspd", flags);
    RelayClient client(graspd.relay_url());
    stored = IdsOf(Fill(client));
    EXPECT_GT(stored.size(), 10u);
    EXPECT_EQ(AllStored(graspd.relay_url()), stored);
    EXPECT_EQ(Readiness(graspd), 503);
    EXPECT_EQ(HttpGet(graspd.ops(), "/livez").status, 200) << "a restart would not help";

    std::filesystem::remove(ballast);
    const auto more = MakeEvents("more", 20, 20'000);
    client.Publish(more);
    stored.merge(IdsOf(more));
    EXPECT_EQ(Readiness(graspd), 200);
    EXPECT_EQ(AllStored(graspd.relay_url()), stored);
    EXPECT_EQ(graspd.Stop(), 0);
  }
  const Graspd again(dir, "again", flags);
  EXPECT_EQ(AllStored(again.relay_url()), stored);
}
INSTANTIATE_TEST_SUITE_P(All, FullDiskTest, testing::Values("tmpfs", "ext4"),
                         [](const auto& of) { return of.param; });

TEST(NoRoomTest, AFullMapRefusesWritesAndALargerOneTakesThem) {
  const TempDir dir;
  const std::string store = "--store=lmdb:" + dir / "store";
  std::vector<Event> taken;
  {
    Graspd graspd(dir, "small", {store, kOpen, kUnlimited, "--lmdb-map-size=2MiB"});
    RelayClient client(graspd.relay_url());
    taken = Fill(client);
    EXPECT_GT(taken.size(), 10u);
    EXPECT_EQ(AllStored(graspd.relay_url()), IdsOf(taken));
    EXPECT_EQ(Readiness(graspd), 503);
    EXPECT_EQ(graspd.Stop(), 0);
  }
  const Graspd graspd(dir, "large", {store, kOpen, kUnlimited, "--lmdb-map-size=64MiB"});
  EXPECT_EQ(AllStored(graspd.relay_url()), IdsOf(taken));
  RelayClient(graspd.relay_url()).Publish(MakeEvents("more", 20, 20'000));
}

// ---- told to end -------------------------------------------------------------------------------

#ifdef NDEBUG
constexpr std::chrono::seconds kExit{10};
#else  // not optimised, or with a sanitizer
constexpr std::chrono::seconds kExit{60};
#endif
#ifdef __SANITIZE_ADDRESS__
constexpr int kIdle = 200;
#else
constexpr int kIdle = 2000;
#endif

class EndTest : public net::NetTest {
 protected:
  static constexpr size_t kEvents = 1500;

  void SetUp() override {
    tests::RaiseDescriptorLimit();
    graspd_ = std::make_unique<Graspd>(
        dir_, "graspd",
        std::vector<std::string>{Store(), kOpen, kUnlimited, "--limits-drain-timeout=10s",
                                 "--limits-connections-per-address=10000"});
  }
  // A client with a subscription to which nothing comes.
  std::shared_ptr<net::RecordingHandler> IdleSubscriber() {
    auto ear = std::make_shared<net::RecordingHandler>();
    const auto connection =
        Dial(net::DialOptions(Value(nostr::RelayUrl::Parse(graspd_->relay_url()))), ear);
    ear->Open();
    const std::string req = nostr::ReqMessage("idle", {{.kinds = {{nostr::kIssue}}}});
    connection->thread().Post([connection, req] { connection->SendText(req); });
    EXPECT_EQ(ear->Next(), R"(["EOSE","idle"])");
    return ear;
  }
  void PutUnderLoad() {
    for (int i = 0; i < 3; ++i) {
      clients_.push_back(std::make_unique<RelayClient>(graspd_->relay_url()));
      clients_.back()->Send(MakeEvents(std::to_string(i) + "/", kEvents, 100));
    }
    for (const auto& client : clients_) {
      ASSERT_TRUE(client->Await([](const auto& heard) { return heard.oks.size() > 100; }));
    }
  }
  [[nodiscard]] std::string Store() const { return "--store=lmdb:" + dir_ / "store"; }

  // What clients have heard by the end of their connections, and what is there at the next start.
  void CompareAcknowledgedAndStored() {
    for (const auto& client : clients_) {
      ASSERT_TRUE(client->Await([](const auto& heard) { return heard.end.has_value(); }));
      acknowledged_.merge(Acknowledged(*client));
    }
    EXPECT_LT(acknowledged_.size(), kEvents * clients_.size()) << "there was no load any more";
    const Graspd again(dir_, "again", {Store(), kOpen});
    stored_ = AllStored(again.relay_url());
  }

  const TempDir dir_;
  std::unique_ptr<Graspd> graspd_;
  std::vector<std::unique_ptr<RelayClient>> clients_;
  std::set<nostr::EventId> acknowledged_, stored_;
};

// Threats P10.
TEST_F(EndTest, SigtermUnderLoadAnswersWhatIsInFlightAndSaysGoodbye) {
  std::vector<std::shared_ptr<net::RecordingHandler>> idle;
  for (int i = 0; i < kIdle; ++i) idle.push_back(IdleSubscriber());
  PutUnderLoad();
  graspd_->process().Signal(SIGTERM);
  const auto exit_code = graspd_->process().Wait(kExit);
  ASSERT_TRUE(exit_code.ok()) << exit_code.status();
  EXPECT_EQ(*exit_code, 0);
  for (const auto& subscriber : idle) {
    ASSERT_THAT(subscriber->Next(), StartsWith(R"(["CLOSED","idle",)"));
    ASSERT_EQ(subscriber->Closed().close_code, 1001);
  }
  CompareAcknowledgedAndStored();
  EXPECT_EQ(stored_, acknowledged_) << "everything that was taken was answered";
  for (const auto& client : clients_) EXPECT_EQ(client->heard().end->close_code, 1001);
}

TEST_F(EndTest, ASecondSigtermEndsAtOnceAndLosesNothing) {
  PutUnderLoad();
  // Sent together they would count as one: the second waits until the first was taken.
  graspd_->process().Signal(SIGTERM);
  ASSERT_TRUE(Eventually([&] {
    graspd_->process().Signal(SIGTERM);
    return !graspd_->process().Running();
  }));
  const int exit_code = Value(graspd_->process().Wait(kPatience));
  EXPECT_TRUE(exit_code == 128 + SIGTERM || exit_code == 0) << exit_code;
  CompareAcknowledgedAndStored();
  EXPECT_TRUE(Includes(stored_, acknowledged_));
}

// Starts with SIGTERM sent already: blocked and pending signals outlive exec.
const std::vector<std::string> kTerminatedAtOnce = {
    "/usr/bin/python3", "-c",
    "import os, signal, sys\n"
    "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n"
    "os.kill(os.getpid(), signal.SIGTERM)\n"
    "os.execv(sys.argv[1], sys.argv[1:])"};

std::vector<std::string> Launched(std::vector<std::string> launcher,
                                  const std::vector<std::string>& command) {
  launcher.insert(launcher.end(), command.begin(), command.end());
  return launcher;
}

TEST(EndOfStartTest, SigtermDuringTheStartIsADrainOnceItIsReady) {
  const TempDir dir;
  const Outcome outcome =
      RunToEnd(Launched(kTerminatedAtOnce, {GRASPD, "serve", "--store=lmdb:" + dir / "store", kOpen,
                                            "--relay-listen=127.0.0.1:0",
                                            "--admin-listen=", "--ops-listen=127.0.0.1:0"}));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, StartsWith("graspd ready")) << outcome.err;
}

TEST(EndOfStartTest, SigtermEndsAnUpgradeOfTheDataFormatWhichTheNextStartGoesOnWith) {
  const TempDir dir;
  const std::string store = dir / "store", old = store + "/data.mdb";
  std::filesystem::create_directory(store);
  ASSERT_EQ(RunToEnd({"/bin/sh", "-c",
                      std::string("gzip -dc ") + TEST_DATA + "/lmdb-format-1.mdb.gz > " + old})
                .exit_code,
            0);
  const Outcome stopped =
      RunToEnd(Launched(kTerminatedAtOnce, {GRASPD, "serve", "--store=lmdb:" + store, kOpen}));
  EXPECT_EQ(stopped.exit_code, 0) << stopped.err;
  EXPECT_EQ(stopped.out, "") << "it said it was ready";
  EXPECT_THAT(stopped.err, HasSubstr("stopped before it was ready"));

  Graspd graspd(dir, "graspd", {"--store=lmdb:" + store, kOpen});
  EXPECT_GT(AllStored(graspd.relay_url()).size(), 300u);
  EXPECT_EQ(graspd.Stop(), 0);
}

TEST(EndOfImportTest, SigtermDuringAnImportIntoTheStoreKeepsWhatWasStored) {
  const TempDir dir;
  const auto events = MakeEvents("", 4000, 10);
  const std::string file = dir / "file", store = "--store=lmdb:" + dir / "store";
  {
    std::ofstream out(file);
    for (const auto& event : events) out << nostr::EventJson(event) << "\n";
  }
  const auto import = Spawn({GRASPD, "import", file, store, kOpen}, dir / "log");
  // It has begun to store: the file is longer than that of an empty store.
  ASSERT_TRUE(Eventually([&] {
    std::error_code error;
    const auto bytes = std::filesystem::file_size(dir / "store/data.mdb", error);
    return !error && bytes > 256 * 1024;
  }));
  import->Signal(SIGTERM);
  EXPECT_EQ(Value(import->Wait(kPatience)), 1);
  const Outcome again = RunGraspd({"import", file, "--strict", store, kOpen});
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_THAT(again.err, HasSubstr("4000 read"));
  const Graspd graspd(dir, "graspd", {store, kOpen});
  EXPECT_EQ(AllStored(graspd.relay_url()), IdsOf(events));
}

}  // namespace
}  // namespace graspd::e2e
