#include "net/address_slots.h"

#include <gtest/gtest.h>

#include <vector>

namespace graspd::net {
namespace {

IpAddress Ip(std::string_view text) { return IpAddress::Parse(text).value(); }

TEST(AddressSlotsTest, AnAddressHasSoManyPlacesAndAnEndedLeaseFreesOne) {
  AddressSlots slots(2);
  auto first = slots.TryTake(Ip("1.2.3.4"), "wss://a.example");
  auto second = slots.TryTake(Ip("1.2.3.4"), "wss://b.example");
  ASSERT_TRUE(first && second);
  EXPECT_FALSE(slots.TryTake(Ip("1.2.3.4"), "wss://c.example"));
  EXPECT_FALSE(slots.TryTake(Ip("::ffff:1.2.3.4"), "wss://c.example"));
  EXPECT_TRUE(slots.TryTake(Ip("1.2.3.5"), "wss://c.example"));
  first.reset();
  EXPECT_TRUE(slots.TryTake(Ip("1.2.3.4"), "wss://c.example"));
}

TEST(AddressSlotsTest, OneUrlHasOnePlaceHoweverManyConnections) {
  AddressSlots slots(1);
  std::vector<AddressSlots::Lease> leases;
  for (int i = 0; i < 3; ++i) {
    auto lease = slots.TryTake(Ip("1.2.3.4"), "wss://a.example");
    ASSERT_TRUE(lease);
    leases.push_back(*std::move(lease));
  }
  leases.pop_back();
  EXPECT_FALSE(slots.TryTake(Ip("1.2.3.4"), "wss://b.example"));
  leases.clear();
  EXPECT_TRUE(slots.TryTake(Ip("1.2.3.4"), "wss://b.example"));
}

TEST(AddressSlotsTest, AnIpv6SubnetOf64BitsIsOneAddress) {
  AddressSlots slots(1);
  const auto lease = slots.TryTake(Ip("2a01:2:0:7::1"), "wss://a.example");
  EXPECT_FALSE(slots.TryTake(Ip("2a01:2:0:7:ffff::2"), "wss://b.example"));
  EXPECT_TRUE(slots.TryTake(Ip("2a01:2:0:8::1"), "wss://b.example"));
}

}  // namespace
}  // namespace graspd::net
