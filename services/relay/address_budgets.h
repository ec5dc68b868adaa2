#pragma once

#include <chrono>
#include <memory>
#include <set>
#include <string>

#include "base/clock.h"
#include "base/lru_map.h"
#include "base/mutex.h"
#include "base/token_bucket.h"
#include "net/socket_address.h"
#include "nostr/limits.h"
#include "services/relay/work_budget.h"

namespace graspd::relay {

/// How many invalid messages a connection may send: at once, and per second in the long run.
inline constexpr double kStrikes = 100, kStrikesPerSecond = 1;

/// What all connections of one client together may do: Limits::address_rate_factor times what one
/// may. A client is an IPv4 address or an IPv6 /64, as for Limits::connections_per_address.
///
/// A budget outlives its connections, so hanging up and coming back does not renew it. Bounds:
/// 65,536 clients are remembered, those that connected last. Thread-safe.
class AddressBudgets {
 public:
  static constexpr size_t kClients = 65'536;

  /// Thread-safe. `now` may differ a little between threads.
  class Budget {
   public:
    Budget(const nostr::Limits& limits, base::SteadyTime now);
    [[nodiscard]] bool TakeEvent(base::SteadyTime now);
    [[nodiscard]] bool TakeQuery(base::SteadyTime now);
    /// False when the client's connections have sent too many invalid messages.
    [[nodiscard]] bool TakeStrike(base::SteadyTime now);
    /// As WorkBudget, for one who waits since then, perhaps since now; false also while somebody
    /// waits since clearly longer. So who came at about the same time is served in any order, and
    /// all of them before who comes later.
    [[nodiscard]] bool AllowsWork(base::SteadyTime now, base::SteadyTime since);
    void ChargeWork(size_t work);
    /// Somebody waits for work since then: one of the two kinds of ClientWork of a connection.
    void AddWaiting(base::SteadyTime since);
    void RemoveWaiting(base::SteadyTime since);
    /// An event turned out invalid: checking it was for nothing, so it costs as much as ten more.
    void ChargeInvalidEvent(base::SteadyTime now);

   private:
    base::Mutex mutex_;
    base::TokenBucket events_ ABSL_GUARDED_BY(mutex_), queries_ ABSL_GUARDED_BY(mutex_),
        strikes_ ABSL_GUARDED_BY(mutex_);
    const bool limits_work_;
    WorkBudget work_ ABSL_GUARDED_BY(mutex_);
    std::multiset<base::SteadyTime> waiting_ ABSL_GUARDED_BY(mutex_);  // since when
  };

  explicit AddressBudgets(const nostr::Limits& limits) : limits_(limits), budgets_(kClients) {}

  [[nodiscard]] std::shared_ptr<Budget> Get(const net::IpAddress& address, base::SteadyTime now);
  [[nodiscard]] size_t size() const;

 private:
  const nostr::Limits limits_;
  mutable base::Mutex mutex_;
  base::LruMap<std::string, std::shared_ptr<Budget>> budgets_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace graspd::relay
