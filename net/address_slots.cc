#include "net/address_slots.h"

#include <algorithm>

namespace graspd::net {
namespace {

// The address for IPv4, the /64 for IPv6.
IpAddress Network(const IpAddress& ip) {
  IpAddress network = ip.Unmapped();
  if (network.v6) std::fill(network.bytes.begin() + 8, network.bytes.end(), uint8_t{0});
  return network;
}

}  // namespace

std::optional<AddressSlots::Lease> AddressSlots::TryTake(const IpAddress& ip,
                                                         const std::string& url) {
  const IpAddress network = Network(ip);
  base::MutexLock lock(mutex_);
  auto& urls = taken_[network];
  if (!urls.contains(url) && urls.size() >= per_address_) return std::nullopt;
  ++urls[url];
  return Lease(*this, network, url);
}

void AddressSlots::Return(const IpAddress& ip, const std::string& url) {
  base::MutexLock lock(mutex_);
  const auto entry = taken_.find(ip);
  const auto count = entry->second.find(url);
  if (--count->second == 0) entry->second.erase(count);
  if (entry->second.empty()) taken_.erase(entry);
}

}  // namespace graspd::net
