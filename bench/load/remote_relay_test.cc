#include "bench/load/remote_relay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/manual_clock.h"
#include "bench/load/client.h"
#include "bench/load/relay_text.h"
#include "bench/load/remote_set.h"
#include "bench/load/repo_events.h"
#include "nostr/message.h"
#include "nostr/negentropy/item_set.h"
#include "nostr/negentropy/reconciler.h"
#include "nostr/nip34.h"

namespace graspd::bench {
namespace {

using testing::ElementsAre;
using testing::SizeIs;
using testing::UnorderedElementsAre;

constexpr uint64_t kTime = 1'700'000'000;
constexpr size_t kEvents = 20;

// Two repositories with two issues each, and 16 comments.
class RemoteRelayTest : public testing::Test {
 protected:
  RemoteRelayTest() {
    for (size_t i = 0; i < kEvents; ++i) {
      EXPECT_TRUE(remote_->Add(events_.json(i)).ok());
      EXPECT_TRUE(set_.Add(events_.json(i)).ok());
    }
    EXPECT_TRUE(client_.Open(*ResolveRelay(remote_->url()), 1, 1).ok());
    client_.set_on_text([this](size_t, std::string_view text) {
      received_.emplace_back(text);
      return absl::OkStatus();
    });
  }

  // What comes until there are `count` messages more.
  std::vector<std::string> Ask(const std::string& message, size_t count) {
    received_.clear();
    if (!message.empty()) client_.Send(0, {message});
    EXPECT_TRUE(client_.Flush().ok());
    EXPECT_TRUE(client_.RunUntil([&] { return received_.size() >= count; }).ok());
    return received_;
  }
  [[nodiscard]] nostr::EventId Id(size_t i) const { return maker_.Make(i).id; }

  const base::Clock& clock_ = base::SystemClock::Instance();
  Progress progress_{clock_};
  const RepoEventMaker maker_{1, kTime, 2, 4};
  const EventSet events_ = SignRepoEvents(maker_, kEvents, progress_);
  RemoteSet set_;
  net::IoPool pool_{1};
  std::unique_ptr<RemoteRelay> remote_ = *RemoteRelay::Start(pool_, clock_);
  Client client_{clock_, std::chrono::seconds(20)};
  std::vector<std::string> received_;
};

TEST_F(RemoteRelayTest, EventsAreValidAndBelongToTheirRepository) {
  const auto comment = nostr::ParseEvent(events_.json(6));
  ASSERT_TRUE(comment.ok()) << comment.status();
  EXPECT_EQ(comment->id, nostr::ComputeId(*comment));
  EXPECT_TRUE(nostr::VerifySignature(*comment));
  EXPECT_EQ(comment->kind, nostr::kComment);
  EXPECT_EQ(comment->tags.FirstValue("E"), Id(2).ToHex());
  EXPECT_EQ(comment->tags.FirstValue("A"), maker_.Make(2).tags.FirstValue("a"));
  const auto announcement =
      nostr::ParseAnnouncement(maker_.Announcement(0, {"ws://a", "ws://b"}, kTime));
  ASSERT_TRUE(announcement.ok()) << announcement.status();
  EXPECT_THAT(announcement->relays, ElementsAre("ws://a", "ws://b"));
  EXPECT_EQ(announcement->address.ToString(), maker_.Make(2).tags.FirstValue("a"));
}

TEST_F(RemoteRelayTest, TheSetSelectsWhatTheMatcherSelectsNewestFirst) {
  const std::string root = Id(1).ToHex(), other = Id(3).ToHex();
  const std::vector<std::string> filters = {
      R"({"#E":[")" + root + R"("]})",
      R"({"#e":[")" + root + R"(",")" + other + R"("]})",
      R"({"ids":[")" + root + R"(",")" + Id(5).ToHex() + R"("],"kinds":[1621]})",
      R"({"kinds":[1621],"since":1700000001})",
      R"({"#E":[")" + root + R"("],"until":1700000009})",
      R"({"authors":[")" + maker_.Make(2).pubkey.ToHex() + R"("]})",
      R"({"ids":[")" + root + R"(",")" + Id(5).ToHex() + R"("],"#E":[")" + root + R"("]})",
      R"({"#K":["1621"],"#E":[")" + root + R"("]})",
      "{}"};
  for (const auto& json : filters) {
    const auto filter = nostr::ParseFilter(json);
    ASSERT_TRUE(filter.ok()) << json;
    std::vector<uint32_t> wanted;
    for (uint32_t i = kEvents; i-- > 0;) {
      if (nostr::Matches(*filter, maker_.Make(i))) wanted.push_back(i);
    }
    EXPECT_EQ(set_.Select(*filter), wanted) << json;
    EXPECT_FALSE(wanted.empty()) << json;
  }
}

TEST_F(RemoteRelayTest, AnswersIdsOnceHoweverManyFiltersSelectThem) {
  const std::string filter = R"({"ids":[")" + Id(5).ToHex() + R"("]})";
  const auto answer = Ask(R"(["REQ","x",)" + filter + "," + filter + "]", 2);
  EXPECT_THAT(answer, ElementsAre(R"(["EVENT","x",)" + std::string(events_.json(5)) + "]",
                                  R"(["EOSE","x"])"));
  EXPECT_EQ(remote_->stats().delivered, 1U);
  EXPECT_THAT(remote_->LastDelivered(9), ElementsAre(Id(5)));
  Ask(R"(["REQ","x",)" + filter + "]", 2);
  EXPECT_EQ(remote_->stats().delivered, 1U);
  EXPECT_EQ(remote_->stats().sent, 2U);
}

TEST_F(RemoteRelayTest, LimitZeroStaysLive) {
  const auto issue = maker_.Issue(10);
  EXPECT_EQ(remote_->Listeners(issue), 0U);
  EXPECT_THAT(Ask(R"(["REQ","live",{"kinds":[1621],"limit":0}])", 1),
              ElementsAre(R"(["EOSE","live"])"));
  EXPECT_EQ(remote_->Listeners(issue), 1U);
  received_.clear();
  remote_->Publish(maker_.Make(7));  // a comment
  remote_->Publish(issue);
  EXPECT_THAT(Ask("", 1), ElementsAre(R"(["EVENT","live",)" + nostr::EventJson(issue) + "]"));
}

TEST_F(RemoteRelayTest, ClosedSubscriptionsHearNothing) {
  Ask(R"(["REQ","live",{"limit":0}])", 1);
  client_.Send(0, {R"(["CLOSE","live"])"});
  Ask(R"(["REQ","other",{"kinds":[1],"limit":0}])", 1);
  EXPECT_EQ(remote_->Listeners(maker_.Issue(10)), 0U);
  EXPECT_EQ(remote_->stats().subscriptions, 1U);
}

TEST_F(RemoteRelayTest, ReconcilesWithWhatTheFilterSelects) {
  negentropy::Initiator initiator(
      std::make_shared<negentropy::SealedSet>(std::vector<negentropy::Item>{}), {});
  nostr::Filter filter;
  filter.kinds = {nostr::kIssue};
  const auto answer = Ask(nostr::NegOpenMessage("n", filter, initiator.Start()), 1);
  const auto parsed = nostr::ParseRelayMessage(answer[0]);
  const auto* message = std::get_if<nostr::RelayNegMsg>(&parsed);
  ASSERT_NE(message, nullptr) << answer[0];
  const auto step = initiator.Continue(message->message);
  ASSERT_TRUE(step.ok()) << step.status();
  EXPECT_THAT(step->need, UnorderedElementsAre(Id(0), Id(1), Id(2), Id(3)));
  EXPECT_EQ(remote_->stats().neg_running, 1U);
  client_.Send(0, {nostr::NegCloseMessage("n")});
  Ask(R"(["REQ","other",{"limit":0}])", 1);
  EXPECT_EQ(remote_->stats().neg_running, 0U);
  EXPECT_EQ(remote_->stats().neg_opens, 1U);
}

TEST_F(RemoteRelayTest, CountsTheBytesOfFramesBothWays) {
  const auto before = remote_->stats();
  const std::string request = R"(["REQ","live",{"kinds":[1621],"limit":0}])";
  Ask(request, 1);
  const auto after = remote_->stats();
  EXPECT_EQ(after.bytes_in - before.bytes_in, request.size() + 6);  // with its mask
  EXPECT_EQ(after.bytes_out - before.bytes_out, std::string(R"(["EOSE","live"])").size() + 2);
}

TEST_F(RemoteRelayTest, EachPortAnswersAndSaysWhatItSupports) {
  const auto two = RemoteRelay::Start(pool_, clock_, 2);
  ASSERT_TRUE(two.ok()) << two.status();
  EXPECT_NE((*two)->port(0), (*two)->port(1));
  EXPECT_EQ((*two)->stats().first_contact, std::nullopt);
  for (size_t i = 0; i < 2; ++i) {
    const auto address = ResolveRelay((*two)->url(i));
    ASSERT_TRUE(address.ok());
    EXPECT_EQ(AskIdentity(*address).name, "graspd-bench");
  }
  EXPECT_NE((*two)->stats().first_contact, std::nullopt);
}

}  // namespace
}  // namespace graspd::bench
