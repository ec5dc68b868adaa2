// Proactive sync between real processes: ours in grasp mode on LMDB, upstreams in open mode in
// memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "base/clock.h"
#include "net/test_support.h"
#include "nostr/event_builder.h"
#include "nostr/keys.h"
#include "nostr/nip34.h"
#include "nostr/rules.h"
#include "tests/e2e/admin_client.h"
#include "tests/e2e/relay_client.h"
#include "tests/e2e/support.h"
#include "tools/demo/repository.h"

namespace graspd::e2e {
namespace {

namespace v1 = graspd::admin::v1;
using nostr::Event;
using nostr::EventBuilder;
using testing::HasSubstr;

class SyncTest : public testing::Test {
 protected:
  // A public name that stays when a restart changes the port.
  static constexpr char kOurHost[] = "relay.test";
  static constexpr char kOurUrl[] = "ws://relay.test";

  std::unique_ptr<Graspd> StartUpstream(const std::string& name) {
    return std::make_unique<Graspd>(
        dir_, name,
        std::vector<std::string>{"--store=memory:", "--policy-mode=open",
                                 "--limits-events-per-second=0"});
  }

  void StartOurs(std::vector<std::string> flags = {}) {
    flags.insert(flags.end(), {"--store=lmdb:" + dir_ / "store", "--sync-startup-delay=0s"});
    ours_ = std::make_unique<Graspd>(dir_, "ours-" + std::to_string(starts_++), flags);
  }
  void StartOursNamed(const std::string& allowed = "--sync-allow-cidrs=127.0.0.0/8") {
    StartOurs({std::string("--relay-urls=") + kOurUrl, allowed});
  }

  AdminClient Admin() const { return AdminClient(ours_->admin()); }
  bool BecomesLive(const Graspd& upstream) const {
    return Eventually([&] { return Admin().IsLive(upstream.relay_url()); });
  }

  Event Announcement(const std::vector<std::string>& relays, const std::string& clone_host) {
    return demo::GenerateRepository(relays, {clone_host}).announcement;
  }

  Event Issue(const Event& announcement, const std::string& text) const {
    return EventBuilder(nostr::kIssue, Now())
        .Tag({"a", nostr::AddressOf(announcement)->ToString()})
        .Content(text)
        .Sign(author_);
  }
  // Refers to its root by the id alone.
  Event Comment(const Event& root) const {
    const std::string id = root.id.ToHex(), kind = std::to_string(root.kind);
    return EventBuilder(nostr::kComment, Now())
        .Tag({"E", id})
        .Tag({"K", kind})
        .Tag({"e", id})
        .Tag({"k", kind})
        .Content("Seen here too")
        .Sign(author_);
  }
  static uint64_t Now() { return base::SystemClock::Instance().UnixNow(); }

  const TempDir dir_;
  const nostr::SecretKey author_ = nostr::SecretKey::FromSeed("end to end");
  std::unique_ptr<Graspd> ours_;
  int starts_ = 0;
};

// One upstream with a generated repository, announced to ours as well.
class RepositorySyncTest : public SyncTest {
 protected:
  RepositorySyncTest()
      : upstream_(StartUpstream("upstream")),
        repository_(demo::GenerateRepository({kOurUrl, upstream_->relay_url()}, {kOurHost})) {
    expected_ = IdsOf(repository_.events);
    RelayClient(upstream_->relay_url()).Publish(repository_.events);
    StartOursNamed();
    expected_.insert(repository_.announcement.id);
    RelayClient(ours_->relay_url()).Publish({repository_.announcement});
  }

  bool EverythingArrives() {
    RelayClient client(ours_->relay_url());
    client.Subscribe("all", {{.limit = 5000}});
    return client.Await([&](const RelayClient::Heard& heard) {
      const auto events = heard.events.find("all");
      return events != heard.events.end() &&
             std::includes(events->second.begin(), events->second.end(), expected_.begin(),
                           expected_.end());
    });
  }

  const std::unique_ptr<Graspd> upstream_;
  const demo::Repository repository_;
  std::set<nostr::EventId> expected_;
};

TEST_F(RepositorySyncTest, AnAnnouncementBringsTheWholeRepositoryFromTheRelayItNames) {
  ASSERT_TRUE(EverythingArrives());
  ASSERT_TRUE(BecomesLive(*upstream_));
  EXPECT_EQ(AllStored(ours_->relay_url()), expected_);
  // Subscribers are told at the commit; the counters follow.
  EXPECT_TRUE(Eventually([&] {
    return Admin().Find(upstream_->relay_url()).counts().stored() == repository_.events.size();
  }));
  const v1::Remote remote = Admin().Find(upstream_->relay_url());
  EXPECT_EQ(remote.method(), v1::SYNC_METHOD_NEGENTROPY);
  EXPECT_EQ(remote.source(), v1::REMOTE_SOURCE_DISCOVERED);
  EXPECT_EQ(remote.counts().duplicate(), 0u);
  EXPECT_EQ(remote.counts().rejected(), 0u);
  EXPECT_EQ(remote.counts().invalid(), 0u);
}

TEST_F(RepositorySyncTest, WhatIsPublishedUpstreamReachesOurSubscribersLive) {
  ASSERT_TRUE(EverythingArrives());
  ASSERT_TRUE(BecomesLive(*upstream_));
  RelayClient subscriber(ours_->relay_url());
  subscriber.Subscribe("live", {{.kinds = {{nostr::kIssue, nostr::kComment}}, .limit = 0}});

  const Event issue = Issue(repository_.announcement, "Published upstream");
  RelayClient publisher(upstream_->relay_url());
  publisher.Publish({issue});
  EXPECT_TRUE(subscriber.AwaitEvent("live", issue.id));
  const Event comment = Comment(issue);
  publisher.Publish({comment});
  EXPECT_TRUE(subscriber.AwaitEvent("live", comment.id));
}

TEST_F(RepositorySyncTest, ARestartKeepsEverythingAndFetchesNothingAgain) {
  ASSERT_TRUE(EverythingArrives());
  ASSERT_TRUE(BecomesLive(*upstream_));
  ASSERT_EQ(ours_->Stop(), 0);

  StartOursNamed();
  EXPECT_EQ(AllStored(ours_->relay_url()), expected_);
  ASSERT_TRUE(BecomesLive(*upstream_));
  const v1::RemoteCounts counts = Admin().Find(upstream_->relay_url()).counts();
  EXPECT_EQ(counts.needed(), 0u);
  EXPECT_EQ(counts.received(), 0u);
  EXPECT_EQ(counts.stored(), 0u);
}

// What does not happen is seen by what happens meanwhile: a second upstream, not paused, is the
// clock.
TEST_F(SyncTest, APausedRemoteIsLeftAloneAcrossARestartUntilItIsResumed) {
  const auto paused = StartUpstream("paused"), other = StartUpstream("other");
  StartOursNamed();
  const Event announcement =
      Announcement({kOurUrl, paused->relay_url(), other->relay_url()}, kOurHost);
  RelayClient(ours_->relay_url()).Publish({announcement});
  ASSERT_TRUE(BecomesLive(*paused));
  ASSERT_TRUE(BecomesLive(*other));

  Admin().Pause(paused->relay_url());
  const Event missed = Issue(announcement, "Published while paused");
  const Event witness = Issue(announcement, "Published on the other relay, later");
  {
    RelayClient subscriber(ours_->relay_url());
    subscriber.Subscribe("live", {{.kinds = {{nostr::kIssue}}, .limit = 0}});
    RelayClient(paused->relay_url()).Publish({missed});
    RelayClient(other->relay_url()).Publish({witness});
    ASSERT_TRUE(subscriber.AwaitEvent("live", witness.id));
  }
  EXPECT_FALSE(HasStored(ours_->relay_url(), missed.id));
  EXPECT_EQ(Admin().Find(paused->relay_url()).state(), v1::REMOTE_STATE_PAUSED);

  ASSERT_EQ(ours_->Stop(), 0);
  StartOursNamed();
  ASSERT_TRUE(BecomesLive(*other));
  EXPECT_EQ(Admin().Find(paused->relay_url()).state(), v1::REMOTE_STATE_PAUSED);
  EXPECT_FALSE(HasStored(ours_->relay_url(), missed.id));

  RelayClient subscriber(ours_->relay_url());
  subscriber.Subscribe("live", {{.kinds = {{nostr::kIssue}}, .limit = 0}});
  Admin().Resume(paused->relay_url());
  EXPECT_TRUE(subscriber.AwaitEvent("live", missed.id));
  EXPECT_TRUE(BecomesLive(*paused));
}

// ---- relays that are not dialled ---------------------------------------------------------------

TEST_F(SyncTest, AForbiddenAddressIsBlockedWithItsReasonAndNotDialled) {
  const net::RawServer private_service;
  const std::string loopback = "ws://" + private_service.address().ToString();
  StartOursNamed("--sync-allow-plaintext=true");
  RelayClient(ours_->relay_url())
      .Publish({Announcement({kOurUrl, "ws://10.0.0.1", loopback}, kOurHost)});

  const auto expect_blocked = [&](const std::string& url, const std::string& reason) {
    EXPECT_TRUE(Eventually([&] { return Admin().Find(url).state() == v1::REMOTE_STATE_BLOCKED; }))
        << url;
    EXPECT_EQ(Admin().Find(url).state_reason(), reason);
    const v1::Candidate candidate = Admin().FindCandidate(url);
    EXPECT_EQ(candidate.decision(), v1::CANDIDATE_DECISION_REFUSED);
    EXPECT_EQ(candidate.reason(), "URL_FORBIDDEN_NETWORK");
    EXPECT_EQ(candidate.message(), reason);
  };
  expect_blocked("ws://10.0.0.1", "private");
  expect_blocked(loopback, "loopback");
  EXPECT_EQ(private_service.accepted(), 0);
}

// Carries bytes both ways between `client` and `server` until one of them ends.
void Forward(int client, const net::SocketAddress& server) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(server.port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  bool open = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  const int ends[] = {client, fd};
  while (open) {
    pollfd waits[] = {{client, POLLIN, 0}, {fd, POLLIN, 0}};
    poll(waits, 2, -1);
    for (int i = 0; i < 2 && open; ++i) {
      if (waits[i].revents == 0) continue;
      char buffer[4096];
      const ssize_t n = recv(ends[i], buffer, sizeof buffer, 0);
      open = n > 0;
      if (open) net::WriteAll(ends[1 - i], {buffer, static_cast<size_t>(n)});
    }
  }
  close(fd);
}

TEST_F(SyncTest, OurselvesUnderAnotherNameAreFoundOut) {
  StartOurs({"--sync-allow-cidrs=127.0.0.0/8"});  // known by the address it listens on
  const auto relay = Value(net::SocketAddress::Parse(ours_->relay()));
  const std::string by_name = "ws://localhost:" + std::to_string(relay.port);
  const net::RawServer forwarder([&](int fd) { Forward(fd, relay); });
  const std::string by_forwarder = "ws://" + forwarder.address().ToString();
  RelayClient(ours_->relay_url())
      .Publish({Announcement({ours_->relay_url(), by_name, by_forwarder}, ours_->relay())});

  const auto becomes_blocked = [&](const std::string& url) {
    return Eventually([&] { return Admin().Find(url).state() == v1::REMOTE_STATE_BLOCKED; });
  };
  EXPECT_TRUE(becomes_blocked(by_name));
  EXPECT_EQ(Admin().Find(by_name).state_reason(), "own endpoint");
  // Only what the other side says of itself gives this one away.
  EXPECT_TRUE(becomes_blocked(by_forwarder));
  EXPECT_THAT(Admin().Find(by_forwarder).state_reason(), HasSubstr("ourselves"));
  for (const std::string& url : {ours_->relay_url(), by_forwarder}) {
    EXPECT_EQ(Admin().FindCandidate(url).decision(), v1::CANDIDATE_DECISION_REFUSED) << url;
    EXPECT_EQ(Admin().FindCandidate(url).reason(), "SELF") << url;
  }
  EXPECT_EQ(Admin().Find(ours_->relay_url()).url(), "") << "our own URL is no remote";
  ASSERT_EQ(ours_->Stop(), 0);  // ends what is forwarded
}

// Each event crosses once, and comes back once at most: the other's live subscription brings it.
TEST_F(SyncTest, TwoThatKnowEachOtherByFiveNamesKeepOneConnectionEachWay) {
  constexpr size_t kEvents = 100;
  const std::vector<std::string> flags = {"--store=memory:", "--policy-mode=archive",
                                          "--sync-allow-cidrs=127.0.0.0/8"};
  const Graspd one(dir_, "one", flags), other(dir_, "other", flags);
  std::vector<std::string> names;
  for (const Graspd* graspd : {&one, &other}) {
    const std::string url = graspd->relay_url(), port = url.substr(url.rfind(':'));
    // One by name: these wait for each other.
    names.insert(names.end(), {url, "ws://localhost" + port, url + "/a", url + "/b", url + "/c"});
  }
  const Event announcement = Announcement(names, kOurHost);
  for (const Graspd* graspd : {&one, &other}) {
    RelayClient(graspd->relay_url()).Publish({announcement});
  }
  const auto live = [](const Graspd& graspd) {
    const auto remotes = AdminClient(graspd.admin()).Remotes();
    return std::count_if(remotes.begin(), remotes.end(), [](const v1::Remote& remote) {
      return remote.state() == v1::REMOTE_STATE_LIVE;
    });
  };
  // Of five names one is followed, and the other four are told from ourselves and left.
  const auto settled = [&](const Graspd& graspd) {
    const auto candidates = AdminClient(graspd.admin()).Candidates();
    return live(graspd) == 1 &&
           std::count_if(candidates.begin(), candidates.end(),
                         [](const auto& entry) { return entry.second.reason() == "ALIAS"; }) == 4;
  };
  ASSERT_TRUE(Eventually([&] { return settled(one) && settled(other); }));

  std::vector<Event> issues;
  for (size_t i = 0; i < kEvents; ++i) issues.push_back(Issue(announcement, std::to_string(i)));
  RelayClient(one.relay_url()).Publish(issues);
  ASSERT_TRUE(Eventually(
      [&] { return AllStored(other.relay_url()).size() == AllStored(one.relay_url()).size(); }));
  uint64_t transfers = 0;
  for (const Graspd* graspd : {&one, &other}) {
    for (const auto& remote : AdminClient(graspd->admin()).Remotes()) {
      transfers += remote.counts().received();
    }
  }
  EXPECT_GE(transfers, kEvents);
  EXPECT_LE(transfers, 2 * kEvents + 2);  // and the announcement

  // Then they rest: no message goes either way any more, and no event.
  const auto traffic = [&] {
    std::vector<std::string> counts;
    for (const Graspd* graspd : {&one, &other}) {
      std::istringstream metrics(HttpGet(graspd->ops(), "/metrics").body);
      for (std::string line; std::getline(metrics, line);) {
        if (line.starts_with("graspd_relay_messages_received_total") ||
            line.starts_with("graspd_relay_events_sent_total")) {
          counts.push_back(line);
        }
      }
    }
    return counts;
  };
  const auto& clock = base::SystemClock::Instance();
  const auto transferred = clock.Now();
  auto changed = transferred;
  auto latest = traffic();
  EXPECT_GE(latest.size(), 4u);
  EXPECT_TRUE(Eventually([&] {
    if (auto now = traffic(); now != latest) {
      latest = std::move(now);
      changed = clock.Now();
    }
    return clock.Now() - changed >= std::chrono::seconds(5);
  }));
  EXPECT_LE(changed - transferred, std::chrono::seconds(10));
}

}  // namespace
}  // namespace graspd::e2e
