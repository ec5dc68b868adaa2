#include "services/relay/client_work.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <vector>

#include "base/manual_clock.h"

namespace graspd::relay {
namespace {

using std::chrono::seconds;
using Budget = Meters::Budget;
using Kind = ClientWork::Kind;

// Connections of one address, whose budget is overdrawn by ten seconds.
class ClientWorkTest : public testing::Test {
 protected:
  static constexpr size_t kFactor = 10;
  static constexpr auto kPerSecond = static_cast<size_t>(kFactor * WorkBudget::kPerSecond);

  ClientWorkTest() {
    limits_.address_rate_factor = kFactor;
    address_ = std::make_shared<AddressBudgets::Budget>(limits_, clock_.Now());
    address_->ChargeWork(static_cast<size_t>(kFactor * WorkBudget::kBurst) + 10 * kPerSecond);
  }
  std::unique_ptr<ClientWork> Connect() { return std::make_unique<ClientWork>(clock_, address_); }
  static bool Waits(ClientWork& work, Kind kind = Kind::kScan) {
    return work.MustWaitFor(kind).has_value();
  }

  nostr::Limits limits_;
  base::ManualClock clock_;
  std::shared_ptr<AddressBudgets::Budget> address_;
};

TEST_F(ClientWorkTest, WhoComesLaterDoesNotOvertake) {
  const auto first = Connect(), second = Connect(), third = Connect();
  EXPECT_EQ(first->MustWaitFor(Kind::kScan), Budget::kAddress);
  clock_.Advance(seconds(1));
  EXPECT_TRUE(Waits(*second));
  clock_.Advance(seconds(10));
  EXPECT_EQ(third->MustWaitFor(Kind::kScan), Budget::kAddress)
      << "although there is something left";
  EXPECT_FALSE(Waits(*second)) << "it came at about the time of the first";
  second->Begin(Kind::kScan);
  EXPECT_TRUE(Waits(*second)) << "served, it is the last";
  EXPECT_FALSE(Waits(*first));
  first->Begin(Kind::kScan);
  EXPECT_FALSE(Waits(*first)) << "those that wait have not done so for long";
  EXPECT_FALSE(Waits(*second));
  EXPECT_FALSE(Waits(*third));
}

TEST_F(ClientWorkTest, AllowedIsNotBegun) {
  const auto first = Connect(), second = Connect();
  EXPECT_TRUE(Waits(*first));
  clock_.Advance(seconds(11));
  EXPECT_FALSE(Waits(*first));
  EXPECT_TRUE(Waits(*second));
  address_->ChargeWork(20 * kPerSecond);
  EXPECT_TRUE(Waits(*first));
  clock_.Advance(seconds(20));
  EXPECT_TRUE(Waits(*second)) << "the first has kept its place";
  EXPECT_FALSE(Waits(*first));
}

TEST_F(ClientWorkTest, NobodyWaitsForWhoWantsNothingNow) {
  const auto first = Connect(), other = Connect();
  EXPECT_TRUE(Waits(*first));
  clock_.Advance(seconds(11));
  EXPECT_TRUE(Waits(*other));
  first->Withdraw(Kind::kScan);
  EXPECT_FALSE(Waits(*other));
  address_->ChargeWork(5 * kPerSecond);
  EXPECT_TRUE(Waits(*first));
  clock_.Advance(seconds(5));
  EXPECT_TRUE(Waits(*other)) << "what the first had waited for has not been forgotten";
  first->Close();
  EXPECT_FALSE(Waits(*other));
  address_->ChargeWork(5 * kPerSecond);
  EXPECT_TRUE(Waits(*first)) << "a task that has not heard of the end";
  clock_.Advance(seconds(5));
  EXPECT_FALSE(Waits(*other));
}

TEST_F(ClientWorkTest, NobodyWaitsForWhoHasOverdrawnItsOwn) {
  const auto first = Connect(), other = Connect();
  EXPECT_TRUE(Waits(*first));
  first->Charge(static_cast<size_t>(2 * WorkBudget::kBurst));
  clock_.Advance(seconds(15));
  EXPECT_TRUE(Waits(*other)) << "the first has not looked yet";
  EXPECT_EQ(first->MustWaitFor(Kind::kScan), Budget::kConnection);
  EXPECT_FALSE(Waits(*other));
}

TEST_F(ClientWorkTest, ScansAndAnswersOfAConnectionHaveAPlaceEach) {
  const auto work = Connect();
  EXPECT_TRUE(Waits(*work, Kind::kScan));
  clock_.Advance(seconds(11));
  EXPECT_TRUE(Waits(*work, Kind::kAnswer));
  EXPECT_FALSE(Waits(*work, Kind::kScan));
  work->Begin(Kind::kScan);
  EXPECT_FALSE(Waits(*work, Kind::kAnswer));
}

TEST_F(ClientWorkTest, OurOwnConnectionWaitsForNobody) {
  const auto other = Connect();
  EXPECT_TRUE(Waits(*other));
  ClientWork own(clock_, nullptr);
  EXPECT_FALSE(Waits(own));
}

}  // namespace
}  // namespace graspd::relay
