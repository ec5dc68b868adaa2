#pragma once

#include <array>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/metrics.h"
#include "ingest/event_sink.h"
#include "nostr/limits.h"
#include "storage/event_store.h"

namespace graspd::ingest {

/// The answer to an event whose time is over (NIP-40).
inline constexpr std::string_view kExpiredMessage = "invalid: the event has expired";

/// Why an event was refused for what it is.
enum class CheckRefusal : uint8_t {
  kTooLarge,
  kTooManyTags,
  kTooFarAhead,
  kAuthKind,      // kind 22242 outside an AUTH message
  kWrongId,       // not the hash of the event
  kBadSignature,  // BIP 340
  kProtected,     // NIP-70, from somebody else than its author
  kReposts,       // a protected event
};
inline constexpr size_t kCheckRefusals = 8;

/// What can be said of an event by looking at it alone: limits, id, signature, and what
/// NIP-70 says of where it comes from.
///
/// Threading: thread-safe; meant for the CPU pool: a signature costs about 50 us, and each thread
/// keeps a SignatureVerifier. The store is asked for one signature by id, which is all the I/O
/// there is. Refusals are counted by their CheckRefusal.
class Checker {
 public:
  struct Checked {
    nostr::EventPtr event;  // fit to be judged and written; null: see `result`
    Result result;          // always carries the id
  };

  Checker(storage::EventStore& store, const base::Clock& clock, const nostr::Limits& limits,
          base::Metrics& metrics);
  [[nodiscard]] Checked Check(nostr::Event event, storage::Source source, Lookup lookup) const;

 private:
  [[nodiscard]] Result Verdict(const nostr::EventRecord& record, const nostr::EventId& computed,
                               storage::Source source, Lookup lookup) const;
  [[nodiscard]] Result Refuse(const nostr::EventId& id, CheckRefusal why,
                              std::string message = "") const;

  storage::EventStore& store_;
  const base::Clock& clock_;
  const nostr::Limits limits_;
  std::array<prometheus::Counter*, kCheckRefusals> refusals_{};
};

}  // namespace graspd::ingest
