// What the tests of sync over loopback share: a relay of ours, and its sync.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
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

using nostr::Event;
using nostr::EventBuilder;
using storage::Source;

inline constexpr std::chrono::seconds kPatience{30};

inline uint64_t UnixNow() { return base::SystemClock::Instance().UnixNow(); }

/// A relay port with everything behind it. Remembers what was committed, so that tests can wait for
/// it.
class TestRelay {
 public:
  TestRelay(ingest::PolicyMode mode, const std::string& instance) : policy_({mode, {}, false}) {
    relay::RelayService::Options options;
    options.listen = {net::ListenAddress::Parse("127.0.0.1:0").value()};
    options.instance = instance;
    options.secret_header = SecretHeader();
    auto service =
        relay::RelayService::Start(options, {*pipeline, store(), feed_, neg_sets, io, *reads,
                                             *reads, *cpu, base::SystemClock::Instance(), metrics});
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
  [[nodiscard]] bool Committed(const nostr::EventId& id) {
    const std::lock_guard lock(mutex_);
    return sources_.contains(id);
  }

  void Publish(const Event& event) {
    io.thread(0).Post([this, event] { submitter_->Submit(event, Source::kDirect); });
    WaitFor(event);
  }
  /// By which way it came.
  Source WaitFor(const Event& event) {
    const auto deadline = base::SystemClock::Instance().Now() + kPatience;
    while (!Committed(event.id) && base::SystemClock::Instance().Now() < deadline) {
      Glance([&] { return sources_.contains(event.id); });
    }
    EXPECT_TRUE(Committed(event.id)) << nostr::EventJson(event);
    const std::lock_guard lock(mutex_);
    return sources_[event.id];
  }
  /// Waits for a moment, or until something has been committed after which `wanted` holds.
  void Glance(const std::function<bool()>& wanted = [] { return false; }) {
    while_waiting();
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::milliseconds(5), wanted);
  }
  /// Told again and again while a test waits.
  std::function<void()> while_waiting = [] {};

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
  std::shared_ptr<storage::NegSets> neg_sets = std::make_shared<storage::NegSets>(
      *store_, feed_, base::SystemClock::Instance(), 1'000'000, 64u << 20);
  std::unique_ptr<ingest::Pipeline> pipeline = std::make_unique<ingest::Pipeline>(
      ingest::Pipeline::Dependencies{*store_, feed_, policy_, *cpu, base::SystemClock::Instance(),
                                     metrics},
      nostr::Limits{});

 private:
  std::unique_ptr<relay::RelayService> service_;
  std::unique_ptr<ingest::Submitter> submitter_;
};

/// `ours_`, which syncs once StartSync() has been called.
class SyncFixture : public ::testing::Test {
 protected:
  SyncFixture() { base::ConfigureLog(base::LogLevel::kError, base::LogFormat::kText); }
  // Connections may still be closing: their threads end before the sync thread and the dialler.
  ~SyncFixture() override {
    if (manager_) manager_->Stop();
    ours_.Stop();
    sync_io_.Stop();
  }

  /// Where sync has its connections.
  virtual net::IoPool& ConnectionThreads() { return ours_.io; }
  /// The store as sync sees it.
  virtual storage::EventStore& StoreForSync() { return ours_.store(); }

  void StartSync(const std::function<void(sync::SyncManager::Options&)>& change = nullptr) {
    guard_.AddOwnEndpoint(ours_.address());
    sync::SyncManager::Options options{
        {},
        {nostr::RelayUrl::Parse(ours_.url()).value(), guard_.IssueSelfDialPermit(ours_.address()),
         TestRelay::SecretHeader()},
        nullptr};
    options.engine.instance = "ours";
    options.engine.local_ranges = {loopback_};
    if (change) change(options);
    manager_ = std::make_unique<sync::SyncManager>(
        sync::SyncManager::Dependencies{StoreForSync(), ours_.neg_sets, *ours_.pipeline,
                                        ours_.pipeline->known_refusals(), *dialer_,
                                        ConnectionThreads(), sync_io_.thread(0), *ours_.reads,
                                        *ours_.reads, *ours_.cpu, base::SystemClock::Instance(),
                                        base::SystemRandom::Instance(), ours_.metrics},
        std::move(options));
    EXPECT_TRUE(manager_->Start().ok());
  }

  Event Announcement(std::string_view identifier, const std::vector<std::string>& relays) {
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

  /// Waits until the remote is as `wanted` says.
  sync::RemoteSnapshot WaitForRemote(
      const std::string& url, const std::function<bool(const sync::RemoteSnapshot&)>& wanted) {
    const auto deadline = base::SystemClock::Instance().Now() + kPatience;
    for (;;) {
      const auto remotes = manager_->Remotes(kPatience).value();
      const auto remote = std::find_if(remotes.begin(), remotes.end(), [&](const auto& one) {
        return one.url == nostr::RelayUrl::Parse(url).value();
      });
      const bool found = remote != remotes.end();
      if (found && wanted(*remote)) return *remote;
      if (base::SystemClock::Instance().Now() > deadline) {
        ADD_FAILURE() << url << " is "
                      << (found ? sync::RemoteStateName(remote->state) : "no remote") << ": "
                      << (found ? remote->state_reason : "");
        return found ? *remote : sync::RemoteSnapshot{nostr::RelayUrl::Parse(url).value()};
      }
      ours_.Glance();
    }
  }

  const net::Cidr loopback_ = net::Cidr::Parse("127.0.0.0/8").value();
  const nostr::SecretKey owner_ = nostr::SecretKey::FromSeed("owner");
  TestRelay ours_{ingest::PolicyMode::kGrasp, "ours"};
  net::IoPool sync_io_{1};
  net::AddressGuard guard_{{.allow = {loopback_}}};
  net::SystemResolver resolver_;
  std::unique_ptr<net::Dialer> dialer_ = net::MakeDialer(guard_, resolver_, {});
  std::unique_ptr<sync::SyncManager> manager_;
};

}  // namespace graspd
