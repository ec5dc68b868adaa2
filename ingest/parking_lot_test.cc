#include "ingest/parking_lot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "nostr/event_builder.h"
#include "nostr/keys.h"
#include "nostr/nip34.h"
#include "nostr/rules.h"

namespace graspd::ingest {
namespace {

using nostr::Event;
using nostr::EventBuilder;
using nostr::SecretKey;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr uint64_t kTime = 1'700'000'000;
constexpr base::SteadyTime kStart{};

class ParkingLotTest : public testing::Test {
 protected:
  void Park(const Event& event, base::SteadyTime now = kStart) {
    lot_.Park({nostr::MakeRecord(event), storage::Source::kLive}, now);
  }
  std::vector<nostr::EventId> Take(const Event& stored) {
    std::vector<nostr::EventId> ids;
    for (const auto& request : lot_.TakeWaitingFor(stored)) ids.push_back(request.event->event.id);
    return ids;
  }
  Event Note(std::string_view content) {
    return EventBuilder(1, kTime).Content(content).Sign(alice_);
  }
  Event Reply(const Event& to, std::string_view content = "") {
    return EventBuilder(1, kTime).Tag({"e", to.id.ToHex()}).Content(content).Sign(bob_);
  }
  Event Announcement(const SecretKey& key, const SecretKey& maintainer, std::string_view id) {
    return EventBuilder(nostr::kRepositoryAnnouncement, kTime)
        .Tag({"d", id})
        .Tag({"maintainers", maintainer.public_key().ToHex()})
        .Sign(key);
  }

  const SecretKey alice_ = SecretKey::FromSeed("alice");
  const SecretKey bob_ = SecretKey::FromSeed("bob");
  ParkingLot lot_{{.events = 3, .bytes = 1 << 20, .keep = std::chrono::hours(24)}};
};

TEST_F(ParkingLotTest, AChildLeavesWhenItsParentIsStoredAndNotBefore) {
  const Event parent = Note("parent");
  const Event child = Reply(parent);
  Park(child);
  EXPECT_THAT(Take(Note("another")), IsEmpty());
  EXPECT_THAT(Take(parent), ElementsAre(child.id));
  EXPECT_THAT(Take(parent), IsEmpty());
  EXPECT_EQ(lot_.size(), 0u);
  EXPECT_EQ(lot_.bytes(), 0u);
}

TEST_F(ParkingLotTest, AnEventLeavesWhenAStoredOneRefersToIt) {
  const Event quoted = Note("quoted");
  Park(quoted);
  EXPECT_THAT(Take(Reply(quoted)), ElementsAre(quoted.id));
}

TEST_F(ParkingLotTest, AddressesCountInBothDirections) {
  const Event repository = Announcement(alice_, bob_, "repo");
  const std::string coordinate = nostr::AddressOf(repository)->ToString();
  const Event issue = EventBuilder(nostr::kIssue, kTime).Tag({"a", coordinate}).Sign(bob_);
  const Event article = EventBuilder(30023, kTime).Tag({"d", "x"}).Sign(alice_);
  Park(issue);
  Park(article);
  EXPECT_THAT(Take(repository), ElementsAre(issue.id));
  const Event quoting =
      EventBuilder(1, kTime).Tag({"q", nostr::AddressOf(article)->ToString()}).Sign(bob_);
  EXPECT_THAT(Take(quoting), ElementsAre(article.id));
}

TEST_F(ParkingLotTest, AnnouncementAndStateWaitForBeingNamed) {
  const Event announcement = Announcement(bob_, alice_, "repo");
  const Event state = EventBuilder(nostr::kRepositoryState, kTime).Tag({"d", "repo"}).Sign(bob_);
  Park(announcement);
  Park(state);
  EXPECT_THAT(Take(Announcement(alice_, bob_, "other")), IsEmpty());
  EXPECT_THAT(Take(Announcement(alice_, bob_, "repo")), ElementsAre(announcement.id, state.id));
}

TEST_F(ParkingLotTest, AStateWaitsForItsAuthorsAnnouncement) {
  const Event state = EventBuilder(nostr::kRepositoryState, kTime).Tag({"d", "repo"}).Sign(bob_);
  Park(state);
  EXPECT_THAT(Take(Announcement(bob_, alice_, "repo")), ElementsAre(state.id));
}

TEST_F(ParkingLotTest, ADeletionWaitsForItsTargetAndForAnythingByItsAuthor) {
  const Event target = Note("x");
  const Event by_target =
      EventBuilder(nostr::kDeletionKind, kTime).Tag({"e", target.id.ToHex()}).Sign(bob_);
  Park(by_target);
  EXPECT_THAT(Take(target), ElementsAre(by_target.id));
  Park(by_target);
  EXPECT_THAT(Take(Reply(Note("y"))), ElementsAre(by_target.id));
}

TEST_F(ParkingLotTest, TheOldestLeavesWhenItIsFull) {
  const Event parent = Note("parent");
  std::vector<Event> children;
  for (const char* text : {"1", "2", "3", "4"}) children.push_back(Reply(parent, text));
  for (const Event& child : children) Park(child);
  EXPECT_THAT(Take(parent), ElementsAre(children[1].id, children[2].id, children[3].id));
}

TEST_F(ParkingLotTest, BytesAreBoundedToo) {
  ParkingLot small({.events = 100, .bytes = 20'000});
  const Event parent = Note("parent");
  for (const char* text : {"1", "2", "3", "4"}) {
    small.Park(
        {nostr::MakeRecord(Reply(parent, std::string(4000, text[0]))), storage::Source::kLive},
        kStart);
    EXPECT_LE(small.bytes(), 20'000u);
  }
  EXPECT_EQ(small.size(), 2u);
}

TEST_F(ParkingLotTest, NobodyWaitsLongerThanADay) {
  const Event parent = Note("parent");
  Park(Reply(parent, "early"), kStart);
  const Event late = Reply(parent, "late");
  Park(late, kStart + std::chrono::hours(1));
  lot_.Expire(kStart + std::chrono::hours(24));
  EXPECT_THAT(Take(parent), ElementsAre(late.id));
}

TEST_F(ParkingLotTest, ParkingTwiceOrStoringItLeavesNothingBehind) {
  const Event parent = Note("parent");
  const Event child = Reply(parent);
  Park(child);
  Park(child);
  EXPECT_EQ(lot_.size(), 1u);
  EXPECT_THAT(Take(child), IsEmpty());
  EXPECT_EQ(lot_.size(), 0u);
  EXPECT_THAT(Take(parent), IsEmpty());
}

}  // namespace
}  // namespace graspd::ingest
