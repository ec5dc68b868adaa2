// The interface of every storage backend, and what it promises.
//
// tests/conformance runs one suite against each backend; all give the same verdict and the same
// answer for every input. The rules of NIP-01, 09 and 40 live in apply.h, shared by all backends.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "nostr/event.h"
#include "nostr/filter.h"
#include "nostr/negentropy/item.h"
#include "nostr/rules.h"

namespace graspd::storage {

/// By which way an event came here. Stored with it.
enum class Source : uint8_t {
  kDirect = 0,     // a client's EVENT
  kLive = 1,       // a remote's live subscription
  kStartup = 2,    // catch-up when a remote is first connected
  kReconnect = 3,  // catch-up after a lost connection
  kDaily = 4,      // periodic full reconciliation
  kManual = 5,     // the admin API
  kImport = 6,     // a file
};
[[nodiscard]] std::string_view SourceName(Source source);

/// A point in the order of commits, opaque to everyone but the backend. A change after a position
/// is found by ReadFeed(position), whatever happened in between; positions are never reused.
struct FeedPosition {
  uint64_t value = 0;  // 0 = before everything
  auto operator<=>(const FeedPosition&) const = default;
};

/// Why an event is no longer served.
enum class Removal : uint8_t { kReplaced = 0, kDeleted = 1, kExpired = 2 };

/// One thing that a commit changed.
struct Change {
  enum class Type : uint8_t { kAdded, kRemoved };
  Type type = Type::kAdded;
  nostr::EventPtr event;                // kAdded: the event. kRemoved: null
  Source source = Source::kDirect;      // kAdded
  nostr::EventId id;                    // both
  uint64_t created_at = 0;              // both: with id, the negentropy item
  nostr::Kind kind = 0;                 // both
  Removal reason = Removal::kReplaced;  // kRemoved
  /// Ephemeral events pass through the feed without being stored; they have no place in ReadFeed.
  bool ephemeral = false;
};

/// What one commit changed, in order.
struct Commit {
  FeedPosition position;
  std::vector<Change> changes;
};

/// A page of the persistent feed. `next` is where to go on; it equals the asked position if there
/// is nothing newer. Events that were added and later removed may be missing from the page, or
/// show only their removal.
struct FeedPage {
  std::vector<Change> changes;
  FeedPosition next;
  bool more = false;
};

/// What became of one event of a batch.
enum class Outcome : uint8_t {
  kStored,     // durable (an ephemeral event: accepted)
  kDuplicate,  // this id is stored already
  kOlder,      // a newer version of the same address is stored
  kDeleted,    // its author has deleted it, or this address up to a later time
  kExpired,    // NIP-40
  kRefused,    // by the judge, see message
};

/// One event for Write, signature already verified.
struct WriteRequest {
  nostr::EventPtr event;
  Source source = Source::kDirect;
};
struct WriteResult {
  Outcome outcome = Outcome::kStored;
  std::string message;  // kRefused: the judge's words with NIP-01 prefix
};

/// Read access inside a transaction (or a snapshot): sees the writes before it in the same batch.
/// The writer waits for every look-up, so each takes a bounded time, whatever is stored. Expiry is
/// judged by the time given at the start of the operation.
/// Valid only during the call that hands it out; used on that thread only.
class ReadView {
 public:
  virtual ~ReadView() = default;
  /// The kind of the event of this id, if it is stored and served.
  [[nodiscard]] virtual absl::StatusOr<std::optional<nostr::Kind>> FindKind(
      const nostr::EventId& id) const = 0;
  /// True if a version of this address is stored and served.
  [[nodiscard]] virtual absl::StatusOr<bool> Contains(const nostr::Address& address) const = 0;
  /// True if an event that is served has `value` in a tag of this letter and is of none of these
  /// kinds. Looks at the newest `max_events` with that tag only; never at the events themselves,
  /// which may be long.
  [[nodiscard]] virtual absl::StatusOr<bool> AnyTagged(char letter, const std::string& value,
                                                       std::span<const nostr::Kind> other_than,
                                                       size_t max_events) const = 0;
  /// True if an event by this author is served. Looks at their newest `max_events` only.
  [[nodiscard]] virtual absl::StatusOr<bool> AnyBy(const nostr::PublicKey& author,
                                                   size_t max_events) const = 0;
  /// Calls `visit` with the JSON of each event of this kind that is served and has `value` in a tag
  /// of this letter, newest first, until it returns false. Looks at `max_events` with that tag
  /// only; but of those of other kinds only at the first behind each event of this kind, whatever
  /// its tags: however many there are, they hide what is asked for only if one of them stands
  /// between each two of as many events of this kind.
  virtual absl::Status VisitTagged(nostr::Kind kind, char letter, const std::string& value,
                                   size_t max_events,
                                   const std::function<bool(std::string json)>& visit) const = 0;
};

/// Decides, inside the write transaction, whether an event may be stored: the acceptance policy. A
/// child in the same batch therefore sees its parent. Must not keep the view.
class Judge {
 public:
  virtual ~Judge() = default;
  struct Verdict {
    bool accept = true;
    std::string message;  // of a refusal, with its NIP-01 prefix
    bool waits = false;   // refused only for want of an event that may still come
  };
  virtual absl::StatusOr<Verdict> Decide(const nostr::Event& event, Source source,
                                         const ReadView& view) = 0;
};

struct BatchResult {
  std::vector<WriteResult> results;  // results[i] belongs to batch[i]
  Commit commit;                     // empty changes: nothing was written
};

/// Where a Query stopped. A plain value without a transaction behind it.
struct QueryCursor {
  struct PerFilter {
    uint64_t emitted = 0;
    uint64_t created_at = 0;
    nostr::EventId id;
    bool started = false, done = false;
  };
  std::vector<PerFilter> filters;
};

/// One event of an answer.
struct Row {
  nostr::EventId id;
  uint64_t created_at = 0;
  std::optional<uint64_t> expiration;  // NIP-40
  std::string json;
};

/// What to read and how far to go in one call.
struct QuerySpec {
  std::vector<nostr::Filter> filters;  // an absent limit means no limit
  /// Leave out what was committed after this position, so that a stored scan and a live
  /// subscription from the same position share no event and miss none.
  std::optional<FeedPosition> as_of;
  uint64_t unix_now = 0;  // events expired by then are left out
  /// Budget of one call; the rest follows with the cursor.
  size_t max_rows = 500;
  size_t max_bytes = 256 * 1024;
};
struct QueryPage {
  std::vector<Row> rows;  // within one filter newest first, ties by lower id; an event that several
                          // filters match may appear once for each
  QueryCursor cursor;     // for the next call
  bool done = false;      // only this ends a query: a call may spend its budget and find no row
};

/// Bounds of the key-value area; keys are not empty.
inline constexpr size_t kMaxKeyBytes = 400;
inline constexpr size_t kMaxValueBytes = 64 * 1024;
/// kInvalidArgument if a key or value is out of these bounds.
absl::Status CheckKeyValue(std::string_view key, std::optional<std::string_view> value);

/// A value of the key-value area with its version for compare-and-set.
struct KeyValue {
  std::string key, value;
  uint64_t version = 0;  // 0 = absent
};

/// From served order, in which ids ascend within one second while the seconds descend, to ascending
/// by (created_at, id). O(n).
void FromServedOrder(std::vector<negentropy::Item>& items);

/// A durable set of events.
///
/// Errors: kUnavailable = try again later; kResourceExhausted = disk or map full: nothing of the
/// batch was stored, reads go on; kDataLoss = corruption or a failed sync: the store refuses every
/// later write. kInvalidArgument only for misuse. Duplicates, older versions and refusals are
/// outcomes. Threading: thread-safe, except that Write calls must not overlap. Blocking: never call
/// it on an I/O thread.
class EventStore {
 public:
  virtual ~EventStore() = default;

  /// Applies the batch in order and commits once; durable on return (memory: excepted). One bad
  /// event costs only itself. Ephemeral events are judged and appear in the commit, but are not
  /// stored. `unix_now` judges expiry.
  virtual absl::StatusOr<BatchResult> Write(std::span<const WriteRequest> batch, Judge& judge,
                                            uint64_t unix_now) = 0;

  /// Removes what expired up to `unix_now`, at most `max` events; one commit.
  virtual absl::StatusOr<Commit> RemoveExpired(uint64_t unix_now, size_t max) = 0;

  /// Position of the latest commit.
  [[nodiscard]] virtual FeedPosition Position() const = 0;

  /// Rows for a query, resumable: no transaction stays open between calls. `resume` is null at
  /// first.
  virtual absl::StatusOr<QueryPage> Query(const QuerySpec& spec, const QueryCursor* resume) = 0;

  /// Ends a long read: if set, it is asked every few milliseconds, whatever is found, and must not
  /// call the store; once it says true, kCancelled.
  using Stop = std::function<bool()>;

  /// Exact number of distinct events that match any of the filters (limits ignored).
  virtual absl::StatusOr<uint64_t> Count(const std::vector<nostr::Filter>& filters,
                                         uint64_t unix_now, const Stop& stop) = 0;

  /// Hears of each event that VisitItems finds: its item, and when it expires (NIP-40), if ever. A
  /// status other than OK ends the visit.
  using ItemVisitor =
      std::function<absl::Status(const negentropy::Item& item, std::optional<uint64_t> expiration)>;
  /// Visits all events that match `filter` (limit ignored), unexpired, in served order: newest
  /// first, ties by lower id; all of one state of the store. For reconciliation: a backend that
  /// finds tags by a keyed hash may rely on 64 bits of it. Errors: the visitor's, which must not
  /// call the store, as they are.
  virtual absl::Status VisitItems(const nostr::Filter& filter, uint64_t unix_now,
                                  const ItemVisitor& visit, const Stop& stop) = 0;

  /// The items of all events that match `filter` (limit ignored), unexpired, ascending by
  /// (created_at, id). kResourceExhausted, before collecting more, if there are over `max_items`.
  absl::StatusOr<std::vector<negentropy::Item>> ListItems(const nostr::Filter& filter,
                                                          uint64_t unix_now, size_t max_items);

  /// The stored signature if the id is stored: lets ingest skip verifying an identical event. Never
  /// skip by id alone.
  virtual absl::StatusOr<std::optional<nostr::Signature>> FindSignature(
      const nostr::EventId& id) = 0;

  /// Which of `ids` are stored or may never be stored again (deleted); same order as asked.
  virtual absl::StatusOr<std::vector<bool>> Known(std::span<const nostr::EventId> ids) = 0;

  /// Changes committed after `after`, oldest first, at most about `max_changes`.
  virtual absl::StatusOr<FeedPage> ReadFeed(FeedPosition after, size_t max_changes) = 0;

  // Key-value area: small settings and cursors (paused remotes, policy lists). Versions are never
  // reused, so a key that was removed and set again does not look unchanged.
  virtual absl::StatusOr<std::optional<KeyValue>> GetKey(std::string_view key) = 0;
  virtual absl::StatusOr<std::vector<KeyValue>> ListKeys(std::string_view prefix) = 0;
  /// Sets (or with nullopt removes) `key` if its version is still `expected_version`; returns the
  /// new version, 0 after removal. kAborted if it changed meanwhile. Durable on return.
  virtual absl::StatusOr<uint64_t> CompareAndSet(std::string_view key, uint64_t expected_version,
                                                 std::optional<std::string_view> value) = 0;

  struct Stats {
    uint64_t events = 0;
    uint64_t bytes =
        0;  // on disk (space that was freed for reuse included), or an estimate in memory
    uint64_t capacity = 0;         // bound of `bytes`; 0 = none
    uint64_t pending_entries = 0;  // index entries in memory that are not in their tables yet
  };
  /// Cheap: for metrics.
  virtual absl::StatusOr<Stats> GetStats() = 0;

  /// OK while reads and writes work; else why not: what the latest write failed with, or the damage
  /// that ended writing. Cheap: for health checks.
  [[nodiscard]] virtual absl::Status Health() const = 0;
};

}  // namespace graspd::storage
