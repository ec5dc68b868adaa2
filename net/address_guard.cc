#include "net/address_guard.h"

#include <ifaddrs.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "net/sockaddr.h"

namespace graspd::net {
namespace {

struct Range {
  std::array<uint8_t, 16> base;
  int prefix;
  std::string_view reason;
};

constexpr Range kSpecialV4[] = {
    {{0}, 8, "this network"},
    {{10}, 8, "private"},
    {{100, 64}, 10, "shared address space"},
    {{127}, 8, "loopback"},
    {{168, 63, 129, 16}, 32, "cloud platform service"},  // Azure; public by number only
    {{169, 254}, 16, "link-local"},                      // and the clouds' metadata services
    {{172, 16}, 12, "private"},
    {{192, 0, 0}, 24, "protocol assignments"},
    {{192, 0, 2}, 24, "documentation"},
    {{192, 88, 99}, 24, "6to4 relay"},
    {{192, 168}, 16, "private"},
    {{198, 18}, 15, "benchmarking"},
    {{198, 51, 100}, 24, "documentation"},
    {{203, 0, 113}, 24, "documentation"},
    {{224}, 4, "multicast"},
    {{255, 255, 255, 255}, 32, "broadcast"},
    {{240}, 4, "reserved"},
};

// The first match counts. What lies outside 2000::/3 is refused in any case; the entries only name
// it.
constexpr Range kSpecialV6[] = {
    {{}, 128, "unspecified"},
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128, "loopback"},
    {{}, 96, "IPv4-compatible"},
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96, "IPv4-mapped"},
    {{0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96, "IPv4-translated"},
    {{0x00, 0x64, 0xff, 0x9b}, 96, "NAT64"},
    {{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 48, "local NAT64"},
    {{0x01}, 64, "discard-only"},
    {{0x20, 0x01}, 32, "Teredo"},
    {{0x20, 0x01}, 23, "protocol assignments"},
    {{0x20, 0x01, 0x0d, 0xb8}, 32, "documentation"},
    {{0x20, 0x02}, 16, "6to4"},
    {{0x3f, 0xff}, 20, "documentation"},
    {{0x5f, 0x00}, 16, "segment routing"},
    {{0xfc}, 7, "unique local"},
    {{0xfe, 0x80}, 10, "link-local"},
    {{0xfe, 0xc0}, 10, "site-local"},
    {{0xff}, 8, "multicast"},
};
constexpr Range kGlobalUnicastV6{{0x20}, 3, ""};

constexpr std::string_view kNotGlobal = "not global unicast", kOwnEndpoint = "own endpoint",
                           kOwnAddress = "own address", kDeniedRange = "denied range",
                           kPort = "port";

// Ports above 1023 where no relay lives but services that speak to whoever connects.
constexpr uint16_t kServicePorts[] = {1433, 1521, 2049, 2375,  2376,  2379, 2380, 3306,
                                      3389, 5432, 5672, 5900,  5984,  6000, 6379, 9042,
                                      9092, 9200, 9300, 10250, 11211, 27017};

bool Matches(const Range& range, const IpAddress& ip) {
  const int whole = range.prefix / 8;
  if (std::memcmp(range.base.data(), ip.bytes.data(), static_cast<size_t>(whole)) != 0)
    return false;
  const int rest = range.prefix % 8;
  return rest == 0 || ((range.base[whole] ^ ip.bytes[whole]) >> (8 - rest)) == 0;
}

template <size_t N>
std::string_view FirstReason(const Range (&table)[N], const IpAddress& ip) {
  const auto* hit = std::find_if(std::begin(table), std::end(table),
                                 [&](const Range& r) { return Matches(r, ip); });
  return hit == std::end(table) ? std::string_view() : hit->reason;
}

IpAddress V4At(const IpAddress& v6, size_t offset, uint8_t mask = 0) {
  IpAddress v4;
  for (size_t i = 0; i < 4; ++i) v4.bytes[i] = v6.bytes[offset + i] ^ mask;
  return v4;
}

/// The IPv4 address that an IPv6 address of a transition scheme stands for.
std::optional<IpAddress> EmbeddedV4(const IpAddress& ip, std::string_view scheme) {
  if (!ip.v6) return std::nullopt;
  if (scheme == "6to4") return V4At(ip, 2);
  if (scheme == "Teredo") return V4At(ip, 12, 0xff);
  if (scheme.starts_with("IPv4-") || scheme.ends_with("NAT64")) return V4At(ip, 12);
  return std::nullopt;
}

bool InAny(const std::vector<Cidr>& ranges, const IpAddress& ip) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [&](const Cidr& range) { return range.Contains(ip); });
}

bool IsWildcard(const IpAddress& ip) { return ip.bytes == decltype(ip.bytes){}; }

std::vector<IpAddress> InterfaceAddresses() {
  std::vector<IpAddress> addresses;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) {
    base::LogWarn("net", "cannot list interface addresses", {{"error", std::strerror(errno)}});
    return addresses;
  }
  for (const ifaddrs* i = list; i != nullptr; i = i->ifa_next) {
    if (i->ifa_addr == nullptr) continue;
    if (const auto address = FromSockaddr(i->ifa_addr)) addresses.push_back(address->ip);
  }
  freeifaddrs(list);
  return addresses;
}

/// InterfaceAddresses(), asked at most once a minute. Thread-safe.
class CachedInterfaceAddresses {
 public:
  std::vector<IpAddress> Get() {
    const base::SteadyTime now = base::SystemClock::Instance().Now();
    base::MutexLock lock(mutex_);
    if (!read_at_ || now - *read_at_ >= std::chrono::minutes(1)) {
      addresses_ = InterfaceAddresses();
      read_at_ = now;
    }
    return addresses_;
  }

 private:
  base::Mutex mutex_;
  std::optional<base::SteadyTime> read_at_ ABSL_GUARDED_BY(mutex_);
  std::vector<IpAddress> addresses_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

std::string_view SpecialPurposeReason(const IpAddress& ip) {
  if (!ip.v6) return FirstReason(kSpecialV4, ip);
  const std::string_view reason = FirstReason(kSpecialV6, ip);
  if (const auto v4 = EmbeddedV4(ip, reason)) {
    const std::string_view inner = SpecialPurposeReason(*v4);
    return inner.empty() ? reason : inner;
  }
  if (reason.empty() && !Matches(kGlobalUnicastV6, ip)) return kNotGlobal;
  return reason;
}

std::set<std::string_view> DenialReasons() {
  std::set<std::string_view> reasons = {kNotGlobal, kOwnEndpoint, kOwnAddress, kDeniedRange, kPort};
  for (const Range& range : kSpecialV4) reasons.insert(range.reason);
  for (const Range& range : kSpecialV6) reasons.insert(range.reason);
  return reasons;
}

AddressGuard::AddressGuard(Rules rules, OwnAddresses own_addresses)
    : rules_(std::move(rules)), own_addresses_(std::move(own_addresses)) {
  if (!own_addresses_) {
    own_addresses_ = [cache = std::make_shared<CachedInterfaceAddresses>()] {
      return cache->Get();
    };
  }
}

void AddressGuard::AddOwnEndpoint(const SocketAddress& endpoint) {
  base::MutexLock lock(mutex_);
  own_endpoints_.push_back({endpoint.ip.Unmapped(), endpoint.port});
}

bool AddressGuard::IsOwnEndpoint(const SocketAddress& address, bool own_address) const {
  base::MutexLock lock(mutex_);
  return std::any_of(own_endpoints_.begin(), own_endpoints_.end(), [&](const SocketAddress& own) {
    return own.port == address.port &&
           (own.ip == address.ip || (own_address && IsWildcard(own.ip)));
  });
}

// An address inside which an IPv4 address is reached is denied with that one.
bool AddressGuard::IsDenied(const IpAddress& ip) const {
  const auto v4 = EmbeddedV4(ip, FirstReason(kSpecialV6, ip));
  return InAny(rules_.deny, ip) || (v4 && InAny(rules_.deny, *v4));
}

bool AddressGuard::PortMayBeDialled(uint16_t port) const {
  const auto& also = rules_.allow_ports;
  if (std::find(also.begin(), also.end(), port) != also.end()) return true;
  if (port < 1024) return port == 80 || port == 443;
  return std::find(std::begin(kServicePorts), std::end(kServicePorts), port) ==
         std::end(kServicePorts);
}

AddressGuard::Verdict AddressGuard::Check(const SocketAddress& address) const {
  const SocketAddress target{address.ip.Unmapped(), address.port};
  const std::string_view special = SpecialPurposeReason(address.ip);
  const std::vector<IpAddress> own = own_addresses_();
  // All of 127/8 and the wildcard reach this machine, whatever its interfaces say.
  const bool own_address = special == "loopback" || special == "this network" ||
                           special == "unspecified" ||
                           std::find(own.begin(), own.end(), target.ip) != own.end();
  if (IsOwnEndpoint(target, own_address)) return {.reason = kOwnEndpoint};
  if (IsDenied(address.ip)) return {.reason = kDeniedRange};
  if (InAny(rules_.allow, target.ip)) return {.allowed = true, .by_operator = true};
  if (!special.empty()) return {.reason = special};
  if (own_address) return {.reason = kOwnAddress};
  if (!PortMayBeDialled(address.port)) return {.reason = kPort};
  return {.allowed = true};
}

SelfDialPermit AddressGuard::IssueSelfDialPermit(const SocketAddress& own) const {
  {
    base::MutexLock lock(mutex_);
    const SocketAddress endpoint{own.ip.Unmapped(), own.port};
    if (std::find(own_endpoints_.begin(), own_endpoints_.end(), endpoint) == own_endpoints_.end()) {
      base::LogError("net", "self-dial permit for an endpoint that is not ours",
                     {{"endpoint", own.ToString()}});
      std::abort();
    }
  }
  SocketAddress target = own;
  if (IsWildcard(own.ip)) {  // dial what the wildcard listens on: loopback
    target.ip.bytes = own.ip.v6
                          ? std::array<uint8_t, 16>{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}
                          : std::array<uint8_t, 16>{127, 0, 0, 1};
  }
  return SelfDialPermit(target);
}

}  // namespace graspd::net
