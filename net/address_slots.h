#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "base/mutex.h"
#include "net/socket_address.h"

namespace graspd::net {

/// How many relays are dialled at one address, whatever their names. One IPv6 customer has a /64,
/// which counts as one address here.
///
/// Bounds: one entry a connection. Threading: thread-safe.
class AddressSlots {
 public:
  explicit AddressSlots(size_t per_address) : per_address_(per_address) {}

  /// A place, given back at its end. Lifetime: shorter than the slots'.
  class Lease {
   public:
    Lease(Lease&& other) noexcept
        : slots_(std::exchange(other.slots_, nullptr)),
          ip_(other.ip_),
          url_(std::move(other.url_)) {}
    Lease& operator=(Lease&&) = delete;
    ~Lease() {
      if (slots_ != nullptr) slots_->Return(ip_, url_);
    }

   private:
    friend class AddressSlots;
    Lease(AddressSlots& slots, const IpAddress& ip, std::string url)
        : slots_(&slots), ip_(ip), url_(std::move(url)) {}
    AddressSlots* slots_;
    IpAddress ip_;
    std::string url_;
  };

  /// For one connection to `url`, whose host is at `ip`. Connections to the same URL share a place:
  /// a relay and its document. nullopt if all are taken.
  std::optional<Lease> TryTake(const IpAddress& ip, const std::string& url);

 private:
  void Return(const IpAddress& ip, const std::string& url);

  const size_t per_address_;
  base::Mutex mutex_;
  std::map<IpAddress, std::map<std::string, size_t>> taken_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace graspd::net
