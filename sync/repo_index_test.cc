#include "sync/repo_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sync/testing/events.h"

namespace graspd::sync {
namespace {

using testing::Announcement;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::Issue;
using testing::Repo;
using ::testing::UnorderedElementsAre;
using testing::Url;

const auto kRepo = Repo("alice", "tool");
const auto kOther = Repo("bob", "lib");
const auto kA = Url("wss://a.example");
const auto kB = Url("wss://b.example");

TEST(RepoIndex, AnnouncementNamesItsRelays) {
  RepoIndex index;
  EXPECT_THAT(index.Add(Announcement(kRepo, 100, {"wss://a.example", "wss://b.example"})),
              UnorderedElementsAre(kA, kB));
  EXPECT_THAT(index.Relays(), ElementsAre(kA, kB));
  EXPECT_THAT(index.Repos(kA), ElementsAre(kRepo));
  EXPECT_EQ(index.ReferencesTo(kB), 1u);
  EXPECT_EQ(index.ReferencesTo(Url("wss://c.example")), 0u);
}

TEST(RepoIndex, SameAnnouncementTwiceChangesNothing) {
  RepoIndex index;
  const auto event = Announcement(kRepo, 100, {"wss://a.example"});
  index.Add(event);
  EXPECT_THAT(index.Add(event), IsEmpty());
  EXPECT_EQ(index.repo_count(), 1u);
}

TEST(RepoIndex, NewerVersionThatDropsARelayShrinksTheTargets) {
  RepoIndex index;
  index.Add(Announcement(kRepo, 100, {"wss://a.example", "wss://b.example"}));
  EXPECT_THAT(index.Add(Announcement(kRepo, 101, {"wss://b.example"})),
              UnorderedElementsAre(kA, kB));
  EXPECT_THAT(index.Relays(), ElementsAre(kB));
  EXPECT_THAT(index.Repos(kA), IsEmpty());
}

TEST(RepoIndex, OlderReplayIsIgnored) {
  RepoIndex index;
  index.Add(Announcement(kRepo, 100, {"wss://a.example"}));
  EXPECT_THAT(index.Add(Announcement(kRepo, 99, {"wss://b.example"})), IsEmpty());
  EXPECT_THAT(index.Relays(), ElementsAre(kA));
}

TEST(RepoIndex, OnATieTheLowerIdWinsInEitherOrder) {
  auto first = Announcement(kRepo, 100, {"wss://a.example"});
  auto second = Announcement(kRepo, 100, {"wss://b.example"});
  const auto winner = first.id < second.id ? kA : kB;
  for (int order = 0; order < 2; ++order, std::swap(first, second)) {
    RepoIndex index;
    index.Add(first);
    index.Add(second);
    EXPECT_THAT(index.Relays(), ElementsAre(winner));
  }
}

TEST(RepoIndex, RemovalOfTheReplacedVersionLeavesTheNewOne) {
  RepoIndex index;
  const auto old = Announcement(kRepo, 100, {"wss://a.example"});
  index.Add(old);
  index.Add(Announcement(kRepo, 101, {"wss://a.example"}));
  EXPECT_THAT(index.Remove(old.id), IsEmpty());
  EXPECT_THAT(index.Repos(kA), ElementsAre(kRepo));
}

TEST(RepoIndex, DeletionOfAnAnnouncementFreesItsRelays) {
  RepoIndex index;
  const auto event = Announcement(kRepo, 100, {"wss://a.example"});
  index.Add(event);
  EXPECT_THAT(index.Remove(event.id), UnorderedElementsAre(kA));
  EXPECT_THAT(index.Relays(), IsEmpty());
  EXPECT_EQ(index.repo_count(), 0u);
  EXPECT_THAT(index.Remove(event.id), IsEmpty());
}

TEST(RepoIndex, DeletionTakesOnlyTheOwnersRepository) {
  RepoIndex index;
  const auto event = Announcement(kRepo, 100, {"wss://a.example"});
  index.Add(event);
  index.Add(Announcement(Repo("mallory", "tool"), 100, {"wss://a.example"}));
  index.Remove(event.id);
  EXPECT_THAT(index.Repos(kA), ElementsAre(Repo("mallory", "tool")));
}

TEST(RepoIndex, RootsMayComeBeforeTheirAnnouncement) {
  RepoIndex index;
  const auto issue = Issue({kRepo}, 50, "early");
  EXPECT_THAT(index.Add(issue), IsEmpty());
  index.Add(Announcement(kRepo, 100, {"wss://a.example"}));
  EXPECT_THAT(index.Roots(kA), ElementsAre(issue.id));
}

TEST(RepoIndex, RootsOutliveAReplacedAnnouncement) {
  RepoIndex index;
  const auto issue = Issue({kRepo}, 50, "early");
  index.Add(Announcement(kRepo, 100, {"wss://a.example"}));
  index.Add(issue);
  index.Add(Announcement(kRepo, 101, {"wss://b.example"}));
  EXPECT_THAT(index.Roots(kB), ElementsAre(issue.id));
  EXPECT_THAT(index.Roots(kA), IsEmpty());
}

TEST(RepoIndex, EveryATagOfARootCounts) {
  RepoIndex index;
  index.Add(Announcement(kRepo, 100, {"wss://a.example"}));
  index.Add(Announcement(kOther, 100, {"wss://b.example"}));
  const auto issue = Issue({kRepo, kOther}, 120, "both");
  EXPECT_THAT(index.Add(issue), UnorderedElementsAre(kA, kB));
  EXPECT_THAT(index.Roots(kA), ElementsAre(issue.id));
  EXPECT_THAT(index.Roots(kB), ElementsAre(issue.id));
  EXPECT_THAT(index.Remove(issue.id), UnorderedElementsAre(kA, kB));
  EXPECT_THAT(index.Roots(kA), IsEmpty());
  EXPECT_EQ(index.root_count(), 0u);
}

TEST(RepoIndex, ARootOfTwoRepositoriesOfOneRelayIsListedOnce) {
  RepoIndex index;
  index.Add(Announcement(kRepo, 100, {"wss://a.example"}));
  index.Add(Announcement(kOther, 100, {"wss://a.example"}));
  const auto issue = Issue({kRepo, kOther}, 120, "both");
  index.Add(issue);
  EXPECT_THAT(index.Roots(kA), ElementsAre(issue.id));
}

TEST(RepoIndex, OtherKindsChangeNothing) {
  RepoIndex index;
  index.Add(Announcement(kRepo, 100, {"wss://a.example"}));
  EXPECT_THAT(index.Add(testing::Comment(Issue({kRepo}, 1, "x").id, 2, "y")), IsEmpty());
  EXPECT_EQ(index.root_count(), 0u);
}

TEST(RepoIndex, SpellingsOfOneUrlAreOneRelay) {
  RepoIndex index;
  index.Add(Announcement(
      kRepo, 100,
      {"wss://A.Example", "wss://a.example/", "wss://a.example:443", "WSS://a.example.:443/"}));
  EXPECT_THAT(index.Relays(), ElementsAre(kA));
  EXPECT_THAT(index.Unusable(), IsEmpty());
}

TEST(RepoIndex, TakesAtMostTwentyRelaysOfOneAnnouncementAndRecordsTheNextOnes) {
  std::vector<std::string> relays;
  for (int i = 0; i < 10'000; ++i) relays.push_back("wss://r" + std::to_string(i) + ".example");
  RepoIndex index;
  EXPECT_EQ(index.Add(Announcement(kRepo, 100, relays)).size(), RepoIndex::kRelaysPerRepo);
  EXPECT_EQ(index.Relays().size(), RepoIndex::kRelaysPerRepo);
  EXPECT_EQ(index.ReferencesTo(Url("wss://r0.example")), 1u);
  EXPECT_EQ(index.Unusable().size(), RepoIndex::kRelaysPerRepo);
}

TEST(RepoIndex, RecordsWhatCannotBeDialled) {
  RepoIndex index;
  index.Add(Announcement(kRepo, 100,
                         {"https://web.example", "wss://u:p@a.example", "nonsense",
                          std::string(5000, 'x'), "wss://a.example"}));
  EXPECT_THAT(index.Relays(), ElementsAre(kA));
  const auto unusable = index.Unusable();
  ASSERT_EQ(unusable.size(), 4u);
  EXPECT_EQ(unusable[0].text, "https://web.example");
  for (const auto& entry : unusable) {
    EXPECT_FALSE(entry.reason.empty());
    EXPECT_LE(entry.text.size(), 256u);
  }
}

TEST(RepoIndex, IdentifiersMayHoldColons) {
  const auto colons = Repo("alice", "a:b:c");
  RepoIndex index;
  index.Add(Announcement(colons, 100, {"wss://a.example"}));
  index.Add(Announcement(Repo("alice", "a"), 100, {"wss://b.example"}));
  const auto issue = Issue({colons}, 120, "colons");
  index.Add(issue);
  EXPECT_THAT(index.Repos(kA), ElementsAre(colons));
  EXPECT_THAT(index.Roots(kA), ElementsAre(issue.id));
  EXPECT_THAT(index.Roots(kB), IsEmpty());
}

}  // namespace
}  // namespace graspd::sync
