#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/event_store.h"

namespace graspd::storage::testing {

/// Passes every call on to the store it stands before: tests override the calls they want to see,
/// hold up or let fail. Thread-safe as that store is, which it does not own.
class ForwardingStore : public EventStore {
 public:
  explicit ForwardingStore(EventStore& store) : store_(store) {}

  absl::StatusOr<BatchResult> Write(std::span<const WriteRequest> batch, Judge& judge,
                                    uint64_t unix_now) override {
    return store_.Write(batch, judge, unix_now);
  }
  absl::StatusOr<Commit> RemoveExpired(uint64_t unix_now, size_t max) override {
    return store_.RemoveExpired(unix_now, max);
  }
  [[nodiscard]] FeedPosition Position() const override { return store_.Position(); }
  absl::StatusOr<QueryPage> Query(const QuerySpec& spec, const QueryCursor* resume) override {
    return store_.Query(spec, resume);
  }
  absl::StatusOr<uint64_t> Count(const std::vector<nostr::Filter>& filters, uint64_t unix_now,
                                 const Stop& stop) override {
    return store_.Count(filters, unix_now, stop);
  }
  absl::Status VisitItems(const nostr::Filter& filter, uint64_t unix_now, const ItemVisitor& visit,
                          const Stop& stop) override {
    return store_.VisitItems(filter, unix_now, visit, stop);
  }
  absl::StatusOr<std::optional<nostr::Signature>> FindSignature(const nostr::EventId& id) override {
    return store_.FindSignature(id);
  }
  absl::StatusOr<std::vector<bool>> Known(std::span<const nostr::EventId> ids) override {
    return store_.Known(ids);
  }
  absl::StatusOr<FeedPage> ReadFeed(FeedPosition after, size_t max_changes) override {
    return store_.ReadFeed(after, max_changes);
  }
  absl::StatusOr<std::optional<KeyValue>> GetKey(std::string_view key) override {
    return store_.GetKey(key);
  }
  absl::StatusOr<std::vector<KeyValue>> ListKeys(std::string_view prefix) override {
    return store_.ListKeys(prefix);
  }
  absl::StatusOr<uint64_t> CompareAndSet(std::string_view key, uint64_t expected_version,
                                         std::optional<std::string_view> value) override {
    return store_.CompareAndSet(key, expected_version, value);
  }
  absl::StatusOr<Stats> GetStats() override { return store_.GetStats(); }
  [[nodiscard]] absl::Status Health() const override { return store_.Health(); }

 private:
  EventStore& store_;
};

}  // namespace graspd::storage::testing
