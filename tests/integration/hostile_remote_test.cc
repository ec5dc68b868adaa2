// Relays that forge, flood, stall and break the protocol, over real connections: nothing forged is
// kept, memory stays flat, they are left, and an honest relay beside them is fully synced
// meanwhile.
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "base/bounded_queue.h"
#include "base/process_memory.h"
#include "tests/integration/hostile_relay.h"
#include "tests/integration/sync_fixture.h"

namespace graspd {
namespace {

using sync::RemoteSnapshot;
using sync::RemoteState;
using sync::testing::FakeRelay;
using ::testing::HasSubstr;
using Behaviour = FakeRelay::Behaviour;
using Script = HostileRelay::Script;

#ifdef __SANITIZE_ADDRESS__
constexpr size_t kMoreMemory = 512u << 20;  // what was freed stays for a while
constexpr size_t kMostMemory = kMoreMemory;
#else
constexpr size_t kMoreMemory = 32u << 20;  // that stays
constexpr size_t kMostMemory = 64u << 20;  // while it happens
#endif
#ifdef NDEBUG
constexpr double kSlower = 1;
#else  // not optimised, or with a sanitizer
constexpr double kSlower = 20;
#endif
constexpr int kFlood = 1'000'000;  // messages; the connection is cut long before

// What scripts count; they outlive the test's body.
using Count = std::shared_ptr<std::atomic<int>>;
Count NewCount() { return std::make_shared<std::atomic<int>>(0); }

// What the threads of our own relay and its sync have taken of the CPUs: they have names. What a
// test does besides, relays that flood included, goes by the name of the process.
double OwnCpuSeconds() {
  const auto text_of = [](const std::filesystem::path& path) {
    std::ifstream file(path);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  const std::string not_ours = text_of("/proc/self/comm");
  double ticks = 0;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
    if (text_of(thread.path() / "comm") == not_ours) continue;
    const std::string stat = text_of(thread.path() / "stat");
    std::istringstream behind_name(stat.substr(stat.rfind(')') + 1));
    std::string field;
    for (int i = 3; i <= 15 && behind_name >> field; ++i) {
      if (i >= 14) ticks += std::stod(field);  // utime, stime
    }
  }
  return ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

// Owns the relays: they go after everything that is connected to them.
struct Relays {
  std::deque<HostileRelay> relays;
};

class HostileRemoteTest : private Relays, public SyncFixture {
 protected:
  HostileRelay& NewRelay(Script script = Script()) {
    return relays.emplace_back(std::move(script));
  }

  // Announces a repository that all of `hostile` carry and an honest relay as well, and waits until
  // everything the honest one has is here.
  void SyncBeside(const std::vector<std::string>& hostile) {
    base::ReturnFreedMemory();
    memory_before_ = most_memory_ = base::UnreclaimableMemoryBytes();
    cpu_before_ = OwnCpuSeconds();
    ours_.while_waiting = [this] {
      most_memory_ = std::max(most_memory_, base::UnreclaimableMemoryBytes());
    };
    auto& honest = NewRelay();
    for (int i = 0; i < 300; ++i) {
      honest_.push_back(Issue("tool", UnixNow() - 500 - static_cast<uint64_t>(i), "honest"));
      honest.Store(honest_.back());
    }
    std::vector<std::string> urls = hostile;
    urls.push_back(honest.url());
    urls.push_back(ours_.url());
    ours_.Publish(Announcement("tool", urls));
    for (const auto& event : honest_) ours_.WaitFor(event);
    WaitForRemote(honest.url(),
                  [](const RemoteSnapshot& r) { return r.state == RemoteState::kLive; });
  }
  void ExpectFlatMemory(size_t more = kMoreMemory, size_t most = kMostMemory) {
    EXPECT_LT(most_memory_, memory_before_ + most);
    base::ReturnFreedMemory();
    EXPECT_LT(base::UnreclaimableMemoryBytes(), memory_before_ + more);
  }
  // Since SyncBeside began.
  void ExpectLittleCpu(double seconds) {
    EXPECT_LT(OwnCpuSeconds() - cpu_before_, seconds * kSlower);
  }
  void WatchFor(base::Duration time) {
    const auto end = base::SystemClock::Instance().Now() + time;
    while (base::SystemClock::Instance().Now() < end) ours_.Glance();
  }
  // It has been left for what it did.
  RemoteSnapshot WaitUntilLeft(const HostileRelay& relay, const std::string& code = "misbehaved") {
    return WaitForRemote(relay.url(),
                         [&](const RemoteSnapshot& r) { return r.last_error_code == code; });
  }

  std::vector<Event> honest_;
  size_t memory_before_ = 0, most_memory_ = 0;
  double cpu_before_ = 0;
};

// Forged in one of three ways.
std::string Forge(Event event, int way) {
  if (way == 0) event.sig.bytes[40] ^= 1;
  if (way == 1) event.content += " forged";
  if (way == 2) event.pubkey.bytes[0] ^= 1;
  return nostr::EventJson(event);
}

TEST_F(HostileRemoteTest, ForgedEventsAreNeitherKeptNorPassedOn) {
  StartSync();
  Script script;
  script.served = [](const Event& event) {
    const int number = std::stoi(event.content);
    return number % 20 < 3 ? Forge(event, number % 20) : nostr::EventJson(event);
  };
  auto& hostile = NewRelay(std::move(script));
  std::vector<Event> events;
  for (int i = 0; i < 400; ++i) {
    events.push_back(Issue("tool", UnixNow() - 1000, std::to_string(i)));
    hostile.Store(events.back());
  }
  SyncBeside({hostile.url()});
  const auto left = WaitUntilLeft(hostile);
  EXPECT_THAT(left.last_error, HasSubstr("wrong ids or signatures"));
  EXPECT_GE(left.counts.invalid, 5u);
  for (int i = 0; i < 400; ++i) {
    const bool forged = i % 20 < 3;
    EXPECT_FALSE(forged && ours_.Committed(events[static_cast<size_t>(i)].id)) << i;
  }
  ExpectFlatMemory();
  ExpectLittleCpu(1);
}

TEST_F(HostileRemoteTest, AStoredIdWithOtherContentChangesNothing) {
  StartSync();
  Script script;
  const Event stored = Issue("tool", UnixNow() - 1000, "as it was written");
  script.on_message = [stored](HostileRelay::Peer& peer, const nostr::ClientMessage& message) {
    const auto* req = std::get_if<nostr::ClientReq>(&message);
    if (!req || !nostr::MatchesAny(req->filters, stored)) return false;
    for (int i = 0; i < 10; ++i) {
      peer.Say(nostr::EventMessagePrefix(req->subscription) + Forge(stored, 1) + "]");
    }
    return true;
  };
  auto& hostile = NewRelay(std::move(script));
  ours_.Publish(Announcement("tool", {ours_.url()}));
  ours_.Publish(stored);
  ours_.Publish(EventBuilder(nostr::kRepositoryAnnouncement, UnixNow())
                    .Tag({"d", "tool"})
                    .Tag({"relays", ours_.url(), hostile.url()})
                    .Sign(owner_));
  WaitUntilLeft(hostile);
  storage::QuerySpec spec;
  spec.filters.emplace_back();
  spec.filters[0].ids = {stored.id};
  spec.filters[0].Normalize();
  spec.unix_now = UnixNow();
  const auto page = ours_.store().Query(spec, nullptr);
  ASSERT_TRUE(page.ok());
  ASSERT_EQ(page->rows.size(), 1u);
  EXPECT_EQ(page->rows[0].json, nostr::EventJson(stored));
}

TEST_F(HostileRemoteTest, FloodsOfWhatNobodyAskedForAreCut) {
  StartSync();
  const Event unwanted = EventBuilder(1, UnixNow()).Content("hello").Sign(owner_);
  const Event wanted = Issue("tool", UnixNow() - 1000, "again and again");
  // Each floods when it is asked for something, the last one when that is stored.
  const auto flooding = [](const std::string& subscription, const Event& event, bool pages) {
    Script script;
    if (pages) script.behaviour.negentropy = FakeRelay::Negentropy::kClosed;
    script.on_message = [=](HostileRelay::Peer& peer, const nostr::ClientMessage& message) {
      const auto* req = std::get_if<nostr::ClientReq>(&message);
      if (!req) return false;
      const bool live = req->filters[0].limit == 0u;
      if (pages && (live || !nostr::MatchesAny(req->filters, event))) return false;
      const std::string text =
          nostr::EventMessagePrefix(subscription.empty() ? req->subscription : subscription) +
          nostr::EventJson(event) + "]";
      for (int i = 0; i < kFlood && peer.Say(text); ++i) {
      }
      return true;
    };
    return script;
  };
  auto& unsolicited = NewRelay(flooding("nobody", wanted, false));
  auto& mismatched = NewRelay(flooding("", unwanted, false));
  auto& endless = NewRelay(flooding("", wanted, true));
  SyncBeside({unsolicited.url(), mismatched.url(), endless.url()});
  WaitUntilLeft(unsolicited);
  WaitUntilLeft(mismatched);
  const auto left = WaitUntilLeft(endless);
  const size_t most_at_a_time = 3 * (sync::CatchUpJob::kPageOverrun + 1);  // a page of each job
  EXPECT_LE(left.counts.received, left.consecutive_failures * most_at_a_time);
  EXPECT_FALSE(ours_.Committed(unwanted.id));
  ExpectFlatMemory();
  ExpectLittleCpu(2);
}

TEST_F(HostileRemoteTest, StallingInAnyPhaseOfADialEndsInTime) {
  StartSync();
  // How long the connections lasted, in seconds.
  const auto lasted = std::make_shared<base::BoundedQueue<double>>(100);
  const auto wait = [lasted](HostileRelay::Peer& peer) {
    const auto begin = base::SystemClock::Instance().Now();
    peer.WaitForEnd();
    const std::chrono::duration<double> taken = base::SystemClock::Instance().Now() - begin;
    (void)lasted->TryPush(taken.count());
  };
  Script accepts, half_upgraded;
  accepts.instead_of_upgrade = wait;
  half_upgraded.instead_of_upgrade = [wait](HostileRelay::Peer& peer) {
    peer.SendBytes("HTTP/1.1 101 Switching");
    wait(peer);
  };
  auto& silent = NewRelay(accepts);
  auto& half = NewRelay(half_upgraded);
  auto& tls = NewRelay(accepts);
  const std::string tls_url = "wss" + tls.url().substr(2);
  SyncBeside({silent.url(), half.url(), tls_url});
  for (const auto& url : {silent.url(), half.url(), tls_url}) {
    const auto left =
        WaitForRemote(url, [](const RemoteSnapshot& r) { return r.last_error_at != 0; });
    EXPECT_EQ(left.last_error_code, "timeout") << url;
  }
  for (int i = 0; i < 6; ++i) {  // to each, one for the WebSocket and one for its document
    const double seconds = lasted->Pop().value();
    EXPECT_GE(seconds, 0.8 * 5) << i;
    EXPECT_LE(seconds, 1.2 * 5 + 2) << i;  // a busy machine takes its time
  }
  ExpectFlatMemory();
  ExpectLittleCpu(1);
}

TEST_F(HostileRemoteTest, BrokenAndEndlessFramesEndTheConnectionAtOnce) {
  StartSync();
  const auto sending = [](std::string first, std::string then) {
    Script script;
    script.on_open = [=](HostileRelay::Peer& peer) {
      peer.SendBytes(first);
      for (size_t sent = 0; sent < (100u << 20) && !then.empty(); sent += then.size()) {
        if (!peer.SendBytes(then)) return;
      }
    };
    return script;
  };
  std::string fragments;
  for (int i = 0; i < 10'000; ++i) fragments += net::ServerFrame(0x00, "");
  std::vector<std::pair<std::string, HostileRelay*>> broken;
  const auto add = [&](const char* what, Script script) {
    broken.emplace_back(what, &NewRelay(std::move(script)));
  };
  const std::string filler(1 << 16, 'x');
  add("a frame of 100 MB", sending(net::ServerFrameHead(0x81, 100u << 20), filler));
  add("fragments without end", sending(net::ServerFrame(0x01, "["), fragments));
  add("fragments of 100 MB in all",
      sending(net::ServerFrame(0x01, "["), net::ServerFrame(0x00, filler)));
  add("a ping of 126 bytes", sending(net::ServerFrame(0x89, std::string(126, 'x')), ""));
  add("a deflated frame", sending(net::ServerFrame(0xc1, "[]"), ""));
  add("a masked frame", sending(net::RawClient::ClientFrame(0x81, "[]"), ""));
  std::vector<std::string> urls;
  for (const auto& [what, relay] : broken) urls.push_back(relay->url());
  SyncBeside(urls);
  for (const auto& [what, relay] : broken) {
    const auto left =
        WaitForRemote(relay->url(), [](const RemoteSnapshot& r) { return r.last_error_at != 0; });
    EXPECT_EQ(left.last_error_code, "websocket") << what;
  }
  ExpectFlatMemory();
  ExpectLittleCpu(1);
}

TEST_F(HostileRemoteTest, ReconciliationThatNeverEndsOrAsksForEverythingCostsLittle) {
  StartSync();
  Script endless, greedy, refusing;
  endless.behaviour.negentropy = FakeRelay::Negentropy::kEndless;
  greedy.behaviour.negentropy = FakeRelay::Negentropy::kListsNothing;
  refusing.behaviour.negentropy = FakeRelay::Negentropy::kNotice;
  const Count uploads = NewCount();
  greedy.on_message = [uploads](HostileRelay::Peer&, const nostr::ClientMessage& message) {
    *uploads += std::holds_alternative<nostr::ClientEvent>(message) ? 1 : 0;
    return false;
  };
  std::vector<Event> events;
  std::vector<std::string> urls;
  for (auto* script : {&endless, &greedy, &refusing}) {
    auto& relay = NewRelay(*script);
    events.push_back(Issue("tool", UnixNow() - 1000, "at " + relay.url()));
    relay.Store(events.back());
    urls.push_back(relay.url());
  }
  SyncBeside(urls);
  ours_.WaitFor(events[0]);  // by pages in the end
  ours_.WaitFor(events[2]);
  for (const auto& url : urls) {
    WaitForRemote(url, [](const RemoteSnapshot& r) { return r.state == RemoteState::kLive; });
  }
  EXPECT_EQ(*uploads, 0);
  WatchFor(std::chrono::seconds(1));  // whatever spins now takes more than all of it
  ExpectFlatMemory();
  ExpectLittleCpu(0.5);
}

TEST_F(HostileRemoteTest, IdsWithoutEndThatNobodyHasAreNeitherKeptNorAskedForWithoutEnd) {
  StartSync();
  Script script;
  script.behaviour.negentropy = FakeRelay::Negentropy::kInventsIds;
  const Count asked = NewCount();
  script.on_message = [asked](HostileRelay::Peer&, const nostr::ClientMessage& message) {
    const auto* req = std::get_if<nostr::ClientReq>(&message);
    if (req && req->filters[0].ids) *asked += static_cast<int>(req->filters[0].ids->size());
    return false;
  };
  auto& hostile = NewRelay(std::move(script));
  const Event real = Issue("tool", UnixNow() - 1000, "not all of it is invented");
  hostile.Store(real);
  SyncBeside({hostile.url()});
  ours_.WaitFor(real);  // by pages
  WaitForRemote(hostile.url(),
                [](const RemoteSnapshot& r) { return r.state == RemoteState::kLive; });
  EXPECT_GT(*asked, static_cast<int>(sync::CatchUpJob::kGhosts));
  // By each of the jobs that run at a time; it is read by pages from then on.
  EXPECT_LE(*asked, 4 * static_cast<int>(sync::CatchUpJob::kGhosts));
  ExpectFlatMemory(2 * kMoreMemory, 2 * kMostMemory);  // of which the relay takes a part
  ExpectLittleCpu(2);
}

TEST_F(HostileRemoteTest, ARelayForMembersIsSyncedFromWithAKey) {
  StartSync([](sync::SyncManager::Options& options) {
    options.key = std::make_shared<nostr::SecretKey>(nostr::SecretKey::FromSeed("sync"));
  });
  for (const auto auth : {Behaviour::Auth::kAtOnce, Behaviour::Auth::kOnRefusal}) {
    Script script;
    script.behaviour.auth = auth;
    const Count verified = NewCount();
    script.on_message = [verified](HostileRelay::Peer&, const nostr::ClientMessage& message) {
      const auto* sent = std::get_if<nostr::ClientAuth>(&message);
      *verified += sent && nostr::VerifySignature(sent->event) ? 1 : 0;
      return false;
    };
    auto& members = NewRelay(std::move(script));
    const std::string repository = auth == Behaviour::Auth::kAtOnce ? "one" : "two";
    const Event issue = Issue(repository, UnixNow() - 1000, "for members");
    members.Store(issue);
    ours_.Publish(Announcement(repository, {ours_.url(), members.url()}));
    ours_.WaitFor(issue);
    WaitForRemote(members.url(),
                  [](const RemoteSnapshot& r) { return r.state == RemoteState::kLive; });
    EXPECT_EQ(*verified, 1);
  }
}

TEST_F(HostileRemoteTest, AFloodOfChallengesGetsOneSignature) {
  StartSync([](sync::SyncManager::Options& options) {
    options.key = std::make_shared<nostr::SecretKey>(nostr::SecretKey::FromSeed("sync"));
  });
  const Count signatures = NewCount();
  Script script;
  script.on_open = [](HostileRelay::Peer& peer) {
    peer.Say(nostr::AuthChallengeMessage(std::string(1 << 20, 'x')));
    for (int i = 0; i < 10'000; ++i) {
      if (!peer.Say(nostr::AuthChallengeMessage(std::to_string(i)))) return;
    }
  };
  script.on_message = [signatures](HostileRelay::Peer&, const nostr::ClientMessage& message) {
    *signatures += std::holds_alternative<nostr::ClientAuth>(message) ? 1 : 0;
    return false;
  };
  auto& hostile = NewRelay(std::move(script));
  SyncBeside({hostile.url()});
  WaitUntilLeft(hostile);
  EXPECT_LE(*signatures, hostile.upgrades());
  ExpectFlatMemory();
  ExpectLittleCpu(0.5);
}

TEST_F(HostileRemoteTest, AChildAndItsParentOnDifferentRelaysAreBothStored) {
  StartSync();
  auto& has_child = NewRelay();
  auto& has_parent = NewRelay();
  const Event issue = Issue("tool", UnixNow() - 1000, "on the one");
  const Event comment = Comment(issue, "on the other");
  has_child.Store(comment);
  has_parent.Store(issue);
  ours_.Publish(Announcement("tool", {ours_.url(), has_child.url(), has_parent.url()}));
  ours_.WaitFor(issue);
  ours_.WaitFor(comment);
}

}  // namespace
}  // namespace graspd
