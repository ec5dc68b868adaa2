#include "services/relay/overload_guard.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/log.h"

namespace graspd::relay {
namespace {

// Without a subscription and without a word for this long, a client may come back later.
constexpr std::chrono::seconds kIdle{5};
// More than a reader leaves that keeps up: producers that can wait do so at a quarter of it.
constexpr size_t kMuchUnread = 1 << 20;
// What was freed counts as used until the allocator has given it back.
constexpr int kChecksBetweenReturns = 5, kMostChecksBetweenReturns = 300;
constexpr size_t kWorthReturning = 16 << 20;

}  // namespace

OverloadGuard::OverloadGuard(Budget budget, net::WebSocketServer& server, Overload& overload,
                             std::function<size_t()> memory_used,
                             std::function<void()> return_memory)
    : budget_(budget),
      server_(server),
      overload_(overload),
      memory_used_(std::move(memory_used)),
      return_memory_(std::move(return_memory)),
      least_memory_(memory_used_()) {}

void OverloadGuard::Stop() {
  base::MutexLock lock(mutex_);
  stopped_ = true;
}

void OverloadGuard::Check() {
  base::MutexLock lock(mutex_);
  if (stopped_) return;
  const size_t memory = memory_used_(), outbound = server_.outbound_bytes();
  const OverloadLevel before = ladder_.level();
  const OverloadLevel now = ladder_.Update(
      {.memory = {memory, budget_.memory_bytes}, .outbound = {outbound, budget_.outbound_bytes}});
  overload_.level = now;
  if (now != before) {
    Report(before, now, memory, outbound);
    server_.RefuseNew(now >= OverloadLevel::kConnections);
  }
  if (now == OverloadLevel::kNone) {
    if (MayHaveFreedMuch(memory)) return_memory_();
    return;
  }
  if (checks_++ % kChecksBetweenReturns == 0) return_memory_();
  if (now >= OverloadLevel::kConnections) server_.CloseIdle(kIdle);
  if (now >= OverloadLevel::kQueues) server_.CutQueues(kMuchUnread);
}

// The allocator does not say what it keeps of what was freed: what a crowd has left looks like what
// it used. To return it holds up who allocates, so in vain it is tried ever more rarely: what a
// crowd has left goes after about as long again as it stayed.
bool OverloadGuard::MayHaveFreedMuch(size_t memory) {
  const size_t worth = std::min(kWorthReturning, budget_.memory_bytes / 8);
  least_memory_ = std::min(least_memory_, memory);
  const auto [low, high] = std::minmax(memory, memory_then_);
  if (high - low > worth) {
    memory_then_ = memory;
    checks_until_return_ = kChecksBetweenReturns;
  }
  if (memory <= least_memory_ + worth) {
    checks_since_return_ = 0;
    return false;
  }
  if (++checks_since_return_ < checks_until_return_) return false;
  checks_since_return_ = 0;
  checks_until_return_ = std::min(2 * checks_until_return_, kMostChecksBetweenReturns);
  return true;
}

void OverloadGuard::Report(OverloadLevel before, OverloadLevel now, size_t memory,
                           size_t outbound) const {
  const bool worse = now > before;
  base::Log(worse ? base::LogLevel::kWarn : base::LogLevel::kInfo, "relay",
            worse ? "overloaded: shedding more" : "overloaded: shedding less",
            {{"level", OverloadLevelName(now)},
             {"memory_bytes", memory},
             {"memory_budget_bytes", budget_.memory_bytes},
             {"outbound_bytes", outbound},
             {"outbound_budget_bytes", budget_.outbound_bytes}});
}

}  // namespace graspd::relay
