// How long after an announcement was accepted its repository is here.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <set>

#include "base/clock.h"
#include "tests/e2e/relay_client.h"
#include "tests/e2e/support.h"
#include "tools/demo/repository.h"

#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define GRASPD_SANITIZED 1
#else
#define GRASPD_SANITIZED 0
#endif

namespace graspd::e2e {
namespace {

constexpr std::chrono::milliseconds kPromised{1000};

TEST(SyncDelayTest, ARepositoryArrivesWithinASecondOfItsAnnouncement) {
  if (GRASPD_SANITIZED) GTEST_SKIP() << "sanitizers make everything slower";
  const TempDir dir;
  const Graspd upstream(dir, "upstream",
                        {"--store=memory:", "--policy-mode=open", "--limits-events-per-second=0"});
  const Graspd ours(dir, "ours",
                    {"--store=lmdb:" + dir / "store", "--sync-startup-delay=0s",
                     "--sync-allow-cidrs=127.0.0.0/8"});
  const auto repository =
      demo::GenerateRepository({ours.relay_url(), upstream.relay_url()}, {ours.relay()});
  RelayClient(upstream.relay_url()).Publish(repository.events);
  const std::set<nostr::EventId> expected = IdsOf(repository.events);
  RelayClient client(ours.relay_url());
  client.Subscribe("all", {{.limit = 0}});

  const auto& clock = base::SystemClock::Instance();
  client.Publish({repository.announcement});
  const auto accepted = clock.Now();
  ASSERT_TRUE(client.Await([&](const RelayClient::Heard& heard) {
    const auto events = heard.events.find("all");
    return events != heard.events.end() &&
           std::includes(events->second.begin(), events->second.end(), expected.begin(),
                         expected.end());
  }));
  const auto delay = std::chrono::duration_cast<std::chrono::milliseconds>(clock.Now() - accepted);
  RecordProperty("delay_ms", std::to_string(delay.count()));
  EXPECT_LT(delay, kPromised) << delay.count() << " ms for " << expected.size() << " events";
}

}  // namespace
}  // namespace graspd::e2e
