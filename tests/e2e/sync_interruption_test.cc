// Sync that is interrupted: by a remote that goes away, by a pause, by our own end. Ours in grasp
// mode on LMDB, the upstream in open mode; both real processes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "nostr/event_builder.h"
#include "nostr/keys.h"
#include "nostr/nip19.h"
#include "nostr/nip34.h"
#include "nostr/rules.h"
#include "tests/e2e/admin_client.h"
#include "tests/e2e/relay_client.h"
#include "tests/e2e/support.h"

namespace graspd::e2e {
namespace {

namespace v1 = graspd::admin::v1;
using nostr::Event;
using nostr::EventBuilder;

constexpr char kOurHost[] = "relay.test", kOurUrl[] = "ws://relay.test";

class InterruptionTest : public testing::Test {
 protected:
  void StartUpstream(std::vector<std::string> flags = {}) {
    flags.insert(flags.end(),
                 {UpstreamStore(), "--policy-mode=open", "--limits-events-per-second=0"});
    // Comes back where it was.
    if (!upstream_address_.empty()) flags.push_back("--relay-listen=" + upstream_address_);
    upstream_ = std::make_unique<Graspd>(dir_, "upstream-" + std::to_string(starts_++), flags);
    upstream_address_ = upstream_->relay();
  }
  void StartOurs(std::vector<std::string> flags = {}) {
    flags.insert(flags.end(), {std::string("--relay-urls=") + kOurUrl,
                               "--sync-allow-cidrs=127.0.0.0/8", "--store=lmdb:" + dir_ / "ours",
                               "--sync-startup-delay=0s", "--limits-limit-max=100000"});
    ours_ = std::make_unique<Graspd>(dir_, "ours-" + std::to_string(starts_++), flags);
  }
  [[nodiscard]] std::string UpstreamStore() const { return "--store=lmdb:" + dir_ / "upstream"; }
  [[nodiscard]] std::string UpstreamUrl() const { return "ws://" + upstream_address_; }
  [[nodiscard]] v1::RemoteState State() const {
    return AdminClient(ours_->admin()).Find(UpstreamUrl()).state();
  }
  [[nodiscard]] bool BecomesLive() const {
    return Eventually([&] { return State() == v1::REMOTE_STATE_LIVE; });
  }
  // What nobody hears live: the upstream is not running.
  void ImportUpstream(const std::vector<Event>& events) const {
    const std::string file = dir_ / "import.jsonl";
    {
      std::ofstream out(file);
      for (const auto& event : events) out << nostr::EventJson(event) << "\n";
    }
    const Outcome outcome =
        RunGraspd({"import", file, "--strict", UpstreamStore(), "--policy-mode=open"});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  }

  static uint64_t Now() { return base::SystemClock::Instance().UnixNow(); }
  [[nodiscard]] Event Announcement(const std::string& name, uint64_t created_at) const {
    return EventBuilder(nostr::kRepositoryAnnouncement, created_at)
        .Tag({"d", name})
        .Tag({"clone", "http://" + std::string(kOurHost) + "/" +
                           nostr::EncodeNpub(owner_.public_key()) + "/" + name + ".git"})
        .Tag({"relays", kOurUrl, UpstreamUrl()})
        .Sign(owner_);
  }
  [[nodiscard]] Event Tagged(nostr::Kind kind, const std::string& tag, const std::string& value,
                             uint64_t created_at, const std::string& text = "") const {
    return EventBuilder(kind, created_at).Tag({tag, value}).Content(text).Sign(contributor_);
  }

  const TempDir dir_;
  const nostr::SecretKey owner_ = nostr::SecretKey::FromSeed("owner");
  const nostr::SecretKey contributor_ = nostr::SecretKey::FromSeed("contributor");
  std::unique_ptr<Graspd> upstream_, ours_;
  std::string upstream_address_;
  int starts_ = 0;
};

// ---- a remote that goes away -------------------------------------------------------------------

struct Peer {
  const char* name;
  std::vector<std::string> flags;
  bool reconciles;
};
class ReconnectTest : public InterruptionTest, public testing::WithParamInterface<Peer> {};

TEST_P(ReconnectTest, NothingThatWasPublishedMeanwhileIsMissingTenSecondsLater) {
  StartUpstream(GetParam().flags);
  StartOurs();
  const uint64_t now = Now(), long_ago = now - 400 * 86400;
  const Event tool = Announcement("tool", now - 100);
  const std::string address = nostr::AddressOf(tool)->ToString();
  const Event issue = Tagged(nostr::kIssue, "a", address, now - 90, "known before");
  const Event patch = Tagged(nostr::kPatch, "a", address, now - 80, "known before");
  RelayClient(upstream_->relay_url()).Publish({tool, issue, patch});
  RelayClient(ours_->relay_url()).Publish({tool});
  ASSERT_TRUE(BecomesLive());
  ASSERT_TRUE(Eventually([&] { return HasStored(ours_->relay_url(), patch.id); }));

  ASSERT_EQ(upstream_->Stop(), 0);
  ASSERT_TRUE(Eventually([&] { return State() == v1::REMOTE_STATE_BACKING_OFF; }));
  constexpr nostr::Kind kState = 30618, kGraspList = 10317, kNote = 1;
  const Event second = Announcement("second", now);
  const Event new_root = Tagged(nostr::kIssue, "a", address, now, "new");
  std::vector<Event> meanwhile = {
      // Layer 1.
      second,
      EventBuilder(kState, now).Tag({"d", "tool"}).Sign(owner_),
      EventBuilder(kGraspList, now).Tag({"g", kOurUrl}).Sign(owner_),
      // Layer 2, and what belongs to a repository that was unknown.
      new_root,
      Tagged(kNote, "A", address, now),
      Tagged(kNote, "q", address, now),
      Tagged(nostr::kIssue, "a", nostr::AddressOf(second)->ToString(), now),
      // Layer 3, and what belongs to a root that was unknown.
      Tagged(nostr::kComment, "E", issue.id.ToHex(), now),
      Tagged(kNote, "e", patch.id.ToHex(), now),
      Tagged(kNote, "q", issue.id.ToHex(), now),
      Tagged(nostr::kComment, "E", new_root.id.ToHex(), now),
  };
  if (GetParam().reconciles) {
    meanwhile.push_back(Tagged(nostr::kIssue, "a", address, long_ago, "published late"));
    meanwhile.push_back(Tagged(kNote, "e", issue.id.ToHex(), long_ago, "published late"));
  }
  ImportUpstream(meanwhile);
  StartUpstream(GetParam().flags);

  const std::set<nostr::EventId> expected = IdsOf(meanwhile);
  std::optional<base::SteadyTime> connected;
  const auto missing = [&] {
    if (!connected && State() != v1::REMOTE_STATE_BACKING_OFF &&
        State() != v1::REMOTE_STATE_CONNECTING) {
      connected = base::SystemClock::Instance().Now();
    }
    std::set<nostr::EventId> left = expected;
    for (const auto& id : AllStored(ours_->relay_url())) left.erase(id);
    return left;
  };
  EXPECT_TRUE(Eventually([&] { return missing().empty(); })) << missing().size() << " missing";
  if (connected) {
    EXPECT_LT(base::SystemClock::Instance().Now() - *connected, std::chrono::seconds(10));
  }
  EXPECT_TRUE(BecomesLive());
}
INSTANTIATE_TEST_SUITE_P(All, ReconnectTest,
                         testing::Values(Peer{"Reconciling", {}, true},
                                         // Refuses every set of more than one event.
                                         Peer{"ReadByPages", {"--limits-neg-set-items=1"}, false}),
                         [](const auto& of) { return of.param.name; });

// ---- in the middle of a catch-up ---------------------------------------------------------------

class LongCatchUpTest : public InterruptionTest {
 protected:
  static constexpr int kIssues = 8000;

  // Returns in the middle of it.
  void Begin() {
    StartUpstream();
    StartOurs();
    announcement_ = Announcement("tool", Now() - 100);
    const std::string address = nostr::AddressOf(*announcement_)->ToString();
    ASSERT_EQ(upstream_->Stop(), 0);
    std::vector<Event> issues;
    for (int i = 0; i < kIssues; ++i) {
      issues.push_back(Tagged(nostr::kIssue, "a", address, Now() - 50, std::to_string(i)));
    }
    ImportUpstream(issues);
    StartUpstream();
    expected_ = IdsOf(issues);
    expected_.insert(announcement_->id);
    RelayClient(ours_->relay_url()).Publish({*announcement_});
    ASSERT_TRUE(Eventually([&] { return Received() > 0; }));
  }
  [[nodiscard]] uint64_t Received() const {
    return AdminClient(ours_->admin()).Find(UpstreamUrl()).counts().received();
  }
  [[nodiscard]] std::set<nostr::EventId> Stored() const { return AllStored(ours_->relay_url()); }

  std::optional<Event> announcement_;
  std::set<nostr::EventId> expected_;
};

TEST_F(LongCatchUpTest, APauseEndsItAtOnceAndResumingFinishesIt) {
  Begin();
  AdminClient(ours_->admin()).Pause(UpstreamUrl());
  // What the connection had handed on is still judged.
  ASSERT_TRUE(Eventually([&] {
    return HttpGet(ours_->ops(), "/metrics").body.find("graspd_ingest_in_flight_events 0\n") !=
           std::string::npos;
  }));
  const uint64_t received = Received();
  EXPECT_LT(received, uint64_t{kIssues}) << "the pause came too late to show anything";
  const size_t stored = Stored().size();
  EXPECT_TRUE(Eventually([&] {
    return HttpGet(upstream_->ops(), "/metrics").body.find("graspd_relay_connections 0\n") !=
           std::string::npos;
  }));
  EXPECT_EQ(Received(), received);
  EXPECT_EQ(Stored().size(), stored);
  AdminClient(ours_->admin()).Resume(UpstreamUrl());
  EXPECT_TRUE(Eventually([&] { return Stored() == expected_; }));
}

TEST_F(LongCatchUpTest, SigtermEndsItInTimeAndTheNextStartFinishesIt) {
  Begin();
  ours_->process().Signal(SIGTERM);
  const auto exit_code = ours_->process().Wait(std::chrono::seconds(10));
  ASSERT_TRUE(exit_code.ok()) << exit_code.status();
  EXPECT_EQ(*exit_code, 0);
  StartOurs();
  EXPECT_TRUE(Eventually([&] { return Stored() == expected_; }));
}

TEST_F(LongCatchUpTest, KilledInTheMiddleTheNextStartFinishesIt) {
  Begin();
  ours_->Kill();
  StartOurs();
  EXPECT_TRUE(Eventually([&] { return Stored() == expected_; }));
}

}  // namespace
}  // namespace graspd::e2e
