// Two relays in one process: what is on one comes to the other because an announcement says so.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "ingest/pipeline.h"
#include "ingest/policy/policy.h"
#include "net/address_guard.h"
#include "net/dialer.h"
#include "net/resolver.h"
#include "nostr/event_builder.h"
#include "nostr/nip34.h"
#include "services/relay/relay_service.h"
#include "storage/memory/memory_store.h"
#include "sync/sync_manager.h"

namespace graspd {
namespace {

using nostr::Event;
using nostr::EventBuilder;
using storage::Source;

constexpr std::chrono::seconds kPatience{30};

uint64_t UnixNow() { return base::SystemClock::Instance().UnixNow(); }

// A relay port with everything behind it. Remembers what was committed, so that tests can wait for
// it.
class TestRelay {
 public:
  TestRelay(ingest::PolicyMode mode, const std::string& instance) : policy_({mode, {}, false}) {
    relay::RelayService::Options options;
    options.listen = {net::ListenAddress::Parse("127.0.0.1:0").value()};
    options.instance = instance;
    options.secret_header = SecretHeader();
    auto service = relay::RelayService::Start(options, {*pipeline, store(), feed_, io, *reads, *cpu,
                                                        base::SystemClock::Instance(), metrics});
    EXPECT_TRUE(service.ok()) << service.status();
    service_ = *std::move(service);
    policy_.SetOwnHosts({{"127.0.0.1", address().port}});
    committed_ = feed_.Subscribe([this](const storage::CommitPtr& commit) { Note(*commit); });
    submitter_ = pipeline->Open(ingest::EventSink::Lane::kClient, io.thread(0), [](auto) {});
  }
  ~TestRelay() { Stop(); }

  /// Ends every connection and thread; what they use may go afterwards. Idempotent.
  void Stop() {
    if (!service_) return;
    // On its own thread, like everything done with a submitter.
    auto submitter = std::make_shared<std::unique_ptr<ingest::Submitter>>(std::move(submitter_));
    io.thread(0).Post([submitter] { submitter->reset(); });
    service_.reset();
    pipeline->Drain();
    reads->Stop();
    cpu->Stop();
    io.Stop();
  }

  static std::pair<std::string, std::string> SecretHeader() { return {"X-Test-Secret", "secret"}; }
  [[nodiscard]] net::SocketAddress address() const { return service_->addresses().at(0).tcp; }
  [[nodiscard]] std::string url() const { return "ws://" + address().ToString(); }
  storage::EventStore& store() { return *store_; }

  void Publish(const Event& event) {
    io.thread(0).Post([this, event] { submitter_->Submit(event, Source::kDirect); });
    WaitFor(event);
  }
  /// By which way it came.
  Source WaitFor(const Event& event) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, kPatience, [&] { return sources_.contains(event.id); }))
        << nostr::EventJson(event);
    return sources_[event.id];
  }

  base::Metrics metrics;
  net::IoPool io{2};
  std::unique_ptr<base::CpuPool> cpu = std::make_unique<base::CpuPool>(2);
  std::unique_ptr<base::BlockingPool> reads = std::make_unique<base::BlockingPool>(2, 256, "reads");

 private:
  void Note(const storage::Commit& commit) {
    {
      const std::lock_guard lock(mutex_);
      for (const auto& change : commit.changes) {
        if (change.type == storage::Change::Type::kAdded) sources_[change.id] = change.source;
      }
    }
    changed_.notify_all();
  }

  const std::unique_ptr<storage::EventStore> store_ = storage::OpenMemoryStore();
  storage::CommitFeed feed_;
  ingest::Policy policy_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<nostr::EventId, Source> sources_;
  std::unique_ptr<storage::CommitFeed::Subscription> committed_;

 public:
  std::unique_ptr<ingest::Pipeline> pipeline = std::make_unique<ingest::Pipeline>(
      ingest::Pipeline::Dependencies{*store_, feed_, policy_, *cpu, base::SystemClock::Instance(),
                                     metrics},
      nostr::Limits{});

 private:
  std::unique_ptr<relay::RelayService> service_;
  std::unique_ptr<ingest::Submitter> submitter_;
};

class SyncIntegrationTest : public ::testing::Test {
 protected:
  SyncIntegrationTest() {
    base::ConfigureLog(base::LogLevel::kWarn, base::LogFormat::kText);
    guard_.AddOwnEndpoint(ours_.address());
    sync::SyncManager::Options options{
        {},
        {nostr::RelayUrl::Parse(ours_.url()).value(), guard_.IssueSelfDialPermit(ours_.address()),
         TestRelay::SecretHeader()}};
    options.engine.instance = "ours";
    manager_ = std::make_unique<sync::SyncManager>(
        sync::SyncManager::Dependencies{
            ours_.store(), *ours_.pipeline, ours_.pipeline->known_refusals(), *dialer_, ours_.io,
            sync_io_.thread(0), *ours_.reads, *ours_.cpu, base::SystemClock::Instance(),
            base::SystemRandom::Instance(), ours_.metrics},
        std::move(options));
    EXPECT_TRUE(manager_->Start().ok());
  }
  // Connections may still be closing: their threads end before the sync thread and the dialler.
  ~SyncIntegrationTest() override {
    manager_->Stop();
    ours_.Stop();
    sync_io_.Stop();
  }

  Event Announcement(std::string_view identifier, std::initializer_list<std::string> relays) {
    EventBuilder builder(nostr::kRepositoryAnnouncement, UnixNow() - 1000);
    builder.Tag({"d", identifier});
    for (const auto& relay : relays) builder.Tag({"relays", relay});
    return builder.Sign(owner_);
  }
  Event Issue(std::string_view identifier, uint64_t created_at, std::string_view text) {
    const nostr::Address repo{nostr::kRepositoryAnnouncement, owner_.public_key(),
                              std::string(identifier)};
    return EventBuilder(nostr::kIssue, created_at)
        .Tag({"a", repo.ToString()})
        .Content(text)
        .Sign(owner_);
  }
  Event Comment(const Event& root, std::string_view text) {
    return EventBuilder(nostr::kComment, UnixNow() - 100)
        .Tag({"E", root.id.ToHex()})
        .Content(text)
        .Sign(owner_);
  }

  const nostr::SecretKey owner_ = nostr::SecretKey::FromSeed("owner");
  TestRelay theirs_{ingest::PolicyMode::kOpen, "theirs"};
  TestRelay ours_{ingest::PolicyMode::kGrasp, "ours"};
  net::IoPool sync_io_{1};
  net::AddressGuard guard_{{net::Cidr::Parse("127.0.0.0/8").value()}};
  std::unique_ptr<net::Resolver> resolver_ = net::MakeSystemResolver(1, 4);
  std::unique_ptr<net::Dialer> dialer_ = net::MakeDialer(guard_, *resolver_, {});
  std::unique_ptr<sync::SyncManager> manager_;
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

}  // namespace
}  // namespace graspd
