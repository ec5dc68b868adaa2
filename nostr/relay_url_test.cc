#include "nostr/relay_url.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace graspd::nostr {
namespace {

TEST(RelayUrl, HasOneCanonicalForm) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"wss://relay.example", "wss://relay.example"},
      {"WSS://Relay.EXAMPLE.:443/", "wss://relay.example"},
      {"ws://relay.example:80///", "ws://relay.example"},
      {"ws://relay.example:443", "ws://relay.example:443"},
      {"wss://relay.example:80/", "wss://relay.example:80"},
      {"wss://relay.example/Path/", "wss://relay.example/Path"},
      {"wss://relay.example/a@b:c", "wss://relay.example/a@b:c"},
      {"wss://relay.example?x=1&a=2", "wss://relay.example/?x=1&a=2"},
      {"wss://relay.example/?", "wss://relay.example"},
      {"wss://relay.example/p/?u=ws://x/", "wss://relay.example/p?u=ws://x/"},
      {"wss://relay.example/%20%C3%A9", "wss://relay.example/%20%C3%A9"},
      {"ws://127.0.0.1:7334", "ws://127.0.0.1:7334"},
      {"ws://255.255.255.255.", "ws://255.255.255.255"},
      {"ws://[0:0:0:0:0:0:0:1]:8080/x", "ws://[::1]:8080/x"},
      {"wss://[2001:DB8:0:0:1:0:0:1]", "wss://[2001:db8::1:0:0:1]"},
      {"wss://[::ffff:127.0.0.1]", "wss://[::ffff:127.0.0.1]"},
      {"ws://localhost:1", "ws://localhost:1"},
      {"ws://xn--bcher-kva.example:65535", "ws://xn--bcher-kva.example:65535"},
      {"ws://1.2.3.4.example", "ws://1.2.3.4.example"},
      {"ws://deadbeef", "ws://deadbeef"},
  };
  for (const auto& [text, canonical] : cases) {
    const auto url = RelayUrl::Parse(text);
    ASSERT_TRUE(url.ok()) << text << ": " << url.status();
    EXPECT_EQ(url->ToString(), canonical);
    const auto again = RelayUrl::Parse(canonical);
    ASSERT_TRUE(again.ok()) << canonical << ": " << again.status();
    EXPECT_EQ(*again, *url);
  }
}

TEST(RelayUrl, GivesWhatADialNeeds) {
  const auto ipv6 = RelayUrl::Parse("ws://[::1]:8080/a/?b");
  ASSERT_TRUE(ipv6.ok());
  EXPECT_EQ(ipv6->host(), "::1");
  EXPECT_TRUE(ipv6->host_is_ip());
  EXPECT_EQ(ipv6->port(), 8080);
  EXPECT_FALSE(ipv6->secure());
  EXPECT_EQ(ipv6->authority(), "[::1]:8080");
  EXPECT_EQ(ipv6->target(), "/a?b");

  const auto name = RelayUrl::Parse("wss://relay.example");
  ASSERT_TRUE(name.ok());
  EXPECT_FALSE(name->host_is_ip());
  EXPECT_TRUE(name->secure());
  EXPECT_EQ(name->port(), 443);
  EXPECT_EQ(name->authority(), "relay.example");
  EXPECT_EQ(name->target(), "/");
  EXPECT_TRUE(RelayUrl::Parse("wss://10.0.0.1")->host_is_ip());
}

TEST(RelayUrl, RefusesOtherSchemesAndForms) {
  for (const char* text : {"",
                           "relay.example",
                           "//relay.example",
                           "://relay.example",
                           "wss:",
                           "wss:/relay.example",
                           "wss://",
                           "wss:///path",
                           "wss://?x",
                           "wss://:443",
                           "http://relay.example",
                           "https://relay.example",
                           "ftp://relay.example",
                           "javascript:alert(1)",
                           "file:///etc/passwd",
                           "wsss://relay.example",
                           " wss://relay.example",
                           "wss://relay.example ",
                           "wss://relay.example\n",
                           "wss://relay.example#f",
                           "wss://relay.example/#",
                           "wss://u@h",
                           "wss://u:p@relay.example",
                           "ws://a@b@c",
                           "ws://h\\@127.0.0.1",
                           "ws://h/\\x",
                           "ws://h/a b",
                           "ws://h/\tx",
                           "ws://h/\x01",
                           "ws://h/\x7f",
                           "ws://h/<x>",
                           "ws://h/\"",
                           "ws://h/{x}",
                           "ws://h/%",
                           "ws://h/%2",
                           "ws://h/%zz",
                           "ws://h/%0d%0aX:y",
                           "ws://h/%00",
                           "ws://h/%7F",
                           "ws://h?%1f",
                           "ws://h/\xc3\xa9",
                           "ws://b\xc3\xbc"
                           "cher.example",
                           "ws://\xe2\x91\xa0\xe2\x91\xa1\xe2\x91\xa6.0.0.1",
                           "ws://\xef\xbc\x91.0.0.1"}) {
    EXPECT_FALSE(RelayUrl::Parse(text).ok()) << text;
  }
  EXPECT_FALSE(RelayUrl::Parse(std::string_view("ws://h/\0", 8)).ok());
}

TEST(RelayUrl, RefusesHostsThatResolversReadInTheirOwnWay) {
  for (const char* host : {"127.1",
                           "127.0.1",
                           "2130706433",
                           "0x7f.1",
                           "0x7f000001",
                           "0177.0.0.1",
                           "010.0.0.1",
                           "10.1",
                           "169.254.43518",
                           "1.2.3.4.5",
                           "256.1.1.1",
                           "1.2.3.0x4",
                           "example.0x",
                           "example.1",
                           "0",
                           "127.0.0.1..",
                           ".",
                           "..",
                           ".example",
                           "a..b",
                           "-a.example",
                           "a-.example",
                           "a_b.example",
                           "a%2eb",
                           "[::1",
                           "::1",
                           "[::1]x",
                           "[]",
                           "[127.0.0.1]",
                           "[fe80::1%eth0]",
                           "[fe80::1%25eth0]",
                           "[1::2::3]",
                           "[:::]",
                           "[12345::]",
                           "a[::1]",
                           "h!",
                           "*.example"}) {
    EXPECT_FALSE(RelayUrl::Parse("ws://" + std::string(host)).ok()) << host;
    EXPECT_FALSE(ParseHostPort("http://" + std::string(host) + "/x").ok()) << host;
  }
}

TEST(RelayUrl, RefusesPortsThatAreNone) {
  for (const char* port : {"", "0", "080", "65536", "99999", "-1", "+1", "1x", "0x50", "1:2"}) {
    EXPECT_FALSE(RelayUrl::Parse("ws://h:" + std::string(port)).ok()) << port;
    EXPECT_FALSE(RelayUrl::Parse("ws://[::1]:" + std::string(port)).ok()) << port;
  }
}

TEST(RelayUrl, KeepsToItsLengths) {
  const std::string label(63, 'a');
  EXPECT_TRUE(RelayUrl::Parse("ws://" + label).ok());
  EXPECT_FALSE(RelayUrl::Parse("ws://a" + label).ok());
  std::string host = label + '.' + label + '.' + label + '.' + std::string(61, 'b');
  EXPECT_EQ(host.size(), 253u);
  EXPECT_TRUE(RelayUrl::Parse("ws://" + host).ok());
  EXPECT_TRUE(RelayUrl::Parse("ws://" + host + ".").ok());
  EXPECT_FALSE(RelayUrl::Parse("ws://" + host + "b").ok());
  const std::string url = "ws://h/" + std::string(505, 'x');
  EXPECT_EQ(url.size(), 512u);
  EXPECT_TRUE(RelayUrl::Parse(url).ok());
  EXPECT_FALSE(RelayUrl::Parse(url + "x").ok());
}

TEST(ParseHostPort, ComparesServicesWhateverTheScheme) {
  const HostPort expected{"git.example", 443};
  for (const char* url : {"wss://git.example", "https://GIT.example./x.git",
                          "https://git.example:443/?q", "http://git.example:443"}) {
    const auto parsed = ParseHostPort(url);
    ASSERT_TRUE(parsed.ok()) << url << ": " << parsed.status();
    EXPECT_EQ(*parsed, expected) << url;
  }
  for (const char* url : {"ws://git.example", "https://git.example:8443", "wss://git.example.org",
                          "wss://evil.example/?git.example", "wss://evil.example/git.example"}) {
    const auto parsed = ParseHostPort(url);
    ASSERT_TRUE(parsed.ok()) << url << ": " << parsed.status();
    EXPECT_NE(*parsed, expected) << url;
  }
  EXPECT_FALSE(ParseHostPort("https://git.example@evil.example").ok());
  EXPECT_FALSE(ParseHostPort("ssh://git.example").ok());
  EXPECT_FALSE(ParseHostPort("git@git.example:x").ok());
}

TEST(ParseUrlPath, IsThePathAlone) {
  EXPECT_EQ(*ParseUrlPath("https://h/npub1x/repo.git"), "/npub1x/repo.git");
  EXPECT_EQ(*ParseUrlPath("https://h/a/?b"), "/a/");
  EXPECT_EQ(*ParseUrlPath("https://h"), "/");
  EXPECT_EQ(*ParseUrlPath("https://h?x/y"), "/");
  EXPECT_FALSE(ParseUrlPath("h/a").ok());
}

}  // namespace
}  // namespace graspd::nostr
