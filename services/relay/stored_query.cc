#include "services/relay/stored_query.h"

#include <algorithm>
#include <utility>

#include "base/status_macros.h"

namespace graspd::relay {
namespace {

// One page: what a connection is sent before others get their turn.
constexpr size_t kPageRows = 500, kPageBytes = 256 * 1024;
constexpr size_t kLeastRows = 32, kLeastBytes = 16 * 1024;  // of one filter's part of it

}  // namespace

StoredQuery::StoredQuery(storage::EventStore& store, std::vector<nostr::Filter> filters,
                         storage::FeedPosition as_of)
    : store_(store) {
  const size_t count = std::max<size_t>(filters.size(), 1);
  for (nostr::Filter& filter : filters) {
    Stream& stream = streams_.emplace_back();
    stream.spec.filters.push_back(std::move(filter));
    stream.spec.as_of = as_of;
    stream.spec.max_rows = std::max(kPageRows / count, kLeastRows);
    stream.spec.max_bytes = std::max(kPageBytes / count, kLeastBytes);
  }
}

// False if a call used up its budget without finding a row: the next one goes on from there.
absl::StatusOr<bool> StoredQuery::Fill(Stream& stream) {
  if (!stream.empty()) return true;
  stream.PutBack();
  if (stream.done) return true;
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

// The next call goes on behind what was served.
void StoredQuery::Stream::PutBack() {
  if (empty()) {
    if (ahead.filters.empty()) return;
    cursor = std::exchange(ahead, {});
    started = true;
  } else if (next > 0) {
    const storage::Row& last = rows[next - 1];  // moved from, but for what it is found by
    const uint64_t emitted = (started ? cursor.filters[0].emitted : 0) + next;
    cursor.filters = {
        {.emitted = emitted, .created_at = last.created_at, .id = last.id, .started = true}};
    started = true;
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
    // Only streams whose next row is known can be compared.
    for (Stream& stream : streams_) {
      GRASPD_ASSIGN_OR_RETURN(const bool known, Fill(stream));
      if (!known) return absl::OkStatus();
    }
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
