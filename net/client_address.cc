#include "net/client_address.h"

#include <algorithm>

namespace graspd::net {
namespace {

std::string_view Trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// `1.2.3.4`, `::1`, `[::1]`, and the first or last of them with a port: proxies write all of
/// these.
std::optional<IpAddress> ParseHop(std::string_view text) {
  if (text.size() > 2 && text.front() == '[' && text.back() == ']') {
    text = text.substr(1, text.size() - 2);
  }
  if (const auto ip = IpAddress::Parse(text); ip.ok()) return ip->Unmapped();
  if (const auto with_port = SocketAddress::Parse(text); with_port.ok()) {
    return with_port->ip.Unmapped();
  }
  return std::nullopt;
}

IpAddress Network(IpAddress address) {
  if (address.v6) std::fill(address.bytes.begin() + 8, address.bytes.end(), uint8_t{0});
  return address;
}

}  // namespace

bool IsAnyOf(const std::vector<Cidr>& ranges, const IpAddress& address) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [&](const Cidr& range) { return range.Contains(address); });
}

std::optional<IpAddress> ClientAddress(std::optional<IpAddress> peer, const HttpRequest& request,
                                       const std::vector<Cidr>& trusted_proxies) {
  std::optional<IpAddress> client = peer;
  for (auto header = request.headers.rbegin(); header != request.headers.rend(); ++header) {
    if (header->first != "x-forwarded-for") continue;
    std::string_view hops = header->second;
    while (!hops.empty()) {
      if (client && !IsAnyOf(trusted_proxies, *client)) return client;
      const size_t comma = hops.rfind(',');
      const bool last = comma == std::string_view::npos;
      const auto hop = ParseHop(Trim(last ? hops : hops.substr(comma + 1)));
      if (!hop) return client;
      client = hop;
      hops = last ? std::string_view() : hops.substr(0, comma);
    }
  }
  return client;
}

bool AddressCounter::TryTake(const IpAddress& address) {
  base::MutexLock lock(mutex_);
  size_t& count = counts_[Network(address)];
  if (count >= limit_) return false;
  ++count;
  return true;
}

void AddressCounter::Free(const IpAddress& address) {
  base::MutexLock lock(mutex_);
  const auto it = counts_.find(Network(address));
  if (--it->second == 0) counts_.erase(it);
}

}  // namespace graspd::net
