#include "nostr/nip34.h"

#include <gtest/gtest.h>

#include <string>

namespace graspd::nostr {
namespace {

const std::string kAuthor(64, 'a');
const std::string kOther(64, 'b');

Event MakeEvent(Kind kind, std::initializer_list<std::initializer_list<std::string_view>> tags) {
  Event event;
  event.kind = kind;
  event.pubkey = *PublicKey::FromHex(kAuthor);
  for (const auto& tag : tags) event.tags.Add(tag);
  return event;
}

TEST(ParseAnnouncement, ReadsAllValuesOfAllTags) {
  const auto announcement = ParseAnnouncement(
      MakeEvent(kRepositoryAnnouncement,
                {{"d", "repo"},
                 {"name", "A repository"},
                 {"relays", "wss://one", "wss://two"},
                 {"clone", "https://one/x.git"},
                 {"relays", "wss://three"},
                 {"clone", "https://two/x.git", "git://three"},
                 {"maintainers", kOther, "npub1nothex", std::string_view(kOther).substr(1)},
                 {"maintainers", kAuthor},
                 {"relays"}}));
  ASSERT_TRUE(announcement.ok()) << announcement.status();
  EXPECT_EQ(announcement->address.ToString(), "30617:" + kAuthor + ":repo");
  EXPECT_EQ(announcement->relays,
            (std::vector<std::string>{"wss://one", "wss://two", "wss://three"}));
  EXPECT_EQ(announcement->clone,
            (std::vector<std::string>{"https://one/x.git", "https://two/x.git", "git://three"}));
  EXPECT_EQ(announcement->maintainers,
            (std::vector{*PublicKey::FromHex(kOther), *PublicKey::FromHex(kAuthor)}));
}

TEST(ParseAnnouncement, RefusesOtherKindsAndDoubtfulIdentifiers) {
  EXPECT_FALSE(ParseAnnouncement(MakeEvent(kRepositoryState, {{"d", "repo"}})).ok());
  EXPECT_FALSE(ParseAnnouncement(MakeEvent(kRepositoryAnnouncement, {})).ok());
  EXPECT_FALSE(
      ParseAnnouncement(MakeEvent(kRepositoryAnnouncement, {{"d", "repo"}, {"d", "repo"}})).ok());
  for (const std::string_view identifier :
       {std::string_view(""), std::string_view("."), std::string_view(".."),
        std::string_view("a/b"), std::string_view("a\\b"), std::string_view("a\0b", 3)}) {
    const auto announcement =
        ParseAnnouncement(MakeEvent(kRepositoryAnnouncement, {{"d", identifier}}));
    EXPECT_EQ(announcement.status().code(), absl::StatusCode::kInvalidArgument) << identifier;
  }
  EXPECT_TRUE(ParseAnnouncement(MakeEvent(kRepositoryAnnouncement, {{"d", "..."}})).ok());
}

TEST(ReferencesOf, TakesTheTagsThatCountOnceEach) {
  const std::string id(64, '1'), other_id(64, '2'), quoted_id(64, '3');
  const std::string repo = "30617:" + kOther + ":repo", upper = "30617:" + kOther + ":a:b",
                    quoted = "30617:" + kOther + ":quoted";
  const auto references = ReferencesOf(MakeEvent(kComment, {{"a", repo},
                                                            {"a", repo, "wss://hint"},
                                                            {"A", upper},
                                                            {"q", quoted},
                                                            {"q", quoted_id},
                                                            {"e", id, "", "root"},
                                                            {"E", other_id},
                                                            {"e", other_id},
                                                            {"e", repo},
                                                            {"a", id},
                                                            {"e", "x"},
                                                            {"p", kOther},
                                                            {"d", repo},
                                                            {"q"}}));
  ASSERT_EQ(references.addresses.size(), 3u);
  EXPECT_EQ(references.addresses[0].ToString(), upper);
  EXPECT_EQ(references.addresses[1].ToString(), quoted);
  EXPECT_EQ(references.addresses[2].ToString(), repo);
  ASSERT_EQ(references.ids.size(), 3u);
  EXPECT_EQ(references.ids[0].ToHex(), id);
  EXPECT_EQ(references.ids[1].ToHex(), other_id);
  EXPECT_EQ(references.ids[2].ToHex(), quoted_id);
}

TEST(IsRootKind, OnlyPatchesPullRequestsAndIssues) {
  for (const Kind kind : {kPatch, kPullRequest, kIssue}) EXPECT_TRUE(IsRootKind(kind)) << kind;
  for (const Kind kind : {kPullRequestUpdate, kLegacyReply, kComment, kRepositoryAnnouncement}) {
    EXPECT_FALSE(IsRootKind(kind)) << kind;
  }
}

}  // namespace
}  // namespace graspd::nostr
