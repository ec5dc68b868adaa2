// Two relays in one process: what is on one comes to the other because an announcement says so.
#include "nostr/rules.h"
#include "storage/testing/forwarding_store.h"
#include "tests/integration/sync_fixture.h"

namespace graspd {
namespace {

class SyncIntegrationTest : public SyncFixture {
 protected:
  SyncIntegrationTest() { StartSync(); }
  ~SyncIntegrationTest() override {
    manager_->Stop();  // hangs up before `theirs_` goes
    ours_.Stop();
  }

  TestRelay theirs_{ingest::PolicyMode::kOpen, "theirs"};
};

TEST_F(SyncIntegrationTest, AnAnnouncementHereBringsWhatTheOtherRelayHasAndWillHave) {
  std::vector<Event> there;
  for (int i = 0; i < 300; ++i) {
    there.push_back(Issue("tool", UnixNow() - 500 - i, std::to_string(i)));
    there.push_back(Comment(there.back(), "on it"));
  }
  for (const auto& event : there) theirs_.Publish(event);
  const Event foreign = EventBuilder(1, UnixNow()).Content("not about any repository").Sign(owner_);
  theirs_.Publish(foreign);

  ours_.Publish(Announcement("tool", {ours_.url(), theirs_.url()}));
  for (const auto& event : there) EXPECT_EQ(ours_.WaitFor(event), Source::kStartup);
  const auto known = ours_.store().Known(std::vector{foreign.id});
  ASSERT_TRUE(known.ok());
  EXPECT_FALSE(known->at(0));

  // From now on live. The comment comes once layer 3 has the new issue, live or caught up.
  const Event issue = Issue("tool", UnixNow(), "new");
  theirs_.Publish(issue);
  EXPECT_EQ(ours_.WaitFor(issue), Source::kLive);
  const Event comment = Comment(issue, "new as well");
  theirs_.Publish(comment);
  ours_.WaitFor(comment);

  const auto remotes = manager_->Remotes(kPatience);
  ASSERT_TRUE(remotes.ok());
  const auto remote = std::find_if(remotes->begin(), remotes->end(), [&](const auto& r) {
    return r.url.ToString() == theirs_.url();
  });
  ASSERT_NE(remote, remotes->end());
  EXPECT_EQ(remote->method, sync::SyncMethod::kNegentropy);
  EXPECT_EQ(remote->address, theirs_.address().ToString());
  EXPECT_TRUE(manager_->hears_itself());
}

TEST_F(SyncIntegrationTest, APausedRemoteIsLeftAndCaughtUpWithAfterwards) {
  const auto url = nostr::RelayUrl::Parse(theirs_.url()).value();
  const Event first = Issue("tool", UnixNow(), "before the pause");
  theirs_.Publish(first);
  ours_.Publish(Announcement("tool", {ours_.url(), theirs_.url()}));
  ours_.WaitFor(first);

  EXPECT_THAT(*manager_->Pause(url, kPatience), true);
  const Event meanwhile = Issue("tool", UnixNow(), "meanwhile");
  theirs_.Publish(meanwhile);
  const auto remotes = manager_->Remotes(kPatience);
  ASSERT_TRUE(remotes.ok());
  EXPECT_TRUE(std::any_of(remotes->begin(), remotes->end(), [&](const auto& remote) {
    return remote.url == url && remote.state == sync::RemoteState::kPaused;
  }));
  EXPECT_THAT(*manager_->Resume(url, false, kPatience), true);
  ours_.WaitFor(meanwhile);
}

TEST_F(SyncIntegrationTest, AFullComparisonFetchesNothingThatWasBroughtInVainBefore) {
  const auto url = nostr::RelayUrl::Parse(theirs_.url()).value();
  theirs_.Publish(Announcement("tool", {theirs_.url()}));  // older than ours
  theirs_.Publish(Announcement("foreign", {theirs_.url()}));
  const Event issue = Issue("tool", UnixNow(), "wanted");
  theirs_.Publish(issue);
  ours_.Publish(EventBuilder(nostr::kRepositoryAnnouncement, UnixNow())
                    .Tag({"d", "tool"})
                    .Tag({"relays", ours_.url(), theirs_.url()})
                    .Sign(owner_));
  ours_.WaitFor(issue);
  const auto settled = [&] {
    for (;;) {
      const auto remotes = manager_->Remotes(kPatience).value();
      for (const auto& remote : remotes) {
        if (remote.url == url && remote.state == sync::RemoteState::kLive) return remote.counts;
      }
    }
  };
  const auto before = settled();
  EXPECT_GE(before.needed, 3u);
  ASSERT_TRUE(manager_->TriggerSync(url, kPatience).ok());
  const auto after = settled();
  EXPECT_EQ(after.needed, before.needed);
  EXPECT_EQ(after.received, before.received);
}

TEST_F(SyncIntegrationTest, RelaysThatStrangersNameAddNoSeriesToTheMetrics) {
  const auto series = [this] {
    const std::string text = ours_.metrics.Serialize();
    return std::count(text.begin(), text.end(), '\n');
  };
  const auto before = series();
  for (int i = 0; i < 500; ++i) {
    std::vector<std::string> relays = {ours_.url()};
    for (int n = 1; n < 20; ++n) {
      relays.push_back("wss://r" + std::to_string(20 * i + n) + ".invalid");
    }
    ours_.Publish(Announcement("repo-" + std::to_string(i), relays));
  }
  ASSERT_TRUE(manager_->TriggerDiscovery(kPatience).ok());
  EXPECT_GT(manager_->Candidates(kPatience).value().size(), 9000u);
  EXPECT_EQ(series(), before);
}

// A store that something else happens to, once, right after a query.
class InterruptedStore final : public storage::testing::ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;
  absl::StatusOr<storage::QueryPage> Query(const storage::QuerySpec& spec,
                                           const storage::QueryCursor* resume) override {
    auto page = ForwardingStore::Query(spec, resume);
    if (auto what = std::exchange(after_query, nullptr)) what();
    return page;
  }
  std::function<void()> after_query;
};

class DiscoveryTest : public SyncFixture {
 protected:
  DiscoveryTest() { StartSync(); }
  storage::EventStore& StoreForSync() override { return store_; }
  bool IsRemote(const std::string& url) {
    const auto remotes = manager_->Remotes(kPatience).value();
    return std::any_of(remotes.begin(), remotes.end(),
                       [&](const auto& remote) { return remote.url.ToString() == url; });
  }
  InterruptedStore store_{ours_.store()};
};

TEST_F(DiscoveryTest, WhatIsDeletedWhileItReadsStaysDeleted) {
  const std::string url = "ws://127.0.0.1:1";
  const auto announcement = Announcement("tool", {ours_.url(), url});
  ours_.Publish(announcement);
  ASSERT_TRUE(manager_->TriggerDiscovery(kPatience).ok());
  ASSERT_TRUE(IsRemote(url));
  store_.after_query = [&] {
    ours_.Publish(EventBuilder(nostr::kDeletionKind, UnixNow())
                      .Tag({"e", announcement.id.ToHex()})
                      .Sign(owner_));
    while (IsRemote(url)) std::this_thread::yield();
  };
  ASSERT_TRUE(manager_->TriggerDiscovery(kPatience).ok());
  EXPECT_EQ(store_.after_query, nullptr);
  EXPECT_FALSE(IsRemote(url));
}

}  // namespace
}  // namespace graspd
