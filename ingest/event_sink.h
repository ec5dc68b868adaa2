// The one way in: events of clients and of remotes alike go through an EventSink.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/executor.h"
#include "nostr/event.h"
#include "storage/event_store.h"

namespace graspd::ingest {

/// What became of a submitted event.
enum class Code : uint8_t {
  kStored,     // durable, or an ephemeral event that was passed on
  kDuplicate,  // stored already
  kOlder,      // a newer version of the same address is stored
  kDeleted,    // its author has deleted it
  kExpired,
  kInvalid,  // limits, id or signature
  kRefused,  // the acceptance policy
  kParked,   // a remote's: waits in the parking lot for what it refers to
  kError,    // the store could not take it now; nothing is known to be stored
};
inline constexpr size_t kCodes = 9;
/// For metrics and logs: "stored", "duplicate", ...
[[nodiscard]] std::string_view CodeName(Code code);

/// The verdict on one event. A plain value.
struct Result {
  nostr::EventId id;
  Code code = Code::kStored;
  /// For the OK message: empty, or text with its NIP-01 prefix.
  std::string message;
  /// Of kInvalid: the id is not the event's or the signature is wrong, which no honest relay passes
  /// on; limits, by contrast, differ from relay to relay.
  bool forged = false;
  /// What an OK says: true for stored, duplicate and older.
  [[nodiscard]] bool accepted() const {
    return code == Code::kStored || code == Code::kDuplicate || code == Code::kOlder;
  }
};

/// Whether the store must be looked into before a signature is verified.
enum class Lookup : uint8_t {
  kNeeded,  // the event may be stored already
  kDone     // the store has just said that it is not; if it is by now, only time is lost
};

/// The events of one connection on their way in. Results come back in the order of submission, in
/// batches: one callback per commit.
/// Threading: the owner's thread (the executor given to Open); the callback comes there too, and
/// may destroy the submitter. Lifetime: destroying it while events are in flight is fine: they are
/// still stored, unheard.
class Submitter {
 public:
  virtual ~Submitter() = default;
  /// Hands in one event whose shape is right. Always taken; but who goes on when credits() is 0
  /// would grow the queue without bound, so it must first stop reading its socket. Who hands in a
  /// protected event (NIP-70) as kDirect has authenticated its author; a remote's is refused.
  void Submit(nostr::Event event, storage::Source source) {
    Submit(std::move(event), source, Lookup::kNeeded);
  }
  virtual void Submit(nostr::Event event, storage::Source source, Lookup lookup) = 0;
  /// How many more events may be in flight; rises again before each callback. Never 0 while nothing
  /// of this submitter is in flight, so whoever waits for credits will be called back.
  [[nodiscard]] virtual size_t credits() const = 0;
};

/// Where events are handed in; Pipeline is the one there is. Lifetime: outlives its submitters.
/// Errors: none; what fails is a Result of kError.
class EventSink {
 public:
  using Callback = std::function<void(std::span<const Result>)>;
  /// Clients and sync get fair shares of the writer and of the CPU pool.
  enum class Lane : uint8_t { kClient, kSync };

  virtual ~EventSink() = default;
  /// `executor` outlives the submitter's events in flight, and runs: checks may wait until its
  /// owner has been told of others. Thread-safe.
  [[nodiscard]] virtual std::unique_ptr<Submitter> Open(Lane lane, base::Executor& executor,
                                                        Callback on_results) = 0;
};

}  // namespace graspd::ingest
