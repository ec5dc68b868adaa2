#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
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
    const absl::Status status = on_scan ? on_scan(stop) : absl::OkStatus();
    if (!status.ok()) return status;
    return ForwardingStore::Count(filters, unix_now, stop);
  }
  absl::Status VisitItems(const nostr::Filter& filter, uint64_t unix_now, const ItemVisitor& visit,
                          const Stop& stop) override {
    ++lists;
    const absl::Status status = on_scan ? on_scan(stop) : absl::OkStatus();
    if (!status.ok()) return status;
    const auto count = [&](const negentropy::Item& item, std::optional<uint64_t> expiration) {
      ++visited;
      return visit(item, expiration);
    };
    return ForwardingStore::VisitItems(filter, unix_now, count, stop);
  }

  int fruitless_queries = 0;  // of the first ones: their budget is spent before a row is found
  std::function<absl::Status(const Stop& stop)> on_scan;  // before each of counts and lists
  std::atomic<int> queries{0}, counts{0}, lists{0};
  std::atomic<int> visited{0};  // items of lists

 private:
  const std::unique_ptr<EventStore> owned_;
};

}  // namespace graspd::storage::testing
