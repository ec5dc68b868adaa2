#include "services/transfer/exporter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "nostr/event_builder.h"
#include "nostr/keys.h"
#include "nostr/nip34.h"
#include "nostr/rules.h"
#include "storage/memory/memory_store.h"

namespace graspd::transfer {
namespace {

using nostr::EventBuilder;
using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::IsEmpty;

constexpr uint64_t kNow = 1'700'000'000;

class AcceptAll final : public storage::Judge {
 public:
  absl::StatusOr<Verdict> Decide(const nostr::Event&, storage::Source,
                                 const storage::ReadView&) override {
    return Verdict{};
  }
};

class ExporterTest : public testing::Test {
 protected:
  void Store(const std::vector<nostr::Event>& events) {
    std::vector<storage::WriteRequest> batch;
    for (const auto& event : events) batch.push_back({nostr::MakeRecord(event)});
    AcceptAll judge;
    ASSERT_TRUE(store_->Write(batch, judge, kNow).ok());
  }

  nostr::Event Make(nostr::Kind kind, uint64_t created_at, const std::string& content = "") {
    return EventBuilder(kind, created_at).Content(content).Sign(author_);
  }
  nostr::Event MakeAnnouncement(uint64_t created_at, const std::string& identifier) {
    return EventBuilder(nostr::kRepositoryAnnouncement, created_at)
        .Tag({"d", identifier})
        .Sign(author_);
  }

  std::vector<std::string> Export(nostr::Filter filter = {}) {
    return Export(std::move(filter), [](size_t) {});
  }
  /// `before` is called with the number of each line before it is taken.
  std::vector<std::string> Export(nostr::Filter filter, const std::function<void(size_t)>& before) {
    std::vector<std::string> lines;
    Exporter exporter(*store_, std::move(filter), kNow, [&](std::string_view json) {
      before(lines.size());
      lines.emplace_back(json);
      return absl::OkStatus();
    });
    const absl::Status status = exporter.Run();
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_EQ(exporter.events(), lines.size());
    return lines;
  }
  static std::vector<std::string> Texts(const std::vector<nostr::Event>& events) {
    std::vector<std::string> texts;
    for (const auto& event : events) texts.push_back(nostr::EventJson(event));
    return texts;
  }

  const nostr::SecretKey author_ = nostr::SecretKey::FromSeed("exporter");
  std::unique_ptr<storage::EventStore> store_ = storage::OpenMemoryStore();
};

TEST_F(ExporterTest, WhatOthersReferToComesFirstWhateverTheTimeAndTheOrderOfArrival) {
  const std::vector<nostr::Event> in_order = {
      MakeAnnouncement(500, "b"),         MakeAnnouncement(900, "a"),
      Make(nostr::kRepositoryState, 300), Make(nostr::kUserGraspList, 400),
      Make(nostr::kIssue, 100),           Make(nostr::kPatch, 200),
      Make(nostr::kPullRequest, 800),     Make(1, 50),
      Make(nostr::kComment, 60),          Make(nostr::kStatusOpen, 70),
      Make(nostr::kDeletionKind, 10),
  };
  std::vector<nostr::Event> arriving(in_order.rbegin(), in_order.rend());
  Store(arriving);
  EXPECT_THAT(Export(), ElementsAreArray(Texts(in_order)));
}

TEST_F(ExporterTest, OfOneSecondTheLowerIdComesFirst) {
  std::vector<nostr::Event> events;
  for (int i = 0; i < 250; ++i) events.push_back(Make(1, 100 + i / 200, std::to_string(i)));
  Store(events);
  std::sort(events.begin(), events.end(), [](const auto& a, const auto& b) {
    return std::pair(a.created_at, a.id) < std::pair(b.created_at, b.id);
  });
  EXPECT_THAT(Export(), ElementsAreArray(Texts(events)));
}

TEST_F(ExporterTest, ExpiredAndReplacedEventsAreLeftOut) {
  const auto expired =
      EventBuilder(1, 100).Tag({"expiration", std::to_string(kNow + 1)}).Sign(author_);
  const auto profile = Make(0, 200, "new");
  Store({expired, Make(0, 100, "old"), profile});
  EXPECT_EQ(Export().size(), 2u) << "not expired yet";
  std::vector<std::string> lines;
  Exporter later(*store_, {}, kNow + 1, [&](std::string_view json) {
    lines.emplace_back(json);
    return absl::OkStatus();
  });
  ASSERT_TRUE(later.Run().ok());
  EXPECT_THAT(lines, ElementsAreArray(Texts({profile})));
}

TEST_F(ExporterTest, AFilterNarrowsEveryPhase) {
  const auto announcement = MakeAnnouncement(100, "a");
  const auto note = Make(1, 200), deletion = Make(nostr::kDeletionKind, 300);
  Store({announcement, note, Make(nostr::kIssue, 250), Make(7, 220), deletion});
  nostr::Filter filter;
  filter.kinds = {1, nostr::kDeletionKind, nostr::kRepositoryAnnouncement};
  filter.Normalize();
  EXPECT_THAT(Export(filter), ElementsAreArray(Texts({announcement, note, deletion})));
  filter.since = 200;
  filter.until = 299;
  EXPECT_THAT(Export(filter), ElementsAreArray(Texts({note})));
  filter.since = 300;
  EXPECT_THAT(Export(filter), IsEmpty());
  filter.until.reset();
  filter.authors = {nostr::SecretKey::FromSeed("somebody else").public_key()};
  EXPECT_THAT(Export(filter), IsEmpty());
}

TEST_F(ExporterTest, AnEventReplacedMeanwhileIsThereInItsNewVersion) {
  // The first version is listed with the others, and replaced before its turn; the new one lies
  // further on in the same window.
  const auto first = EventBuilder(nostr::kRepositoryState, 200).Tag({"d", "a"}).Sign(author_);
  const auto second = EventBuilder(nostr::kRepositoryState, 350).Tag({"d", "a"}).Sign(author_);
  std::vector<nostr::Event> others;
  for (uint64_t i = 0; i < 150; ++i) {
    others.push_back(EventBuilder(nostr::kRepositoryState, i < 120 ? 100 : 400)
                         .Tag({"d", std::to_string(i)})
                         .Sign(author_));
  }
  Store(others);
  Store({first});
  const auto lines = Export({}, [&](size_t line) {
    if (line == 0) Store({second});
  });
  EXPECT_EQ(lines.size(), 151u);
  EXPECT_EQ(std::count(lines.begin(), lines.end(), nostr::EventJson(second)), 1);
  EXPECT_EQ(std::count(lines.begin(), lines.end(), nostr::EventJson(first)), 0);
}

TEST_F(ExporterTest, AnEventReplacedByALowerIdOfItsOwnSecondIsNotMissed) {
  // Only content tells the versions apart, so that their ids order by chance.
  std::vector<nostr::Event> versions;
  for (int i = 0; i < 8; ++i) {
    versions.push_back(EventBuilder(nostr::kRepositoryState, 100)
                           .Tag({"d", "a"})
                           .Content(std::to_string(i))
                           .Sign(author_));
  }
  std::sort(versions.begin(), versions.end(),
            [](const auto& a, const auto& b) { return a.id > b.id; });
  std::vector<nostr::Event> others;
  for (int i = 0; i < 300; ++i) {
    others.push_back(EventBuilder(nostr::kRepositoryState, 100)
                         .Tag({"d", "other" + std::to_string(i)})
                         .Sign(author_));
  }
  Store(others);
  Store({versions.front()});
  size_t next = 1;
  const auto lines = Export({}, [&](size_t line) {
    if (line % 40 == 0 && next < versions.size()) Store({versions[next++]});
  });
  EXPECT_EQ(next, versions.size());
  const auto of_the_address = std::count_if(
      lines.begin(), lines.end(),
      [](const std::string& line) { return line.find(R"(["d","a"])") != std::string::npos; });
  EXPECT_GE(of_the_address, 1);
  EXPECT_EQ(std::set(lines.begin(), lines.end()).size(), lines.size()) << "a line twice";
  EXPECT_EQ(lines.size(), 300u + static_cast<size_t>(of_the_address));
}

TEST_F(ExporterTest, TheErrorOfTheSinkEndsTheExport) {
  Store({Make(1, 1), Make(1, 2), Make(1, 3)});
  int calls = 0;
  Exporter exporter(*store_, {}, kNow, [&](std::string_view) {
    return ++calls == 2 ? absl::CancelledError("enough") : absl::OkStatus();
  });
  EXPECT_EQ(exporter.Run().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(calls, 2);
}

}  // namespace
}  // namespace graspd::transfer
