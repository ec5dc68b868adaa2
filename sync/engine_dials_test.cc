// SyncEngine: floods of relay URLs, and those who are announced in the midst of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "sync/engine.h"
#include "sync/testing/engine_fixture.h"

namespace graspd::sync::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Decision = CandidateSnapshot::Decision;

class DialFloodTest : public SyncEngineTest {
 protected:
  // Nothing answers there, for as long as a dial may take.
  std::string BlackHole(const std::string& url) {
    sim_->At(url).up = false;
    sim_->At(url).dial_time = seconds(5);
    return url;
  }
  void NameAll(std::string_view author, const std::string& repo,
               const std::vector<std::string>& relays) {
    sim_->PublishHere(Announcement(Repo(author, repo), kLongAgo, relays));
  }
  // The next version of an announcement.
  void Rename(const std::vector<std::string>& relays) {
    sim_->PublishHere(Announcement(Repo("author", "tool"), kLongAgo + ++versions_, relays));
  }
  // An honest relay is announced now.
  void ExpectLiveWithin5Seconds() {
    NameAll("honest", "tool", {kA});
    sim_->RunFor(seconds(5));
    EXPECT_EQ(sim_->State(kA), RemoteState::kLive);
  }
  size_t DialledUrls(const std::vector<std::string>& urls) {
    return static_cast<size_t>(std::count_if(
        urls.begin(), urls.end(), [&](const auto& url) { return !sim_->At(url).dials.empty(); }));
  }
  uint64_t versions_ = 0;
};

TEST_F(DialFloodTest, TenThousandRelaysOfOneAuthorLeaveRoomForAnother) {
  auto& sim = Begin();
  sim.Start();
  std::vector<std::string> flood;
  for (int i = 0; i < 500; ++i) {
    std::vector<std::string> relays;
    for (int k = 0; k < 20; ++k) {
      relays.push_back(BlackHole("wss://r" + std::to_string(20 * i + k) + ".example"));
    }
    NameAll("flood", std::to_string(i), relays);
    flood.insert(flood.end(), relays.begin(), relays.end());
  }
  sim.RunFor(seconds(30));
  ExpectLiveWithin5Seconds();
  sim.RunFor(seconds(24));
  EXPECT_LE(DialledUrls(flood), 60u);
  EXPECT_GE(DialledUrls(flood), 20u) << "a flood is dialled too, in its turn";
  EXPECT_LE(sim.dialling_at_most(), 16u);
  EXPECT_EQ(sim.engine.Remotes().size(), 500u);
}

TEST_F(DialFloodTest, OneAnnouncementWithTenThousandRelaysCountsAsTwenty) {
  auto& sim = Begin();
  sim.Start();
  std::vector<std::string> relays;
  for (int i = 0; i < 10'000; ++i) {
    relays.push_back("wss://r" + std::to_string(i) + ".example");
  }
  NameAll("flood", "all", relays);
  ExpectLiveWithin5Seconds();
  EXPECT_EQ(sim.engine.Remotes().size(), 21u);
}

TEST_F(DialFloodTest, TwoThousandAuthorsWithNamesBelowOneDomainLeaveRoomForAnother) {
  auto& sim = Begin();
  sim.Start();
  for (int i = 0; i < 2000; ++i) {
    const std::string n = std::to_string(i);
    NameAll("author" + n, "x", {BlackHole("wss://r" + n + ".flood.example")});
  }
  sim.RunFor(seconds(30));
  ExpectLiveWithin5Seconds();
  EXPECT_LE(sim.dialling_at_most(), 16u);
  EXPECT_LE(sim.engine.Remotes().size(), 500u);
}

TEST_F(DialFloodTest, TwoThousandAuthorsWithBareAddressesLeaveRoomForAnother) {
  auto& sim = Begin();
  sim.Start();
  for (int i = 0; i < 2000; ++i) {
    NameAll("author" + std::to_string(i), "x",
            {BlackHole("wss://25.1." + std::to_string(i / 250) + "." + std::to_string(i % 250))});
  }
  sim.RunFor(seconds(30));
  ExpectLiveWithin5Seconds();
}

// Unregistered domains cost nothing either, but nobody is harmed by a name that does not exist.
TEST_F(DialFloodTest, NamesThatDoNotExistOfManyAuthorsLeaveRoomForAnother) {
  auto& sim = Begin();
  sim.Start();
  for (int i = 0; i < 1000; ++i) {
    const std::string n = std::to_string(i), url = "wss://made-up" + n + ".example";
    sim.At(url).fails_with = {net::DialError::kDns};
    sim.At(url).dial_time = milliseconds(50);
    NameAll("author" + n, "x", {url});
    sim.RunFor(milliseconds(20));
  }
  ExpectLiveWithin5Seconds();
}

TEST_F(DialFloodTest, DomainsThatDoNotExistAreStillFewAMinuteForOneAuthor) {
  options_.max_remotes = 10'000;
  auto& sim = Begin();
  sim.Start();
  std::vector<std::string> flood;
  for (int i = 0; i < 300; ++i) {
    flood.push_back("wss://made-up" + std::to_string(i) + ".example");
    sim.At(flood.back()).fails_with = {net::DialError::kDns};
    NameAll("flood", std::to_string(i), {flood.back()});
  }
  sim.RunFor(seconds(59));
  EXPECT_LE(DialledUrls(flood), 60u);
  EXPECT_GE(sim.engine.dials_waiting(), 240u);
  EXPECT_EQ(sim.engine.candidate_count(), 300u);
  sim.RunFor(minutes(6));
  EXPECT_EQ(DialledUrls(flood), 300u);
}

TEST_F(DialFloodTest, ForbiddenAddressesCostNobodyAShare) {
  auto& sim = Begin();
  sim.Start();
  std::vector<std::string> forbidden;
  for (int i = 0; i < 250; ++i) {
    forbidden.push_back("wss://10.0.0." + std::to_string(i));
    sim.At(forbidden.back()).blocked = true;
    NameAll("author", std::to_string(i), {forbidden.back()});
  }
  sim.RunFor(seconds(5));
  EXPECT_EQ(DialledUrls(forbidden), 250u);
  NameAll("author", "tool", {kA});
  sim.RunFor(seconds(1));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
}

TEST_F(DialFloodTest, ARelayThatAFloodNamesTooIsNotHeldBackByIt) {
  auto& sim = Begin();
  sim.Start();
  for (int i = 0; i < 200; ++i) NameAll("flood", std::to_string(i), {BlackHole(Host(i))});
  NameAll("flood", "last", {kA});
  sim.RunFor(seconds(30));
  EXPECT_THAT(sim.At(kA).dials, IsEmpty());
  ExpectLiveWithin5Seconds();
}

TEST_F(DialFloodTest, ConfiguredRelaysDoNotWaitBehindAFlood) {
  options_.bootstrap = {Url(kB)};
  auto& sim = Begin();
  sim.At(kB).dial_time = seconds(6);
  for (int i = 0; i < 200; ++i) {
    BlackHole(Host(i));
    sim.StoredBefore(Announcement(Repo("flood", std::to_string(i)), kLongAgo, {Host(i)}));
  }
  sim.Start();
  sim.RunFor(seconds(14));
  EXPECT_EQ(sim.State(kB), RemoteState::kLive);
}

// ---- places ------------------------------------------------------------------------------------

TEST_F(DialFloodTest, APlaceThatWasTakenInVainGoesToTheNextAndSaysSo) {
  options_.max_remotes = 10;
  auto& sim = Begin();
  sim.Start();
  for (int i = 0; i < 10; ++i) {
    NameAll("author" + std::to_string(i), "x", {BlackHole(Host(i))});
  }
  sim.RunFor(seconds(20));
  ExpectLiveWithin5Seconds();
  EXPECT_THAT(sim.engine.Remotes(), SizeIs(10));
  int left = 0;
  for (int i = 0; i < 10; ++i) {
    if (sim.Remote(Host(i)).has_value()) continue;
    ++left;
    EXPECT_EQ(sim.Candidate(Host(i))->decision, Decision::kOverLimit);
    EXPECT_EQ(sim.Candidate(Host(i))->reason, "left its place to another");
  }
  EXPECT_EQ(left, 1);
}

TEST_F(DialFloodTest, WhoFindsNoPlaceGetsOneWhenThatOfAnotherTurnsOutToBeInVain) {
  options_.max_remotes = 10;
  auto& sim = Begin();
  sim.Start();
  for (int i = 0; i < 20; ++i) {
    NameAll("author" + std::to_string(i), "x", {BlackHole(Host(i))});
  }
  NameAll("honest", "tool", {"wss://z.example"});
  sim.RunFor(std::chrono::milliseconds(20));
  ASSERT_TRUE(sim.Candidate("wss://z.example").has_value());
  EXPECT_EQ(sim.Candidate("wss://z.example")->decision, Decision::kOverLimit);
  sim.RunFor(minutes(1));
  EXPECT_EQ(sim.State("wss://z.example"), RemoteState::kLive);
  EXPECT_THAT(sim.engine.Remotes(), SizeIs(10));
}

TEST_F(DialFloodTest, PlacesThatBecomeFreeTogetherAreAllFilled) {
  options_.max_remotes = 10;
  auto& sim = Begin();
  sim.Start();
  std::vector<std::string> together;
  for (int i = 0; i < 10; ++i) together.push_back(Host(i));
  Rename(together);
  sim.RunFor(seconds(30));
  for (int i = 10; i < 30; ++i) NameAll("author" + std::to_string(i), "x", {Host(i)});
  sim.RunFor(seconds(10));
  Rename({});
  sim.RunFor(seconds(30));
  EXPECT_THAT(sim.engine.Remotes(), SizeIs(10));
}

TEST_F(DialFloodTest, WhoLeftItsPlaceIsTriedAgainWhenItsBackoffIsOver) {
  options_.max_remotes = 1;
  auto& sim = Begin();
  sim.Start();
  for (int i = 0; i < 2; ++i) {
    sim.At(Host(i)).dial_time = seconds(3);
    sim.GoDown(Host(i));
    NameAll("author" + std::to_string(i), "x", {Host(i)});
  }
  sim.RunFor(minutes(10));
  for (int i = 0; i < 2; ++i) {
    EXPECT_GE(sim.At(Host(i)).dials.size(), 3u);
    EXPECT_LE(sim.At(Host(i)).dials.size(), 20u);
  }
  sim.ComeUp(Host(1));
  sim.RunFor(minutes(30));
  EXPECT_EQ(sim.State(Host(1)), RemoteState::kLive);
}

TEST_F(DialFloodTest, AFreePlaceGoesToWhoMustWaitIfThereIsNobodyElse) {
  options_.max_remotes = 1;
  auto& sim = Begin();
  sim.Start();
  sim.At(Host(0)).up = false;
  NameAll("author0", "x", {Host(0)});
  sim.RunFor(minutes(2));
  NameAll("author1", "x", {Host(1)});
  sim.RunFor(seconds(1));
  ASSERT_EQ(sim.Candidate(Host(0))->reason, "left its place to another");
  sim.At(Host(0)).up = true;
  sim.DeleteHere(Announcement(Repo("author1", "x"), kLongAgo, {Host(1)}).id);
  sim.RunFor(minutes(5));
  EXPECT_EQ(sim.State(Host(0)), RemoteState::kLive);
}

TEST_F(DialFloodTest, AFreePlaceGoesToWhoNeedNotWaitFirst) {
  options_.max_remotes = 1;
  auto& sim = Begin();
  sim.Start();
  for (int i = 0; i < 6; ++i) {  // then it must wait for minutes
    Rename({Host(0)});
    sim.RunFor(seconds(1));
    Rename({});
    sim.RunFor(seconds(1));
  }
  NameAll("author1", "x", {Host(1)});
  sim.RunFor(seconds(1));
  Rename({Host(0)});
  NameAll("author2", "x", {Host(2)});
  sim.RunFor(seconds(1));
  sim.DeleteHere(Announcement(Repo("author1", "x"), kLongAgo, {Host(1)}).id);
  sim.RunFor(seconds(2));
  EXPECT_EQ(sim.State(Host(2)), RemoteState::kLive);
}

TEST_F(DialFloodTest, WhoNamesARelayBeyondWhatIsReadDoesNotKeepItOut) {
  options_.max_remotes = 1;
  auto& sim = Begin();
  sim.Start();
  Rename({kA});
  NameAll("honest", "tool", {kB});
  std::vector<std::string> many;
  for (int i = 0; i < 20; ++i) many.push_back(Host(i));
  many.push_back(kB);
  sim.RunFor(seconds(5));
  NameAll("stranger", "x", many);
  sim.RunFor(seconds(5));
  EXPECT_EQ(sim.Candidate(kB)->decision, Decision::kOverLimit);
  Rename({});
  NameAll("stranger", "x", {});
  sim.RunFor(minutes(2));
  EXPECT_TRUE(sim.Remote(kB).has_value());
}

TEST_F(DialFloodTest, WhatCannotBeDialledLeavesHalfOfTheListToOthers) {
  options_.max_candidates = 10;
  auto& sim = Begin();
  sim.Start();
  std::vector<std::string> unusable;
  for (int i = 0; i < 20; ++i) unusable.push_back("wss://no host " + std::to_string(i));
  NameAll("stranger", "x", unusable);
  NameAll("honest", "tool", {kA});
  sim.RunFor(seconds(5));
  EXPECT_TRUE(sim.Candidate(kA).has_value());
  EXPECT_THAT(sim.engine.Candidates(), SizeIs(6));
}

// Nobody gains by it: neither who floods a stranger with dials, nor who misbehaves.
TEST_F(DialFloodTest, ARelayThatIsNamedAndNotNamedInTurnIsDialledEverLater) {
  auto& sim = Begin();
  sim.Start();
  for (int i = 0; i < 600; ++i) {
    Rename(i % 2 == 0 ? std::vector<std::string>{kA} : std::vector<std::string>{});
    sim.RunFor(seconds(6));
  }
  EXPECT_LE(sim.At(kA).dials.size(), 16u) << "in an hour";
  EXPECT_GE(sim.At(kA).dials.size(), 3u);
}

TEST_F(DialFloodTest, WhatARelayDidIsNotForgottenWithIt) {
  auto& sim = Begin();
  sim.Start();
  for (int turn = 0; turn < 2; ++turn) {
    Rename({kA});
    sim.RunFor(seconds(10));
    EXPECT_EQ(sim.State(kA), RemoteState::kLive);
    for (int i = 0; i < 60; ++i) sim.Say(kA, BadMessage{});
    sim.RunFor(seconds(1));
    if (turn > 0) break;
    Rename({});
    sim.RunFor(seconds(1));
    EXPECT_FALSE(sim.Remote(kA).has_value());
    EXPECT_EQ(sim.engine.former_remotes(), 1u);
  }
  EXPECT_EQ(sim.Remote(kA)->last_error_code, "misbehaved");
}

TEST_F(DialFloodTest, TheLatestFormerRemotesAreRemembered) {
  options_.former_remotes = 3;
  auto& sim = Begin();
  sim.Start();
  for (int i = 0; i < 10; ++i) {
    Rename({Host(i)});
    sim.RunFor(seconds(5));
  }
  Rename({});
  sim.RunFor(seconds(5));
  EXPECT_EQ(sim.engine.former_remotes(), 3u);
}

TEST_F(DialFloodTest, WhoDoesNotWantUsIsNotAskedAgainWhenItIsNamedAnew) {
  auto& sim = Begin();
  sim.At(kA).relay.behaviour.blocks = [](const auto&) { return true; };
  sim.Start();
  for (int i = 0; i < 3; ++i) {
    Rename({kA});
    sim.RunFor(minutes(10));
    EXPECT_EQ(sim.State(kA), RemoteState::kBlocked);
    Rename({});
    sim.RunFor(minutes(10));
    EXPECT_FALSE(sim.Remote(kA).has_value());
  }
  EXPECT_THAT(sim.At(kA).dials, SizeIs(1));
}

TEST_F(DialFloodTest, WhoHasAnsweredKeepsItsPlace) {
  options_.max_remotes = 10;
  auto& sim = Begin();
  sim.Start();
  for (int i = 0; i < 10; ++i) NameAll("author" + std::to_string(i), "x", {Host(i)});
  sim.RunFor(seconds(5));
  for (int i = 0; i < 10; ++i) sim.GoDown(Host(i));
  sim.RunFor(seconds(60));
  NameAll("honest", "tool", {kA});
  sim.RunFor(seconds(5));
  EXPECT_EQ(sim.Candidate(kA)->decision, Decision::kOverLimit);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(sim.Remote(Host(i)).has_value());
}

TEST_F(DialFloodTest, AnotherAuthorsRelayIsNotPushedOutByACrowd) {
  options_.max_remotes = 10;
  auto& sim = Begin();
  sim.Start();
  NameAll("honest", "tool", {BlackHole(kA)});
  sim.RunFor(seconds(10));
  for (int i = 0; i < 100; ++i) NameAll("flood", std::to_string(i), {BlackHole(Host(i))});
  sim.RunFor(minutes(10));
  EXPECT_TRUE(sim.Remote(kA).has_value());
  EXPECT_THAT(sim.engine.Remotes(), SizeIs(10));
}

// ---- one host -----------------------------------------------------------------------------------

class OneHostTest : public DialFloodTest {
 protected:
  // Twenty of each of 500 announcements; what is done to the way there, and who announces which.
  void NameTenThousandUrls(const std::function<void(Simulation::Site&)>& spoil,
                           const std::function<std::string(int)>& author) {
    for (int i = 0; i < 500; ++i) {
      std::vector<std::string> relays;
      for (int k = 0; k < 20; ++k) {
        // Some by another port, or not encrypted.
        const int n = 20 * i + k;
        relays.push_back((n % 3 == 0 ? "ws://victim.example:" + std::to_string(8000 + n)
                                     : "wss://victim.example/" + std::to_string(n)));
        spoil(sim_->At(relays.back()));
      }
      NameAll(author(i), std::to_string(i), relays);
      urls_.insert(urls_.end(), relays.begin(), relays.end());
    }
  }
  // When any of them was dialled.
  std::vector<base::SteadyTime> Dials() {
    std::vector<base::SteadyTime> dials;
    for (const auto& url : urls_) {
      const auto& of_one = sim_->At(url).dials;
      dials.insert(dials.end(), of_one.begin(), of_one.end());
    }
    std::sort(dials.begin(), dials.end());
    return dials;
  }
  void ExpectTheirPace() {
    const auto dials = Dials();
    for (size_t i = 1; i < dials.size(); ++i) ASSERT_GE(dials[i] - dials[i - 1], seconds(5));
  }
  std::vector<std::string> urls_;
};

TEST_F(OneHostTest, TenThousandUrlsOfOneHostAreDialledOneEveryFiveSeconds) {
  struct Case {
    std::function<void(Simulation::Site&)> spoil;
    std::function<std::string(int)> author;
  };
  const auto one = [](int) { return "flood"; };
  const auto many = [](int i) { return "author" + std::to_string(i); };
  const Case cases[] = {
      {[](auto& site) { site.up = false; }, one},
      {[](auto& site) { site.fails_with = {.error = net::DialError::kHttp, .http_status = 403}; },
       many},
      {[](auto& site) { site.drops_after = milliseconds(1); }, many},
  };
  for (const auto& c : cases) {
    auto& sim = Begin();
    urls_.clear();
    sim.Start();
    const auto begin = sim.now().steady;
    NameTenThousandUrls(c.spoil, c.author);
    sim.RunFor(minutes(5));
    EXPECT_EQ(Dials().front() - begin, milliseconds(1)) << "the first one waits for nothing";
    NameAll("honest", "tool", {kA});
    sim.RunFor(milliseconds(10));
    EXPECT_THAT(sim.At(kA).dials, SizeIs(1));
    sim.RunFor(minutes(5));
    EXPECT_EQ(sim.State(kA), RemoteState::kLive);
    EXPECT_LE(Dials().size(), 121u);
    EXPECT_GE(Dials().size(), 20u) << "they are dialled too, in their turn";
    ExpectTheirPace();
  }
}

TEST_F(OneHostTest, AnHonestUrlIsReachedInTheMidstOfThem) {
  const std::string honest = "wss://victim.example/honest";
  auto& sim = Begin();
  sim.Start();
  NameTenThousandUrls([](auto& site) { site.up = false; }, [](int) { return "flood"; });
  sim.RunFor(minutes(1));
  NameAll("honest", "tool", {honest});
  urls_.push_back(honest);
  sim.RunFor(seconds(20));
  EXPECT_EQ(sim.State(honest), RemoteState::kLive);
  // And again, when it has been away.
  sim.GoDown(honest);
  sim.ComeUp(honest);
  sim.RunFor(seconds(20));
  EXPECT_EQ(sim.State(honest), RemoteState::kLive);
  ExpectTheirPace();
}

// The flood has a key for each URL, and the honest author more places than any of them.
TEST_F(OneHostTest, AnHonestUrlIsReachedInTheMidstOfManyAuthors) {
  const std::string honest = "wss://victim.example/honest";
  auto& sim = Begin();
  sim.Start();
  NameAll("honest", "others", {"wss://a.example", "wss://b.example"});
  for (int i = 0; i < 100; ++i) {
    const std::string url = "wss://victim.example/" + std::to_string(i);
    sim.At(url).up = false;
    NameAll("flood " + std::to_string(i), "tool", {url});
  }
  NameAll("honest", "tool", {honest});
  sim.RunFor(minutes(20));
  EXPECT_EQ(sim.State(honest), RemoteState::kLive);
}

TEST_F(OneHostTest, ItsSecondUrlIsReachedWhenTheFirstFails) {
  auto& sim = Begin();
  sim.At("wss://a.example/first").up = false;
  sim.Start();
  NameAll("author", "tool", {"wss://a.example/first", "wss://a.example/second"});
  sim.RunFor(milliseconds(4900));
  EXPECT_THAT(sim.At("wss://a.example/second").dials, IsEmpty());
  sim.RunFor(milliseconds(200));
  EXPECT_EQ(sim.State("wss://a.example/second"), RemoteState::kLive);
}

TEST_F(OneHostTest, WhoIsNamedNoMoreOrPausedWaitsForNothing) {
  auto& sim = Begin();
  sim.Start();
  const std::string urls[] = {"wss://a.example/1", "wss://a.example/2", "wss://a.example/3"};
  Rename({urls[0], urls[1], urls[2]});
  sim.RunFor(seconds(1));
  EXPECT_EQ(sim.engine.dials_waiting(), 2u);
  sim.engine.Pause(sim.now(), Url(urls[1]));
  EXPECT_EQ(sim.engine.dials_waiting(), 1u);
  Rename({urls[0], urls[1]});
  sim.RunFor(seconds(1));
  EXPECT_EQ(sim.engine.dials_waiting(), 0u);
  sim.RunFor(minutes(1));
  EXPECT_THAT(sim.At(urls[1]).dials, IsEmpty());
  EXPECT_THAT(sim.At(urls[2]).dials, IsEmpty());
  sim.engine.Resume(sim.now(), Url(urls[1]), false);
  sim.Settle();
  EXPECT_THAT(sim.At(urls[1]).dials, SizeIs(1));
}

TEST_F(OneHostTest, EachPortOfAnAddressIsThatHostButInTheOperatorsRanges) {
  options_.local_ranges = {net::Cidr::Parse("127.0.0.0/8").value()};
  auto& sim = Begin();
  sim.Start();
  std::vector<std::string> there, here;
  for (int i = 0; i < 10; ++i) {
    const std::string port = ":" + std::to_string(7000 + i);
    there.push_back((i % 2 == 0 ? "wss://25.1.2.3" : "wss://[::ffff:25.1.2.3]") + port);
    here.push_back("ws://127.0.0.1" + port);
  }
  NameAll("author", "there", there);
  NameAll("author", "here", here);
  sim.RunFor(seconds(2));
  EXPECT_EQ(DialledUrls(there), 1u);
  EXPECT_EQ(DialledUrls(here), 10u);
  EXPECT_EQ(sim.engine.dials_waiting(), 9u);
  sim.RunFor(seconds(50));
  EXPECT_EQ(DialledUrls(there), 10u);
  EXPECT_EQ(sim.engine.dials_waiting(), 0u);
}

TEST_F(OneHostTest, AForbiddenAddressIsNotPaced) {
  auto& sim = Begin();
  sim.Start();
  std::vector<std::string> urls;
  for (int i = 0; i < 10; ++i) {
    urls.push_back("wss://25.1.2.3:" + std::to_string(7000 + i));
    sim.At(urls.back()).blocked = i < 9;
  }
  NameAll("author", "tool", urls);
  sim.RunFor(seconds(1));
  EXPECT_EQ(DialledUrls(urls), 10u);
  EXPECT_EQ(sim.State(urls.back()), RemoteState::kLive);
}

// ---- one address --------------------------------------------------------------------------------

TEST_F(DialFloodTest, ARelayWhoseAddressIsCrowdedWaitsAndSaysSo) {
  auto& sim = Begin();
  sim.At(kA).fails_with = {net::DialError::kCrowded};
  sim.Start();
  NameAll("honest", "tool", {kA});
  sim.RunFor(seconds(1));
  EXPECT_EQ(sim.State(kA), RemoteState::kBackoff);
  EXPECT_EQ(sim.Candidate(kA)->decision, Decision::kCrowded);
  EXPECT_EQ(sim.Candidate(kA)->reason, "simulated");
  sim.At(kA).fails_with.reset();
  sim.RunFor(minutes(1));
  EXPECT_EQ(sim.State(kA), RemoteState::kLive);
  EXPECT_EQ(sim.Candidate(kA)->decision, Decision::kAccepted);
}

}  // namespace
}  // namespace graspd::sync::testing
