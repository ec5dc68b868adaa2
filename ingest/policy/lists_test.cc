#include "ingest/policy/lists.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "nostr/keys.h"
#include "nostr/nip19.h"
#include "nostr/nip34.h"
#include "storage/memory/memory_store.h"

namespace graspd::ingest {
namespace {

using nostr::SecretKey;
using testing::HasSubstr;
using enum PolicyList;

constexpr uint64_t kNow = 1'700'000'000;

std::string Hex(const SecretKey& key) { return key.public_key().ToHex(); }
std::string Npub(const SecretKey& key) { return nostr::EncodeNpub(key.public_key()); }

class ListsTest : public testing::Test {
 protected:
  void Load(const PolicyLists::Configured& configured = {}) {
    auto loaded = PolicyLists::Load(*store_, configured);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    lists_ = *std::move(loaded);
  }
  nostr::Address Repository(const SecretKey& key, std::string identifier) {
    return {nostr::kRepositoryAnnouncement, key.public_key(), std::move(identifier)};
  }
  bool Blocks(const SecretKey& key, std::string identifier) {
    return lists_->snapshot()->HoldsRepository(kRepositoryBlacklist,
                                               Repository(key, std::move(identifier)));
  }
  bool Add(PolicyList list, std::string_view text) {
    const auto added = lists_->Add(list, text, "why", kNow);
    EXPECT_TRUE(added.ok()) << added.status();
    return *added;
  }

  const std::unique_ptr<storage::EventStore> store_ = storage::OpenMemoryStore();
  std::unique_ptr<PolicyLists> lists_;
  const SecretKey alice_ = SecretKey::FromSeed("alice");
  const SecretKey bob_ = SecretKey::FromSeed("bob");
};

TEST_F(ListsTest, EveryEntryHasOneCanonicalForm) {
  struct Case {
    PolicyList list;
    std::string text, canonical;
  };
  std::string upper = Hex(alice_);
  for (char& c : upper) c = static_cast<char>(std::toupper(c));
  const Case cases[] = {
      {kAuthorBlacklist, Npub(alice_), Hex(alice_)},
      {kAuthorBlacklist, upper, Hex(alice_)},
      {kRepositoryBlacklist, Npub(alice_), Hex(alice_)},
      {kRepositoryWhitelist, Npub(alice_) + "/a:b c", Hex(alice_) + "/a:b c"},
      {kArchiveRepositories, Hex(alice_) + "/repo", Hex(alice_) + "/repo"},
      {kRepositoryBlacklist, "Linux", "Linux"},
      {kArchiveHosts, "Git.Example.", "git.example"},
      {kArchiveHosts, "git.example:443", "git.example:443"},
      {kArchiveHosts, "[2001:DB8::1]:8080", "[2001:db8::1]:8080"},
      {kArchiveHosts, "[2001:db8::1]", "[2001:db8::1]"},
  };
  for (const Case& c : cases) {
    const auto canonical = CanonicalEntry(c.list, c.text);
    ASSERT_TRUE(canonical.ok()) << c.text << ": " << canonical.status();
    EXPECT_EQ(*canonical, c.canonical);
    EXPECT_EQ(CanonicalEntry(c.list, *canonical).value(), *canonical) << c.text;
  }
}

TEST_F(ListsTest, AMistypedEntryIsRefusedAndNotTakenForAnIdentifier) {
  const std::string cut = Npub(alice_).substr(0, 60);
  const std::pair<PolicyList, std::string> bad[] = {
      {kAuthorBlacklist, ""},
      {kAuthorBlacklist, "alice"},
      {kAuthorBlacklist, Hex(alice_).substr(1)},
      {kAuthorBlacklist, cut},
      {kRepositoryBlacklist, cut},
      {kRepositoryBlacklist, cut + "/repo"},
      {kRepositoryBlacklist, "alice/repo"},
      {kRepositoryBlacklist, Npub(alice_) + "/"},
      {kRepositoryBlacklist, Npub(alice_) + "/a/b"},
      {kRepositoryBlacklist, ".."},
      {kRepositoryBlacklist, "a\\b"},
      {kRepositoryBlacklist, std::string(1025, 'x')},
      {kArchiveHosts, "https://git.example"},
      {kArchiveHosts, "git.example/path"},
      {kArchiveHosts, "user@git.example"},
      {kArchiveHosts, "git.example:0"},
      {kArchiveHosts, "git_example .com"},
  };
  for (const auto& [list, text] : bad) {
    EXPECT_TRUE(absl::IsInvalidArgument(CanonicalEntry(list, text).status())) << text;
  }
}

TEST_F(ListsTest, ARepositoryIsHeldByAuthorByIdentifierOrByBoth) {
  Load();
  EXPECT_FALSE(Blocks(alice_, "repo"));
  EXPECT_TRUE(Add(kRepositoryBlacklist, Npub(alice_) + "/repo"));
  EXPECT_TRUE(Blocks(alice_, "repo"));
  EXPECT_FALSE(Blocks(bob_, "repo"));
  EXPECT_FALSE(Blocks(alice_, "other"));
  EXPECT_TRUE(Add(kRepositoryBlacklist, "spam"));
  EXPECT_TRUE(Blocks(bob_, "spam"));
  EXPECT_FALSE(Blocks(bob_, "spam2"));
  EXPECT_TRUE(Add(kRepositoryBlacklist, Hex(alice_)));
  EXPECT_TRUE(Blocks(alice_, "other"));
}

TEST_F(ListsTest, AnIdentifierThatReadsLikeAnEntryAboutSomebodyElseIsNotHeldByIt) {
  Load();
  Add(kRepositoryBlacklist, Hex(alice_));
  Add(kRepositoryBlacklist, Hex(alice_) + "/repo");
  EXPECT_FALSE(Blocks(bob_, Hex(alice_)));
  EXPECT_FALSE(Blocks(bob_, Hex(alice_) + "/repo"));
}

TEST_F(ListsTest, AHostWithoutPortHoldsEveryPortAndIsNeverASubstring) {
  Load();
  Add(kArchiveHosts, "git.example");
  Add(kArchiveHosts, "other.example:8443");
  const auto lists = lists_->snapshot();
  EXPECT_TRUE(lists->HoldsHost(kArchiveHosts, {"git.example", 443}));
  EXPECT_TRUE(lists->HoldsHost(kArchiveHosts, {"git.example", 8080}));
  EXPECT_TRUE(lists->HoldsHost(kArchiveHosts, {"other.example", 8443}));
  EXPECT_FALSE(lists->HoldsHost(kArchiveHosts, {"other.example", 443}));
  EXPECT_FALSE(lists->HoldsHost(kArchiveHosts, {"git.example.evil.org", 443}));
  EXPECT_FALSE(lists->HoldsHost(kArchiveHosts, {"notgit.example", 443}));
}

TEST_F(ListsTest, WhatWasAddedSurvivesARestartAndWhatWasRemovedDoesNot) {
  Load();
  EXPECT_TRUE(Add(kAuthorBlacklist, Npub(alice_)));
  EXPECT_TRUE(Add(kAuthorBlacklist, Npub(bob_)));
  EXPECT_FALSE(Add(kAuthorBlacklist, Hex(alice_)));
  EXPECT_TRUE(lists_->Remove(kAuthorBlacklist, Hex(bob_)).value());
  EXPECT_FALSE(lists_->Remove(kAuthorBlacklist, Hex(bob_)).value());
  Load();
  const auto entries = lists_->Entries(kAuthorBlacklist);
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_EQ(entries[0].text, Hex(alice_));
  EXPECT_EQ(entries[0].reason, "why");
  EXPECT_EQ(entries[0].added_at, kNow);
  EXPECT_FALSE(entries[0].from_settings);
  EXPECT_TRUE(lists_->snapshot()->HoldsAuthor(kAuthorBlacklist, alice_.public_key()));
  EXPECT_FALSE(lists_->snapshot()->HoldsAuthor(kAuthorBlacklist, bob_.public_key()));
}

TEST_F(ListsTest, InForceIsTheUnionOfSettingsAndAdditions) {
  PolicyLists::Configured configured;
  configured[static_cast<size_t>(kAuthorBlacklist)] = {Hex(alice_)};
  Load(configured);
  EXPECT_TRUE(Add(kAuthorBlacklist, Hex(bob_)));
  EXPECT_FALSE(Add(kAuthorBlacklist, Hex(alice_)));
  const auto lists = lists_->snapshot();
  EXPECT_TRUE(lists->HoldsAuthor(kAuthorBlacklist, alice_.public_key()));
  EXPECT_TRUE(lists->HoldsAuthor(kAuthorBlacklist, bob_.public_key()));
  EXPECT_TRUE(absl::IsFailedPrecondition(lists_->Remove(kAuthorBlacklist, Hex(alice_)).status()));
  Load();  // the settings have dropped it
  EXPECT_FALSE(lists_->snapshot()->HoldsAuthor(kAuthorBlacklist, alice_.public_key()));
}

TEST_F(ListsTest, ASnapshotDoesNotChangeAndEachChangeIsTold) {
  Load();
  int told = 0;
  lists_->OnChange([&told] { ++told; });
  const auto before = lists_->snapshot();
  Add(kAuthorBlacklist, Hex(alice_));
  Add(kAuthorBlacklist, Hex(alice_));  // no change
  EXPECT_EQ(told, 1);
  EXPECT_FALSE(before->HoldsAuthor(kAuthorBlacklist, alice_.public_key()));
  EXPECT_TRUE(lists_->snapshot()->HoldsAuthor(kAuthorBlacklist, alice_.public_key()));
}

TEST_F(ListsTest, AnUnreadableEntryInTheStoreStopsTheStart) {
  ASSERT_TRUE(store_->CompareAndSet("policy/author_blacklist/x", 0, "1\n\nalice").ok());
  const auto loaded = PolicyLists::Load(*store_, {});
  EXPECT_TRUE(absl::IsDataLoss(loaded.status()));
  EXPECT_THAT(std::string(loaded.status().message()), HasSubstr("policy/author_blacklist/x"));
}

TEST_F(ListsTest, AReasonIsOneShortLine) {
  Load();
  for (const std::string& reason : {std::string("a\nb"), std::string(257, 'x')}) {
    EXPECT_TRUE(
        absl::IsInvalidArgument(lists_->Add(kAuthorBlacklist, Hex(alice_), reason, kNow).status()));
  }
}

}  // namespace
}  // namespace graspd::ingest
