#include "storage/neg_sets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/manual_clock.h"
#include "base/random.h"
#include "nostr/event_builder.h"
#include "nostr/keys.h"
#include "nostr/negentropy/item_set.h"
#include "storage/testing/counting_store.h"

namespace graspd::storage {
namespace {

using nostr::Event;
using nostr::EventBuilder;
using std::chrono::seconds;

nostr::Filter FilterOf(std::string_view json) {
  auto filter = nostr::ParseFilter(std::string(json) + std::string(64, ' '));
  EXPECT_TRUE(filter.ok()) << filter.status();
  return *std::move(filter);
}

using Tags = std::vector<std::pair<std::string, std::string>>;

constexpr char kSyncFilter[] = R"({"kinds":[30617,10317]})";

class AcceptingJudge final : public Judge {
 public:
  absl::StatusOr<Verdict> Decide(const Event&, Source, const ReadView&) override {
    return Verdict();
  }
};

class NegSetsTest : public ::testing::Test {
 protected:
  using SetOr = absl::StatusOr<NegSets::SetPtr>;

  void Start(size_t max_items = 1'000'000, size_t max_bytes = 64u << 20) {
    sets_.emplace(store_, feed_, clock_, max_items, max_bytes);
  }
  SetOr Get(std::string_view filter) {
    std::optional<SetOr> out;
    sets_->Get(FilterOf(filter), [&](const SetOr& set) { out = set; });
    return out ? *std::move(out) : absl::InternalError("not called");
  }
  void Commit(const Event& event, bool publish = true) {
    const WriteRequest request{nostr::MakeRecord(event), Source::kDirect};
    auto result = store_.Write({&request, 1}, judge_, clock_.UnixNow());
    ASSERT_TRUE(result.ok()) << result.status();
    const auto commit = std::make_shared<storage::Commit>(std::move(result->commit));
    if (publish) feed_.Publish(commit);
  }
  void Sweep() {
    auto commit = store_.RemoveExpired(clock_.UnixNow(), 1000);
    ASSERT_TRUE(commit.ok());
    feed_.Publish(std::make_shared<storage::Commit>(*std::move(commit)));
  }
  Event Make(nostr::Kind kind, std::string_view content, const Tags& tags = {},
             uint64_t later = 0) {
    EventBuilder builder(kind, clock_.UnixNow() + later);
    builder.Content(content);
    for (const auto& [name, value] : tags) builder.Tag({name, value});
    return builder.Sign(key_);
  }
  void ExpectHoldsWhatIsStored(std::string_view filter) {
    const auto set = Get(filter);
    ASSERT_TRUE(set.ok()) << set.status();
    const negentropy::SealedSet expected(
        *store_.ListItems(FilterOf(filter), clock_.UnixNow(), 1'000'000));
    ASSERT_EQ((*set)->size(), expected.size()) << filter;
    EXPECT_EQ((*set)->FingerprintOf(0, expected.size()),
              expected.FingerprintOf(0, expected.size()));
  }

  base::ManualClock clock_;
  testing::CountingStore store_;
  CommitFeed feed_;
  AcceptingJudge judge_;
  const nostr::SecretKey key_ = nostr::SecretKey::FromSeed("author");
  std::optional<NegSets> sets_;
};

TEST_F(NegSetsTest, ASetFollowsEveryCommitWithoutAnotherScan) {
  base::SeededRandom random(5);
  Start();
  for (int i = 0; i < 20; ++i) Commit(Make(1, "before " + std::to_string(i)));
  ASSERT_TRUE(Get(kSyncFilter).ok());
  ASSERT_TRUE(Get("{}").ok());
  const std::string notes = R"({"kinds":[1],"#t":["a","b"]})";
  ASSERT_TRUE(Get(notes).ok());
  const int lists = store_.lists;
  std::vector<Event> stored;
  for (int i = 0; i < 400; ++i) {
    Tags tags;
    if (random.Below(3) == 0) tags.push_back({"t", random.Below(2) == 0 ? "a" : "c"});
    if (random.Below(4) == 0) {
      tags.push_back({"expiration", std::to_string(clock_.UnixNow() + 1 + random.Below(20))});
    }
    switch (random.Below(5)) {
      case 0:
      case 1:
        stored.push_back(Make(1, std::to_string(i), tags));
        break;
      case 2:
        tags.push_back({"d", std::to_string(random.Below(3))});
        stored.push_back(Make(30617, std::to_string(i), tags, random.Below(3)));
        break;
      case 3:
        stored.push_back(Make(10317, std::to_string(i), tags));
        break;
      default:
        if (stored.empty()) continue;
        stored.push_back(Make(5, "", {{"e", stored[random.Below(stored.size())].id.ToHex()}}));
    }
    Commit(stored.back());
    if (random.Below(5) == 0) clock_.Advance(seconds(1));
    if (random.Below(40) == 0) Sweep();
    if (random.Below(10) == 0) {
      for (const std::string& filter : {std::string(kSyncFilter), std::string("{}"), notes}) {
        ExpectHoldsWhatIsStored(filter);
      }
    }
  }
  // ListItems of the comparison counts as well: every scan was one of those.
  EXPECT_EQ(sets_->scans(), 3u);
  EXPECT_GT(store_.lists, lists);
}

TEST_F(NegSetsTest, HowAFilterIsWrittenDoesNotMatter) {
  Start();
  Commit(Make(1, "x"));
  const auto first = Get(R"({"kinds":[2,1],"#t":["b","a"],"limit":5})");
  const auto second = Get(R"({"#t":["a","b","a"],"kinds":[1,2]})");
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(first->get(), second->get());
  EXPECT_EQ(sets_->scans(), 1u);
  EXPECT_EQ(sets_->kept(), 1u);
}

TEST_F(NegSetsTest, ASessionKeepsTheStateItBeganWith) {
  Start();
  Commit(Make(1, "x"));
  const auto before = *Get("{}");
  Commit(Make(1, "y"));
  const auto after = *Get("{}");
  EXPECT_EQ(before->size(), 1u);
  EXPECT_EQ(after->size(), 2u);
}

TEST_F(NegSetsTest, WhatExpiresIsLeftOutFromThatSecondOn) {
  Start();
  Commit(Make(1, "stays"));
  Commit(Make(1, "goes", {{"expiration", std::to_string(clock_.UnixNow() + 2)}}));
  EXPECT_EQ((*Get("{}"))->size(), 2u);
  Commit(Make(1, "comes and goes", {{"expiration", std::to_string(clock_.UnixNow() + 3)}}));
  EXPECT_EQ((*Get("{}"))->size(), 3u);
  clock_.Advance(seconds(2));
  EXPECT_EQ((*Get("{}"))->size(), 2u);
  clock_.Advance(seconds(1));
  EXPECT_EQ((*Get("{}"))->size(), 1u);
  EXPECT_EQ(sets_->scans(), 1u);
}

TEST_F(NegSetsTest, UnusedSetsAreDroppedAfterTheirTime) {
  Start();
  Commit(Make(1, "x"));
  auto used = Get(R"({"kinds":[1]})");
  ASSERT_TRUE(Get(kSyncFilter).ok());
  ASSERT_TRUE(Get("{}").ok());
  EXPECT_EQ(sets_->kept(), 3u);
  clock_.Advance(seconds(29));
  sets_->Tend();
  EXPECT_EQ(sets_->kept(), 3u);
  clock_.Advance(seconds(1));
  sets_->Tend();
  EXPECT_EQ(sets_->kept(), 2u) << "the one in use and that of the sync filter";
  used = absl::CancelledError();
  sets_->Tend();
  EXPECT_EQ(sets_->kept(), 1u);
  clock_.Advance(std::chrono::minutes(10));
  sets_->Tend();
  EXPECT_EQ(sets_->kept(), 0u);
  EXPECT_EQ(sets_->bytes(), 0u);
}

TEST_F(NegSetsTest, TheSetsOfSyncAreKeptForLonger) {
  Start();
  Commit(Make(1, "x"));
  const auto get = [this](base::Duration keep) {
    sets_->Get(
        FilterOf(R"({"kinds":[1]})"), [](const SetOr& set) { EXPECT_TRUE(set.ok()); }, keep);
  };
  get(NegSets::kKeptForSync);
  get(NegSets::kKept);  // a client, by the same filter
  clock_.Advance(std::chrono::minutes(9));
  sets_->Tend();
  EXPECT_EQ(sets_->kept(), 1u);
  clock_.Advance(std::chrono::minutes(1));
  sets_->Tend();
  EXPECT_EQ(sets_->kept(), 0u);
}

// To read it again is cheaper than to look at every change until somebody asks.
TEST_F(NegSetsTest, ASmallSetDoesNotFollowAFlood) {
  Start();
  ASSERT_TRUE(Get("{}").ok());
  auto commit = std::make_shared<storage::Commit>();
  Change gone;
  gone.type = Change::Type::kRemoved;
  commit->changes.assign(1001, gone);
  feed_.Publish(commit);
  ASSERT_TRUE(Get("{}").ok());
  EXPECT_EQ(sets_->scans(), 2u);
}

TEST_F(NegSetsTest, OnlySoManyAreKept) {
  Start();
  for (int i = 0; i < 40; ++i) {
    clock_.Advance(seconds(1));
    ASSERT_TRUE(Get(R"({"kinds":[)" + std::to_string(i) + "]}").ok());
  }
  EXPECT_EQ(sets_->kept(), 16u);
  ASSERT_TRUE(Get(R"({"kinds":[39]})").ok());
  EXPECT_EQ(sets_->scans(), 40u) << "the latest are kept";
}

TEST_F(NegSetsTest, WhatCouldNeverFitIsRefusedForGood) {
  Start(1'000'000, 2 * KeptSet::kBytesPerItem);
  EXPECT_EQ(sets_->max_items(), 2u);
  for (const char* text : {"1", "2", "3"}) Commit(Make(1, text));
  EXPECT_TRUE(absl::IsResourceExhausted(Get("{}").status()));
}

TEST_F(NegSetsTest, OverTheCapIsRefusedWhenReadAndWhenGrown) {
  Start(2);
  Commit(Make(1, "1"));
  Commit(Make(1, "2"));
  ASSERT_TRUE(Get("{}").ok());
  Commit(Make(1, "3"));
  EXPECT_TRUE(absl::IsResourceExhausted(Get("{}").status()));
  EXPECT_TRUE(absl::IsResourceExhausted(Get("{}").status()));
  EXPECT_EQ(sets_->scans(), 1u) << "counted, not collected";
  EXPECT_EQ(sets_->kept(), 0u);
}

// A budget that one scan's first reservation fits into, but not beside a set that is in use.
TEST_F(NegSetsTest, TheBudgetHoldsForSetsInUseAndDropsTheOthers) {
  Start(1'000'000, 8192 * KeptSet::kBytesPerItem);
  for (int i = 0; i < 10; ++i) Commit(Make(1, std::to_string(i)));
  auto unused = Get("{}");
  ASSERT_TRUE(unused.ok()) << unused.status();
  unused = absl::CancelledError();
  const auto used = Get(R"({"kinds":[1]})");
  ASSERT_TRUE(used.ok()) << "the unused one has made room";
  EXPECT_EQ(sets_->kept(), 1u);
  EXPECT_TRUE(absl::IsUnavailable(Get(R"({"kinds":[1,2]})").status()));
  EXPECT_TRUE(Get(R"({"kinds":[1]})").ok()) << "what is there can be shared";
}

TEST_F(NegSetsTest, ASetThatFallsBehindIsReadAgain) {
  Start();
  ASSERT_TRUE(Get("{}").ok());
  for (int i = 0; i < 3; ++i) {
    auto commit = std::make_shared<storage::Commit>();
    Change gone;
    gone.type = Change::Type::kRemoved;
    commit->changes.assign(5000, gone);
    feed_.Publish(commit);
  }
  Commit(Make(1, "x"));
  sets_->Tend();
  EXPECT_EQ(sets_->scans(), 1u) << "not before somebody asks";
  ExpectHoldsWhatIsStored("{}");
  EXPECT_EQ(sets_->scans(), 2u);
}

TEST_F(NegSetsTest, AScanThatNobodyWaitsForEndsAndLeavesNothing) {
  Start();
  for (int i = 0; i < 5; ++i) Commit(Make(1, std::to_string(i)));
  bool gone = false;
  store_.on_scan = [&](const EventStore::Stop& stop) {
    EXPECT_FALSE(stop());
    gone = true;
    return stop() ? absl::CancelledError("stopped") : absl::OkStatus();
  };
  absl::Status status;
  const auto note = [&](const SetOr& set) { status = set.status(); };
  sets_->Get(FilterOf("{}"), note, NegSets::kKept, [&] { return gone; });
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_EQ(store_.visited, 0);
  EXPECT_EQ(sets_->kept(), 0u);
  EXPECT_EQ(sets_->bytes(), 0u);
  EXPECT_EQ(sets_->scans_in_flight(), 0u);
}

TEST_F(NegSetsTest, AScanGoesOnForWhoeverStillWaits) {
  Start();
  for (int i = 0; i < 5; ++i) Commit(Make(1, std::to_string(i)));
  bool gone = false;
  std::vector<size_t> sizes;
  const auto note = [&](const SetOr& set) { sizes.push_back(set.ok() ? (*set)->size() : 0); };
  store_.on_scan = [&](const EventStore::Stop& stop) {
    gone = true;
    sets_->Get(FilterOf("{}"), note);
    return stop() ? absl::CancelledError("stopped") : absl::OkStatus();
  };
  sets_->Get(FilterOf("{}"), note, NegSets::kKept, [&] { return gone; });
  EXPECT_EQ(sizes, (std::vector<size_t>{5, 5}));
  EXPECT_EQ(sets_->scans(), 1u);
}

TEST_F(NegSetsTest, WhoComesWhenAScanWasGivenUpHasOneOfTheirOwn) {
  Start();
  for (int i = 0; i < 5; ++i) Commit(Make(1, std::to_string(i)));
  bool gone = false;
  SetOr late = absl::InternalError("not called");
  store_.on_scan = [&](const EventStore::Stop& stop) {
    if (std::exchange(gone, true)) return absl::OkStatus();
    EXPECT_TRUE(stop());
    sets_->Get(FilterOf("{}"), [&](const SetOr& set) { late = set; });
    return absl::CancelledError("stopped");
  };
  absl::Status first;
  sets_->Get(
      FilterOf("{}"), [&](const SetOr& set) { first = set.status(); }, NegSets::kKept,
      [&] { return gone; });
  EXPECT_TRUE(absl::IsCancelled(first)) << first;
  ASSERT_TRUE(late.ok()) << late.status();
  EXPECT_EQ((*late)->size(), 5u);
  EXPECT_EQ(sets_->kept(), 1u);
}

// Whoever comes while a scan is under way waits for it instead of making another.
TEST_F(NegSetsTest, ManyAtOnceCostOneScan) {
  constexpr int kThreads = 8, kRounds = 20;
  Start();
  for (int i = 0; i < 500; ++i) Commit(Make(1, std::to_string(i)));
  std::atomic<int> right{0}, ready{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      ++ready;
      while (ready < kThreads) std::this_thread::yield();
      for (int i = 0; i < kRounds; ++i) {
        sets_->Get(FilterOf("{}"),
                   [&](const SetOr& set) { right += set.ok() && (*set)->size() >= 500; });
      }
    });
  }
  for (int i = 0; i < 50; ++i) Commit(Make(1, "late " + std::to_string(i)));
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(right, kThreads * kRounds);
  EXPECT_EQ(sets_->scans(), 1u);
  ExpectHoldsWhatIsStored("{}");
}

}  // namespace
}  // namespace graspd::storage
