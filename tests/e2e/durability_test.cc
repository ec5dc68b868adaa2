// OK true means durable, whatever happens to the process afterwards.
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

namespace graspd::e2e {
namespace {

constexpr int kRounds = 6;
constexpr size_t kEventsPerRound = 800;  // all rounds together stay below the limit of one query
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

}  // namespace
}  // namespace graspd::e2e
