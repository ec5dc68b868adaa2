#include "bench/load/event_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "base/manual_clock.h"

namespace graspd::bench {
namespace {

constexpr uint64_t kTime = 1'700'000'000;

class EventSetTest : public testing::Test {
 protected:
  EventSetTest() {
    char path[] = "/tmp/graspd-event-set-XXXXXX";
    directory_ = mkdtemp(path);
  }
  ~EventSetTest() override { std::filesystem::remove_all(directory_); }

  absl::StatusOr<EventSet> Load(size_t first, size_t count, const std::string& file = "") {
    return LoadOrSign(maker_, first, count, file.empty() ? "" : directory_ + "/" + file, progress_);
  }

  std::string directory_;
  base::ManualClock clock_;
  Progress progress_{clock_};
  const EventMaker maker_{1, kTime};
};

TEST_F(EventSetTest, EventsAreValidAndOfOneSize) {
  const auto events = Load(0, 20);
  ASSERT_TRUE(events.ok()) << events.status();
  ASSERT_EQ(events->size(), 20U);
  for (size_t i = 0; i < 20; ++i) {
    const auto event = nostr::ParseEvent(events->json(i));
    ASSERT_TRUE(event.ok()) << event.status();
    EXPECT_EQ(nostr::ComputeId(*event), event->id);
    EXPECT_TRUE(nostr::VerifySignature(*event));
    EXPECT_EQ(nostr::EventJson(*event), events->json(i));
    EXPECT_EQ(event->pubkey, maker_.author(maker_.AuthorOf(i)));
    EXPECT_EQ(events->id(i), event->id.ToHex());
    EXPECT_EQ(events->Find(event->id.ToHex()), i);
  }
  EXPECT_EQ(events->Find(std::string(64, '0')), std::nullopt);
}

TEST_F(EventSetTest, EqualSeedsGiveEqualEventsAndOthersDoNot) {
  EXPECT_EQ(maker_.Make(123'456), EventMaker(1, kTime).Make(123'456));
  EXPECT_NE(maker_.Make(123'456).id, EventMaker(2, kTime).Make(123'456).id);
  EXPECT_NE(maker_.Make(0).id, maker_.Make(1).id);
}

TEST_F(EventSetTest, StartsAtTheFirstEvent) {
  const auto all = Load(0, 5), rest = Load(3, 2);
  ASSERT_TRUE(all.ok() && rest.ok());
  EXPECT_EQ(rest->json(0), all->json(3));
  EXPECT_EQ(rest->json(1), all->json(4));
}

TEST_F(EventSetTest, KeepsEventsInAFileAndSignsWhatItLacks) {
  for (const std::string file : {"plain.jsonl", "packed.jsonl.gz"}) {
    ASSERT_TRUE(Load(0, 3, file).ok());
    const auto longer = Load(0, 6, file), fresh = Load(0, 6);
    ASSERT_TRUE(longer.ok() && fresh.ok()) << longer.status();
    for (size_t i = 0; i < 6; ++i) EXPECT_EQ(longer->json(i), fresh->json(i));
    const auto shorter = Load(0, 2, file);
    ASSERT_TRUE(shorter.ok()) << shorter.status();
    EXPECT_EQ(shorter->size(), 2U);
  }
  EXPECT_EQ(std::filesystem::file_size(directory_ + "/plain.jsonl"), 6 * (kEventBytes + 1));
}

TEST_F(EventSetTest, RefusesAFileOfOtherEvents) {
  ASSERT_TRUE(Load(0, 3, "file").ok());
  EXPECT_EQ(Load(1, 3, "file").status().code(), absl::StatusCode::kFailedPrecondition);
  std::ofstream(directory_ + "/other") << "not an event\n";
  EXPECT_EQ(Load(0, 3, "other").status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace graspd::bench
