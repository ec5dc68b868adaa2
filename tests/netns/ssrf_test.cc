// A real graspd with the address guard as operators have it, among URLs of strangers: not one
// packet goes where it must not, by the count of the kernel.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/clock.h"
#include "net/forbidden_urls.h"
#include "nostr/event_builder.h"
#include "nostr/keys.h"
#include "nostr/nip34.h"
#include "nostr/rules.h"
#include "tests/e2e/admin_client.h"
#include "tests/e2e/relay_client.h"
#include "tests/netns/canary.h"

namespace graspd::netns {
namespace {

namespace v1 = graspd::admin::v1;
using e2e::AdminClient;
using e2e::Eventually;
using e2e::RelayClient;
using nostr::Event;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr char kOurUrl[] = "ws://relay.test";
constexpr char kHonestUrl[] = "ws://honest.test";

// By how much later than three times what a relay that is left alone takes we may answer.
#ifdef NDEBUG
constexpr std::chrono::milliseconds kLater{50};
#else  // not optimised, or with a sanitizer
constexpr std::chrono::milliseconds kLater{5000};
#endif

class SsrfTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    std::string why_not;
    canary_ = Canary::Make(why_not);
    if (canary_) {
      canary_->SetName("honest.test", {{.addresses = {kHonest}}});
    } else {
      *why_not_ = why_not;
    }
  }
  static void TearDownTestSuite() { canary_.reset(); }

  void SetUp() override {
    if (canary_) return canary_->ResetPackets();
    if (e2e::NetworkNamespacesAreRequired()) FAIL() << *why_not_;
    GTEST_SKIP() << *why_not_;
  }

  void Start(std::vector<std::string> flags = {}) {
    ours_ = canary_->StartGraspd(dir_, std::move(flags));
    relay_ = std::make_unique<RelayClient>(ours_->relay_url());
  }
  [[nodiscard]] double Denied(const std::string& reason) const {
    return e2e::Metric(ours_->ops(), "graspd_sync_dials_denied_total{reason=\"" + reason + "\"}");
  }
  [[nodiscard]] double Dials(const std::string& result) const {
    return e2e::Metric(ours_->ops(), "graspd_sync_dials_total{result=\"" + result + "\"}");
  }
  [[nodiscard]] double OpenFds() const { return e2e::Metric(ours_->ops(), "process_open_fds"); }
  [[nodiscard]] AdminClient Admin() const { return AdminClient(ours_->admin()); }
  static uint64_t Now() { return base::SystemClock::Instance().UnixNow(); }

  // By an author of its own for each `author`.
  static Event Announcement(const std::string& author, const std::vector<std::string>& relays,
                            const std::string& repository = "tool") {
    nostr::EventBuilder draft(nostr::kRepositoryAnnouncement, Now());
    draft.Tag({"d", repository}).Tag({"relays", kOurUrl});
    for (const auto& relay : relays) draft.Tag({"relays", relay});
    return draft.Sign(nostr::SecretKey::FromSeed(author));
  }
  void Announce(const std::string& author, const std::vector<std::string>& relays) {
    relay_->Publish({Announcement(author, relays)});
  }
  // An honest author's repository, on the honest relay too; and an issue that is only there.
  Event PublishHonestIssue(const std::string& url = kHonestUrl) {
    const Event announcement = Announcement("honest", {url});
    Event issue = nostr::EventBuilder(nostr::kIssue, Now())
                      .Tag({"a", nostr::AddressOf(announcement)->ToString()})
                      .Content("only there " + std::to_string(++issues_))
                      .Sign(nostr::SecretKey::FromSeed("reporter"));
    RelayClient(canary_->honest().relay_url()).Publish({issue});
    relay_->Publish({announcement});
    return issue;
  }
  [[nodiscard]] bool Arrives(const Event& event) {
    return Eventually([&] { return e2e::HasStored(ours_->relay_url(), event.id); });
  }
  void ExpectNothingForbidden() const {
    EXPECT_EQ(canary_->Packets("forbidden"), 0u);
    EXPECT_THAT(canary_->Caught(), IsEmpty());
  }
  [[nodiscard]] bool EveryCandidateIsDecided() const {
    const auto remotes = Admin().Remotes();
    return std::none_of(remotes.begin(), remotes.end(), [](const v1::Remote& remote) {
      return remote.state() == v1::REMOTE_STATE_DISCOVERED ||
             remote.state() == v1::REMOTE_STATE_CONNECTING;
    });
  }

  static inline std::unique_ptr<Canary> canary_;
  static inline auto why_not_ = std::make_unique<std::string>();
  const e2e::TempDir dir_;
  std::unique_ptr<e2e::Graspd> ours_;
  std::unique_ptr<RelayClient> relay_;
  static inline int issues_ = 0;
};

TEST_F(SsrfTest, NothingOfTheCorpusIsConnectedToAndEachSaysWhy) {
  Start();
  std::vector<net::ForbiddenUrl> corpus;
  for (auto& entry : net::ReadForbiddenUrls("tests/data/forbidden-urls.tsv")) {
    if (entry.reason != "plaintext") corpus.push_back(std::move(entry));  // allowed here
  }
  // What no event can carry is refused already at the door.
  std::vector<Event> announcements;
  for (size_t i = 0; i < corpus.size(); ++i) {
    announcements.push_back(Announcement("stranger" + std::to_string(i), {corpus[i].url}));
  }
  relay_->Send(announcements);
  const Event issue = PublishHonestIssue();
  EXPECT_TRUE(Arrives(issue));
  ASSERT_TRUE(relay_->Await([&](const RelayClient::Heard& heard) {
    return std::all_of(announcements.begin(), announcements.end(),
                       [&](const Event& event) { return heard.oks.contains(event.id); });
  }));
  ASSERT_TRUE(Eventually([&] { return EveryCandidateIsDecided(); }));

  const auto candidates = Admin().Candidates();
  const auto oks = relay_->heard().oks;
  size_t at_the_door = 0;
  for (size_t i = 0; i < corpus.size(); ++i) {
    if (!oks.at(announcements[i].id).accepted) {
      ++at_the_door;
      continue;
    }
    const auto& entry = corpus[i];
    const std::string url =
        entry.is_url ? nostr::RelayUrl::Parse(entry.url)->ToString() : entry.url.substr(0, 256);
    const auto found = candidates.find(url);
    if (found == candidates.end()) {
      EXPECT_EQ(entry.url, "") << "is no candidate";
      continue;
    }
    EXPECT_EQ(found->second.decision(), v1::CANDIDATE_DECISION_REFUSED) << url;
    EXPECT_EQ(found->second.reason(), entry.is_url ? "URL_FORBIDDEN_NETWORK" : "URL_INVALID")
        << url;
    if (url.size() == 256) continue;  // cut: several have this beginning
    if (url == "ws://127.0.0.1:7334") {
      EXPECT_EQ(found->second.message(), "own endpoint");
    } else {
      EXPECT_EQ(found->second.message(), entry.reason) << url;
    }
  }
  EXPECT_LE(at_the_door, 8u);
  // Each was counted, once, by its reason.
  std::map<std::string, double> denied;
  for (const auto& [url, candidate] : candidates) {
    if (candidate.reason() == "URL_FORBIDDEN_NETWORK") ++denied[candidate.message()];
  }
  double in_all = 0;
  for (const auto& [reason, count] : denied) {
    EXPECT_EQ(Denied(reason), count) << reason;
    in_all += count;
  }
  EXPECT_EQ(Dials("blocked"), in_all);
  EXPECT_EQ(Dials("connected"), 1);
  EXPECT_EQ(canary_->Packets("self_subscriber"), 1u);
  ExpectNothingForbidden();
}

TEST_F(SsrfTest, WhateverANameServerSaysOnlyWhatIsAllowedIsConnectedTo) {
  std::vector<std::string> many, too_many;
  for (int i = 0; i < 40; ++i) many.push_back(kBlackHole + std::string("0.") + std::to_string(i));
  many.push_back("10.0.0.5");
  for (int i = 0; i < 65; ++i)
    too_many.push_back(kBlackHole + std::string("1.") + std::to_string(i));
  canary_->SetName("many.test", {{.addresses = many, .truncated = true}});
  canary_->SetName("too-many.test", {{.addresses = too_many, .truncated = true}});
  canary_->SetName("alias.test", {{.addresses = {"10.0.0.5"}, .alias = "db.internal"}});
  canary_->SetName("loop.test", {{.alias = "loop.test"}});
  canary_->SetName("broken.test", {{.code = 2}});
  canary_->SetName("silent.test", {{.silent = true}});
  canary_->SetName("empty.test", {NameAnswer()});
  Start();
  const auto forbidden = {"ws://many.test", "ws://alias.test"};
  const auto failing = {"ws://loop.test",  "ws://broken.test",  "ws://silent.test",
                        "ws://empty.test", "ws://unknown.test", "ws://too-many.test"};
  for (const std::string url : forbidden) Announce(url, {url});
  for (const std::string url : failing) Announce(url, {url});
  for (const int code : {1, 2, 7, 8}) {
    Announce("redirect", {"ws://" + std::string(kRedirecting) + std::to_string(code)});
  }
  EXPECT_TRUE(Arrives(PublishHonestIssue()));
  ASSERT_TRUE(Eventually([&] { return EveryCandidateIsDecided(); }));
  for (const std::string url : forbidden) {
    EXPECT_EQ(Admin().Find(url).state_reason(), "private") << url;
  }
  for (const std::string url : failing) {
    // By now it may be tried again.
    EXPECT_TRUE(Admin().Find(url).has_last_error()) << url;
  }
  EXPECT_EQ(Admin().Find("ws://too-many.test").last_error().message(),
            "name has too many addresses");
  EXPECT_EQ(canary_->Packets("black_hole"), 0u);
  ExpectNothingForbidden();
}

TEST_F(SsrfTest, RedirectsAreNotFollowed) {
  Start();
  std::vector<std::string> urls;
  for (const int code : {1, 2, 7, 8}) {
    urls.push_back("ws://" + std::string(kRedirecting) + std::to_string(code));
  }
  Announce("redirect", urls);
  for (const auto& url : urls) {
    ASSERT_TRUE(Eventually([&] { return Admin().Find(url).has_last_error(); })) << url;
    EXPECT_EQ(Admin().Find(url).last_error().code(), "http") << url;
    EXPECT_THAT(Admin().Find(url).last_error().message(), HasSubstr("HTTP status 30")) << url;
  }
  // The upgrade and the document (NIP-11) of each; a second try may have been made by now.
  EXPECT_TRUE(Eventually([&] { return canary_->Packets("redirecting") >= 8; }));
  ExpectNothingForbidden();
}

// The name leads to the honest relay and to a private address in turn.
TEST_F(SsrfTest, ANameIsLookedUpAndCheckedAtEveryDial) {
  constexpr int kNames = 200;  // each is dialled once in five seconds
  constexpr size_t kDials = 1000;
  Start({"--sync-new-remotes-per-minute=1000"});
  std::vector<std::string> urls;
  for (int i = 0; i < kNames; ++i) {
    const std::string name = "rebind" + std::to_string(i) + ".test";
    canary_->SetName(name, {{.addresses = {"25.2.0." + std::to_string(10 + i)}},
                            {.addresses = {"10.0.0.5"}},
                            {.addresses = {"127.0.0.1"}},
                            {.addresses = {"25.2.0.1", "169.254.169.254"}}});
    urls.push_back("ws://" + name);
    Announce(name, {urls.back()});
  }
  const auto asked = [&] {
    size_t total = 0;
    for (int i = 0; i < kNames; ++i)
      total += canary_->Asked("rebind" + std::to_string(i) + ".test");
    return total;
  };
  ASSERT_TRUE(Eventually([&] {
    for (const auto& url : urls) {
      Admin().Pause(url);
      Admin().Resume(url);
    }
    return asked() >= kDials;
  })) << asked();
  EXPECT_GT(canary_->Packets("honest"), kNames);
  ExpectNothingForbidden();
}

TEST_F(SsrfTest, WhatAnOperatorOpensIsSeenByTheCanary) {
  Start({"--sync-allow-cidrs=10.0.0.0/8"});
  Announce("neighbour", {"ws://10.0.0.5:6379", "ws://192.168.1.1"});
  ASSERT_TRUE(Eventually([&] { return Admin().Find("ws://10.0.0.5:6379").has_last_error(); }));
  EXPECT_GT(canary_->Packets("forbidden"), 0u);
  EXPECT_THAT(canary_->Caught(), testing::Each("10.0.0.5:6379"));
  canary_->ForgetCaught();
}

TEST_F(SsrfTest, WhatAnOperatorDeniesIsLeftAloneThoughItIsPublic) {
  Start({"--sync-deny-cidrs=25.3.0.0/16,10.0.0.0/24", "--sync-allow-cidrs=10.0.0.0/8"});
  canary_->SetName("pod.test", {{.addresses = {kHonest, kBlackHole + std::string("0.1")}}});
  for (const std::string url : {"ws://25.3.0.1", "ws://pod.test", "ws://10.0.0.5:6379"}) {
    Announce(url, {url});
    ASSERT_TRUE(Eventually([&] { return Admin().Find(url).has_last_error(); })) << url;
    EXPECT_EQ(Admin().Find(url).state_reason(), "denied range") << url;
  }
  EXPECT_EQ(Denied("denied range"), 3);
  EXPECT_EQ(canary_->Packets("black_hole"), 0u);
  ExpectNothingForbidden();
}

TEST_F(SsrfTest, OurselvesUnderManyNamesAreTriedOnceEach) {
  Start();
  const std::vector<std::string> urls = {
      "ws://alias.self.test", "ws://ALIAS2.self.test.", "ws://alias3.self.test:8080",
      "ws://25.4.0.1",        "ws://25.4.0.1:8080/",    "ws://25.4.0.2/other/path",
      "ws://other-self.test", "ws://relay.test.:80",    "ws://RELAY.test/path"};
  for (const char* name : {"alias.self.test", "alias2.self.test", "alias3.self.test",
                           "other-self.test", "relay.test"}) {
    canary_->SetName(name, {{.addresses = {kOurselves}}});
  }
  for (const auto& url : urls) Announce(url, {url});
  EXPECT_TRUE(Arrives(PublishHonestIssue()));
  ASSERT_TRUE(Eventually([&] { return EveryCandidateIsDecided(); }));
  const auto candidates = Admin().Candidates();
  size_t found_out = 0;
  for (const auto& url : urls) {
    const auto found = candidates.find(nostr::RelayUrl::Parse(url)->ToString());
    ASSERT_NE(found, candidates.end()) << url;
    // While four of them are being found out, another may have to wait for a place at the address.
    EXPECT_THAT(found->second.reason(), testing::AnyOf("SELF", "ADDRESS_LIMIT")) << url;
    found_out += found->second.reason() == "SELF" ? 1 : 0;
  }
  EXPECT_GE(found_out, 4u + 2) << "four at the address at least, and those that name ourselves";
  // Our own name is not tried at all; for each other one, its connection and its document.
  EXPECT_LE(canary_->Packets("ourselves"), 2 * (urls.size() - 2));
  ExpectNothingForbidden();
}

// A relay that says which it is: one name is followed, each other one tried once and left.
TEST_F(SsrfTest, ManyNamesOfOneRelayAreOneConnection) {
  constexpr size_t kNames = 12;
  Start();
  for (size_t i = 0; i < kNames; ++i) {
    const std::string name = "crowd" + std::to_string(i) + ".test";
    canary_->SetName(name, {{.addresses = {kCrowded}}});
    Announce(name, {"ws://" + name});
  }
  const auto connected = [&] {
    const auto remotes = Admin().Remotes();
    return std::count_if(remotes.begin(), remotes.end(),
                         [](const v1::Remote& remote) { return !remote.address().empty(); });
  };
  const auto left = [&] {
    const auto candidates = Admin().Candidates();
    return std::count_if(candidates.begin(), candidates.end(), [](const auto& entry) {
      // While four of them are being found out, another may have to wait for its turn.
      return entry.second.reason() == "ALIAS" || entry.second.reason() == "ADDRESS_LIMIT";
    });
  };
  EXPECT_TRUE(Eventually([&] {
    return EveryCandidateIsDecided() && connected() == 1 && left() == kNames - 1;
  })) << connected()
      << " connected, " << left() << " left";
  EXPECT_LE(canary_->Packets("crowded"), 2 * kNames) << "a connection and a document of each";
}

TEST_F(SsrfTest, ManyNamesOfOneAddressAreFourConnections) {
  constexpr int kNames = 12, kAllowed = 4;
  Start();
  for (int i = 0; i < kNames; ++i) {
    const std::string name = "nameless" + std::to_string(i) + ".test";
    canary_->SetName(name, {{.addresses = {kNameless}}});
    Announce(name, {"ws://" + name});
  }
  EXPECT_TRUE(Eventually([&] {
    const auto candidates = Admin().Candidates();
    const auto waiting = std::count_if(candidates.begin(), candidates.end(), [](const auto& entry) {
      return entry.second.reason() == "ADDRESS_LIMIT";
    });
    return waiting == kNames - kAllowed && canary_->nameless_open() == kAllowed;
  })) << canary_->nameless_open()
      << " open";
  EXPECT_EQ(canary_->nameless_at_most(), kAllowed);
}

// 10,000 authors with a relay each, one with many repositories, one with all relays.
std::vector<Event> FloodOfBlackHoles(uint64_t now) {
  constexpr size_t kRelays = 10'000, kPerAnnouncement = 20;
  std::vector<std::string> all;
  for (size_t i = 0; i < kRelays; ++i) {
    all.push_back("ws://" + std::string(kBlackHole) + std::to_string(i / 250) + "." +
                  std::to_string(i % 250));
  }
  const auto announcement = [&](const std::string& author, size_t first, size_t count) {
    std::vector<std::string> relays = {"relays", kOurUrl};
    relays.insert(relays.end(), all.begin() + static_cast<long>(first),
                  all.begin() + static_cast<long>(first + count));
    return nostr::EventBuilder(nostr::kRepositoryAnnouncement, now)
        .Tag({"d", std::to_string(first)})
        .Tag(relays)
        .Sign(nostr::SecretKey::FromSeed(author));
  };
  std::vector<Event> flood = {announcement("large", 0, kRelays)};
  for (size_t i = 0; i < 3000; i += kPerAnnouncement) {
    flood.push_back(announcement("flood", i, kPerAnnouncement));
  }
  for (size_t i = 0; i < kRelays; ++i) {
    flood.push_back(announcement("flood" + std::to_string(i), i, 1));
  }
  return flood;
}

TEST_F(SsrfTest, AFloodOfBlackHolesDoesNotDelayAnHonestRelay) {
  // All bare addresses are one site, which gets half of the 16 dials at a time. Each takes 5 s, in
  // which a packet is sent at once, and again after a second or more.
  constexpr size_t kDialsAtATime = 8;
  constexpr std::chrono::seconds kDial{5};
  constexpr int kQuestions = 500;
  constexpr size_t kSlow = kQuestions / 100;
  Start();
  RelayClient other(ours_->relay_url()), calm(canary_->honest().relay_url());
  const auto flood = FloodOfBlackHoles(Now());
  const double open_before = OpenFds();
  const auto& clock = base::SystemClock::Instance();
  const auto begin = clock.Now();
  relay_->Send(flood);

  // While all that is taken, and dialled: clients are answered, and so are probes. The same is
  // asked of the honest relay in turn, which tells how busy the machine is.
  std::vector<base::Duration> answers, probes, calm_answers, calm_probes;
  const auto time = [&](std::vector<base::Duration>& into, const auto& question) {
    const auto asked = clock.Now();
    question();
    into.push_back(clock.Now() - asked);
  };
  double most_open = 0;
  nostr::Filter nobody;
  nobody.ids = {nostr::EventId()};
  for (int i = 0; i < kQuestions; ++i) {
    time(answers, [&] { (void)other.Fetch(nobody); });
    time(calm_answers, [&] { (void)calm.Fetch(nobody); });
    time(probes, [&] { EXPECT_EQ(e2e::HttpGet(ours_->ops(), "/livez").status, 200); });
    time(calm_probes, [&] { (void)e2e::HttpGet(canary_->honest().ops(), "/livez"); });
    if (i % 10 == 0) most_open = std::max(most_open, OpenFds());
  }
  const auto p99 = [](std::vector<base::Duration>& times) {
    std::sort(times.begin(), times.end());
    return times.at(kQuestions - 1 - kSlow);
  };
  EXPECT_LE(p99(answers), 3 * p99(calm_answers) + kLater) << "to a client";
  EXPECT_LE(p99(probes), 3 * p99(calm_probes) + kLater) << "to a probe";
  EXPECT_LE(most_open, open_before + kDialsAtATime + 2) << "a probe may be ending";

  const auto before = clock.Now();
  const Event issue = PublishHonestIssue();
  EXPECT_TRUE(Arrives(issue));
  EXPECT_LT(clock.Now() - before, std::chrono::seconds(5));
  ASSERT_TRUE(relay_->Await([&](const auto& heard) { return heard.oks.size() >= flood.size(); }));
  const auto oks = relay_->heard().oks;
  EXPECT_TRUE(
      std::all_of(oks.begin(), oks.end(), [](const auto& ok) { return ok.second.accepted; }));
  EXPECT_LE(Admin().Remotes().size(), 500u);
  const size_t packets = canary_->Packets("black_hole");
  const auto taken = clock.Now() - begin;
  EXPECT_GE(packets, kDialsAtATime);
  EXPECT_LE(packets, kDialsAtATime *
                         static_cast<size_t>(taken / std::chrono::seconds(1) + 1 + taken / kDial));
  ExpectNothingForbidden();
}

// Each of these look-ups goes on for half a minute, long after its dial has been given up.
TEST_F(SsrfTest, AFloodOfNamesWithoutAnswersDoesNotDelayAnHonestRelay) {
  constexpr size_t kNames = 100, kLookUps = 16;  // more than dials of one site at a time
  Start();
  std::vector<std::string> names;
  std::vector<Event> flood;
  for (size_t i = 0; i < kNames; ++i) {
    names.push_back("name" + std::to_string(i) + ".silent.test");
    canary_->SetName(names.back(), {{.silent = true}});
    flood.push_back(Announcement(names.back(), {"ws://" + names.back()}));
  }
  relay_->Publish(flood);
  ASSERT_TRUE(Eventually([&] {
    size_t asked = 0;
    for (const auto& name : names) asked += canary_->Asked(name);
    return asked >= kLookUps;
  }));
  EXPECT_THAT(e2e::HttpGet(ours_->ops(), "/metrics").body,
              ContainsRegex("graspd_dns_lookups.state=\"abandoned\". [1-9]"));

  const auto& clock = base::SystemClock::Instance();
  const auto before = clock.Now();
  EXPECT_TRUE(Arrives(PublishHonestIssue()));
  EXPECT_LT(clock.Now() - before, std::chrono::seconds(5));
}

}  // namespace
}  // namespace graspd::netns
