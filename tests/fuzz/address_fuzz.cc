// Addresses from text, against the system's reader, and what AddressGuard lets through, against a
// second list of what must never be dialled.
#include <arpa/inet.h>

#include <algorithm>
#include <string>

#include "net/address_guard.h"
#include "net/socket_address.h"
#include "tests/fuzz/fuzz.h"

namespace graspd::fuzz {
namespace {

using net::AddressGuard;
using net::Cidr;
using net::IpAddress;
using net::SocketAddress;

template <typename Value>
void CheckRoundTrip(const absl::StatusOr<Value>& parsed) {
  if (!parsed.ok()) return;
  const auto again = Value::Parse(parsed->ToString());
  FUZZ_CHECK(again.ok());
  FUZZ_CHECK(again->ToString() == parsed->ToString());
}

void CheckText(const std::string& text) {
  const auto ip = IpAddress::Parse(text);
  IpAddress system;
  system.v6 = text.find(':') != std::string::npos;
  const bool plain = text.find('\0') == std::string::npos;
  const bool known =
      plain && inet_pton(system.v6 ? AF_INET6 : AF_INET, text.c_str(), system.bytes.data()) == 1;
  FUZZ_CHECK(ip.ok() == known);
  FUZZ_CHECK(!known || *ip == system);
  CheckRoundTrip(ip);
  CheckRoundTrip(SocketAddress::Parse(text));
  CheckRoundTrip(Cidr::Parse(text));
  CheckRoundTrip(net::ListenAddress::Parse(text));
}

IpAddress TakeAddress(Input& input, bool v6) {
  IpAddress ip;
  ip.v6 = v6;
  const std::string_view raw = input.Bytes(v6 ? 16 : 4);
  std::copy(raw.begin(), raw.end(), ip.bytes.begin());
  return ip;
}

IpAddress Mapped(const IpAddress& v4) {
  IpAddress ip{.v6 = true};
  ip.bytes[10] = ip.bytes[11] = 0xff;
  std::copy_n(v4.bytes.begin(), 4, ip.bytes.begin() + 12);
  return ip;
}

bool InRange(const Cidr& range, const IpAddress& ip) {
  if (range.base.v6 != ip.v6) return false;
  for (int bit = 0; bit < range.prefix; ++bit) {
    const auto at = static_cast<size_t>(bit / 8);
    if ((range.base.bytes[at] ^ ip.bytes[at]) >> (7 - bit % 8) & 1) return false;
  }
  return true;
}

bool MustNotBeDialled(const IpAddress& ip) {
  for (const char* range :
       {"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
        "172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/3", "::/8", "64:ff9b::/96",
        "2001::/32", "2002::/16", "4000::/2", "8000::/1"}) {
    if (InRange(*Cidr::Parse(range), ip)) return true;
  }
  return false;
}

void CheckGuard(const IpAddress& ip, uint16_t port, const Cidr& allowed) {
  const auto none = [] { return std::vector<IpAddress>(); };
  const AddressGuard strict({}, none);
  const auto verdict = strict.Check({ip, port});
  FUZZ_CHECK(verdict.allowed == verdict.reason.empty());
  FUZZ_CHECK(!verdict.by_operator);
  if (verdict.allowed) {
    FUZZ_CHECK(!MustNotBeDialled(ip.Unmapped()));
    FUZZ_CHECK(port == 80 || port == 443 || port >= 1024);
  }
  if (!ip.v6) FUZZ_CHECK(!strict.Check({Mapped(ip), port}).allowed);

  const AddressGuard lenient({.allow = {allowed}}, none);
  const bool covered = InRange(allowed, ip) || InRange(allowed, ip.Unmapped());
  if (InRange(allowed, ip) && ip == ip.Unmapped() && port != 0) {
    FUZZ_CHECK(lenient.Check({ip, port}).allowed && lenient.Check({ip, port}).by_operator);
  }
  if (!covered) FUZZ_CHECK(lenient.Check({ip, port}).allowed == verdict.allowed);

  const AddressGuard torn({.allow = {allowed}, .deny = {allowed}}, none);
  FUZZ_CHECK(!torn.Check({ip, port}).allowed || (!covered && verdict.allowed));
  const AddressGuard any_port({.allow_ports = {port}}, none);
  FUZZ_CHECK(any_port.Check({ip, port}).allowed == net::SpecialPurposeReason(ip).empty());

  AddressGuard ours({.allow = {allowed}}, none);
  ours.AddOwnEndpoint({ip, port});
  FUZZ_CHECK(!ours.Check({ip, port}).allowed);
  if (!ip.v6) FUZZ_CHECK(!ours.Check({Mapped(ip), port}).allowed);
  AddressGuard machine({}, [&] { return std::vector<IpAddress>{ip}; });
  FUZZ_CHECK(!machine.Check({ip, port}).allowed);
}

}  // namespace

FUZZ_TARGET(address) {
  Input input(bytes);
  const uint8_t flags = input.Byte();
  if (flags == 't') return CheckText(std::string(input.Rest()));
  const IpAddress ip = TakeAddress(input, flags & 1);
  const uint16_t port = input.Uint16();
  Cidr allowed;
  allowed.prefix = input.Byte() % (flags & 2 ? 129 : 33);
  allowed.base = TakeAddress(input, flags & 2);
  FUZZ_CHECK(allowed.Contains(ip) == InRange(allowed, ip));
  CheckRoundTrip<IpAddress>(ip);
  CheckGuard(ip, port, allowed);
}

}  // namespace graspd::fuzz
