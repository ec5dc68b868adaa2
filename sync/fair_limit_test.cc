#include "sync/fair_limit.h"

#include <gtest/gtest.h>

#include "sync/testing/events.h"

namespace graspd::sync {
namespace {

using testing::Author;

DialAccount Account(std::string_view author, std::string site) {
  return {Author(author), std::move(site)};
}

// Takes as much as the account may have.
size_t Exhaust(FairLimit& limit, const DialAccount& account) {
  size_t taken = 0;
  while (limit.MayTake(*account.author) && limit.MayTake(account.site)) {
    limit.Take(account);
    ++taken;
  }
  return taken;
}

TEST(SiteOfTest, IsTheLastTwoLabelsAndOneForAllAddresses) {
  EXPECT_EQ(SiteOf(testing::Url("wss://a.b.relay.example")), "relay.example");
  EXPECT_EQ(SiteOf(testing::Url("wss://relay.example")), "relay.example");
  EXPECT_EQ(SiteOf(testing::Url("wss://relay")), "relay");
  EXPECT_EQ(SiteOf(testing::Url("wss://1.2.3.4")), SiteOf(testing::Url("wss://[2000::1]")));
}

TEST(FairLimitTest, EachNewcomerGetsHalfOfWhatIsLeft) {
  FairLimit limit(60);
  EXPECT_EQ(Exhaust(limit, Account("a", "a.example")), 30u);
  EXPECT_EQ(Exhaust(limit, Account("b", "b.example")), 15u);
  EXPECT_EQ(Exhaust(limit, Account("c", "c.example")), 8u);
  EXPECT_EQ(limit.used(), 53u);
}

TEST(FairLimitTest, NeitherManyKeysNorManyNamesHelp) {
  FairLimit keys(60), names(60);
  size_t taken = 0;
  for (int i = 0; i < 100; ++i) {
    taken += Exhaust(keys, Account(std::to_string(i), "one.example"));
  }
  EXPECT_EQ(taken, 30u);
  taken = 0;
  for (int i = 0; i < 100; ++i) taken += Exhaust(names, Account("one", std::to_string(i)));
  EXPECT_EQ(taken, 30u);
}

TEST(FairLimitTest, WhatIsReturnedGoesToWhoHasLeast) {
  FairLimit limit(2);
  const auto a = Account("a", "a.example"), b = Account("b", "b.example");
  limit.Take(a);
  limit.Take(a);
  EXPECT_TRUE(limit.full());
  limit.Return(a);
  EXPECT_FALSE(limit.MayTake(*a.author));
  EXPECT_FALSE(limit.MayTake(a.site));
  EXPECT_TRUE(limit.MayTake(*b.author));
}

TEST(FairLimitTest, WhatIsForgivenCountsForItsAccountAlone) {
  FairLimit limit(4);
  const auto a = Account("a", "a.example");
  for (int i = 0; i < 3; ++i) {
    limit.Take(a);
    limit.Forgive();
  }
  EXPECT_EQ(limit.used(), 0u);
  EXPECT_EQ(limit.UsedBy(a), 3u);
  EXPECT_TRUE(limit.MayTake(*a.author));
  limit.Take(a);
  limit.Forgive();
  EXPECT_FALSE(limit.MayTake(*a.author)) << "four of its own";
  limit.ReturnForgiven(a);
  EXPECT_TRUE(limit.MayTake(*a.author));
}

TEST(FairLimitTest, TheOperatorIsChargedToNobody) {
  FairLimit limit(4);
  limit.Take({});
  EXPECT_EQ(limit.used(), 1u);
  EXPECT_EQ(limit.UsedBy({}), 0u);
  limit.Return({});
  EXPECT_EQ(limit.used(), 0u);
}

}  // namespace
}  // namespace graspd::sync
