#include "net/socket_address.h"

#include <gtest/gtest.h>

namespace graspd::net {
namespace {

std::string RoundTrip(std::string_view text) {
  const auto ip = IpAddress::Parse(text);
  return ip.ok() ? ip->ToString() : "(invalid)";
}

TEST(IpAddressTest, WritesTheCanonicalForm) {
  EXPECT_EQ(RoundTrip("192.168.0.1"), "192.168.0.1");
  EXPECT_EQ(RoundTrip("2001:DB8:0:0:0:0:0:1"), "2001:db8::1");
  EXPECT_EQ(RoundTrip("2001:db8:0:1:1:1:1:1"), "2001:db8:0:1:1:1:1:1");  // one zero stays
  EXPECT_EQ(RoundTrip("::ffff:1.2.3.4"), "::ffff:1.2.3.4");
  EXPECT_EQ(RoundTrip("::"), "::");
}

TEST(IpAddressTest, RefusesEveryOtherSpelling) {
  for (const auto* text :
       {"", " 1.2.3.4", "1.2.3.4 ", "127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "01.2.3.4",
        "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.-4", "[::1]", "fe80::1%eth0", "1::2::3",
        ":::", "12345::", "::1/64", "localhost"}) {
    EXPECT_FALSE(IpAddress::Parse(text).ok()) << text;
  }
  EXPECT_FALSE(IpAddress::Parse(std::string_view("1.2.3.4\0x", 9)).ok());
}

TEST(IpAddressTest, UnmapsOnlyMappedAddresses) {
  EXPECT_EQ(IpAddress::Parse("::ffff:1.2.3.4")->Unmapped().ToString(), "1.2.3.4");
  for (const auto* text : {"1.2.3.4", "::1", "64:ff9b::1.2.3.4", "::ffff:0:1.2.3.4"}) {
    EXPECT_EQ(IpAddress::Parse(text)->Unmapped(), *IpAddress::Parse(text)) << text;
  }
}

TEST(SocketAddressTest, ParsesAndWrites) {
  for (const auto* text : {"127.0.0.1:7334", "[::1]:80", "0.0.0.0:0", "[2001:db8::1]:65535"}) {
    const auto address = SocketAddress::Parse(text);
    ASSERT_TRUE(address.ok()) << text;
    EXPECT_EQ(address->ToString(), text);
  }
  for (const auto* text :
       {"127.0.0.1", "127.0.0.1:", ":80", "::1:80", "[127.0.0.1]:80", "[::1]", "127.0.0.1:080",
        "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:+1", "127.0.0.1: 1", "[]:1"}) {
    EXPECT_FALSE(SocketAddress::Parse(text).ok()) << text;
  }
}

TEST(CidrTest, ContainsExactlyItsRange) {
  const Cidr ten = Cidr::Parse("10.1.2.3/8").value();
  EXPECT_EQ(ten.ToString(), "10.0.0.0/8");
  EXPECT_TRUE(ten.Contains(*IpAddress::Parse("10.255.255.255")));
  EXPECT_FALSE(ten.Contains(*IpAddress::Parse("11.0.0.0")));
  EXPECT_FALSE(ten.Contains(*IpAddress::Parse("::ffff:10.0.0.1")));

  const Cidr odd = Cidr::Parse("172.16.0.0/12").value();
  EXPECT_TRUE(odd.Contains(*IpAddress::Parse("172.31.255.255")));
  EXPECT_FALSE(odd.Contains(*IpAddress::Parse("172.32.0.0")));

  const Cidr local = Cidr::Parse("fc00::/7").value();
  EXPECT_TRUE(local.Contains(*IpAddress::Parse("fdff::1")));
  EXPECT_FALSE(local.Contains(*IpAddress::Parse("fe00::1")));

  const Cidr one = Cidr::Parse("1.2.3.4").value();
  EXPECT_TRUE(one.Contains(*IpAddress::Parse("1.2.3.4")));
  EXPECT_FALSE(one.Contains(*IpAddress::Parse("1.2.3.5")));
  EXPECT_TRUE(Cidr::Parse("0.0.0.0/0")->Contains(*IpAddress::Parse("8.8.8.8")));
  EXPECT_FALSE(Cidr::Parse("0.0.0.0/0")->Contains(*IpAddress::Parse("::1")));
}

TEST(CidrTest, BitsBehindThePrefixDoNotMatter) {
  const Cidr range{.base = *IpAddress::Parse("10.1.2.3"), .prefix = 8};
  EXPECT_TRUE(range.Contains(*IpAddress::Parse("10.255.255.255")));
  EXPECT_FALSE(range.Contains(*IpAddress::Parse("11.1.2.3")));
}

TEST(CidrTest, RefusesBadRanges) {
  for (const auto* text :
       {"10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/08", "10/8", ""}) {
    EXPECT_FALSE(Cidr::Parse(text).ok()) << text;
  }
}

TEST(ListenAddressTest, ParsesTcpAndUnix) {
  EXPECT_EQ(ListenAddress::Parse("unix:/run/graspd.sock")->unix_path, "/run/graspd.sock");
  EXPECT_EQ(ListenAddress::Parse("unix:/run/graspd.sock")->ToString(), "unix:/run/graspd.sock");
  EXPECT_EQ(ListenAddress::Parse("[::1]:1")->ToString(), "[::1]:1");
  for (const auto& text : {std::string("unix:"), std::string("unix:relative"),
                           std::string("localhost:80"), "unix:/" + std::string(107, 'x')}) {
    EXPECT_FALSE(ListenAddress::Parse(text).ok()) << text;
  }
}

TEST(ListenAddressTest, KnowsLoopbackAndWildcard) {
  const auto parse = [](std::string_view text) { return ListenAddress::Parse(text).value(); };
  EXPECT_TRUE(parse("127.8.8.8:1").is_loopback());
  EXPECT_TRUE(parse("[::1]:1").is_loopback());
  EXPECT_TRUE(parse("unix:/x").is_loopback());
  EXPECT_FALSE(parse("0.0.0.0:1").is_loopback());
  EXPECT_FALSE(parse("10.0.0.1:1").is_loopback());
  EXPECT_TRUE(parse("0.0.0.0:1").is_wildcard());
  EXPECT_TRUE(parse("[::]:1").is_wildcard());
  EXPECT_FALSE(parse("[::1]:1").is_wildcard());
  EXPECT_FALSE(parse("unix:/x").is_wildcard());
}

}  // namespace
}  // namespace graspd::net
