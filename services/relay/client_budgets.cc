#include "services/relay/client_budgets.h"

#include <utility>

namespace graspd::relay {

ClientBudgets::ClientBudgets(const nostr::Limits& limits,
                             std::shared_ptr<AddressBudgets::Budget> address, Meters& meters,
                             base::SteadyTime now)
    : events_(limits.events_per_second, limits.events_burst, now),
      queries_(limits.reqs_per_second, limits.reqs_burst, now),
      strikes_(kStrikesPerSecond, kStrikes, now),
      address_(std::move(address)),
      meters_(meters) {}

bool ClientBudgets::TakeEvent(base::SteadyTime now) {
  if (!address_) return true;
  return Note(Budget::kConnection, events_.TryTake(now)) &&
         Note(Budget::kAddress, address_->TakeEvent(now));
}

bool ClientBudgets::TakeQuery(base::SteadyTime now) {
  if (!address_) return true;
  return Note(Budget::kConnection, queries_.TryTake(now)) &&
         Note(Budget::kAddress, address_->TakeQuery(now));
}

bool ClientBudgets::Note(Budget budget, bool taken) {
  if (!taken) meters_.RateLimited(budget);
  return taken;
}

bool ClientBudgets::TakeStrike(base::SteadyTime now) {
  if (!address_) return true;
  const bool address_goes_on = address_->TakeStrike(now);
  return strikes_.TryTake(now) && address_goes_on;
}

void ClientBudgets::ChargeInvalidEvent(base::SteadyTime now) {
  if (address_) address_->ChargeInvalidEvent(now);
}

}  // namespace graspd::relay
