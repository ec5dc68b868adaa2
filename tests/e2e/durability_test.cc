// OK true means durable, whatever happens to the process afterwards.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "nostr/event_builder.h"
#include "nostr/keys.h"
#include "tests/e2e/relay_client.h"
#include "tests/e2e/support.h"
#include "tests/e2e/sync_trace.h"

namespace graspd::e2e {
namespace {

constexpr int kRounds = 12;
constexpr size_t kEventsPerRound = 400;  // all rounds together stay below the limit of one query
constexpr uint64_t kSeed = 34;

std::vector<nostr::Event> MakeEvents(int round, base::Random& random) {
  static const nostr::SecretKey author = nostr::SecretKey::FromSeed("durability");
  const uint64_t now = base::SystemClock::Instance().UnixNow();
  std::vector<nostr::Event> events;
  for (size_t i = 0; i < kEventsPerRound; ++i) {
    events.push_back(nostr::EventBuilder(1, now)
                         .Content(std::to_string(round) + "/" + std::to_string(i) + " " +
                                  std::string(random.Below(2000), 'x'))
                         .Sign(author));
  }
  return events;
}

TEST(DurabilityTest, WhatWasAcknowledgedIsThereAfterKillAtAnyMoment) {
  const TempDir dir;
  const std::vector<std::string> flags = {"--store=lmdb:" + dir / "store", "--policy-mode=open",
                                          "--limits-events-per-second=0"};
  base::SeededRandom random(kSeed);
  std::set<nostr::EventId> acknowledged;
  const auto all_are_stored = [&](const Graspd& graspd) {
    const auto stored = AllStored(graspd.relay_url());
    return std::includes(stored.begin(), stored.end(), acknowledged.begin(), acknowledged.end());
  };

  for (int round = 0; round < kRounds; ++round) {
    SCOPED_TRACE("seed " + std::to_string(kSeed) + ", round " + std::to_string(round));
    Graspd graspd(dir, "round-" + std::to_string(round), flags);
    ASSERT_TRUE(all_are_stored(graspd));

    RelayClient client(graspd.relay_url());
    const size_t moment = random.Below(kEventsPerRound * 3 / 4);
    client.Send(MakeEvents(round, random));
    ASSERT_TRUE(client.Await([&](const auto& heard) { return heard.oks.size() >= moment; }));
    graspd.Kill();
    ASSERT_TRUE(client.Await([](const auto& heard) { return heard.end.has_value(); }));
    for (const auto& [id, ok] : client.heard().oks) {
      ASSERT_TRUE(ok.accepted) << ok.message;
      acknowledged.insert(id);
    }
  }
  EXPECT_GT(acknowledged.size(), 0u);
  EXPECT_LT(acknowledged.size(), kRounds * kEventsPerRound) << "no kill came in between";
  EXPECT_TRUE(all_are_stored(Graspd(dir, "last", flags)));
}

// ---- OK follows the sync -----------------------------------------------------------------------

constexpr char kStrace[] = "/usr/bin/strace";

class SyncOrderTest : public testing::Test {
 protected:
  void SetUp() override {
    if (RunToEnd({kStrace, "-D", "-o", dir_ / "probe", "/bin/true"}).exit_code == 0) return;
    if (InteropIsRequired()) FAIL() << "strace is missing or may not trace";
    GTEST_SKIP() << "strace is missing or may not trace";
  }

  // A traced graspd takes events one by one and then all at once.
  SyncTraceFindings Trace(const std::vector<std::string>& more = {}) {
    std::vector<std::string> strace = {kStrace};
    const auto options = SyncTraceOptions();
    strace.insert(strace.end(), options.begin(), options.end());
    strace.insert(strace.end(), more.begin(), more.end());
    strace.insert(strace.end(), {"-o", dir_ / "trace"});
    base::SeededRandom random(kSeed);
    auto events = MakeEvents(0, random);
    events.resize(120);
    Graspd graspd(dir_, "graspd", {"--store=lmdb:" + dir_ / "store", "--policy-mode=open"}, strace);
    {
      RelayClient client(graspd.relay_url());
      for (size_t i = 0; i < 20; ++i) client.Publish({events[i]});
      client.Publish({events.begin() + 20, events.end()});
    }
    EXPECT_EQ(graspd.Stop(), 0);
    SyncTraceFindings findings;
    // The tracer ends after us.
    EXPECT_TRUE(Eventually([&] {
      findings = CheckSyncTrace(dir_ / "trace", events);
      return findings.ok_messages == events.size();
    })) << findings.ok_messages;
    return findings;
  }

  const TempDir dir_;
};

TEST_F(SyncOrderTest, NoOkLeavesBeforeItsEventIsSynced) {
  EXPECT_THAT(Trace().violations, testing::IsEmpty());
}

// The check itself: without syncs it must fail.
TEST_F(SyncOrderTest, AGraspdThatDoesNotSyncIsFoundOut) {
  const SyncTraceFindings findings = Trace({"-E", std::string("LD_PRELOAD=") + NOSYNC_PRELOAD});
  EXPECT_EQ(findings.violations.size(), findings.ok_messages);
}

}  // namespace
}  // namespace graspd::e2e
