#pragma once

#include <atomic>

#include "base/clock.h"
#include "base/lru_map.h"
#include "base/token_bucket.h"
#include "nostr/event.h"
#include "nostr/limits.h"

namespace graspd::ingest {

/// How many new events of one author clients may bring, whatever connections and addresses they
/// use: Limits::author_rate_factor times what one connection may.
///
/// Asked only about events that are verified, new here and accepted by the policy, so nobody can
/// use up somebody else's budget by repeating what is known. Bounds: 65,536 authors are remembered,
/// those heard of last. Threading: TryTake on one thread, size from any.
class AuthorBudgets {
 public:
  static constexpr size_t kAuthors = 65'536;

  explicit AuthorBudgets(const nostr::Limits& limits)
      : rate_(limits.author_rate_factor * limits.events_per_second),
        burst_(limits.author_rate_factor * limits.events_burst) {}

  [[nodiscard]] bool TryTake(const nostr::PublicKey& author, base::SteadyTime now) {
    if (rate_ == 0) return true;
    auto& bucket =
        buckets_.GetOrMake(author, [&] { return base::TokenBucket(rate_, burst_, now); });
    size_.store(buckets_.size(), std::memory_order_relaxed);
    return bucket.TryTake(now);
  }
  [[nodiscard]] size_t size() const { return size_.load(std::memory_order_relaxed); }

 private:
  const double rate_, burst_;
  base::LruMap<nostr::PublicKey, base::TokenBucket> buckets_{kAuthors};
  std::atomic<size_t> size_{0};
};

}  // namespace graspd::ingest
