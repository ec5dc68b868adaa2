#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "net/socket_address.h"

namespace graspd::net {

/// Proof that main() allows one dial to our own relay port: the SelfSubscriber's. Only AddressGuard
/// issues it.
class SelfDialPermit {
 public:
  [[nodiscard]] const SocketAddress& target() const { return target_; }

 private:
  friend class AddressGuard;
  explicit SelfDialPermit(SocketAddress target) : target_(std::move(target)) {}
  SocketAddress target_;
};

/// Decides which resolved socket addresses may be connected to. Relay URLs come from strangers, so
/// only globally routable unicast is allowed, and no address of this machine, unless the operator
/// lets a range through. Our own listening (address, port) is never allowed, nor is a range that
/// the operator forbids.
///
/// Ports below 1024 other than 80 and 443, and those of well-known databases and control planes,
/// are refused too, so that a stranger's URL cannot make us talk to them; allowed ranges and the
/// operator's ports are exempt.
///
/// Net's Dialer is the only caller and the only place that connects; the check is made on the very
/// address that is then dialled, on every dial.
/// Source: the IANA special-purpose registries; embedded IPv4 (mapped, NAT64, 6to4, Teredo, ...) is
/// decoded so that the reason says what it was. Threading: thread-safe.
class AddressGuard {
 public:
  /// What the operator decides. A plain value.
  struct Rules {
    std::vector<Cidr> allow;            // `sync.allow_cidrs`
    std::vector<Cidr> deny;             // `sync.deny_cidrs`, which go before
    std::vector<uint16_t> allow_ports;  // `sync.allow_ports`
  };
  struct Verdict {
    bool allowed = false;
    bool by_operator = false;  // inside Rules::allow: plaintext is fine there
    std::string_view reason;   // of a denial, a constant: "loopback", "private", "own address", ...
  };
  /// Addresses of this machine; called on each check.
  using OwnAddresses = std::function<std::vector<IpAddress>()>;

  /// The default `own_addresses` asks the kernel (getifaddrs), at most once a minute.
  explicit AddressGuard(Rules rules, OwnAddresses own_addresses = nullptr);

  /// Registers an (address, port) that we listen on. With a wildcard address, every address of this
  /// machine with that port counts.
  void AddOwnEndpoint(const SocketAddress& endpoint);

  [[nodiscard]] Verdict Check(const SocketAddress& address) const;

  /// For main(): permission to dial `own`, one of the registered endpoints (else aborts). A
  /// wildcard is dialled over loopback.
  [[nodiscard]] SelfDialPermit IssueSelfDialPermit(const SocketAddress& own) const;

 private:
  /// `address` (unmapped) is one we listen on; `own_address`: its IP is one of this machine's.
  [[nodiscard]] bool IsOwnEndpoint(const SocketAddress& address, bool own_address) const;
  [[nodiscard]] bool IsDenied(const IpAddress& ip) const;
  [[nodiscard]] bool PortMayBeDialled(uint16_t port) const;

  const Rules rules_;
  OwnAddresses own_addresses_;
  mutable base::Mutex mutex_;
  std::vector<SocketAddress> own_endpoints_ ABSL_GUARDED_BY(mutex_);
};

/// Why `ip` is not globally routable unicast, or "" if it is. Pure.
[[nodiscard]] std::string_view SpecialPurposeReason(const IpAddress& ip);

/// Every reason that a Verdict may give, once.
[[nodiscard]] std::set<std::string_view> DenialReasons();

}  // namespace graspd::net
