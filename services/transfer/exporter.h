#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "nostr/filter.h"
#include "storage/event_store.h"

namespace graspd::transfer {

/// Reads out what a store has, in an order in which it can be taken in again.
///
/// The order depends on the set of events alone: announcements; states and lists of grasp servers;
/// patches, pull requests and issues; everything else; deletions. Within each the oldest first, of
/// one second the lower id. So what others refer to comes before them, as far as the clocks of
/// their authors agree.
///
/// Consistency: everything that was stored when Run() began, and is neither deleted nor expired
/// when its turn comes, is there; of an event that is replaced meanwhile, an older or the newer
/// version or both. What is stored later may be there. No transaction stays open. Memory: one
/// window of at most 50,000 ids (more only if one second has more) and 100 events.
/// Threading: thread-compatible; blocks.
class Exporter {
 public:
  /// Gets the canonical JSON of each event; an error ends the export and is returned.
  using Sink = std::function<absl::Status(std::string_view json)>;

  /// `filter` is normalised; its limit plays no part. What expired by `unix_now` is left out.
  Exporter(storage::EventStore& store, nostr::Filter filter, uint64_t unix_now, Sink sink);

  /// To be called once. Errors: the store's and the sink's.
  absl::Status Run();
  [[nodiscard]] uint64_t events() const { return events_; }

 private:
  absl::Status ExportKinds(const std::vector<nostr::Kind>& kinds);
  absl::Status ExportTheRest();
  absl::Status ExportRange(uint64_t since, uint64_t until);
  absl::Status ExportItems(std::span<const negentropy::Item> items, uint64_t until);
  absl::Status Emit(const negentropy::Item& item, std::string_view json);

  storage::EventStore& store_;
  const nostr::Filter filter_;
  const uint64_t unix_now_;
  const Sink sink_;
  uint64_t events_ = 0;

  nostr::Filter phase_;        // what is exported now
  bool skip_special_ = false;  // kinds that have a phase of their own
  uint64_t second_ = 0;        // of the event exported last, and those exported of that second
  std::set<nostr::EventId> exported_in_second_;
};

}  // namespace graspd::transfer
