#pragma once

#include <memory>

#include "base/clock.h"
#include "base/token_bucket.h"
#include "services/relay/address_budgets.h"
#include "services/relay/meters.h"

namespace graspd::relay {

/// What one connection may still do: its own budgets, and those it shares with the other
/// connections of its address. Thread-compatible.
class ClientBudgets {
 public:
  /// `address` is null for our own connection, to which no rates apply.
  ClientBudgets(const nostr::Limits& limits, std::shared_ptr<AddressBudgets::Budget> address,
                Meters& meters, base::SteadyTime now);

  /// For EVENT and AUTH. Each of these takes a token, or returns false and counts why.
  [[nodiscard]] bool TakeEvent(base::SteadyTime now);
  /// For REQ, COUNT and NEG-OPEN.
  [[nodiscard]] bool TakeQuery(base::SteadyTime now);
  /// For a message that no honest client sends. False if it was one too many.
  [[nodiscard]] bool TakeStrike(base::SteadyTime now);
  void ChargeInvalidEvent(base::SteadyTime now);

 private:
  using Budget = Meters::Budget;
  bool Note(Budget budget, bool taken);

  base::TokenBucket events_, queries_, strikes_;
  const std::shared_ptr<AddressBudgets::Budget> address_;
  Meters& meters_;
};

}  // namespace graspd::relay
