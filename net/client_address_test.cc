#include "net/client_address.h"

#include <gtest/gtest.h>

namespace graspd::net {
namespace {

IpAddress Ip(std::string_view text) { return IpAddress::Parse(text).value(); }

std::string Client(std::optional<std::string> peer, std::vector<std::string> forwarded) {
  const std::vector<Cidr> trusted{Cidr::Parse("10.0.0.0/8").value(),
                                  Cidr::Parse("fd00::/8").value()};
  HttpRequest request;
  for (auto& value : forwarded) request.headers.emplace_back("x-forwarded-for", value);
  const auto client =
      ClientAddress(peer ? std::optional(Ip(*peer)) : std::nullopt, request, trusted);
  return client ? client->ToString() : "nobody";
}

TEST(ClientAddressTest, UntrustedPeerIsTheClientWhateverItClaims) {
  EXPECT_EQ(Client("203.0.113.1", {"1.1.1.1"}), "203.0.113.1");
  EXPECT_EQ(Client("203.0.113.1", {"10.0.0.1"}), "203.0.113.1");
}

TEST(ClientAddressTest, RightmostUntrustedHopIsTheClient) {
  EXPECT_EQ(Client("10.0.0.1", {}), "10.0.0.1");
  EXPECT_EQ(Client("10.0.0.1", {"203.0.113.1"}), "203.0.113.1");
  EXPECT_EQ(Client("10.0.0.1", {"6.6.6.6, 203.0.113.1 ,10.0.0.9"}), "203.0.113.1");
  EXPECT_EQ(Client("10.0.0.1", {"6.6.6.6", "203.0.113.1, 10.0.0.9"}), "203.0.113.1");
  EXPECT_EQ(Client("10.0.0.1", {"10.0.0.2, 10.0.0.3"}), "10.0.0.2");  // all trusted: the outermost
}

TEST(ClientAddressTest, GarbageEndsTheSearchAtTheLastHopBelieved) {
  EXPECT_EQ(Client("10.0.0.1", {"6.6.6.6, unknown, 10.0.0.9"}), "10.0.0.9");
  EXPECT_EQ(Client("10.0.0.1", {"6.6.6.6, , 10.0.0.9"}), "10.0.0.9");
  EXPECT_EQ(Client("10.0.0.1", {"6.6.6.6,"}), "10.0.0.1");
  EXPECT_EQ(Client("10.0.0.1", {""}), "10.0.0.1");
}

TEST(ClientAddressTest, HopsMayCarryPortsAndBrackets) {
  EXPECT_EQ(Client("10.0.0.1", {"203.0.113.1:4711"}), "203.0.113.1");
  EXPECT_EQ(Client("10.0.0.1", {"[2001:db8::1]:4711"}), "2001:db8::1");
  EXPECT_EQ(Client("10.0.0.1", {"[2001:db8::1]"}), "2001:db8::1");
  EXPECT_EQ(Client("10.0.0.1", {"2001:db8::1, ::ffff:10.0.0.9, fd00::1"}), "2001:db8::1");
}

TEST(ClientAddressTest, PeerOnAUnixSocketIsATrustedProxy) {
  EXPECT_EQ(Client(std::nullopt, {"6.6.6.6, 203.0.113.1"}), "203.0.113.1");
  EXPECT_EQ(Client(std::nullopt, {"6.6.6.6, 203.0.113.1, 10.0.0.9"}), "203.0.113.1");
  EXPECT_EQ(Client(std::nullopt, {}), "nobody");
  EXPECT_EQ(Client(std::nullopt, {"6.6.6.6, unknown"}), "nobody");
}

TEST(AddressCounterTest, LimitsEachNetworkOnItsOwn) {
  AddressCounter counter(2);
  EXPECT_TRUE(counter.TryTake(Ip("1.1.1.1")));
  EXPECT_TRUE(counter.TryTake(Ip("1.1.1.1")));
  EXPECT_FALSE(counter.TryTake(Ip("1.1.1.1")));
  EXPECT_TRUE(counter.TryTake(Ip("1.1.1.2")));
  counter.Free(Ip("1.1.1.1"));
  EXPECT_TRUE(counter.TryTake(Ip("1.1.1.1")));

  EXPECT_TRUE(counter.TryTake(Ip("2001:db8::1")));
  EXPECT_TRUE(counter.TryTake(Ip("2001:db8::2")));
  EXPECT_FALSE(counter.TryTake(Ip("2001:db8::3")));  // the same /64
  EXPECT_TRUE(counter.TryTake(Ip("2001:db8:0:1::1")));
}

}  // namespace
}  // namespace graspd::net
