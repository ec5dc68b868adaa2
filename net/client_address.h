// Who a client is, and how many connections it has.
#pragma once

#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "net/http.h"
#include "net/socket_address.h"

namespace graspd::net {

[[nodiscard]] bool IsAnyOf(const std::vector<Cidr>& ranges, const IpAddress& address);

/// The address of the client behind `peer`: `peer` itself unless that is a trusted proxy; then the
/// rightmost address of X-Forwarded-For that is not a trusted proxy too. What stands to the left of
/// it, and anything that is no address, may be forged and is not believed. A peer on a unix socket
/// has no address and is a trusted proxy; if it names nobody, the client has none either.
[[nodiscard]] std::optional<IpAddress> ClientAddress(std::optional<IpAddress> peer,
                                                     const HttpRequest& request,
                                                     const std::vector<Cidr>& trusted_proxies);

/// Counts something per client, with a limit for each. A client is an IPv4 address or an IPv6 /64:
/// whoever has one address of such a network has them all. Holds an entry only while its count is
/// above zero. Thread-safe.
class AddressCounter {
 public:
  explicit AddressCounter(size_t limit) : limit_(limit) {}
  [[nodiscard]] bool TryTake(const IpAddress& address);
  void Free(const IpAddress& address);

 private:
  const size_t limit_;
  base::Mutex mutex_;
  std::map<IpAddress, size_t> counts_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace graspd::net
