// One suite for every storage backend. A backend's test file only adds
//   INSTANTIATE_TEST_SUITE_P(Name, EventStoreSuite, testing::Values(Backend{...}), BackendName);
// and, if opening the same directory again finds what was stored, the same for
// DurableEventStoreSuite.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/temp_directory.h"
#include "gtest/gtest.h"
#include "nostr/event.h"
#include "nostr/filter.h"
#include "storage/event_store.h"

namespace graspd::storage {

/// How to open the backend under test.
struct Backend {
  std::string name;
  std::function<absl::StatusOr<std::unique_ptr<EventStore>>(const std::string& directory)> open;
};
inline void PrintTo(const Backend& backend, std::ostream* out) { *out << backend.name; }
std::string BackendName(const testing::TestParamInfo<Backend>& info);

using base::TempDirectory;

/// The time at which tests write and read, if they do not say otherwise.
inline constexpr uint64_t kNow = 1'700'000'000;

/// An id or key that orders as its number.
nostr::EventId Id(uint64_t number);
nostr::PublicKey Author(uint64_t number);

using TagList = std::initializer_list<std::initializer_list<std::string_view>>;
/// An unsigned event: storage verifies nothing.
nostr::Event MakeEvent(uint64_t number, nostr::Kind kind, uint64_t created_at, TagList tags = {},
                       uint64_t author = 1, std::string content = "");

std::vector<WriteRequest> Requests(const std::vector<nostr::Event>& events,
                                   Source source = Source::kDirect);
nostr::Filter ParseFilterOrDie(std::string_view json);

/// Decides by a function; accepts everything without one.
class TestJudge final : public Judge {
 public:
  using Decision =
      std::function<absl::StatusOr<Verdict>(const nostr::Event&, const ReadView& view)>;
  TestJudge() = default;
  explicit TestJudge(Decision decision) : decision_(std::move(decision)) {}
  absl::StatusOr<Verdict> Decide(const nostr::Event& event, Source source,
                                 const ReadView& view) override;

 private:
  Decision decision_;
};

/// All rows of a query, read in pages.
absl::StatusOr<std::vector<Row>> QueryAll(EventStore& store, QuerySpec spec);

/// The whole feed after `position`, read in pages of `page` changes.
absl::StatusOr<std::vector<Change>> ReadWholeFeed(EventStore& store, FeedPosition position,
                                                  size_t page);

class EventStoreSuite : public testing::TestWithParam<Backend> {
 protected:
  void SetUp() override { Open(); }
  void Open();

  BatchResult Write(const std::vector<nostr::Event>& events, uint64_t now = kNow);
  BatchResult Write(const std::vector<nostr::Event>& events, TestJudge judge, uint64_t now = kNow);
  std::vector<Outcome> Outcomes(const std::vector<nostr::Event>& events, uint64_t now = kNow);
  /// The ids that a filter (JSON) finds, in order.
  std::vector<nostr::EventId> Find(std::string_view filter, uint64_t now = kNow);
  uint64_t Count(std::vector<std::string_view> filters, uint64_t now = kNow);
  std::vector<nostr::EventId> ListIds(std::string_view filter, uint64_t now = kNow);

  TempDirectory directory_;
  std::unique_ptr<EventStore> store_;
};

/// For backends that keep what was stored.
class DurableEventStoreSuite : public EventStoreSuite {
 protected:
  /// Closes and opens again.
  void Reopen();
};

std::vector<nostr::EventId> Ids(std::initializer_list<uint64_t> numbers);

}  // namespace graspd::storage
