// Events that wait for what they refer to, on their whole way through the pipeline.
#include <gmock/gmock.h>

#include <memory>
#include <vector>

#include "ingest/pipeline_test_support.h"
#include "nostr/nip34.h"

namespace graspd::ingest {
namespace {

using nostr::Event;
using nostr::EventBuilder;
using nostr::SecretKey;
using testing::ElementsAre;
using testing::StartsWith;

class ParkingTest : public PipelineTest {
 protected:
  ParkingTest() {
    PolicyOptions options;
    options.own_hosts = {{"relay.example", 443}};
    options.require_clone = false;
    Start(options);
    subscription_ = feed_.Subscribe([this](const storage::CommitPtr& commit) {
      thread_.Post([this, commit] {
        for (const auto& change : commit->changes) stored_.push_back(change.id);
      });
    });
  }
  Event Issue() {
    return EventBuilder(nostr::kIssue, clock_.UnixNow())
        .Tag({"a", "30617:" + key_.public_key().ToHex() + ":repo"})
        .Sign(key_);
  }
  Event Announcement() {
    return EventBuilder(nostr::kRepositoryAnnouncement, clock_.UnixNow())
        .Tag({"d", "repo"})
        .Tag({"relays", "wss://relay.example"})
        .Sign(key_);
  }
  bool InVain(const nostr::EventId& id) { return pipeline_->known_refusals().InVain({{id}})[0]; }
  std::unique_ptr<storage::CommitFeed::Subscription> subscription_;
  std::vector<nostr::EventId> stored_;  // and removed
};

TEST_F(ParkingTest, ASyncedOrphanIsStoredWhenItsParentComesByWhateverWay) {
  const Event comment =
      EventBuilder(nostr::kComment, clock_.UnixNow()).Tag({"E", Issue().id.ToHex()}).Sign(key_);
  EXPECT_EQ(FromSync(comment).code, Code::kParked);
  EXPECT_EQ(FromSync(Issue()).code, Code::kParked);
  EXPECT_EQ(FromClient(Announcement()).code, Code::kStored);
  thread_.RunUntil([&] { return stored_.size() == 3; });
  EXPECT_THAT(stored_, ElementsAre(Announcement().id, Issue().id, comment.id));
}

TEST_F(ParkingTest, AMaintainersAnnouncementWaitsForTheOneThatNamesThem) {
  const SecretKey maintainer = SecretKey::FromSeed("maintainer");
  const Event theirs = EventBuilder(nostr::kRepositoryAnnouncement, clock_.UnixNow())
                           .Tag({"d", "repo"})
                           .Sign(maintainer);
  const Event state =
      EventBuilder(nostr::kRepositoryState, clock_.UnixNow()).Tag({"d", "repo"}).Sign(maintainer);
  EXPECT_EQ(FromSync(state).code, Code::kParked);
  EXPECT_EQ(FromSync(theirs).code, Code::kParked);
  EXPECT_EQ(FromSync(Announcement()).code, Code::kStored);
  const Event naming = EventBuilder(nostr::kRepositoryAnnouncement, clock_.UnixNow() + 1)
                           .Tag({"d", "repo"})
                           .Tag({"relays", "wss://relay.example"})
                           .Tag({"maintainers", maintainer.public_key().ToHex()})
                           .Sign(key_);
  EXPECT_EQ(FromSync(naming).code, Code::kStored);
  thread_.RunUntil([&] { return Stored(theirs.id) && Stored(state.id); });
}

TEST_F(ParkingTest, AWokenEventWhoseWriteFailsIsTriedAgainAfterTheNextOneThatWorks) {
  EXPECT_EQ(FromSync(Issue()).code, Code::kParked);
  store_.FailWrite(3);  // of the woken issue, behind its parent's
  EXPECT_EQ(FromClient(Announcement()).code, Code::kStored);
  store_.WaitForWrites(3);
  EXPECT_EQ(FromClient(Note("refused")).code, Code::kRefused);
  thread_.RunUntil([&] { return stored_.size() == 2; });
  EXPECT_EQ(stored_.back(), Issue().id);
}

TEST_F(ParkingTest, AWokenEventWhoseWriteFailsIsTriedAgainWhenNothingElseComes) {
  EXPECT_EQ(FromSync(Issue()).code, Code::kParked);
  store_.FailWrite(3);
  EXPECT_EQ(FromClient(Announcement()).code, Code::kStored);
  store_.WaitForWrites(3);
  pipeline_->SweepExpired();
  thread_.RunUntil([&] { return stored_.size() == 2; });
  EXPECT_EQ(stored_.back(), Issue().id);
}

TEST_F(ParkingTest, WhatIsParkedIsMeasured) {
  const auto shows = [&](const std::string& line) {
    EXPECT_EQ(FromClient(Note("refused")).code, Code::kRefused);  // the batch before is over
    return metrics_.Serialize().find(line) != std::string::npos;
  };
  EXPECT_TRUE(shows("graspd_ingest_parked_bytes 0\n"));
  EXPECT_EQ(FromSync(Issue()).code, Code::kParked);
  EXPECT_FALSE(shows("graspd_ingest_parked_bytes 0\n"));
  EXPECT_TRUE(shows("graspd_ingest_parked_events 1\n"));
  EXPECT_EQ(FromClient(Announcement()).code, Code::kStored);
  thread_.RunUntil([&] { return Stored(Issue().id); });
  EXPECT_TRUE(shows("graspd_ingest_parked_bytes 0\n"));
  EXPECT_TRUE(shows("graspd_ingest_write_queue_events{lane=\"again\"} 0\n"));
}

TEST_F(ParkingTest, WhatWasWokenAndNotWrittenIsMeasuredToo) {
  EXPECT_EQ(FromSync(Issue()).code, Code::kParked);
  store_.FailWrite(3);
  EXPECT_EQ(FromClient(Announcement()).code, Code::kStored);
  store_.WaitForWrites(3);
  // Gauges are set behind the write.
  while (metrics_.Serialize().find("graspd_ingest_parked_events 1\n") == std::string::npos) {
    std::this_thread::yield();
  }
  EXPECT_EQ(metrics_.Serialize().find("graspd_ingest_parked_bytes 0\n"), std::string::npos);
}

TEST_F(ParkingTest, WhatIsParkedNeedNotBeFetchedAgainWhileItIs) {
  EXPECT_EQ(FromSync(Issue()).code, Code::kParked);
  EXPECT_TRUE(InVain(Issue().id));
  EXPECT_EQ(FromClient(Announcement()).code, Code::kStored);
  thread_.RunUntil([&] { return stored_.size() == 2; });
  EXPECT_FALSE(InVain(Issue().id));
}

TEST_F(ParkingTest, WhatSyncBringsInVainIsNotFetchedAgainButAClientMaySendIt) {
  EXPECT_EQ(FromSync(Announcement()).code, Code::kStored);
  const Event older = EventBuilder(nostr::kRepositoryAnnouncement, clock_.UnixNow() - 1)
                          .Tag({"d", "repo"})
                          .Tag({"relays", "wss://relay.example"})
                          .Sign(key_);
  const Event malformed = EventBuilder(nostr::kRepositoryAnnouncement, clock_.UnixNow()).Sign(key_);
  const Event expired = EventBuilder(1, clock_.UnixNow()).Tag({"expiration", "1"}).Sign(key_);
  EXPECT_EQ(FromClient(malformed).code, Code::kRefused);
  EXPECT_FALSE(InVain(malformed.id)) << "a client's";
  EXPECT_EQ(FromSync(older).code, Code::kOlder);
  EXPECT_EQ(FromSync(malformed).code, Code::kRefused);
  EXPECT_EQ(FromSync(expired).code, Code::kExpired);
  for (const Event& event : {older, malformed, expired}) EXPECT_TRUE(InVain(event.id));
  EXPECT_EQ(FromClient(older).code, Code::kOlder);
  EXPECT_EQ(FromClient(malformed).code, Code::kRefused);
}

TEST_F(ParkingTest, RubbishUnderTheIdOfAGoodEventDoesNotKeepThatOneOut) {
  EXPECT_EQ(FromSync(Announcement()).code, Code::kStored);
  Event forged = Issue();
  forged.sig.bytes[7] ^= 1;
  EXPECT_EQ(FromSync(forged).code, Code::kInvalid);
  Event other = Issue();
  other.content = "something else";
  EXPECT_EQ(FromSync(other).code, Code::kInvalid);
  EXPECT_FALSE(InVain(Issue().id));
}

TEST_F(ParkingTest, AnOlderVersionIsWantedAgainWhenTheNewerOneHasExpired) {
  EXPECT_EQ(FromSync(Announcement()).code, Code::kStored);
  const auto list = [&](uint64_t at, std::string expiration) {
    EventBuilder builder(nostr::kUserGraspList, at);
    if (!expiration.empty()) builder.Tag({"expiration", expiration});
    return builder.Sign(key_);
  };
  const Event older = list(clock_.UnixNow() - 1, "");
  EXPECT_EQ(FromSync(list(clock_.UnixNow(), std::to_string(clock_.UnixNow() + 60))).code,
            Code::kStored);
  EXPECT_EQ(FromSync(older).code, Code::kOlder);
  EXPECT_TRUE(InVain(older.id));
  clock_.Advance(std::chrono::seconds(60));
  pipeline_->SweepExpired();
  thread_.RunUntil([&] { return stored_.size() == 3; });  // the list's removal
  EXPECT_FALSE(InVain(older.id));
  EXPECT_EQ(FromSync(older).code, Code::kStored);
}

TEST_F(ParkingTest, AChangeOfThePolicyForgetsRefusalsAndJudgesWhatIsParkedAgain) {
  const Event malformed = EventBuilder(nostr::kRepositoryAnnouncement, clock_.UnixNow()).Sign(key_);
  EXPECT_EQ(FromSync(malformed).code, Code::kRefused);
  policy_->SetOwnHosts({{"other.example", 443}});
  EXPECT_EQ(FromSync(Announcement()).code, Code::kParked);
  EXPECT_EQ(FromSync(Issue()).code, Code::kParked);
  policy_->SetOwnHosts({{"relay.example", 443}});
  pipeline_->PolicyChanged();
  thread_.RunUntil([&] { return stored_.size() == 2; });
  EXPECT_THAT(stored_, ElementsAre(Announcement().id, Issue().id));
  EXPECT_FALSE(InVain(malformed.id));
}

TEST_F(ParkingTest, AClientsDeletionFindsItsTargetThoughItComesFirst) {
  const SecretKey bob = SecretKey::FromSeed("bob");
  EXPECT_EQ(FromClient(Announcement()).code, Code::kStored);
  const Event issue = EventBuilder(nostr::kIssue, clock_.UnixNow())
                          .Tag({"a", "30617:" + key_.public_key().ToHex() + ":repo"})
                          .Sign(bob);
  const Event deletion =
      EventBuilder(nostr::kDeletionKind, clock_.UnixNow()).Tag({"e", issue.id.ToHex()}).Sign(bob);
  const Result answer = FromClient(deletion);
  EXPECT_FALSE(answer.accepted());  // it is only in memory
  EXPECT_THAT(answer.message, StartsWith("restricted: "));
  EXPECT_EQ(FromClient(issue).code, Code::kStored);
  thread_.RunUntil([&] { return stored_.size() == 4; });  // announcement, issue, deletion, removal
  EXPECT_EQ(FromClient(issue).code, Code::kDeleted);
  EXPECT_EQ(FromClient(deletion).code, Code::kDuplicate);
}

TEST_F(ParkingTest, AClientIsToldAtOnceAndNothingIsKept) {
  EXPECT_EQ(FromClient(Issue()).code, Code::kRefused);
  EXPECT_EQ(FromSync(Announcement()).code, Code::kStored);
  EXPECT_EQ(FromClient(Note("refused, but behind any parked event")).code, Code::kRefused);
  EXPECT_FALSE(Stored(Issue().id));
}

TEST_F(ParkingTest, AnEphemeralEventDoesNotWait) {
  EXPECT_EQ(FromSync(Note("x", 20'001)).code, Code::kRefused);
}

}  // namespace
}  // namespace graspd::ingest
