#include "services/relay/address_budgets.h"

namespace graspd::relay {
namespace {

constexpr double kInvalidEventCost = 10;
// More than a tick, in which each of those that wait looks once: so all that are served by one may
// ask again for the next.
constexpr auto kSameAge = std::chrono::seconds(2);

// The bytes that tell one client from another.
std::string ClientKey(const net::IpAddress& address) {
  return {reinterpret_cast<const char*>(address.bytes.data()), size_t{address.v6 ? 8u : 4u}};
}

}  // namespace

AddressBudgets::Budget::Budget(const nostr::Limits& limits, base::SteadyTime now)
    : events_(limits.address_rate_factor * limits.events_per_second,
              limits.address_rate_factor * limits.events_burst, now),
      queries_(limits.address_rate_factor * limits.reqs_per_second,
               limits.address_rate_factor * limits.reqs_burst, now),
      strikes_(limits.address_rate_factor * kStrikesPerSecond,
               limits.address_rate_factor * kStrikes, now),
      limits_work_(limits.address_rate_factor > 0),
      work_(now, static_cast<double>(limits.address_rate_factor)) {}

bool AddressBudgets::Budget::TakeEvent(base::SteadyTime now) {
  base::MutexLock lock(mutex_);
  return events_.TryTake(now);
}

bool AddressBudgets::Budget::TakeQuery(base::SteadyTime now) {
  base::MutexLock lock(mutex_);
  return queries_.TryTake(now);
}

bool AddressBudgets::Budget::TakeStrike(base::SteadyTime now) {
  base::MutexLock lock(mutex_);
  return strikes_.TryTake(now);
}

bool AddressBudgets::Budget::AllowsWork(base::SteadyTime now, base::SteadyTime since) {
  base::MutexLock lock(mutex_);
  if (!limits_work_) return true;
  return work_.Allows(now) && (waiting_.empty() || since <= *waiting_.begin() + kSameAge);
}

void AddressBudgets::Budget::AddWaiting(base::SteadyTime since) {
  base::MutexLock lock(mutex_);
  waiting_.insert(since);
}

void AddressBudgets::Budget::RemoveWaiting(base::SteadyTime since) {
  base::MutexLock lock(mutex_);
  waiting_.extract(since);  // one of them
}

void AddressBudgets::Budget::ChargeWork(size_t work) {
  base::MutexLock lock(mutex_);
  work_.Charge(work);
}

void AddressBudgets::Budget::ChargeInvalidEvent(base::SteadyTime now) {
  base::MutexLock lock(mutex_);
  events_.Charge(kInvalidEventCost, now);
}

std::shared_ptr<AddressBudgets::Budget> AddressBudgets::Get(const net::IpAddress& address,
                                                            base::SteadyTime now) {
  base::MutexLock lock(mutex_);
  return budgets_.GetOrMake(ClientKey(address),
                            [&] { return std::make_shared<Budget>(limits_, now); });
}

size_t AddressBudgets::size() const {
  base::MutexLock lock(mutex_);
  return budgets_.size();
}

}  // namespace graspd::relay
