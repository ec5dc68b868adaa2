#include <utility>

#include "base/status_macros.h"
#include "tests/conformance/event_store_suite.h"

namespace graspd::storage {
namespace {

template <typename Bytes>
Bytes Numbered(uint64_t number) {
  Bytes out;
  for (size_t i = 0; i < 8; ++i) out.bytes[i] = static_cast<uint8_t>(number >> (56 - 8 * i));
  return out;
}

}  // namespace

std::string BackendName(const testing::TestParamInfo<Backend>& info) { return info.param.name; }

nostr::EventId Id(uint64_t number) { return Numbered<nostr::EventId>(number); }
nostr::PublicKey Author(uint64_t number) { return Numbered<nostr::PublicKey>(number); }

std::vector<nostr::EventId> Ids(std::initializer_list<uint64_t> numbers) {
  std::vector<nostr::EventId> ids;
  for (const uint64_t number : numbers) ids.push_back(Id(number));
  return ids;
}

nostr::Event MakeEvent(uint64_t number, nostr::Kind kind, uint64_t created_at, TagList tags,
                       uint64_t author, std::string content) {
  nostr::Event event;
  event.id = Id(number);
  event.pubkey = Author(author);
  event.created_at = created_at;
  event.kind = kind;
  for (const auto& tag : tags) event.tags.Add(tag);
  event.content = std::move(content);
  event.sig.bytes[0] = static_cast<uint8_t>(number);
  return event;
}

std::vector<WriteRequest> Requests(const std::vector<nostr::Event>& events, Source source) {
  std::vector<WriteRequest> requests;
  requests.reserve(events.size());
  for (const nostr::Event& event : events) requests.push_back({nostr::MakeRecord(event), source});
  return requests;
}

nostr::Filter ParseFilterOrDie(std::string_view json) {
  auto filter = nostr::ParseFilter(json);
  if (!filter.ok()) {
    ADD_FAILURE() << json << ": " << filter.status();
    abort();
  }
  return *std::move(filter);
}

absl::StatusOr<Judge::Verdict> TestJudge::Decide(const nostr::Event& event, Source,
                                                 const ReadView& view) {
  return decision_ ? decision_(event, view) : Verdict{};
}

absl::StatusOr<std::vector<Row>> QueryAll(EventStore& store, QuerySpec spec) {
  std::vector<Row> rows;
  QueryCursor cursor;
  const QueryCursor* resume = nullptr;
  for (;;) {
    GRASPD_ASSIGN_OR_RETURN(QueryPage page, store.Query(spec, resume));
    for (Row& row : page.rows) rows.push_back(std::move(row));
    if (page.done) return rows;
    cursor = std::move(page.cursor);
    resume = &cursor;
  }
}

absl::StatusOr<std::vector<Change>> ReadWholeFeed(EventStore& store, FeedPosition position,
                                                  size_t page_size) {
  std::vector<Change> changes;
  for (;;) {
    GRASPD_ASSIGN_OR_RETURN(FeedPage page, store.ReadFeed(position, page_size));
    for (Change& change : page.changes) changes.push_back(std::move(change));
    position = page.next;
    if (!page.more) return changes;
  }
}

void EventStoreSuite::Open() {
  auto store = GetParam().open(directory_.path());
  ASSERT_TRUE(store.ok()) << store.status();
  store_ = *std::move(store);
}

void DurableEventStoreSuite::Reopen() {
  store_.reset();
  Open();
}

BatchResult EventStoreSuite::Write(const std::vector<nostr::Event>& events, uint64_t now) {
  return Write(events, TestJudge(), now);
}

BatchResult EventStoreSuite::Write(const std::vector<nostr::Event>& events, TestJudge judge,
                                   uint64_t now) {
  auto result = store_->Write(Requests(events), judge, now);
  EXPECT_TRUE(result.ok()) << result.status();
  if (!result.ok()) return {};
  EXPECT_EQ(result->results.size(), events.size());
  EXPECT_EQ(result->commit.position, store_->Position());
  return *std::move(result);
}

std::vector<Outcome> EventStoreSuite::Outcomes(const std::vector<nostr::Event>& events,
                                               uint64_t now) {
  std::vector<Outcome> outcomes;
  for (const WriteResult& result : Write(events, now).results) outcomes.push_back(result.outcome);
  return outcomes;
}

std::vector<nostr::EventId> EventStoreSuite::Find(std::string_view filter, uint64_t now) {
  QuerySpec spec;
  spec.filters = {ParseFilterOrDie(filter)};
  spec.unix_now = now;
  const auto rows = QueryAll(*store_, spec);
  EXPECT_TRUE(rows.ok()) << rows.status();
  std::vector<nostr::EventId> ids;
  if (rows.ok()) {
    for (const Row& row : *rows) ids.push_back(row.id);
  }
  return ids;
}

uint64_t EventStoreSuite::Count(std::vector<std::string_view> filters, uint64_t now) {
  std::vector<nostr::Filter> parsed;
  for (const auto filter : filters) parsed.push_back(ParseFilterOrDie(filter));
  const auto count = store_->Count(parsed, now, nullptr);
  EXPECT_TRUE(count.ok()) << count.status();
  return count.value_or(UINT64_MAX);
}

std::vector<nostr::EventId> EventStoreSuite::ListIds(std::string_view filter, uint64_t now) {
  const auto items = store_->ListItems(ParseFilterOrDie(filter), now, 1'000'000);
  EXPECT_TRUE(items.ok()) << items.status();
  std::vector<nostr::EventId> ids;
  if (items.ok()) {
    for (const auto& item : *items) ids.push_back(item.id);
  }
  return ids;
}

}  // namespace graspd::storage
