// How strangers share what is limited.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/keyed_hash.h"
#include "nostr/fixed_bytes.h"
#include "nostr/relay_url.h"

namespace graspd::sync {

/// On whose behalf a relay is dialled: the author of an announcement that names it, and the site
/// that it belongs to. Keys cost nothing and neither do names below a domain one has, so neither
/// alone would do. Both empty: the operator's wish, which is charged to nobody.
struct DialAccount {
  std::optional<nostr::PublicKey> author;
  std::string site;
};

/// nostr::SiteOf the host; all bare IP addresses are one site, because they cost nothing either.
[[nodiscard]] std::string SiteOf(const nostr::RelayUrl& url);

/// A limit that nobody can use up alone: who has n of it gets more only while more than n are left.
/// One author or site gets half of it at most, the next half of the rest, and a newcomer finds
/// something left unless many of them have come; what they return goes to those who have least.
/// Thread-compatible.
class FairLimit {
 public:
  explicit FairLimit(size_t limit) : limit_(limit) {}

  [[nodiscard]] size_t used() const { return used_; }
  [[nodiscard]] bool full() const { return used_ >= limit_; }
  [[nodiscard]] bool MayTake(const nostr::PublicKey& author) const;
  [[nodiscard]] bool MayTake(const std::string& site) const;
  /// What the author or the site uses, whichever is more.
  [[nodiscard]] size_t UsedBy(const DialAccount& account) const;

  void Take(const DialAccount& account);
  void Return(const DialAccount& account);
  /// What was taken burdens nobody else any more: it counts for its account alone, until then.
  void Forgive() { --used_; }
  void ReturnForgiven(const DialAccount& account);

 private:
  [[nodiscard]] bool MoreIsLeftThan(size_t n) const { return !full() && n < limit_ - used_; }

  const size_t limit_;
  size_t used_ = 0;
  // As many entries as were taken at most.
  std::unordered_map<nostr::PublicKey, size_t> by_author_;
  std::unordered_map<std::string, size_t, base::KeyedStringHash> by_site_;
};

}  // namespace graspd::sync
