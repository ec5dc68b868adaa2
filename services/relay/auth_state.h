#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nostr/event.h"
#include "services/relay/own_hosts.h"

namespace graspd::relay {

/// What one connection knows of its client's keys (NIP-42): the challenge, and who has signed it.
///
/// Pure: neither sends nor verifies. Several keys may authenticate, up to kMaxKeys; each stays
/// authenticated as long as the connection. Thread-compatible.
class AuthState {
 public:
  static constexpr size_t kMaxKeys = 8;
  static constexpr uint64_t kMaxSkewSeconds = 600;

  /// The connection's challenge, made when it is first asked for: 32 hex digits that nobody can
  /// guess.
  const std::string& Challenge();
  [[nodiscard]] bool challenged() const { return !challenge_.empty(); }

  /// Why `event` cannot authenticate its author here, with its NIP-01 prefix. Nothing if only id
  /// and signature are left to check.
  [[nodiscard]] std::optional<std::string> Refuse(const nostr::Event& event, const OwnHosts& own,
                                                  uint64_t unix_now) const;

  /// Requires an event by `key` that was not refused and whose signature is right.
  void Add(const nostr::PublicKey& key);

  [[nodiscard]] bool Has(const nostr::PublicKey& key) const;
  [[nodiscard]] bool empty() const { return keys_.empty(); }

 private:
  std::string challenge_;  // empty: nobody has been asked yet
  std::vector<nostr::PublicKey> keys_;
};

}  // namespace graspd::relay
