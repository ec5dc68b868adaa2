#include "ingest/policy/policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "nostr/event_builder.h"
#include "nostr/keys.h"
#include "nostr/nip19.h"
#include "nostr/nip34.h"
#include "storage/memory/memory_store.h"

namespace graspd::ingest {
namespace {

using nostr::Event;
using nostr::EventBuilder;
using nostr::SecretKey;
using storage::Outcome;
using testing::HasSubstr;

constexpr uint64_t kNow = 1'700'000'000;

// Judges what the policy is asked, and keeps what was said last.
class NotingJudge final : public storage::Judge {
 public:
  explicit NotingJudge(PolicyOptions options) : policy_(std::move(options)) {}
  absl::StatusOr<Verdict> Decide(const Event& event, storage::Source source,
                                 const storage::ReadView& view) override {
    auto verdict = policy_.Decide(event, source, view);
    if (verdict.ok()) last = *verdict;
    return verdict;
  }
  Verdict last;

 private:
  Policy policy_;
};

class PolicyTest : public testing::Test {
 protected:
  PolicyTest() { Use(Grasp()); }
  static PolicyOptions Grasp() {
    PolicyOptions options;
    options.own_hosts = {{"relay.example", 443}};
    return options;
  }
  void Use(PolicyOptions options) {
    options.lists = lists_.get();
    judge_ = std::make_unique<NotingJudge>(std::move(options));
  }
  void List(PolicyList list, std::string_view entry) {
    EXPECT_TRUE(lists_->Add(list, entry, "", kNow).value()) << entry;
  }
  bool Known(const Event& event) { return store_->Known({{event.id}}).value()[0]; }

  Outcome Write(const Event& event) { return WriteTo(*store_, event); }
  Outcome WriteTo(storage::EventStore& store, const Event& event) {
    const std::vector<storage::WriteRequest> batch = {
        {nostr::MakeRecord(event), storage::Source::kDirect}};
    auto result = store.Write(batch, *judge_, kNow);
    EXPECT_TRUE(result.ok()) << result.status();
    return result->results[0].outcome;
  }
  testing::AssertionResult Accepts(const Event& event) {
    if (Write(event) == Outcome::kStored) return testing::AssertionSuccess();
    return testing::AssertionFailure() << judge_->last.message;
  }
  // The reason, and whether a later event may lift it.
  testing::AssertionResult Refuses(const Event& event, std::string_view prefix, bool waits) {
    if (Write(event) != Outcome::kRefused) return testing::AssertionFailure() << "not refused";
    if (!judge_->last.message.starts_with(prefix) || judge_->last.waits != waits) {
      return testing::AssertionFailure() << judge_->last.message << " waits " << judge_->last.waits;
    }
    return testing::AssertionSuccess();
  }

  static std::string ClonePath(const SecretKey& key, std::string_view identifier) {
    return "/" + nostr::EncodeNpub(key.public_key()) + "/" + std::string(identifier) + ".git";
  }
  static std::string Clone(const SecretKey& key, std::string_view identifier) {
    return "https://relay.example" + ClonePath(key, identifier);
  }
  // An announcement that lists us.
  static Event Announcement(const SecretKey& key, std::string_view identifier,
                            uint64_t created_at = kNow) {
    return EventBuilder(nostr::kRepositoryAnnouncement, created_at)
        .Tag({"d", identifier})
        .Tag({"relays", "wss://relay.example"})
        .Tag({"clone", Clone(key, identifier)})
        .Sign(key);
  }
  static std::string Coordinate(const SecretKey& key, std::string_view identifier) {
    return "30617:" + key.public_key().ToHex() + ":" + std::string(identifier);
  }

  const std::unique_ptr<storage::EventStore> store_ = storage::OpenMemoryStore();
  const std::unique_ptr<PolicyLists> lists_ = PolicyLists::Load(*store_, {}).value();
  std::unique_ptr<NotingJudge> judge_;
  const SecretKey alice_ = SecretKey::FromSeed("alice");
  const SecretKey bob_ = SecretKey::FromSeed("bob");
  const SecretKey carol_ = SecretKey::FromSeed("carol");
};

TEST_F(PolicyTest, AnAnnouncementMustListThisServiceAsParsedHostAndPort) {
  struct Case {
    const char* relay;
    std::string clone;
    bool accepted;
  };
  const std::string path = ClonePath(alice_, "repo");
  const std::string hex_path = "/" + alice_.public_key().ToHex() + "/repo.git";
  const Case cases[] = {
      {"wss://relay.example", "https://relay.example" + path, true},
      {"wss://RELAY.example:443/", "https://Relay.Example" + hex_path, true},
      {"wss://relay.example/some/path", "https://relay.example" + path, true},
      {"wss://relay.example", "https://relay.example" + ClonePath(alice_, "%72ep%6F"), true},
      {"wss://relay.example.evil.org", "https://relay.example" + path, false},
      {"wss://evil.org/relay.example", "https://relay.example" + path, false},
      {"wss://evil.org/?x=relay.example", "https://relay.example" + path, false},
      {"ws://relay.example", "https://relay.example" + path, false},
      {"wss://relay.example:8443", "https://relay.example" + path, false},
      {"wss://relay.example", "https://evil.org" + path, false},
      {"wss://relay.example", "https://relay.example/repo.git", false},
      {"wss://relay.example", "https://relay.example" + ClonePath(bob_, "repo"), false},
      {"wss://relay.example", "https://relay.example" + ClonePath(alice_, "other"), false},
      {"wss://relay.example", "https://relay.example" + ClonePath(alice_, "repo%2"), false},
      {"wss://relay.example", "https://relay.example/x" + path, false},
      {"wss://relay.example", "https://relay.example" + path + "/", false},
      {"not a url", "relay.example" + path, false},
  };
  for (const Case& c : cases) {
    const auto empty = storage::OpenMemoryStore();
    const Event event = EventBuilder(nostr::kRepositoryAnnouncement, kNow)
                            .Tag({"d", "repo"})
                            .Tag({"relays", "wss://other.example", c.relay})
                            .Tag({"clone", "https://other.example/x.git", c.clone})
                            .Sign(alice_);
    EXPECT_EQ(WriteTo(*empty, event) == Outcome::kStored, c.accepted) << c.relay << " " << c.clone;
  }
}

TEST_F(PolicyTest, WithoutAGitServerTheRelayListingIsEnough) {
  const Event event = EventBuilder(nostr::kRepositoryAnnouncement, kNow)
                          .Tag({"d", "repo"})
                          .Tag({"relays", "wss://relay.example"})
                          .Sign(alice_);
  EXPECT_TRUE(Refuses(event, "restricted: ", true));
  PolicyOptions options = Grasp();
  options.require_clone = false;
  Use(options);
  EXPECT_TRUE(Accepts(event));
}

TEST_F(PolicyTest, AMalformedAnnouncementIsInvalidForGood) {
  for (const char* identifier : {"", ".", "..", "a/b", "a\\b"}) {
    EXPECT_TRUE(Refuses(Announcement(alice_, identifier), "invalid: ", false)) << identifier;
  }
  const Event twice = EventBuilder(nostr::kRepositoryAnnouncement, kNow)
                          .Tag({"d", "repo"})
                          .Tag({"d", "other"})
                          .Tag({"relays", "wss://relay.example"})
                          .Sign(alice_);
  EXPECT_TRUE(Refuses(twice, "invalid: ", false));
}

TEST_F(PolicyTest, ArchiveModeTakesEveryWellFormedAnnouncement) {
  Use({PolicyMode::kArchive, {}, true});
  EXPECT_TRUE(
      Accepts(EventBuilder(nostr::kRepositoryAnnouncement, kNow).Tag({"d", "repo"}).Sign(alice_)));
  EXPECT_TRUE(
      Refuses(EventBuilder(nostr::kRepositoryAnnouncement, kNow).Sign(alice_), "invalid: ", false));
  EXPECT_TRUE(Refuses(EventBuilder(1, kNow).Sign(alice_), kOrphanRefusal, true));
}

TEST_F(PolicyTest, OpenModeTakesEverything) {
  Use({PolicyMode::kOpen, {}, true});
  EXPECT_TRUE(Accepts(EventBuilder(1, kNow).Sign(alice_)));
}

TEST_F(PolicyTest, AMaintainersAnnouncementNeedNotListUsAndMayNameFurtherOnes) {
  const auto names = [&](const SecretKey& author, const SecretKey& maintainer, bool lists_us) {
    EventBuilder builder(nostr::kRepositoryAnnouncement, kNow);
    builder.Tag({"d", "repo"}).Tag({"maintainers", maintainer.public_key().ToHex()});
    if (lists_us) {
      builder.Tag({"relays", "wss://relay.example"}).Tag({"clone", Clone(author, "repo")});
    }
    return builder.Sign(author);
  };
  const Event bobs = names(bob_, carol_, false);
  EXPECT_TRUE(Refuses(bobs, "restricted: ", true));
  EXPECT_TRUE(Accepts(names(alice_, bob_, true)));
  EXPECT_TRUE(Accepts(bobs));
  EXPECT_TRUE(Accepts(names(carol_, carol_, false)));
}

TEST_F(PolicyTest, NamingOneselfOpensNothing) {
  EXPECT_TRUE(Refuses(EventBuilder(nostr::kRepositoryAnnouncement, kNow)
                          .Tag({"d", "repo"})
                          .Tag({"maintainers", alice_.public_key().ToHex()})
                          .Sign(alice_),
                      "restricted: ", true));
}

TEST_F(PolicyTest, AnOwnerWhoLeavesIsHeardAndTheNewerVersionTakesThePlace) {
  const Event leaving =
      EventBuilder(nostr::kRepositoryAnnouncement, kNow + 1).Tag({"d", "repo"}).Sign(alice_);
  EXPECT_TRUE(Refuses(leaving, "restricted: ", true));
  const Event listing = Announcement(alice_, "repo");
  EXPECT_TRUE(Accepts(listing));
  EXPECT_TRUE(Accepts(leaving));
  EXPECT_EQ(Known(listing), false);
  // Another repository, and the same one of somebody else, are no such versions.
  EXPECT_TRUE(
      Refuses(EventBuilder(nostr::kRepositoryAnnouncement, kNow + 1).Tag({"d", "repo"}).Sign(bob_),
              "restricted: ", true));
}

TEST_F(PolicyTest, NothingOfABlockedAuthorIsTakenInWhateverModeAndWhateverItIs) {
  EXPECT_TRUE(Accepts(Announcement(alice_, "repo")));
  List(PolicyList::kAuthorBlacklist, nostr::EncodeNpub(bob_.public_key()));
  const Event events[] = {
      Announcement(bob_, "repo"),
      EventBuilder(nostr::kIssue, kNow).Tag({"a", Coordinate(alice_, "repo")}).Sign(bob_),
      EventBuilder(nostr::kUserGraspList, kNow).Sign(bob_),
      EventBuilder(nostr::kDeletionKind, kNow).Tag({"k", "1"}).Sign(bob_),
      EventBuilder(nostr::kRepositoryState, kNow).Tag({"d", "repo"}).Sign(bob_),
      EventBuilder(0, kNow).Sign(bob_),
      EventBuilder(20'001, kNow).Sign(bob_),
  };
  for (const auto mode : {PolicyMode::kGrasp, PolicyMode::kArchive, PolicyMode::kOpen}) {
    PolicyOptions options = Grasp();
    options.mode = mode;
    Use(options);
    for (const Event& event : events) EXPECT_TRUE(Refuses(event, "blocked: ", false)) << event.kind;
  }
  EXPECT_TRUE(Accepts(
      EventBuilder(nostr::kIssue, kNow).Tag({"a", Coordinate(alice_, "repo")}).Sign(carol_)));
  EXPECT_TRUE(lists_->Remove(PolicyList::kAuthorBlacklist, bob_.public_key().ToHex()).value());
  EXPECT_TRUE(Accepts(events[0]));
}

TEST_F(PolicyTest, ABlockedRepositoryIsRefusedBeforeEveryException) {
  // Alice names Bob, who would be accepted as a maintainer, in archive mode, or as a newer version.
  EXPECT_TRUE(Accepts(EventBuilder(nostr::kRepositoryAnnouncement, kNow)
                          .Tag({"d", "repo"})
                          .Tag({"relays", "wss://relay.example"})
                          .Tag({"clone", Clone(alice_, "repo")})
                          .Tag({"maintainers", bob_.public_key().ToHex()})
                          .Sign(alice_)));
  EXPECT_TRUE(Accepts(Announcement(bob_, "repo")));
  const std::string npub = nostr::EncodeNpub(bob_.public_key());
  uint64_t at = kNow;
  for (const std::string& entry : {npub, npub + "/repo", std::string("repo")}) {
    List(PolicyList::kRepositoryBlacklist, entry);
    for (const auto mode : {PolicyMode::kGrasp, PolicyMode::kArchive, PolicyMode::kOpen}) {
      PolicyOptions options = Grasp();
      options.mode = mode;
      Use(options);
      EXPECT_TRUE(Refuses(Announcement(bob_, "repo", ++at), "blocked: ", false)) << entry;
    }
    EXPECT_EQ(Write(Announcement(bob_, "other", at)) == Outcome::kStored, entry != npub) << entry;
    // The list is about announcements: what refers to the one that is stored is judged as ever.
    EXPECT_TRUE(Accepts(
        EventBuilder(nostr::kIssue, ++at).Tag({"a", Coordinate(bob_, "repo")}).Sign(carol_)));
    EXPECT_TRUE(lists_->Remove(PolicyList::kRepositoryBlacklist, entry).value());
  }
}

TEST_F(PolicyTest, AWhitelistNarrowsWhoMayListUsAndNothingElse) {
  EXPECT_TRUE(Accepts(Announcement(alice_, "before")));
  List(PolicyList::kRepositoryWhitelist, nostr::EncodeNpub(alice_.public_key()) + "/repo");
  EXPECT_TRUE(Refuses(Announcement(alice_, "other"), "restricted: ", true));
  EXPECT_TRUE(Refuses(Announcement(bob_, "repo"), "restricted: ", true));
  EXPECT_TRUE(Accepts(EventBuilder(nostr::kRepositoryAnnouncement, kNow)
                          .Tag({"d", "repo"})
                          .Tag({"relays", "wss://relay.example"})
                          .Tag({"clone", Clone(alice_, "repo")})
                          .Tag({"maintainers", bob_.public_key().ToHex()})
                          .Sign(alice_)));
  EXPECT_TRUE(Accepts(Announcement(bob_, "repo")));  // as a maintainer
  EXPECT_TRUE(Accepts(Announcement(alice_, "before", kNow + 1)));
}

TEST_F(PolicyTest, TheArchiveTakesWhatItsListsNameByParsedHost) {
  PolicyOptions options = Grasp();
  options.mode = PolicyMode::kArchive;
  Use(options);
  List(PolicyList::kArchiveRepositories, "linux");
  List(PolicyList::kArchiveHosts, "git.example");
  const auto announced = [&](std::string_view identifier, std::string_view tag,
                             std::string_view url) {
    return EventBuilder(nostr::kRepositoryAnnouncement, kNow)
        .Tag({"d", identifier})
        .Tag({tag, url})
        .Sign(alice_);
  };
  EXPECT_TRUE(Accepts(announced("linux", "web", "https://x.example")));
  EXPECT_TRUE(Accepts(announced("a", "clone", "https://GIT.example:8443/x.git")));
  EXPECT_TRUE(Accepts(announced("b", "relays", "wss://git.example")));
  EXPECT_TRUE(Refuses(announced("c", "web", "https://git.example"), "restricted: ", true));
  EXPECT_TRUE(
      Refuses(announced("d", "clone", "https://git.example.evil.org/x.git"), "restricted: ", true));
  EXPECT_TRUE(
      Refuses(announced("e", "clone", "https://evil.org/git.example"), "restricted: ", true));
  EXPECT_TRUE(Refuses(announced("linux2", "relays", "wss://other.example"), "restricted: ", true));
  EXPECT_TRUE(Accepts(Announcement(bob_, "mine")));  // lists us
}

TEST_F(PolicyTest, EveryRefusalIsCountedByItsReason) {
  base::Metrics metrics;
  PolicyOptions options = Grasp();
  options.metrics = &metrics;
  Use(options);
  EXPECT_TRUE(Accepts(Announcement(alice_, "repo")));
  EXPECT_TRUE(Refuses(Announcement(alice_, ".."), "invalid: ", false));
  EXPECT_TRUE(Refuses(EventBuilder(1, kNow).Sign(bob_), kOrphanRefusal, true));
  const std::string text = metrics.Serialize();
  EXPECT_THAT(text, HasSubstr("graspd_ingest_policy_judged_total 3"));
  EXPECT_THAT(text, HasSubstr("graspd_ingest_policy_refusals_total{reason=\"malformed\"} 1"));
  EXPECT_THAT(text, HasSubstr("graspd_ingest_policy_refusals_total{reason=\"orphan\"} 1"));
  EXPECT_THAT(text, HasSubstr("graspd_ingest_policy_refusals_total{reason=\"not_listed\"} 0"));
}

TEST_F(PolicyTest, AStateNeedsAnAnnouncementAndAnAuthorFromItsMaintainers) {
  const auto state = [](const SecretKey& key) {
    return EventBuilder(nostr::kRepositoryState, kNow).Tag({"d", "repo"}).Sign(key);
  };
  EXPECT_TRUE(Refuses(state(alice_), "invalid: no announcement", true));
  const Event announcement = EventBuilder(nostr::kRepositoryAnnouncement, kNow)
                                 .Tag({"d", "repo"})
                                 .Tag({"relays", "wss://relay.example"})
                                 .Tag({"clone", Clone(alice_, "repo")})
                                 .Tag({"maintainers", bob_.public_key().ToHex()})
                                 .Sign(alice_);
  EXPECT_TRUE(Accepts(announcement));
  EXPECT_TRUE(Accepts(state(alice_)));
  EXPECT_TRUE(Accepts(state(bob_)));
  EXPECT_TRUE(Refuses(state(carol_), "restricted: ", true));
  EXPECT_TRUE(
      Refuses(EventBuilder(nostr::kRepositoryState, kNow).Sign(alice_), "invalid: ", false));
}

TEST_F(PolicyTest, AnEventThatRefersToAStoredOneIsAccepted) {
  const Event repository = Announcement(alice_, "a:b");
  EXPECT_TRUE(Accepts(repository));
  for (const char* tag : {"a", "A", "q"}) {
    EXPECT_TRUE(
        Accepts(EventBuilder(nostr::kIssue, kNow).Tag({tag, Coordinate(alice_, "a:b")}).Sign(bob_)))
        << tag;
  }
  uint64_t at = kNow;
  for (const char* tag : {"e", "E", "q"}) {
    EXPECT_TRUE(Accepts(EventBuilder(1, ++at).Tag({tag, repository.id.ToHex()}).Sign(bob_))) << tag;
  }
}

TEST_F(PolicyTest, OnlyTheWholeCoordinateCounts) {
  EXPECT_TRUE(Accepts(Announcement(alice_, "one")));
  EXPECT_TRUE(Accepts(Announcement(bob_, "two")));
  // Author of the one with the identifier of the other: no such repository.
  const Event crossed = EventBuilder(nostr::kIssue, kNow)
                            .Tag({"a", Coordinate(alice_, "two")})
                            .Tag({"a", Coordinate(bob_, "one")})
                            .Sign(carol_);
  EXPECT_TRUE(Refuses(crossed, kOrphanRefusal, true));
  const Event cut =
      EventBuilder(nostr::kIssue, kNow).Tag({"a", Coordinate(alice_, "one:x")}).Sign(carol_);
  EXPECT_TRUE(Refuses(cut, kOrphanRefusal, true));
  const Event wrong_tag =
      EventBuilder(nostr::kIssue, kNow).Tag({"p", alice_.public_key().ToHex()}).Sign(carol_);
  EXPECT_TRUE(Refuses(wrong_tag, kOrphanRefusal, true));
}

TEST_F(PolicyTest, AnEventThatAStoredOneRefersToIsAccepted) {
  EXPECT_TRUE(Accepts(Announcement(alice_, "repo")));
  const Event note = EventBuilder(1, kNow).Content("hello").Sign(bob_);
  const Event article = EventBuilder(30023, kNow).Tag({"d", "x"}).Sign(bob_);
  const Event profile = EventBuilder(0, kNow).Sign(carol_);
  for (const Event& event : {note, article, profile}) {
    EXPECT_TRUE(Refuses(event, kOrphanRefusal, true));
  }
  EXPECT_TRUE(Accepts(EventBuilder(nostr::kIssue, kNow)
                          .Tag({"a", Coordinate(alice_, "repo")})
                          .Tag({"q", note.id.ToHex()})
                          .Tag({"a", "30023:" + bob_.public_key().ToHex() + ":x"})
                          .Tag({"a", "0:" + carol_.public_key().ToHex()})
                          .Sign(alice_)));
  for (const Event& event : {note, article, profile}) EXPECT_TRUE(Accepts(event));
}

TEST_F(PolicyTest, ADeletionNeedsAKnownTargetOrAuthorAndOpensNoDoor) {
  EXPECT_TRUE(Accepts(Announcement(alice_, "repo")));
  const Event note = EventBuilder(1, kNow).Sign(carol_);
  const auto deletion = [&](const SecretKey& key, const Event& target) {
    return EventBuilder(nostr::kDeletionKind, kNow).Tag({"e", target.id.ToHex()}).Sign(key);
  };
  EXPECT_TRUE(Refuses(deletion(carol_, note), "restricted: ", true));
  EXPECT_TRUE(Accepts(deletion(alice_, note)));
  // Now stored events refer to the note, but only as something to be deleted.
  EXPECT_TRUE(Refuses(note, kOrphanRefusal, true));
}

TEST_F(PolicyTest, AGraspListIsTakenFromAnyoneUpToItsSizeAndOpensNoDoor) {
  EXPECT_TRUE(Accepts(
      EventBuilder(nostr::kUserGraspList, kNow).Tag({"g", "wss://relay.example"}).Sign(bob_)));
  const Event list = EventBuilder(nostr::kUserGraspList, kNow).Sign(carol_);
  EXPECT_TRUE(Accepts(list));
  EXPECT_TRUE(Refuses(EventBuilder(1, kNow)
                          .Tag({"e", list.id.ToHex()})
                          .Tag({"a", "10317:" + carol_.public_key().ToHex() + ":"})
                          .Sign(carol_),
                      kOrphanRefusal, true));
  EXPECT_TRUE(Refuses(
      EventBuilder(nostr::kUserGraspList, kNow + 1).Content(std::string(20'000, 'x')).Sign(bob_),
      "restricted: ", false));
}

TEST_F(PolicyTest, AChildIsAcceptedBehindItsParentInTheSameBatch) {
  const Event parent = Announcement(alice_, "repo");
  const Event child =
      EventBuilder(nostr::kIssue, kNow).Tag({"a", Coordinate(alice_, "repo")}).Sign(bob_);
  const std::vector<storage::WriteRequest> batch = {
      {nostr::MakeRecord(parent), storage::Source::kDirect},
      {nostr::MakeRecord(child), storage::Source::kDirect}};
  const auto result = store_->Write(batch, *judge_, kNow);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->results[0].outcome, Outcome::kStored);
  EXPECT_EQ(result->results[1].outcome, Outcome::kStored);
}

// Whoever is accepted may store what they like under a stranger's identifier.
TEST_F(PolicyTest, ManyEventsWithItsIdentifierDoNotHideAnAnnouncement) {
  const Event announcement = EventBuilder(nostr::kRepositoryAnnouncement, kNow - 100)
                                 .Tag({"d", "repo"})
                                 .Tag({"relays", "wss://relay.example"})
                                 .Tag({"clone", Clone(alice_, "repo")})
                                 .Tag({"maintainers", bob_.public_key().ToHex()})
                                 .Sign(alice_);
  ASSERT_TRUE(Accepts(announcement));
  Event comment = EventBuilder(1111, kNow)
                      .Tag({"a", Coordinate(alice_, "repo")})
                      .Tag({"d", "repo"})
                      .Sign(carol_);
  std::vector<storage::WriteRequest> comments;
  for (int i = 0; i < 10'000; ++i) {
    comment.id.bytes = {static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i)};
    comments.push_back({nostr::MakeRecord(comment), storage::Source::kDirect});
  }
  ASSERT_TRUE(store_->Write(comments, *judge_, kNow).ok());
  const auto state = [](const SecretKey& key) {
    return EventBuilder(nostr::kRepositoryState, kNow).Tag({"d", "repo"}).Sign(key);
  };
  EXPECT_TRUE(Accepts(state(bob_)));
  EXPECT_TRUE(Refuses(state(carol_), "restricted: ", true));
}

// Deletions are taken from anybody known: they must not hide who really refers to an event.
TEST_F(PolicyTest, ManyDeletionsOfAnEventDoNotKeepItOut) {
  const auto stranger = SecretKey::FromSeed("stranger");
  const Event announcement = Announcement(alice_, "repo");
  ASSERT_TRUE(Accepts(announcement));
  const auto parent = EventBuilder(1, kNow).Content("referred to").Sign(alice_);
  const auto child = EventBuilder(1111, kNow - 100)
                         .Tag({"a", nostr::AddressOf(announcement)->ToString()})
                         .Tag({"e", parent.id.ToHex()})
                         .Sign(alice_);
  ASSERT_TRUE(Accepts(child));
  ASSERT_TRUE(Accepts(EventBuilder(nostr::kUserGraspList, kNow).Sign(stranger)));
  for (int i = 0; i < 150; ++i) {
    ASSERT_TRUE(Accepts(EventBuilder(nostr::kDeletionKind, kNow)
                            .Tag({"e", parent.id.ToHex()})
                            .Content(std::to_string(i))
                            .Sign(stranger)));
  }
  EXPECT_TRUE(Accepts(parent));
}

}  // namespace
}  // namespace graspd::ingest
