#include "nostr/limits.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "nostr/filter.h"

namespace graspd::nostr {
namespace {

constexpr uint64_t kNow = 1'700'000'000;

TEST(ExceededLimit, IsNoneUpToEachLimitAndNoFurther) {
  Limits limits;
  limits.event_bytes = 1000;
  limits.event_tags = 2;
  Event event;
  event.created_at = kNow + limits.created_at_ahead_seconds;
  event.tags.Add({"a"});
  event.tags.Add({"b"});
  EXPECT_EQ(ExceededLimit(event, 1000, limits, kNow), std::nullopt);
  EXPECT_EQ(ExceededLimit(event, 1001, limits, kNow), EventLimit::kBytes);
  Event later = event;
  ++later.created_at;
  EXPECT_EQ(ExceededLimit(later, 1000, limits, kNow), EventLimit::kCreatedAt);
  event.tags.Add({"c"});
  EXPECT_EQ(ExceededLimit(event, 1000, limits, kNow), EventLimit::kTags);
  EXPECT_EQ(LimitMessage(EventLimit::kTags, limits), "invalid: more than 2 tags");
}

TEST(ExceededLimit, TimesNeverWrap) {
  Limits limits;
  Event event;
  event.created_at = uint64_t{1} << 53;
  EXPECT_EQ(ExceededLimit(event, 1, limits, kNow), EventLimit::kCreatedAt);
  limits.created_at_ahead_seconds = ~uint64_t{0};
  EXPECT_EQ(ExceededLimit(event, 1, limits, kNow), std::nullopt);
  event.created_at = 0;
  EXPECT_EQ(ExceededLimit(event, 1, limits, kNow), std::nullopt);
}

TEST(CheckFilterLimits, CountsAllValuesTogether) {
  Limits limits;
  limits.values_per_filter = 5;
  Filter filter;
  filter.ids.emplace(1);
  filter.authors.emplace(1);
  filter.kinds = {1};
  filter.tags['t'] = {"a"};
  filter.tags['a'] = {"b"};
  EXPECT_TRUE(CheckFilterLimits(filter, limits).ok());
  filter.tags['a'].push_back("c");
  const absl::Status status = CheckFilterLimits(filter, limits);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message().substr(0, 9), "invalid: ");
}

}  // namespace
}  // namespace graspd::nostr
