#include "services/transfer/importer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <deque>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "nostr/event_builder.h"
#include "nostr/keys.h"
#include "nostr/nip34.h"

namespace graspd::transfer {
namespace {

using nostr::EventBuilder;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// Takes an event if everything that its `e` tags name was taken, a few at a time; answers when
/// told to.
class FakeTarget final : public Target {
 public:
  void SetOnAnswers(OnAnswers on_answers) override { on_answers_ = std::move(on_answers); }
  bool HasRoom() const override { return in_flight_.size() < 3; }
  void Submit(uint64_t ticket, nostr::Event event, const std::string& json) override {
    EXPECT_EQ(json, nostr::EventJson(event));
    submitted_.push_back(event.id);
    in_flight_.push_back({ticket, std::move(event)});
  }
  /// False if nothing is in flight.
  bool AnswerOne() {
    if (in_flight_.empty()) return false;
    const auto [ticket, event] = std::move(in_flight_.front());
    in_flight_.pop_front();
    const Answer answer = AnswerTo(ticket, event);
    on_answers_({&answer, 1});
    return true;
  }
  const std::vector<nostr::EventId>& submitted() const { return submitted_; }
  std::optional<size_t> fails_after;  // so many are stored

 private:
  Answer AnswerTo(uint64_t ticket, const nostr::Event& event) {
    if (event.content == "bad") return {ticket, Verdict::kRefused, "invalid: bad"};
    if (stored_.contains(event.id)) return {ticket, Verdict::kKnown, ""};
    for (const auto& parent : nostr::ReferencesOf(event).ids) {
      if (!stored_.contains(parent)) return {ticket, Verdict::kRefused, "restricted: orphan"};
    }
    if (fails_after && stored_.size() >= *fails_after) {
      return {ticket, Verdict::kFailed, "error: full"};
    }
    stored_.insert(event.id);
    return {ticket, Verdict::kStored, ""};
  }

  OnAnswers on_answers_;
  std::deque<std::pair<uint64_t, nostr::Event>> in_flight_;
  std::set<nostr::EventId> stored_;
  std::vector<nostr::EventId> submitted_;
};

class ImporterTest : public testing::Test {
 protected:
  ~ImporterTest() override {
    for (const std::string& path : files_) std::remove(path.c_str());
  }

  nostr::Event Make(const std::string& content, const std::vector<nostr::Event>& parents = {}) {
    EventBuilder builder(1, 100);
    builder.Content(content);
    for (const auto& parent : parents) builder.Tag({"e", parent.id.ToHex()});
    return builder.Sign(author_);
  }
  static std::string Line(const nostr::Event& event) { return nostr::EventJson(event) + "\n"; }
  void AddFile(const std::string& text) {
    files_.push_back(testing::TempDir() + "importer_" + base::SystemRandom::HexToken(8));
    std::ofstream(files_.back(), std::ios::binary) << text;
  }

  Importer& Start(size_t waiting_bytes = Importer::kWaitingBytes) {
    Importer::Options options;
    options.files = files_;
    options.waiting_bytes = waiting_bytes;
    options.on_refused = [this](const std::string& place, const std::string& id,
                                const std::string& reason) {
      refused_.push_back(place.substr(place.rfind(':') + 1) + " " + id.substr(0, 8) + " " + reason);
    };
    options.on_done = [this](const absl::Status& status) { status_ = status; };
    importer_.emplace(std::move(options), target_, executor_);
    importer_->Start();
    return *importer_;
  }
  void RunToEnd() {
    do executor_.RunAll();
    while (target_.AnswerOne());
    ASSERT_TRUE(status_) << "not done";
  }

  const nostr::SecretKey author_ = nostr::SecretKey::FromSeed("importer");
  base::ManualExecutor executor_;
  FakeTarget target_;
  std::vector<std::string> files_;
  std::vector<std::string> refused_;
  std::optional<absl::Status> status_;
  std::optional<Importer> importer_;
};

TEST_F(ImporterTest, EveryLineOfEveryFileIsHandedInAndCounted) {
  const auto a = Make("a"), b = Make("b"), c = Make("c");
  AddFile(Line(a) + "\n \n" + Line(b) + Line(a));
  AddFile(nostr::EventJson(c));  // without a newline at the end
  Start();
  RunToEnd();
  EXPECT_TRUE(status_->ok()) << *status_;
  EXPECT_THAT(target_.submitted(), ElementsAre(a.id, b.id, a.id, c.id));
  const auto counts = importer_->counts();
  EXPECT_EQ(counts.read, 4u);
  EXPECT_EQ(counts.stored, 3u);
  EXPECT_EQ(counts.known, 1u);
  EXPECT_EQ(counts.refused, 0u);
}

TEST_F(ImporterTest, EachRefusedOrMalformedLineIsReportedOnceWithItsNumber) {
  const auto good = Make("good"), bad = Make("bad");
  AddFile("not json\n" + Line(good) + "{}\n" + Line(bad));
  Start();
  RunToEnd();
  EXPECT_TRUE(status_->ok()) << *status_;
  EXPECT_THAT(refused_, ElementsAre(HasSubstr("1 - invalid: "), HasSubstr("3 - invalid: "),
                                    "4 " + bad.id.ToHex().substr(0, 8) + " invalid: bad"));
  EXPECT_EQ(importer_->counts().refused, 3u);
}

TEST_F(ImporterTest, AChildBeforeItsParentIsStoredInTheEnd) {
  const auto root = Make("root");
  const auto child = Make("child", {root});
  const auto grandchild = Make("grandchild", {child});
  AddFile(Line(grandchild) + Line(child) + Line(root));
  Start();
  RunToEnd();
  EXPECT_EQ(importer_->counts().stored, 3u);
  EXPECT_THAT(refused_, IsEmpty());
}

TEST_F(ImporterTest, WhatWaitsInVainIsReportedAndTriedNoOftenerThanSomethingWasStored) {
  const auto orphan = Make("orphan", {Make("never")});
  AddFile(Line(Make("a")) + Line(orphan));
  Start();
  RunToEnd();
  EXPECT_THAT(refused_, ElementsAre("2 " + orphan.id.ToHex().substr(0, 8) + " restricted: orphan"));
  EXPECT_EQ(target_.submitted().size(), 3u);
}

TEST_F(ImporterTest, PastItsBoundTheOldestThatWaitsIsGivenUp) {
  const auto root = Make("root");
  std::string text;
  for (int i = 0; i < 10; ++i) text += Line(Make(std::to_string(i), {root}));
  AddFile(text + Line(root));
  Start(/*waiting_bytes=*/4000);
  RunToEnd();
  EXPECT_THAT(refused_, testing::Contains(testing::StartsWith("1 ")));
  const auto counts = importer_->counts();
  EXPECT_GE(counts.stored, 3u);
  EXPECT_EQ(counts.stored + counts.refused, 11u);
}

TEST_F(ImporterTest, AFailureEndsTheImportAtTheFirstEventThatWasNotTaken) {
  std::string text;
  for (int i = 0; i < 20; ++i) text += Line(Make(std::to_string(i)));
  AddFile(text);
  target_.fails_after = 5;
  Start();
  RunToEnd();
  EXPECT_TRUE(absl::IsUnavailable(*status_)) << *status_;
  EXPECT_THAT(std::string(status_->message()), HasSubstr(files_[0] + ":6: error: full"));
  EXPECT_EQ(importer_->counts().stored, 5u);
  EXPECT_LE(target_.submitted().size(), 10u) << "went on reading";
}

TEST_F(ImporterTest, StopAnswersWhatIsInFlightAndReadsNoMore) {
  std::string text;
  for (int i = 0; i < 20; ++i) text += Line(Make(std::to_string(i)));
  AddFile(text);
  Importer& importer = Start();
  executor_.RunAll();
  importer.Stop();
  EXPECT_FALSE(status_) << "three are in flight";
  RunToEnd();
  EXPECT_TRUE(absl::IsCancelled(*status_)) << *status_;
  EXPECT_EQ(importer.counts().stored, 3u);
}

TEST_F(ImporterTest, AMissingOrCutOffFileIsAnErrorThatNamesIt) {
  files_.push_back("/nonexistent/file");
  Start();
  RunToEnd();
  EXPECT_TRUE(absl::IsNotFound(*status_)) << *status_;
  EXPECT_THAT(std::string(status_->message()), HasSubstr("/nonexistent/file"));
}

}  // namespace
}  // namespace graspd::transfer
