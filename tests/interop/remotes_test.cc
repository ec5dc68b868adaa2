// Our sync engine with relays that others wrote: one that speaks NIP-77, one that does not.
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "base/clock.h"
#include "nostr/event_builder.h"
#include "nostr/keys.h"
#include "nostr/nip34.h"
#include "nostr/rules.h"
#include "tests/e2e/admin_client.h"
#include "tests/e2e/relay_client.h"
#include "tests/e2e/support.h"
#include "tests/interop/fixture.h"
#include "tools/demo/repository.h"

namespace graspd::e2e {
namespace {

namespace v1 = graspd::admin::v1;
using nostr::Event;
using nostr::EventBuilder;

constexpr char kOurHost[] = "relay.test";
constexpr char kOurUrl[] = "ws://relay.test";
constexpr char kReady[] = "ready ws://127.0.0.1:";

struct Software {
  std::string name;
  std::vector<std::string> command;  // PORT and FILE follow
  v1::SyncMethod method;
  // Otherwise its live subscriptions bring events whose tags nobody asked for.
  bool heeds_tags_live;
};
void PrintTo(const Software& software, std::ostream* out) { *out << software.name; }

// A relay that somebody else wrote. Its port stays when it is started again.
class Peer {
 public:
  Peer(const Software& software, const TempDir& dir)
      : command_(software.command), file_(dir / "peer.jsonl"), log_(dir / "peer.log") {}

  /// Serves `events` and what it was given before.
  void Start(const std::vector<Event>& events) {
    std::ofstream file(file_, std::ios::app);
    for (const Event& event : events) file << nostr::EventJson(event) << "\n";
    file.close();
    std::vector<std::string> arguments = command_;
    arguments.insert(arguments.end(), {port_, file_});
    process_ = Value(demo::ChildProcess::Start(arguments, log_, kReady, kPatience));
    port_ = process_->ready_line().substr(sizeof kReady - 1);
  }
  void Kill() {
    process_->Signal(SIGKILL);
    (void)Value(process_->Wait(kPatience));
  }
  [[nodiscard]] std::string url() const { return "ws://127.0.0.1:" + port_; }

 private:
  const std::vector<std::string> command_;
  const std::string file_, log_;
  std::string port_ = "0";
  std::unique_ptr<demo::ChildProcess> process_;
};

// Ours knows the peer from its settings alone, and is named by the announcement that the peer has.
class RemotesTest : public testing::TestWithParam<Software> {
 protected:
  void SetUp() override { RequireInteropSoftware(); }

  void StartOurs() {
    ours_ = std::make_unique<Graspd>(
        dir_, "ours-" + std::to_string(starts_++),
        std::vector<std::string>{std::string("--relay-urls=") + kOurUrl,
                                 "--store=lmdb:" + dir_ / "store", "--sync-startup-delay=0s",
                                 "--sync-allow-cidrs=127.0.0.0/8",
                                 "--sync-bootstrap=" + peer_.url()});
  }
  // With a port before it has events, because the announcement names it.
  void StartPeerWithRepository(int more_issues) {
    peer_.Start({});
    peer_.Kill();
    const auto repository = demo::GenerateRepository({kOurUrl, peer_.url()}, {kOurHost});
    announcement_ = repository.announcement;
    events_ = repository.events;
    events_.push_back(announcement_);
    // Seven in a second, so that pages end within one.
    for (int i = 0; i < more_issues; ++i) {
      const uint64_t at = announcement_.created_at + static_cast<uint64_t>(i) / 7;
      events_.push_back(Issue("Issue " + std::to_string(i), at));
    }
    peer_.Start(events_);
  }
  Event Issue(const std::string& text,
              uint64_t at = base::SystemClock::Instance().UnixNow()) const {
    return EventBuilder(nostr::kIssue, at)
        .Tag({"a", nostr::AddressOf(announcement_)->ToString()})
        .Content(text)
        .Sign(author_);
  }
  Event Comment(const Event& root) const {
    const std::string id = root.id.ToHex(), kind = std::to_string(root.kind);
    return EventBuilder(nostr::kComment, root.created_at)
        .Tag({"E", id})
        .Tag({"K", kind})
        .Tag({"e", id})
        .Tag({"k", kind})
        .Content("Seen")
        .Sign(author_);
  }

  [[nodiscard]] v1::Remote Remote() const { return AdminClient(ours_->admin()).Find(peer_.url()); }
  bool BecomesLive() const {
    return Eventually([&] { return AdminClient(ours_->admin()).IsLive(peer_.url()); });
  }
  // The counters follow what subscribers are told.
  void ExpectStored(uint64_t count) const {
    EXPECT_TRUE(Eventually([&] { return Remote().counts().stored() >= count; }));
    EXPECT_TRUE(BecomesLive());  // an event that brings more into scope is followed by catching up
    const v1::Remote remote = Remote();
    EXPECT_EQ(remote.counts().stored(), count);
    EXPECT_EQ(remote.counts().rejected(), 0u);
    EXPECT_EQ(remote.counts().parked(), 0u);
    if (GetParam().heeds_tags_live) {
      EXPECT_EQ(remote.counts().invalid(), 0u);
    }
    EXPECT_EQ(remote.method(), GetParam().method);
  }

  const TempDir dir_;
  const nostr::SecretKey author_ = nostr::SecretKey::FromSeed("interop");
  Peer peer_{GetParam(), dir_};
  Event announcement_;
  std::vector<Event> events_;
  std::unique_ptr<Graspd> ours_;
  int starts_ = 0;
};

TEST_P(RemotesTest, EverythingArrivesAndASecondComparisonBringsNothing) {
  StartPeerWithRepository(600);
  StartOurs();
  ASSERT_TRUE(BecomesLive());
  ASSERT_TRUE(Eventually([&] { return AllStored(ours_->relay_url()) == IdsOf(events_); }));
  ExpectStored(events_.size());

  ASSERT_EQ(ours_->Stop(), 0);
  StartOurs();
  ASSERT_TRUE(BecomesLive());
  ExpectStored(0);
  const v1::RemoteCounts counts = Remote().counts();
  if (GetParam().method == v1::SYNC_METHOD_NEGENTROPY) {
    EXPECT_EQ(counts.needed(), 0u);
    EXPECT_EQ(counts.received(), 0u);
  } else {
    EXPECT_EQ(counts.received(), counts.duplicate());
    EXPECT_GE(counts.duplicate(), events_.size());
  }
}

TEST_P(RemotesTest, WhatIsPublishedThereReachesOurSubscribersAlsoAfterItsRestart) {
  StartPeerWithRepository(0);
  StartOurs();
  ASSERT_TRUE(BecomesLive());
  ExpectStored(events_.size());
  RelayClient subscriber(ours_->relay_url());
  subscriber.Subscribe("live", {{.kinds = {{nostr::kIssue, nostr::kComment}}, .limit = 0}});

  const Event live = Issue("Live"), comment = Comment(live);
  {
    RelayClient publisher(peer_.url());
    publisher.Publish({live});
    EXPECT_TRUE(subscriber.AwaitEvent("live", live.id));
    // Found by the id of its root, which is in scope since a moment ago.
    publisher.Publish({comment});
    EXPECT_TRUE(subscriber.AwaitEvent("live", comment.id));
  }

  peer_.Kill();
  const Event missed = Issue("Published while we were not connected");
  peer_.Start({live, comment, missed});
  EXPECT_TRUE(subscriber.AwaitEvent("live", missed.id));
  ASSERT_TRUE(BecomesLive());
  const Event later = Issue("Live again");
  RelayClient(peer_.url()).Publish({later});
  EXPECT_TRUE(subscriber.AwaitEvent("live", later.id));
  ExpectStored(events_.size() + 4);
}

// What it brings beyond our filters costs the live subscription, not the connection.
TEST_P(RemotesTest, EventsOfOthersDoNoHarm) {
  StartPeerWithRepository(0);
  StartOurs();
  ASSERT_TRUE(BecomesLive());
  std::vector<Event> notes;
  for (int i = 0; i < 30; ++i) {
    notes.push_back(EventBuilder(1, base::SystemClock::Instance().UnixNow())
                        .Content("Note " + std::to_string(i))
                        .Sign(author_));
  }
  const Event issue = Issue("Behind the notes");
  RelayClient subscriber(ours_->relay_url());
  subscriber.Subscribe("live", {{.kinds = {{nostr::kIssue}}, .limit = 0}});
  RelayClient publisher(peer_.url());
  publisher.Publish(notes);
  if (!GetParam().heeds_tags_live) {
    EXPECT_TRUE(Eventually([&] { return Remote().state() == v1::REMOTE_STATE_LIVE_WITH_GAPS; }));
    EXPECT_FALSE(Remote().address().empty()) << "still connected";
    return;
  }
  publisher.Publish({issue});
  EXPECT_TRUE(subscriber.AwaitEvent("live", issue.id));
  EXPECT_EQ(Remote().counts().invalid(), 0u);
}

INSTANTIATE_TEST_SUITE_P(
    Of, RemotesTest,
    testing::Values(Software{"RustNostr",
                             {kPython, kNoBytecode, PythonScript("rust_relay.py")},
                             v1::SYNC_METHOD_NEGENTROPY,
                             true},
                    Software{"NostrRelay",
                             {kNode, kBesideTheLink, NodeScript("nostr_relay.mjs")},
                             v1::SYNC_METHOD_REQ,
                             false}),
    [](const auto& software) { return software.param.name; });

}  // namespace
}  // namespace graspd::e2e
