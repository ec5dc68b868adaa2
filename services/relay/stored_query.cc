#include "services/relay/stored_query.h"

#include <algorithm>
#include <utility>

#include "base/status_macros.h"

namespace graspd::relay {
namespace {

// One page: what a connection is sent before others get their turn.
constexpr size_t kPageRows = 500, kPageBytes = 256 * 1024;
constexpr size_t kLeastRows = 32, kLeastBytes = 16 * 1024;  // of one filter's part of it

// The last place in served order before the row's.
storage::QueryCursor::PerFilter PlaceBefore(const storage::Row& row) {
  storage::QueryCursor::PerFilter place{
      .created_at = row.created_at, .id = row.id, .started = true};
  for (auto byte = place.id.bytes.rbegin(); byte != place.id.bytes.rend(); ++byte) {
    if ((*byte)-- != 0) return place;
  }
  ++place.created_at;  // the id was zero: the highest of the second before it
  return place;
}

}  // namespace

StoredQuery::StoredQuery(storage::EventStore& store, std::vector<nostr::Filter> filters,
                         storage::FeedPosition as_of)
    : store_(store) {
  const size_t count = std::max<size_t>(filters.size(), 1);
  for (nostr::Filter& filter : filters) {
    Stream& stream = streams_.emplace_back();
    stream.spec.filters.push_back(std::move(filter));
    stream.spec.as_of = as_of;
    stream.rows_at_once = std::max(kPageRows / count, kLeastRows);
    stream.spec.max_bytes = std::max(kPageBytes / count, kLeastBytes);
  }
}

// False if a call used up its budget without finding a row: the next one goes on from there.
absl::StatusOr<bool> StoredQuery::Fill(Stream& stream) {
  if (!stream.empty()) return true;
  stream.PutBack();
  if (stream.done) return true;
  // The first row is at hand; whether there is a second may take long to say.
  stream.spec.max_rows = searching_ && stream.found ? 1 : stream.rows_at_once;
  stream.found = false;
  GRASPD_ASSIGN_OR_RETURN(auto page,
                          store_.Query(stream.spec, stream.started ? &stream.cursor : nullptr));
  stream.done = page.done;
  stream.ahead = std::move(page.cursor);
  stream.rows = std::move(page.rows);
  stream.next = 0;
  if (stream.empty()) stream.PutBack();
  return !stream.empty() || stream.done;
}

// Null when every stream is at its end.
StoredQuery::Stream* StoredQuery::Newest() {
  const auto before = [](const Stream& a, const Stream& b) {
    const storage::Row &x = a.rows[a.next], &y = b.rows[b.next];
    return nostr::ServedBefore(x.created_at, x.id, y.created_at, y.id);
  };
  Stream* newest = nullptr;
  for (Stream& stream : streams_) {
    if (!stream.empty() && (!newest || before(stream, *newest))) newest = &stream;
  }
  return newest;
}

// The next call goes on behind what was served, and right before the row that comes then, if it is
// known: to find it may have taken long.
void StoredQuery::Stream::PutBack() {
  if (empty()) {
    if (ahead.filters.empty()) return;
    cursor = std::exchange(ahead, {});
    started = true;
  } else {
    const uint64_t emitted = (started ? cursor.filters[0].emitted : 0) + next;
    cursor.filters = {PlaceBefore(rows[next])};
    cursor.filters[0].emitted = emitted;
    started = found = true;
  }
  done = done && empty();
  ahead = {};
  rows = {};
  next = 0;
}

absl::StatusOr<StoredQuery::Page> StoredQuery::Next(uint64_t unix_now) {
  Page page;
  GRASPD_RETURN_IF_ERROR(Merge(unix_now, page));
  for (Stream& stream : streams_) stream.PutBack();
  return page;
}

absl::Status StoredQuery::Merge(uint64_t unix_now, Page& page) {
  size_t bytes = 0;
  for (Stream& stream : streams_) stream.spec.unix_now = unix_now;
  while (page.rows.size() < kPageRows && bytes < kPageBytes) {
    // Only streams whose next row is known can be compared; first those that may take long.
    for (const bool found : {false, true}) {
      for (Stream& stream : streams_) {
        if (stream.found != found) continue;
        GRASPD_ASSIGN_OR_RETURN(const bool known, Fill(stream));
        if (!known) {
          searching_ = true;
          return absl::OkStatus();
        }
      }
    }
    searching_ = false;
    Stream* stream = Newest();
    if (!stream) {
      page.done = true;
      break;
    }
    storage::Row& row = stream->rows[stream->next++];
    if (any_served_ && row.id == last_) continue;
    if (row.expiration && *row.expiration <= unix_now) continue;  // since it was read
    last_ = row.id;
    any_served_ = true;
    bytes += row.json.size();
    page.rows.push_back(std::move(row));
  }
  return absl::OkStatus();
}

}  // namespace graspd::relay
