#include "net/address_guard.h"

#include <gtest/gtest.h>

#include <csignal>

namespace graspd::net {
namespace {

std::string_view Reason(std::string_view ip) {
  return SpecialPurposeReason(IpAddress::Parse(ip).value());
}

struct RangeCase {
  const char *first, *last, *reason;
  const char *before, *after;  // neighbours outside the range: "" = none, or special themselves
};

TEST(SpecialPurposeReasonTest, V4RangesEndExactlyWhereTheyShould) {
  constexpr RangeCase kCases[] = {
      {"0.0.0.0", "0.255.255.255", "this network", "", "1.0.0.0"},
      {"10.0.0.0", "10.255.255.255", "private", "9.255.255.255", "11.0.0.0"},
      {"100.64.0.0", "100.127.255.255", "shared address space", "100.63.255.255", "100.128.0.0"},
      {"127.0.0.0", "127.255.255.255", "loopback", "126.255.255.255", "128.0.0.0"},
      {"168.63.129.16", "168.63.129.16", "cloud platform service", "168.63.129.15",
       "168.63.129.17"},
      {"169.254.0.0", "169.254.255.255", "link-local", "169.253.255.255", "169.255.0.0"},
      {"172.16.0.0", "172.31.255.255", "private", "172.15.255.255", "172.32.0.0"},
      {"192.0.0.0", "192.0.0.255", "protocol assignments", "191.255.255.255", "192.0.1.0"},
      {"192.0.2.0", "192.0.2.255", "documentation", "192.0.1.255", "192.0.3.0"},
      {"192.88.99.0", "192.88.99.255", "6to4 relay", "192.88.98.255", "192.88.100.0"},
      {"192.168.0.0", "192.168.255.255", "private", "192.167.255.255", "192.169.0.0"},
      {"198.18.0.0", "198.19.255.255", "benchmarking", "198.17.255.255", "198.20.0.0"},
      {"198.51.100.0", "198.51.100.255", "documentation", "198.51.99.255", "198.51.101.0"},
      {"203.0.113.0", "203.0.113.255", "documentation", "203.0.112.255", "203.0.114.0"},
      {"224.0.0.0", "239.255.255.255", "multicast", "223.255.255.255", ""},
      {"240.0.0.0", "255.255.255.254", "reserved", "", ""},
      {"255.255.255.255", "255.255.255.255", "broadcast", "", ""},
  };
  for (const RangeCase& c : kCases) {
    EXPECT_EQ(Reason(c.first), c.reason) << c.first;
    EXPECT_EQ(Reason(c.last), c.reason) << c.last;
    for (const std::string_view neighbour : {c.before, c.after}) {
      EXPECT_TRUE(neighbour.empty() || Reason(neighbour).empty()) << neighbour;
    }
  }
  EXPECT_EQ(Reason("169.254.169.254"), "link-local");
  EXPECT_EQ(Reason("100.100.100.200"), "shared address space");
  EXPECT_EQ(Reason("8.8.8.8"), "");
}

TEST(SpecialPurposeReasonTest, V6AllowsOnlyGlobalUnicastLessItsExceptions) {
  constexpr std::pair<const char*, const char*> kCases[] = {
      {"::", "unspecified"},
      {"::1", "loopback"},
      {"100::1", "discard-only"},
      {"1fff:ffff::1", "not global unicast"},
      {"2000::1", ""},
      {"2000:ffff::1", ""},
      {"2001:1::1", "protocol assignments"},
      {"2001:1ff:ffff::1", "protocol assignments"},
      {"2001:200::1", ""},
      {"2001:db7:ffff::1", ""},
      {"2001:db8::1", "documentation"},
      {"2001:db8:ffff::1", "documentation"},
      {"2001:db9::1", ""},
      {"2606:4700::1111", ""},
      {"3ffe:ffff::1", ""},
      {"3fff::1", "documentation"},
      {"3fff:fff::1", "documentation"},
      {"3fff:1000::1", ""},
      {"4000::1", "not global unicast"},
      {"5f00::1", "segment routing"},
      {"fc00::1", "unique local"},
      {"fd00:ec2::254", "unique local"},
      {"fe80::1", "link-local"},
      {"fec0::1", "site-local"},
      {"ff02::1", "multicast"},
  };
  for (const auto& [ip, reason] : kCases) EXPECT_EQ(Reason(ip), reason) << ip;
}

TEST(SpecialPurposeReasonTest, EmbeddedV4IsDecodedForTheReason) {
  constexpr std::pair<const char*, const char*> kCases[] = {
      {"::127.0.0.1", "loopback"},
      {"::ffff:127.0.0.1", "loopback"},
      {"::ffff:0:169.254.169.254", "link-local"},
      {"64:ff9b::10.0.0.1", "private"},
      {"64:ff9b:1::10.0.0.1", "private"},
      {"2002:7f00:1::1", "loopback"},
      {"2001:0:1:2:3:4:80ff:fffe", "loopback"},  // Teredo holds the client's address inverted
      // Also refused around a public address, under their own names.
      {"::8.8.8.8", "IPv4-compatible"},
      {"::ffff:8.8.8.8", "IPv4-mapped"},
      {"::ffff:0:8.8.8.8", "IPv4-translated"},
      {"64:ff9b::8.8.8.8", "NAT64"},
      {"64:ff9b:1::8.8.8.8", "local NAT64"},
      {"2002:808:808::1", "6to4"},
      {"2001:0:1:2:3:4:f7f7:f7f7", "Teredo"},
  };
  for (const auto& [ip, reason] : kCases) EXPECT_EQ(Reason(ip), reason) << ip;
}

SocketAddress At(std::string_view text) { return SocketAddress::Parse(text).value(); }

std::vector<IpAddress> NoOwn() { return {}; }

TEST(AddressGuardTest, AllowsGlobalUnicastOnly) {
  const AddressGuard guard({}, NoOwn);
  EXPECT_TRUE(guard.Check(At("8.8.8.8:443")).allowed);
  EXPECT_TRUE(guard.Check(At("[2606:4700::1111]:7777")).allowed);
  EXPECT_FALSE(guard.Check(At("8.8.8.8:443")).by_operator);
  EXPECT_EQ(guard.Check(At("10.0.0.1:443")).reason, "private");
  EXPECT_FALSE(guard.Check(At("[::ffff:10.0.0.1]:443")).allowed);
}

TEST(AddressGuardTest, OperatorsRangesAreLetThrough) {
  const AddressGuard guard({.allow = {Cidr::Parse("10.0.0.0/8").value()}}, NoOwn);
  const auto verdict = guard.Check(At("10.0.0.1:5432"));  // the port is the operator's choice too
  EXPECT_TRUE(verdict.allowed);
  EXPECT_TRUE(verdict.by_operator);
  EXPECT_TRUE(guard.Check(At("[::ffff:10.0.0.1]:80")).by_operator);
  EXPECT_FALSE(guard.Check(At("192.168.0.1:80")).allowed);
}

TEST(AddressGuardTest, WhatTheOperatorDeniesIsRefusedEvenInsideAnAllowedRange) {
  const AddressGuard guard({.allow = {*Cidr::Parse("10.0.0.0/8"), *Cidr::Parse("64:ff9b::/96")},
                            .deny = {*Cidr::Parse("10.1.0.0/16"), *Cidr::Parse("34.118.224.0/20"),
                                     *Cidr::Parse("2600:1900::/28")},
                            .allow_ports = {22}},
                           NoOwn);
  // Whatever the port, and however an IPv4 address is wrapped.
  for (const auto* address :
       {"10.1.2.3:443", "34.118.224.1:443", "34.118.239.255:22", "[2600:1900::1]:443",
        "[::ffff:10.1.2.3]:443", "[64:ff9b::10.1.2.3]:443", "[64:ff9b::34.118.224.1]:443"}) {
    EXPECT_EQ(guard.Check(At(address)).reason, "denied range") << address;
  }
  for (const auto* address : {"10.2.0.1:443", "34.118.240.0:443", "[64:ff9b::10.2.0.1]:443"}) {
    EXPECT_TRUE(guard.Check(At(address)).allowed) << address;
  }
}

TEST(AddressGuardTest, OwnAddressesAreRefusedOnEveryPort) {
  const auto own = [] { return std::vector{IpAddress::Parse("8.8.4.4").value()}; };
  EXPECT_EQ(AddressGuard({}, own).Check(At("8.8.4.4:443")).reason, "own address");
  EXPECT_EQ(AddressGuard({}, own).Check(At("[::ffff:8.8.4.4]:443")).reason, "IPv4-mapped");
  const AddressGuard allowing({.allow = {Cidr::Parse("8.8.4.4").value()}}, own);
  EXPECT_TRUE(allowing.Check(At("8.8.4.4:443")).allowed);
}

TEST(AddressGuardTest, OwnEndpointIsRefusedEvenInsideAnAllowedRange) {
  AddressGuard guard({.allow = {Cidr::Parse("127.0.0.0/8").value()}}, NoOwn);
  guard.AddOwnEndpoint(At("127.0.0.1:7334"));
  EXPECT_EQ(guard.Check(At("127.0.0.1:7334")).reason, "own endpoint");
  EXPECT_EQ(guard.Check(At("[::ffff:127.0.0.1]:7334")).reason, "own endpoint");
  EXPECT_TRUE(guard.Check(At("127.0.0.1:7335")).allowed);
  EXPECT_TRUE(guard.Check(At("127.0.0.2:7334")).allowed);
}

TEST(AddressGuardTest, WildcardEndpointCoversEveryAddressOfThisMachine) {
  AddressGuard guard({.allow = {Cidr::Parse("0.0.0.0/0").value(), Cidr::Parse("::/0").value()}},
                     [] { return std::vector{IpAddress::Parse("192.168.1.5").value()}; });
  guard.AddOwnEndpoint(At("0.0.0.0:7334"));
  for (const auto* ip : {"127.0.0.1", "127.9.9.9", "192.168.1.5", "0.0.0.0", "[::1]", "[::]",
                         "[::ffff:192.168.1.5]"}) {
    EXPECT_EQ(guard.Check(At(std::string(ip) + ":7334")).reason, "own endpoint") << ip;
  }
  EXPECT_TRUE(guard.Check(At("192.168.1.6:7334")).allowed);
}

TEST(AddressGuardTest, ServicePortsAreRefused) {
  const AddressGuard guard({}, NoOwn);
  for (const auto* port : {"0", "22", "25", "79", "81", "442", "1023", "5432", "6379", "11211"}) {
    EXPECT_EQ(guard.Check(At(std::string("8.8.8.8:") + port)).reason, "port") << port;
  }
  for (const auto* port : {"80", "443", "1024", "7334", "8080", "65535"}) {
    EXPECT_TRUE(guard.Check(At(std::string("8.8.8.8:") + port)).allowed) << port;
  }
}

TEST(AddressGuardTest, PortsThatTheOperatorAllowsAreNotRefused) {
  const AddressGuard guard({.allow_ports = {81, 5432}}, NoOwn);
  for (const auto* port : {"80", "81", "443", "5432", "7334"}) {
    EXPECT_TRUE(guard.Check(At(std::string("8.8.8.8:") + port)).allowed) << port;
  }
  EXPECT_FALSE(guard.Check(At("8.8.8.8:5432")).by_operator);
  EXPECT_EQ(guard.Check(At("8.8.8.8:82")).reason, "port");
  EXPECT_EQ(guard.Check(At("8.8.8.8:6379")).reason, "port");
  EXPECT_EQ(guard.Check(At("10.0.0.1:5432")).reason, "private");
}

TEST(AddressGuardTest, ItsReasonsAreAClosedSet) {
  const auto reasons = DenialReasons();
  for (const std::string_view reason : {"own endpoint", "own address", "denied range", "port"}) {
    EXPECT_TRUE(reasons.contains(reason)) << reason;
  }
  EXPECT_FALSE(reasons.contains(""));
}

TEST(AddressGuardTest, InterfaceAddressesAreKnownByDefault) {
  AddressGuard guard({.allow = {Cidr::Parse("::/0").value()}});
  guard.AddOwnEndpoint(At("[::]:7334"));
  EXPECT_EQ(guard.Check(At("127.0.0.1:7334")).reason, "own endpoint");
}

TEST(AddressGuardTest, SelfDialPermitOfAWildcardGoesOverLoopback) {
  AddressGuard guard({}, NoOwn);
  guard.AddOwnEndpoint(At("0.0.0.0:7334"));
  guard.AddOwnEndpoint(At("[::]:7335"));
  EXPECT_EQ(guard.IssueSelfDialPermit(At("0.0.0.0:7334")).target(), At("127.0.0.1:7334"));
  EXPECT_EQ(guard.IssueSelfDialPermit(At("[::]:7335")).target(), At("[::1]:7335"));
  EXPECT_DEATH(
      {
        std::signal(SIGABRT, SIG_DFL);  // it is no finding of AddressSanitizer's
        (void)guard.IssueSelfDialPermit(At("127.0.0.1:9999"));
      },
      "not ours");
}

}  // namespace
}  // namespace graspd::net
