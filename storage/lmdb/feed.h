#pragma once

#include <cstddef>

#include "absl/status/statusor.h"
#include "storage/event_store.h"
#include "storage/lmdb/txn.h"

namespace graspd::storage {

/// EventStore::ReadFeed on one snapshot: merges the events and the removal log by change number.
/// `latest` is the position of the snapshot.
absl::StatusOr<FeedPage> ReadFeedPage(const Txn& txn, FeedPosition after, FeedPosition latest,
                                      size_t max_changes);

}  // namespace graspd::storage
