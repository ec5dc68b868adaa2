#include "sync/repo_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/random.h"
#include "sync/testing/events.h"

namespace graspd::sync {
namespace {

using testing::Announcement;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::Issue;
using ::testing::Pair;
using testing::Repo;
using ::testing::UnorderedElementsAre;
using testing::Url;

const auto kRepo = Repo("alice", "tool");
const auto kOther = Repo("bob", "lib");
const auto kA = Url("wss://a.example");
const auto kB = Url("wss://b.example");

std::vector<nostr::RelayUrl> Named(const RepoIndex::Affected& affected) {
  std::vector<nostr::RelayUrl> urls;
  for (const auto& [url, change] : affected) urls.push_back(url);
  return urls;
}
ScopeDelta At(const RepoIndex& index, const RepoIndex::Affected& affected,
              const nostr::RelayUrl& url) {
  return index.Resolve(url, affected.at(url));
}

TEST(RepoIndex, AnnouncementNamesItsRelays) {
  RepoIndex index;
  const auto affected = index.Add(Announcement(kRepo, 100, {"wss://a.example", "wss://b.example"}));
  EXPECT_THAT(Named(affected), ElementsAre(kA, kB));
  EXPECT_THAT(At(index, affected, kA).repos, ElementsAre(Pair(kRepo, true)));
  EXPECT_THAT(index.Relays(), ElementsAre(kA, kB));
  EXPECT_THAT(index.Repos(kA), ElementsAre(kRepo));
  EXPECT_EQ(index.ReferencesTo(kB), 1u);
  EXPECT_EQ(index.ReferencesTo(Url("wss://c.example")), 0u);
}

TEST(RepoIndex, AsksForEachAuthorWhoNamesARelayOnceUntilOneIsWanted) {
  RepoIndex index;
  for (const char* repo : {"one", "two", "three"}) {
    index.Add(Announcement(Repo("alice", repo), 100, {"wss://a.example"}));
    index.Add(Announcement(Repo("bob", repo), 100, {"wss://a.example"}));
  }
  std::set<nostr::PublicKey> asked;
  size_t questions = 0;
  EXPECT_FALSE(index.AnyAuthor(kA, [&](const nostr::PublicKey& author) {
    ++questions;
    asked.insert(author);
    return false;
  }));
  EXPECT_THAT(asked, UnorderedElementsAre(kRepo.author, kOther.author));
  EXPECT_EQ(questions, 2u);
  EXPECT_TRUE(index.AnyAuthor(kA, [&](const nostr::PublicKey&) { return ++questions > 0; }));
  EXPECT_EQ(questions, 3u) << "stops at the first";
  EXPECT_FALSE(index.AnyAuthor(kB, [](const nostr::PublicKey&) { return true; }));
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
  const auto affected = index.Add(Announcement(kRepo, 101, {"wss://b.example"}));
  EXPECT_THAT(Named(affected), ElementsAre(kA)) << "nothing changes for b";
  EXPECT_THAT(At(index, affected, kA).repos, ElementsAre(Pair(kRepo, false)));
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
  EXPECT_THAT(Named(index.Remove(event.id)), ElementsAre(kA));
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
  EXPECT_THAT(Named(index.Add(issue)), ElementsAre(kA, kB));
  EXPECT_THAT(index.Roots(kA), ElementsAre(issue.id));
  EXPECT_THAT(index.Roots(kB), ElementsAre(issue.id));
  EXPECT_THAT(Named(index.Remove(issue.id)), ElementsAre(kA, kB));
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

// Whatever comes and goes, in whatever order: who adds up the changes of a relay has its scope, be
// it after each or after several, and nobody is told of a change that concerns only others.
TEST(RepoIndex, ChangesAddUpToTheScope) {
  base::SeededRandom random(20261122);
  const std::vector<std::string> urls = {"wss://a.example", "wss://b.example", "wss://c.example",
                                         "wss://d.example"};
  std::vector<nostr::Address> repos;
  for (int i = 0; i < 12; ++i) repos.push_back(Repo("alice", "r" + std::to_string(i)));
  RepoIndex index;
  std::map<nostr::RelayUrl, std::set<nostr::Address>> repos_of;
  std::map<nostr::RelayUrl, std::set<nostr::EventId>> roots_of;
  std::vector<nostr::EventId> known;
  std::map<nostr::RelayUrl, ScopeChange> pending;
  const auto apply = [](const auto& delta, auto& values) {
    for (const auto& [value, wanted] : delta) {
      if (wanted) {
        values.insert(value);
      } else {
        values.erase(value);
      }
    }
  };
  for (uint64_t step = 1; step <= 3000; ++step) {
    RepoIndex::Affected affected;
    std::optional<nostr::EventId> removed;
    const auto& repo = repos[random.Below(repos.size())];
    if (random.Below(3) == 0 && !known.empty()) {
      removed = known[random.Below(known.size())];
      affected = index.Remove(*removed);
    } else if (random.Below(2) == 0) {
      std::vector<std::string> named;
      for (const auto& url : urls) {
        if (random.Below(2) == 0) named.push_back(url);
      }
      const auto event = Announcement(repo, step, named);
      known.push_back(event.id);
      affected = index.Add(event);
    } else {
      const auto event =
          Issue({repo, repos[random.Below(repos.size())]}, step, std::to_string(step));
      known.push_back(event.id);
      affected = index.Add(event);
    }
    for (const auto& [url, change] : affected) pending[url].Merge(change);
    if (removed) {
      for (auto& [url, change] : pending) change.roots.insert(*removed);
    }
    for (const auto& text : urls) {
      const auto url = Url(text);
      if (random.Below(3) == 0) continue;
      const auto delta = index.Resolve(url, std::exchange(pending[url], {}));
      apply(delta.repos, repos_of[url]);
      apply(delta.roots, roots_of[url]);
      const auto scope = index.Scope(url);
      ASSERT_EQ(std::vector(repos_of[url].begin(), repos_of[url].end()), scope.repos) << step;
      ASSERT_EQ(std::vector(roots_of[url].begin(), roots_of[url].end()), scope.roots) << step;
    }
  }
}

// What is added or removed counts at once.
class Settled {
 public:
  explicit Settled(RepoIndex& index) : index_(index) {}
  RepoIndex::Affected Add(const nostr::Event& event) { return With(index_.Add(event)); }
  RepoIndex::Affected Remove(const nostr::EventId& id) { return With(index_.Remove(id)); }

 private:
  RepoIndex::Affected With(RepoIndex::Affected affected) {
    for (const auto& [url, change] : index_.Settle()) affected[url].Merge(change);
    return affected;
  }
  RepoIndex& index_;
};

// Lists us if it names our relay, and names `maintainers`.
nostr::Event Naming(const nostr::Address& repo, uint64_t created_at,
                    const std::vector<std::string>& relays,
                    const std::vector<std::string_view>& maintainers) {
  nostr::Event event = Announcement(repo, created_at, relays);
  event.tags.AddElement("maintainers");
  for (const auto& name : maintainers) event.tags.AddElement(testing::Author(name).ToHex());
  event.tags.EndTag();
  return testing::Finish(std::move(event));
}

bool NamesUs(const nostr::RepositoryAnnouncement& announcement) {
  return !announcement.relays.empty() && announcement.relays.front() == "wss://us.example";
}

TEST(RepoIndexScope, ARepositoryWhoseOwnerLeavesUsIsOutOfScopeUntilTheyAreBack) {
  RepoIndex index(NamesUs);
  Settled(index).Add(Announcement(kRepo, 100, {"wss://us.example", "wss://a.example"}));
  const auto issue = Issue({kRepo}, 50, "issue");
  Settled(index).Add(issue);
  EXPECT_THAT(index.Repos(kA), ElementsAre(kRepo));

  const auto left = Settled(index).Add(Announcement(kRepo, 101, {"wss://a.example"}));
  EXPECT_THAT(At(index, left, kA).repos, ElementsAre(Pair(kRepo, false)));
  EXPECT_THAT(At(index, left, kA).roots, ElementsAre(Pair(issue.id, false)));
  EXPECT_THAT(index.Relays(), IsEmpty());
  EXPECT_THAT(Settled(index).Add(Issue({kRepo}, 51, "later")), IsEmpty());

  const auto back =
      Settled(index).Add(Announcement(kRepo, 102, {"wss://us.example", "wss://a.example"}));
  EXPECT_THAT(At(index, back, kA).repos, ElementsAre(Pair(kRepo, true)));
  EXPECT_EQ(index.Roots(kA).size(), 2u);
}

TEST(RepoIndexScope, MaintainersAreInScopeAsLongAsWhoListsUsLeadsToThem) {
  const auto alice = Repo("alice", "tool"), bob = Repo("bob", "tool"),
             carol = Repo("carol", "tool");
  const auto bobs = Naming(bob, 100, {"wss://a.example"}, {"carol", "alice"});
  const auto carols = Announcement(carol, 100, {"wss://b.example"});
  RepoIndex index(NamesUs);
  Settled(index).Add(carols);
  Settled(index).Add(bobs);
  EXPECT_THAT(index.Relays(), IsEmpty());
  const auto named = Settled(index).Add(Naming(alice, 100, {"wss://us.example"}, {"bob"}));
  EXPECT_THAT(At(index, named, kA).repos, ElementsAre(Pair(bob, true)));
  EXPECT_THAT(At(index, named, kB).repos, ElementsAre(Pair(carol, true)));

  Settled(index).Remove(bobs.id);
  EXPECT_THAT(index.Repos(kB), IsEmpty());
  Settled(index).Add(bobs);
  EXPECT_THAT(index.Repos(kB), ElementsAre(carol));
  // Those who name each other do not hold each other when nobody lists us any more.
  Settled(index).Add(Naming(alice, 101, {"wss://b.example"}, {"bob"}));
  EXPECT_THAT(index.Relays(), IsEmpty());
}

TEST(RepoIndexScope, TheSameNameOfAStrangerIsNotInScope) {
  RepoIndex index(NamesUs);
  Settled(index).Add(Announcement(kRepo, 100, {"wss://us.example"}));
  Settled(index).Add(Announcement(Repo("eve", "tool"), 100, {"wss://a.example"}));
  EXPECT_THAT(index.Repos(kA), IsEmpty());
}

TEST(RepoIndexScope, IsTheSameInWhateverOrderAnnouncementsComeAndGo) {
  const std::vector<std::string_view> names = {"alice", "bob", "carol", "dave"};
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    base::SeededRandom random(seed);
    std::vector<nostr::Event> latest;
    RepoIndex grown(NamesUs);
    for (uint64_t at = 100; at < 130; ++at) {
      const size_t who = random.Below(names.size());
      std::vector<std::string> relays = {"wss://" + std::string(names[who]) + ".example"};
      if (random.Below(3) == 0) relays.insert(relays.begin(), "wss://us.example");
      const auto event =
          Naming(Repo(names[who], "tool"), at, relays, {names[random.Below(names.size())]});
      std::erase_if(latest, [&](const auto& e) { return e.pubkey == event.pubkey; });
      if (random.Below(4) > 0) {
        Settled(grown).Add(event);
        latest.push_back(event);
      } else {
        Settled(grown).Add(event);
        Settled(grown).Remove(event.id);
      }
    }
    RepoIndex fresh(NamesUs);
    for (auto it = latest.rbegin(); it != latest.rend(); ++it) Settled(fresh).Add(*it);
    EXPECT_EQ(grown.Relays(), fresh.Relays()) << seed;
    for (const auto& relay : fresh.Relays()) {
      EXPECT_EQ(grown.Repos(relay), fresh.Repos(relay)) << seed;
    }
  }
}

// Each of them names all others, and one changes its mind again and again.
TEST(RepoIndexScope, ManyMaintainersOfOneNameAreLookedAtOnceForManyChanges) {
  constexpr int kAuthors = 300;
  std::vector<std::string> names;
  for (int i = 0; i < kAuthors; ++i) names.push_back("author " + std::to_string(i));
  const std::vector<std::string_view> all(names.begin(), names.end());
  int asked = 0;
  RepoIndex index([&](const nostr::RepositoryAnnouncement& announcement) {
    ++asked;
    return NamesUs(announcement);
  });
  for (const auto& name : names) {
    index.Add(Naming(Repo(name, "tool"), 100, {"wss://us.example", "wss://a.example"}, all));
  }
  index.Settle();
  EXPECT_EQ(index.Repos(kA).size(), static_cast<size_t>(kAuthors));
  for (uint64_t n = 1; n <= 500; ++n) {
    auto few = all;
    few.resize(n % 2 == 0 ? all.size() : all.size() - 1);
    index.Add(Naming(Repo("author 0", "tool"), 100 + n, {"wss://us.example"}, few));
  }
  const auto affected = index.Settle();
  EXPECT_EQ(index.Repos(kA).size(), static_cast<size_t>(kAuthors) - 1);
  EXPECT_EQ(asked, kAuthors + 500);
}

TEST(RepoIndexScope, OnlyTheFirstMaintainersCount) {
  std::vector<std::string> names;
  for (size_t i = 0; i <= RepoIndex::kMaintainersPerRepo; ++i)
    names.push_back("m" + std::to_string(i));
  RepoIndex index(NamesUs);
  index.Add(Naming(kRepo, 100, {"wss://us.example"}, {names.begin(), names.end()}));
  index.Add(Announcement(Repo(names[RepoIndex::kMaintainersPerRepo - 1], "tool"), 100,
                         {"wss://a.example"}));
  index.Add(
      Announcement(Repo(names[RepoIndex::kMaintainersPerRepo], "tool"), 100, {"wss://b.example"}));
  index.Settle();
  EXPECT_EQ(index.ReferencesTo(kA), 1u);
  EXPECT_EQ(index.ReferencesTo(kB), 0u);
}

TEST(RepoIndex, ARootCountsForSomeOfItsRepositoriesOnly) {
  std::vector<nostr::Address> repos;
  for (int i = 0; i < 2000; ++i) repos.push_back(Repo("alice", "r" + std::to_string(i)));
  RepoIndex index;
  for (const auto& repo : repos) {
    index.Add(Announcement(repo, 100, {"wss://" + repo.identifier + ".example"}));
  }
  const auto issue = Issue(repos, 50, "of everything");
  EXPECT_EQ(index.Add(issue).size(), RepoIndex::kReposPerRoot);
  EXPECT_EQ(index.Remove(issue.id).size(), RepoIndex::kReposPerRoot);
}

}  // namespace
}  // namespace graspd::sync
