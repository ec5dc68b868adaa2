#pragma once

#include <string_view>

#include "base/clock.h"
#include "ingest/event_sink.h"
#include "nostr/limits.h"
#include "storage/event_store.h"

namespace graspd::ingest {

/// The answer to an event whose time is over (NIP-40).
inline constexpr std::string_view kExpiredMessage = "invalid: the event has expired";

/// What can be said of an event by looking at it alone: limits, id, signature, and what
/// NIP-70 says of where it comes from.
///
/// Threading: thread-safe; meant for the CPU pool: a signature costs about 50 us, and each thread
/// keeps a SignatureVerifier. The store is asked for one signature by id, which is all the I/O
/// there is.
class Checker {
 public:
  struct Checked {
    nostr::EventPtr event;  // fit to be judged and written; null: see `result`
    Result result;          // always carries the id
  };

  Checker(storage::EventStore& store, const base::Clock& clock, const nostr::Limits& limits)
      : store_(store), clock_(clock), limits_(limits) {}
  [[nodiscard]] Checked Check(nostr::Event event, storage::Source source, Lookup lookup) const;

 private:
  [[nodiscard]] Result Verdict(const nostr::EventRecord& record, const nostr::EventId& computed,
                               storage::Source source, Lookup lookup) const;

  storage::EventStore& store_;
  const base::Clock& clock_;
  const nostr::Limits limits_;
};

}  // namespace graspd::ingest
