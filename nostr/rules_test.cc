#include "nostr/rules.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

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

TEST(ClassOf, FollowsTheRangesOfNip01) {
  for (const Kind kind : {1, 2, 4, 44, 1000, 9999, 40000, 65535}) {
    EXPECT_EQ(ClassOf(kind), KindClass::kRegular) << kind;
  }
  for (const Kind kind : {0, 3, 10000, 19999}) {
    EXPECT_EQ(ClassOf(kind), KindClass::kReplaceable) << kind;
  }
  for (const Kind kind : {20000, 22242, 29999}) {
    EXPECT_EQ(ClassOf(kind), KindClass::kEphemeral) << kind;
  }
  for (const Kind kind : {30000, 30617, 39999}) {
    EXPECT_EQ(ClassOf(kind), KindClass::kAddressable) << kind;
  }
}

TEST(AddressOf, UsesTheFirstDTagOfAddressableKindsOnly) {
  EXPECT_EQ(AddressOf(MakeEvent(30617, {{"x"}, {"d", "one"}, {"d", "two"}}))->ToString(),
            "30617:" + kAuthor + ":one");
  EXPECT_EQ(AddressOf(MakeEvent(30617, {}))->identifier, "");
  EXPECT_EQ(AddressOf(MakeEvent(10317, {{"d", "one"}}))->identifier, "");
  EXPECT_FALSE(AddressOf(MakeEvent(1, {{"d", "one"}})));
  EXPECT_FALSE(AddressOf(MakeEvent(20001, {{"d", "one"}})));
}

TEST(ParseAddress, IsTheInverseOfToString) {
  for (const std::string& text : {"30617:" + kAuthor + ":repo",
                                  "30617:" + kAuthor + ":with:colons:", "30000:" + kAuthor + ":",
                                  "10317:" + kAuthor + ":", "0:" + kAuthor + ":"}) {
    const auto address = ParseAddress(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(address->ToString(), text);
  }
  EXPECT_EQ(ParseAddress("3:" + kAuthor), ParseAddress("3:" + kAuthor + ":"));
}

TEST(ParseAddress, RefusesOtherForms) {
  for (const std::string& text : std::vector<std::string>{
           "", ":", "30617", "30617:", ":" + kAuthor + ":x", "30617:" + kAuthor,
           "30617:" + kAuthor + "x", "30617:" + kAuthor.substr(1) + ":x",
           "30617:" + std::string(64, 'A') + ":x", "030617:" + kAuthor + ":x",
           "65536:" + kAuthor + ":x", "-1:" + kAuthor + ":x", "+3:" + kAuthor + ":",
           " 3:" + kAuthor + ":", "1:" + kAuthor + ":", "20000:" + kAuthor + ":x",
           "10317:" + kAuthor + ":x"}) {
    EXPECT_FALSE(ParseAddress(text)) << text;
  }
}

TEST(Supersedes, NewerWinsThenLowerId) {
  EventId low, high;
  high.bytes[0] = 1;
  EXPECT_TRUE(Supersedes(2, high, 1, low));
  EXPECT_FALSE(Supersedes(1, low, 2, high));
  EXPECT_TRUE(Supersedes(1, low, 1, high));
  EXPECT_FALSE(Supersedes(1, high, 1, low));
  EXPECT_FALSE(Supersedes(1, low, 1, low));
}

TEST(DeletionTargets, TakeIdsAndOwnAddressesOnceEach) {
  const std::string id(64, '1');
  const std::string own = "30617:" + kAuthor + ":repo";
  const auto targets = DeletionTargetsOf(MakeEvent(5, {{"e", id},
                                                       {"e", id, "wss://hint"},
                                                       {"e", "not hex"},
                                                       {"e"},
                                                       {"a", own},
                                                       {"a", own},
                                                       {"a", "30617:" + kOther + ":repo"},
                                                       {"a", "1:" + kAuthor + ":"},
                                                       {"k", "30617"},
                                                       {"p", id}}));
  ASSERT_EQ(targets.ids.size(), 1u);
  EXPECT_EQ(targets.ids[0].ToHex(), id);
  ASSERT_EQ(targets.addresses.size(), 1u);
  EXPECT_EQ(targets.addresses[0].ToString(), own);
}

TEST(Expiration, IsTheFirstTagIfItIsAPlainInteger) {
  EXPECT_EQ(ExpirationOf(MakeEvent(1, {{"expiration", "100"}, {"expiration", "5"}})), 100u);
  EXPECT_EQ(ExpirationOf(MakeEvent(1, {{"expiration", "18446744073709551615"}})), ~0ull);
  for (const char* text :
       {"", "abc", "-1", "+1", "1.0", "1e3", " 1", "1 ", "0x10", "18446744073709551616"}) {
    EXPECT_FALSE(ExpirationOf(MakeEvent(1, {{"expiration", text}, {"expiration", "5"}}))) << text;
  }
  EXPECT_FALSE(ExpirationOf(MakeEvent(1, {})));
}

TEST(Expiration, CountsFromItsSecondOn) {
  const Event event = MakeEvent(1, {{"expiration", "100"}});
  EXPECT_FALSE(IsExpired(event, 99));
  EXPECT_TRUE(IsExpired(event, 100));
  EXPECT_TRUE(IsExpired(MakeEvent(1, {{"expiration", "0"}}), 1));
  EXPECT_FALSE(IsExpired(MakeEvent(1, {{"expiration", "abc"}}), 1));
  EXPECT_FALSE(IsExpired(MakeEvent(1, {}), ~0ull));
}

TEST(Protected, IsADashTag) {
  EXPECT_TRUE(IsProtected(MakeEvent(1, {{"t", "x"}, {"-"}})));
  EXPECT_FALSE(IsProtected(MakeEvent(1, {{"t", "-"}})));
}

TEST(Protected, IsNotToBeEmbeddedInARepost) {
  const std::string open = EventJson(MakeEvent(1, {{"t", "x"}}));
  const std::string closed = EventJson(MakeEvent(1, {{"-"}}));
  const auto embeds = [](Kind kind, std::string content) {
    Event repost = MakeEvent(kind, {});
    repost.content = std::move(content);
    return EmbedsProtected(repost);
  };
  for (const Kind kind : {6, 16}) {
    EXPECT_TRUE(embeds(kind, closed));
    EXPECT_TRUE(embeds(kind, " " + closed + "\n"));
    for (const std::string& content : {open, std::string(), std::string("[\"-\"]")}) {
      EXPECT_FALSE(embeds(kind, content)) << content;
    }
  }
  EXPECT_FALSE(embeds(1, closed));
}

}  // namespace
}  // namespace graspd::nostr
