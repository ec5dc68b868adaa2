#include "tests/conformance/numbered_events.h"

#include <string>

#include "base/status_macros.h"
#include "tests/conformance/event_store_suite.h"

namespace graspd::storage {
namespace {

bool IsVersion(uint64_t number) { return number % 4 == 0; }

absl::Status ExpectOne(EventStore& store, const nostr::Filter& filter, uint64_t number) {
  GRASPD_ASSIGN_OR_RETURN(const uint64_t count, store.Count({filter}, kNow, nullptr));
  if (count == 1) return absl::OkStatus();
  return absl::DataLossError("event " + std::to_string(number) + " was acknowledged and " +
                             std::to_string(count) + " are found");
}

}  // namespace

std::vector<nostr::Event> NumberedBatch(uint64_t first) {
  std::vector<nostr::Event> events;
  for (uint64_t number = first; number < first + 1 + first % 9; ++number) {
    events.push_back(MakeEvent(number, IsVersion(number) ? 0 : 1, number, {{"t", "x"}}));
  }
  return events;
}

absl::Status FindAcknowledged(EventStore& store, const std::set<uint64_t>& acknowledged) {
  uint64_t newest_version = 0;
  for (const uint64_t number : acknowledged) {
    if (IsVersion(number)) {
      newest_version = number;
      continue;
    }
    nostr::Filter filter;
    filter.ids = {Id(number)};
    GRASPD_RETURN_IF_ERROR(ExpectOne(store, filter, number));
  }
  if (newest_version > 0) {
    nostr::Filter versions;
    versions.kinds = {0};
    versions.since = newest_version;
    GRASPD_RETURN_IF_ERROR(ExpectOne(store, versions, newest_version));
  }
  uint64_t added = 0;
  GRASPD_ASSIGN_OR_RETURN(const auto feed, ReadWholeFeed(store, {}, 1000));
  for (const Change& change : feed) added += change.type == Change::Type::kAdded ? 1 : 0;
  GRASPD_ASSIGN_OR_RETURN(const uint64_t served, store.Count({nostr::Filter{}}, kNow, nullptr));
  if (added == served) return absl::OkStatus();
  return absl::DataLossError("the feed has " + std::to_string(added) + " events, the index " +
                             std::to_string(served));
}

}  // namespace graspd::storage
