#include "services/relay/address_budgets.h"

#include <gtest/gtest.h>

#include <string>

namespace graspd::relay {
namespace {

constexpr base::SteadyTime kNow{};

net::IpAddress Ip(const std::string& text) { return *net::IpAddress::Parse(text); }

nostr::Limits Small() {
  nostr::Limits limits;
  limits.events_per_second = limits.reqs_per_second = 1;
  limits.events_burst = limits.reqs_burst = 2;
  limits.address_rate_factor = 3;
  return limits;
}

template <typename Take>
int CountTaken(Take take) {
  int taken = 0;
  while (taken < 100'000 && take()) ++taken;
  return taken;
}

TEST(AddressBudgets, AClientIsAnIpv4AddressOrAnIpv6Network) {
  AddressBudgets budgets(Small());
  const auto first = budgets.Get(Ip("192.0.2.1"), kNow);
  EXPECT_EQ(budgets.Get(Ip("192.0.2.1"), kNow), first);
  EXPECT_NE(budgets.Get(Ip("192.0.2.2"), kNow), first);
  const auto network = budgets.Get(Ip("2001:db8::1"), kNow);
  EXPECT_EQ(budgets.Get(Ip("2001:db8::ffff:1"), kNow), network);
  EXPECT_NE(budgets.Get(Ip("2001:db8:0:1::1"), kNow), network);
  EXPECT_EQ(budgets.size(), 4u);
}

TEST(AddressBudgets, HasTheFactorTimesWhatOneConnectionMay) {
  AddressBudgets budgets(Small());
  const auto budget = budgets.Get(Ip("192.0.2.1"), kNow);
  EXPECT_EQ(CountTaken([&] { return budget->TakeEvent(kNow); }), 6);
  EXPECT_EQ(CountTaken([&] { return budget->TakeQuery(kNow); }), 6);
  EXPECT_EQ(CountTaken([&] { return budget->TakeStrike(kNow); }), 300);
  const auto later = kNow + std::chrono::seconds(1);
  EXPECT_EQ(CountTaken([&] { return budget->TakeEvent(later); }), 3);
}

TEST(AddressBudgets, HangingUpDoesNotRenewABudget) {
  AddressBudgets budgets(Small());
  CountTaken([budget = budgets.Get(Ip("192.0.2.1"), kNow)] { return budget->TakeEvent(kNow); });
  EXPECT_FALSE(budgets.Get(Ip("192.0.2.1"), kNow)->TakeEvent(kNow));
}

TEST(AddressBudgets, AnInvalidEventCostsTenMore) {
  nostr::Limits limits = Small();
  limits.events_burst = 20;
  AddressBudgets budgets(limits);
  const auto budget = budgets.Get(Ip("192.0.2.1"), kNow);
  for (int i = 0; i < 3; ++i) budget->ChargeInvalidEvent(kNow);
  EXPECT_EQ(CountTaken([&] { return budget->TakeEvent(kNow); }), 30);
  for (int i = 0; i < 100; ++i) budget->ChargeInvalidEvent(kNow);
  EXPECT_FALSE(budget->TakeEvent(kNow + std::chrono::seconds(20)));
  EXPECT_TRUE(budget->TakeEvent(kNow + std::chrono::seconds(21)));
}

TEST(AddressBudgets, ReconciliationsOfAllConnectionsShareOneWorkBudget) {
  nostr::Limits limits;
  limits.address_rate_factor = 2;
  const base::SteadyTime now{};
  AddressBudgets::Budget budget(limits, now);
  EXPECT_TRUE(budget.AllowsWork(now, now));
  budget.ChargeWork(static_cast<size_t>(2 * WorkBudget::kBurst));
  EXPECT_FALSE(budget.AllowsWork(now, now));
  const base::SteadyTime later = now + std::chrono::seconds(1);
  EXPECT_TRUE(budget.AllowsWork(later, later));
}

TEST(AddressBudgets, AFactorOfZeroIsUnlimited) {
  nostr::Limits limits = Small();
  limits.address_rate_factor = 0;
  AddressBudgets budgets(limits);
  const auto budget = budgets.Get(Ip("192.0.2.1"), kNow);
  EXPECT_EQ(CountTaken([&] { return budget->TakeEvent(kNow) && budget->TakeStrike(kNow); }),
            100'000);
}

TEST(AddressBudgets, RememberABoundedNumberOfClients) {
  AddressBudgets budgets(Small());
  net::IpAddress address = Ip("10.0.0.0");
  for (size_t i = 0; i < AddressBudgets::kClients + 1000; ++i) {
    address.bytes[1] = static_cast<uint8_t>(i >> 16);
    address.bytes[2] = static_cast<uint8_t>(i >> 8);
    address.bytes[3] = static_cast<uint8_t>(i);
    ASSERT_TRUE(budgets.Get(address, kNow)->TakeEvent(kNow));
  }
  EXPECT_EQ(budgets.size(), AddressBudgets::kClients);
}

}  // namespace
}  // namespace graspd::relay
