#pragma once

#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include "storage/memory/memory_store.h"
#include "storage/testing/forwarding_store.h"

namespace graspd::storage::testing {

/// A store, in memory unless told another, that counts what is read of it. Thread-safe.
class CountingStore final : public ForwardingStore {
 public:
  explicit CountingStore(std::unique_ptr<EventStore> store = OpenMemoryStore())
      : ForwardingStore(*store), owned_(std::move(store)) {}

  absl::StatusOr<QueryPage> Query(const QuerySpec& spec, const QueryCursor* resume) override {
    ++queries;
    if (queries <= fruitless_queries) {
      QueryPage page;
      page.cursor.filters.resize(spec.filters.size());
      return page;
    }
    return ForwardingStore::Query(spec, resume);
  }
  absl::StatusOr<uint64_t> Count(const std::vector<nostr::Filter>& filters, uint64_t unix_now,
                                 const Stop& stop) override {
    ++counts;
    return ForwardingStore::Count(filters, unix_now, stop);
  }
  absl::Status VisitItems(const nostr::Filter& filter, uint64_t unix_now,
                          const ItemVisitor& visit) override {
    ++lists;
    return ForwardingStore::VisitItems(filter, unix_now, visit);
  }

  int fruitless_queries = 0;  // of the first ones: their budget is spent before a row is found
  std::atomic<int> queries{0}, counts{0}, lists{0};

 private:
  const std::unique_ptr<EventStore> owned_;
};

}  // namespace graspd::storage::testing
