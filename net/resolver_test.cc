#include "net/resolver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netdb.h>

#include <algorithm>
#include <condition_variable>
#include <future>
#include <mutex>
#include <set>

#include "net/sockaddr.h"
#include "net/test_support.h"

namespace graspd::net {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

Resolver::Answer Ask(Resolver& resolver, IoPool& pool, std::string host) {
  std::promise<Resolver::Answer> answer;
  IoThread& thread = pool.thread(0);
  const auto look_up = resolver.Resolve(std::move(host), thread, [&](Resolver::Answer result) {
    EXPECT_TRUE(thread.IsCurrent());
    answer.set_value(std::move(result));
  });
  return Await(answer.get_future());
}

TEST(SystemResolverTest, LiteralsNeedNoThreads) {
  IoPool pool(1);
  SystemResolver resolver(/*threads=*/0, /*queue=*/0);
  EXPECT_EQ(Ask(resolver, pool, "192.0.2.1").value()[0].ToString(), "192.0.2.1");
  EXPECT_EQ(Ask(resolver, pool, "2001:db8::1").value()[0].ToString(), "2001:db8::1");
}

TEST(SystemResolverTest, ResolvesLocalhostOnceEachAddress) {
  IoPool pool(1);
  SystemResolver resolver;
  auto answer = Ask(resolver, pool, "localhost");
  ASSERT_TRUE(answer.ok()) << answer.status();
  std::sort(answer->begin(), answer->end());
  EXPECT_EQ(std::adjacent_find(answer->begin(), answer->end()), answer->end());
}

// As getaddrinfo lists them: 25.0.0.0 and so on, each twice.
Resolver::Answer ListOf(size_t count) {
  std::vector<Sockaddr> addresses;
  for (size_t i = 0; i < count; ++i) {
    addresses.push_back(ToSockaddr({IpAddress{.bytes = {25, 0, 0, static_cast<uint8_t>(i)}}, 0}));
  }
  std::vector<addrinfo> list(2 * count);
  for (size_t i = 0; i < list.size(); ++i) {
    list[i].ai_addr = reinterpret_cast<sockaddr*>(&addresses[i / 2].storage);
    list[i].ai_next = i + 1 < list.size() ? &list[i + 1] : nullptr;
  }
  return AddressesOf(list.data());
}

TEST(AddressesOfTest, MoreThanAnyRelayHasAreRefusedAsAWhole) {
  EXPECT_EQ(ListOf(1)->size(), 1u);
  EXPECT_EQ(ListOf(Resolver::kMaxAddresses)->size(), Resolver::kMaxAddresses);
  EXPECT_EQ(ListOf(Resolver::kMaxAddresses + 1).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(AddressesOf(nullptr).status().code(), absl::StatusCode::kNotFound);
}

TEST(SystemResolverTest, FullQueueRefuses) {
  IoPool pool(1);
  SystemResolver resolver(/*threads=*/0, /*queue=*/0);
  EXPECT_EQ(Ask(resolver, pool, "relay.example").status().code(),
            absl::StatusCode::kResourceExhausted);
}

/// Name servers that answer for a name when the test says so.
class NameServers {
 public:
  Resolver::Answer Ask(const std::string& host) {
    std::unique_lock lock(mutex_);
    asked_.push_back(host);
    changed_.notify_all();
    changed_.wait(lock, [&] { return answered_.contains(host) || all_answered_; });
    return std::vector{IpAddress::Parse("192.0.2.1").value()};
  }
  void Answer(const std::string& host) {
    const std::lock_guard lock(mutex_);
    answered_.insert(host);
    changed_.notify_all();
  }
  void AnswerAll() {
    const std::lock_guard lock(mutex_);
    all_answered_ = true;
    changed_.notify_all();
  }
  /// What has been asked, once it is so much.
  std::vector<std::string> Asked(size_t count) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, kTestPatience, [&] { return asked_.size() >= count; }));
    return asked_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> asked_;
  std::set<std::string> answered_;
  bool all_answered_ = false;
};

class SlowNamesTest : public testing::Test {
 protected:
  ~SlowNamesTest() override {
    servers_->AnswerAll();
    resolver_.reset();
    pool_.Stop();
  }

  void Use(size_t threads, size_t queue = 100) {
    resolver_ = std::make_unique<SystemResolver>(
        threads, queue, [servers = servers_](const auto& host) { return servers->Ask(host); });
  }
  /// Waits for `host` until it is let go of; answers are gathered in `answers_`.
  void Want(const std::string& host) {
    wanted_[host] = resolver_->Resolve(host, thread(), [this, host](const auto& answer) {
      answers_[host] = answer.status().code();
    });
  }
  void LetGo(const std::string& host) {
    On(thread(), [&] { return wanted_.erase(host); });
  }
  /// Everything that was to be told has been.
  std::map<std::string, absl::StatusCode> Answers() {
    return On(thread(), [&] { return answers_; });
  }
  absl::StatusCode Answer(const std::string& host) {
    for (;;) {  // the answer is posted by a thread of the resolver's
      if (const auto answers = Answers(); answers.contains(host)) return answers.at(host);
    }
  }
  SystemResolver::Load AwaitAbandoned(size_t count) const {
    while (resolver_->load().abandoned != count) std::this_thread::yield();
    return resolver_->load();
  }
  IoThread& thread() { return pool_.thread(0); }

  const std::shared_ptr<NameServers> servers_ = std::make_shared<NameServers>();
  IoPool pool_{1};
  std::map<std::string, absl::StatusCode> answers_;  // of the thread
  std::unique_ptr<SystemResolver> resolver_;
  std::map<std::string, std::unique_ptr<Resolver::LookUp>> wanted_;
};

TEST_F(SlowNamesTest, ALookUpThatNobodyWaitsForWhenItsTurnComesIsNotCarriedOut) {
  Use(/*threads=*/1);
  for (const auto* host : {"a.example", "b.example", "c.example"}) Want(host);
  servers_->Asked(1);
  LetGo("b.example");
  servers_->AnswerAll();
  EXPECT_EQ(Answer("c.example"), absl::StatusCode::kOk);
  EXPECT_THAT(servers_->Asked(2), ElementsAre("a.example", "c.example"));
}

TEST_F(SlowNamesTest, WhoWaitsNoMoreLeavesTheQueueToOthers) {
  Use(/*threads=*/1, /*queue=*/1);
  Want("a.example");
  Want("b.example");
  LetGo("b.example");
  Want("c.example");
  Want("d.example");
  EXPECT_EQ(Answer("d.example"), absl::StatusCode::kResourceExhausted);
  servers_->AnswerAll();
  EXPECT_EQ(Answer("c.example"), absl::StatusCode::kOk);
}

TEST_F(SlowNamesTest, WhoWaitsNoMoreIsNotTold) {
  Use(/*threads=*/1);
  Want("a.example");
  Want("b.example");
  servers_->Asked(1);
  LetGo("a.example");
  servers_->AnswerAll();
  EXPECT_EQ(Answer("b.example"), absl::StatusCode::kOk);
  EXPECT_FALSE(Answers().contains("a.example"));
}

TEST_F(SlowNamesTest, OneSiteDoesNotGetAllThreads) {
  Use(/*threads=*/4);
  for (int i = 0; i < 10; ++i) Want(std::to_string(i) + ".hostile.example");
  Want("relay.honest.example");
  EXPECT_THAT(servers_->Asked(3), UnorderedElementsAre("0.hostile.example", "1.hostile.example",
                                                       "relay.honest.example"));
  servers_->Answer("relay.honest.example");
  EXPECT_EQ(Answer("relay.honest.example"), absl::StatusCode::kOk);
}

TEST_F(SlowNamesTest, AbandonedLookUpsCountForTheirSiteUntilTheyEnd) {
  Use(/*threads=*/4);
  for (int i = 0; i < 2; ++i) {
    Want(std::to_string(i) + ".hostile.example");
    servers_->Asked(static_cast<size_t>(i) + 1);
    LetGo(std::to_string(i) + ".hostile.example");
  }
  Want("2.hostile.example");
  Want("relay.honest.example");
  EXPECT_EQ(servers_->Asked(3)[2], "relay.honest.example");
  servers_->Answer("0.hostile.example");
  EXPECT_EQ(servers_->Asked(4)[3], "2.hostile.example");
}

TEST_F(SlowNamesTest, TheirNumbersAreKnown) {
  Use(/*threads=*/2);
  for (const auto* host : {"a.one.example", "b.one.example", "a.two.example"}) Want(host);
  servers_->Asked(2);
  LetGo("a.one.example");
  auto load = resolver_->load();
  EXPECT_EQ(load.queued, 1u);
  EXPECT_EQ(load.awaited, 1u);
  EXPECT_EQ(load.abandoned, 1u);
  servers_->AnswerAll();
  EXPECT_EQ(Answer("b.one.example"), absl::StatusCode::kOk);
  load = AwaitAbandoned(0);
  EXPECT_EQ(load.queued, 0u);
}

TEST_F(SlowNamesTest, TheEndOfTheResolverWaitsForNoNameServer) {
  Use(/*threads=*/1);
  Want("a.example");
  Want("b.example");
  servers_->Asked(1);
  resolver_.reset();
  servers_->AnswerAll();
  EXPECT_TRUE(Answers().empty());
  EXPECT_THAT(servers_->Asked(1), ElementsAre("a.example"));
}

}  // namespace
}  // namespace graspd::net
