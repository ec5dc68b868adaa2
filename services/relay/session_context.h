#pragma once

#include <memory>

#include "base/blocking_pool.h"
#include "base/clock.h"
#include "base/cpu_pool.h"
#include "ingest/event_sink.h"
#include "nostr/limits.h"
#include "services/relay/address_budgets.h"
#include "services/relay/meters.h"
#include "services/relay/overload_guard.h"
#include "services/relay/own_hosts.h"
#include "storage/event_store.h"
#include "storage/neg_sets.h"

namespace graspd::relay {

inline constexpr char kBusy[] = "error: the relay is busy, try again later";
inline constexpr char kOverloaded[] = "rate-limited: the relay is overloaded, try again later";
inline constexpr char kTooMuchWork[] =
    "rate-limited: your connection or address has asked for too much work, try again later";

/// What every session of the relay uses. Everything in it is thread-safe and outlives all sessions;
/// store and pools also outlive the tasks that sessions have put on the pools, and neg_sets is
/// shared with those.
struct SessionContext {
  const nostr::Limits limits;
  ingest::EventSink& sink;
  storage::EventStore& store;
  base::BlockingPool& reads;  // of a bounded part: a page
  base::BlockingPool& scans;  // of all that a filter selects, however long that takes
  base::CpuPool& cpu;
  const base::Clock& clock;
  Meters& meters;
  std::shared_ptr<storage::NegSets> neg_sets;
  const OwnHosts& own_hosts;
  const Overload& overload;
  AddressBudgets& addresses;
};

}  // namespace graspd::relay
