#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nostr/filter.h"
#include "storage/event_store.h"

namespace graspd::relay {

/// The stored events that answer a REQ, page by page: over all filters newest first, ties by lower
/// id, each event once, each filter up to its own limit.
///
/// Every filter is read with a cursor of its own and the streams are merged. Between pages nothing
/// is open in the store, and no row is kept: what was read ahead of the other streams is read
/// again, so that a client which asks much and reads little holds no memory. While one filter finds
/// nothing for long, the others are not searched meanwhile, and begin again where they had found
/// something. Threading:
/// thread-compatible; Next blocks, so it runs on the reads pool.
class StoredQuery {
 public:
  /// `filters` are normalised and carry a limit. Leaves out what was committed after `as_of`.
  StoredQuery(storage::EventStore& store, std::vector<nostr::Filter> filters,
              storage::FeedPosition as_of);

  struct Page {
    std::vector<storage::Row> rows;
    bool done = false;
  };
  /// Leaves out what has expired at `unix_now`, which must not go back. Takes a bounded time: a
  /// page may be empty although it is not the last one.
  absl::StatusOr<Page> Next(uint64_t unix_now);

 private:
  struct Stream {
    storage::QuerySpec spec;
    storage::QueryCursor cursor;  // behind what was served
    bool started = false, done = false;
    bool found = false;  // the next row is the first behind `cursor`
    size_t rows_at_once = 0;
    std::vector<storage::Row> rows;  // of one call
    size_t next = 0;                 // of them, the first that was not served
    storage::QueryCursor ahead;      // behind `rows`
    [[nodiscard]] bool empty() const { return next == rows.size(); }
    void PutBack();
  };
  absl::Status Merge(uint64_t unix_now, Page& page);
  absl::StatusOr<bool> Fill(Stream& stream);
  [[nodiscard]] Stream* Newest();

  storage::EventStore& store_;
  std::vector<Stream> streams_;
  nostr::EventId last_;  // the event served last: its copies from other filters come right after it
  bool any_served_ = false;
  bool searching_ = false;  // the latest page ended because a filter had found nothing for long
};

}  // namespace graspd::relay
