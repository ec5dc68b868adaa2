#include "services/relay/stored_query.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "nostr/event_builder.h"
#include "nostr/keys.h"
#include "services/relay/session_test_support.h"
#include "storage/memory/memory_store.h"

namespace graspd::relay {
namespace {

using nostr::Event;
using nostr::Filter;

constexpr uint64_t kNow = 1'700'000'000;

class AcceptAll final : public storage::Judge {
 public:
  absl::StatusOr<Verdict> Decide(const Event&, storage::Source, const storage::ReadView&) override {
    return Verdict();
  }
};

class StoredQueryTest : public testing::Test {
 protected:
  // Events whose kind, time and topic vary, several a second.
  void Fill(int count, size_t content_bytes = 0) {
    const auto key = nostr::SecretKey::FromSeed("author");
    std::vector<storage::WriteRequest> batch;
    for (int i = 0; i < count; ++i) {
      events_.push_back(nostr::EventBuilder(static_cast<nostr::Kind>(1001 + i % 3), kNow + i / 4)
                            .Tag({"t", std::to_string(i % 5)})
                            .Content(std::to_string(i) + std::string(content_bytes, 'x'))
                            .Sign(key));
      batch.push_back({nostr::MakeRecord(events_.back()), storage::Source::kDirect});
    }
    AcceptAll judge;
    ASSERT_TRUE(store_->Write(batch, judge, kNow).ok());
  }

  // The same by brute force.
  std::vector<std::string> Expected(const std::vector<Filter>& filters) {
    std::vector<Event> sorted = events_;
    std::sort(sorted.begin(), sorted.end(), [](const Event& a, const Event& b) {
      return nostr::ServedBefore(a.created_at, a.id, b.created_at, b.id);
    });
    std::vector<bool> chosen(sorted.size());
    for (const Filter& filter : filters) {
      uint64_t taken = 0;
      for (size_t i = 0; i < sorted.size(); ++i) {
        if (taken < *filter.limit && nostr::Matches(filter, sorted[i])) {
          chosen[i] = true;
          ++taken;
        }
      }
    }
    std::vector<std::string> out;
    for (size_t i = 0; i < sorted.size(); ++i) {
      if (chosen[i]) out.push_back(nostr::EventJson(sorted[i]));
    }
    return out;
  }

  std::vector<std::string> Run(const std::vector<Filter>& filters) {
    StoredQuery query(*store_, filters, store_->Position());
    std::vector<std::string> out;
    for (pages_ = 1;; ++pages_) {
      auto page = query.Next(kNow);
      EXPECT_TRUE(page.ok()) << page.status();
      for (auto& row : page->rows) out.push_back(std::move(row.json));
      if (page->done) return out;
    }
  }

  static Filter Kind(nostr::Kind kind, uint64_t limit) {
    Filter filter;
    filter.kinds = {kind};
    filter.limit = limit;
    return filter;
  }
  static Filter Topic(const std::string& topic, uint64_t limit) {
    Filter filter;
    filter.tags['t'] = {topic};
    filter.limit = limit;
    return filter;
  }

  const std::unique_ptr<storage::EventStore> store_ = storage::OpenMemoryStore();
  std::vector<Event> events_;
  int pages_ = 0;
};

TEST_F(StoredQueryTest, OneFilterComesNewestFirstInSeveralPages) {
  Fill(1500);
  Filter all;
  all.limit = 1300;
  EXPECT_TRUE(Run({all}) == Expected({all}));
  EXPECT_GE(pages_, 3);
}

TEST_F(StoredQueryTest, SeveralFiltersAreMergedAndEachEventComesOnce) {
  Fill(900);
  const std::vector<Filter> filters = {Kind(1001, 200), Kind(1002, 5), Topic("1", 100),
                                       Topic("0", 170), Kind(1001, 50)};
  const auto got = Run(filters);
  EXPECT_TRUE(got == Expected(filters));
  EXPECT_GT(got.size(), 300u);
}

// Whatever part of what was read ahead a page has room for.
TEST_F(StoredQueryTest, PagesThatEndByTheirSizeLoseNothing) {
  Fill(120, 9'000);
  for (const auto& filters :
       {std::vector{Kind(1001, 100)}, std::vector{Kind(1001, 30), Topic("1", 20)},
        std::vector{Topic("0", 50), Kind(1002, 50), Kind(1001, 50)}}) {
    EXPECT_TRUE(Run(filters) == Expected(filters));
  }
  EXPECT_GE(pages_, 2);
}

TEST_F(StoredQueryTest, WhatWasCommittedAfterThePositionIsLeftOut) {
  Fill(10);
  Filter all;
  all.limit = 100;
  StoredQuery query(*store_, {all}, store_->Position());
  const auto expected = events_.size();
  Fill(20);  // ten of them new
  const auto page = query.Next(kNow);
  ASSERT_TRUE(page.ok());
  EXPECT_TRUE(page->done);
  EXPECT_EQ(page->rows.size(), expected);
}

TEST_F(StoredQueryTest, APageEndsWhenTheStoreLooksForLongAndFindsNothing) {
  CountingStore store;
  store.fruitless_queries = 2;
  StoredQuery query(store, {Kind(1001, 10), Kind(1002, 10)}, store.Position());
  for (const bool last : {false, false, true}) {
    const auto page = query.Next(kNow);
    ASSERT_TRUE(page.ok());
    EXPECT_EQ(page->done, last);
  }
  EXPECT_EQ(store.queries, 4);  // the last page asked for both filters
}

// A store whose every call looks at few entries.
class ImpatientStore final : public storage::testing::ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;
  absl::StatusOr<storage::QueryPage> Query(const storage::QuerySpec& spec,
                                           const storage::QueryCursor* resume) override {
    ++queries[*spec.filters[0].kinds->begin()];
    storage::QueryPage page;
    if (spec.filters[0].kinds == std::vector<nostr::Kind>{1003} && --fruitless > 0) {
      page.cursor.filters.resize(1);
      return page;
    }
    return ForwardingStore::Query(spec, resume);
  }
  int fruitless = 0;
  std::map<nostr::Kind, int> queries;
};

TEST_F(StoredQueryTest, WhileOneFilterIsSearchedForLongTheOthersAreNotSearchedAgain) {
  Fill(30);
  ImpatientStore store(*store_);
  store.fruitless = 50;
  const std::vector<Filter> filters = {Kind(1001, 10), Kind(1002, 10), Kind(1003, 10)};
  StoredQuery query(store, filters, store.Position());
  std::vector<std::string> out;
  for (int pages = 0;; ++pages) {
    ASSERT_LT(pages, 100);
    auto page = query.Next(kNow);
    ASSERT_TRUE(page.ok());
    for (auto& row : page->rows) out.push_back(std::move(row.json));
    if (page->done) break;
  }
  EXPECT_TRUE(out == Expected(filters));
  EXPECT_GE(store.queries[1003], 50);
  EXPECT_LE(store.queries[1001] + store.queries[1002], 12);
}

TEST_F(StoredQueryTest, WhatExpiresBetweenThePagesIsLeftOutReadAlreadyOrNot) {
  const auto key = nostr::SecretKey::FromSeed("author");
  std::vector<storage::WriteRequest> batch;
  for (int i = 0; i < 1200; ++i) {
    const Event event = nostr::EventBuilder(1001, kNow + i)
                            .Tag({"expiration", std::to_string(kNow + 5000 + i % 2)})
                            .Sign(key);
    batch.push_back({nostr::MakeRecord(event), storage::Source::kDirect});
  }
  AcceptAll judge;
  ASSERT_TRUE(store_->Write(batch, judge, kNow).ok());
  // Two streams: of each, some rows are read ahead of the page.
  StoredQuery query(*store_, {Kind(1001, 1200), Kind(1001, 700)}, store_->Position());
  const auto first = query.Next(kNow + 4999);
  ASSERT_TRUE(first.ok() && first->rows.size() == 500) << first.status();
  size_t rest = 0;
  for (bool done = false; !done;) {
    const auto page = query.Next(kNow + 5000);
    ASSERT_TRUE(page.ok()) << page.status();
    for (const auto& row : page->rows) EXPECT_EQ(row.expiration, kNow + 5001);
    rest += page->rows.size();
    done = page->done;
  }
  EXPECT_EQ(rest, 350u);
}

// Nor memory kept for them by a client that asks for much and reads little.
TEST_F(StoredQueryTest, RowsThatWereReadAheadAreNotServedOnceTheyAreDeleted) {
  Fill(3000);
  const Filter newer = Kind(1001, 900), older = Kind(1002, 900);
  StoredQuery query(*store_, {newer, older}, store_->Position());
  const auto first = query.Next(kNow);
  ASSERT_TRUE(first.ok() && first->rows.size() == 500) << first.status();
  std::set<nostr::EventId> served;
  for (const auto& row : first->rows) served.insert(row.id);
  nostr::EventBuilder deletion(5, kNow);
  for (const Event& event : events_) {
    if (event.kind == 1002 && !served.contains(event.id)) deletion.Tag({"e", event.id.ToHex()});
  }
  AcceptAll judge;
  const storage::WriteRequest request{
      nostr::MakeRecord(deletion.Sign(nostr::SecretKey::FromSeed("author"))),
      storage::Source::kDirect};
  ASSERT_TRUE(store_->Write({&request, 1}, judge, kNow).ok());
  size_t rest = 0;
  for (bool done = false; !done;) {
    const auto page = query.Next(kNow);
    ASSERT_TRUE(page.ok()) << page.status();
    for (const auto& row : page->rows) {
      EXPECT_NE(row.json.find("\"kind\":1001"), std::string::npos) << row.json;
    }
    rest += page->rows.size();
    done = page->done;
  }
  EXPECT_EQ(rest, 900 - std::count_if(first->rows.begin(), first->rows.end(), [](const auto& row) {
                    return row.json.find("\"kind\":1001") != std::string::npos;
                  }));
}

TEST_F(StoredQueryTest, AnEmptyStoreIsDoneAtOnce) {
  EXPECT_TRUE(Run({Kind(1001, 10)}).empty());
  EXPECT_EQ(pages_, 1);
}

}  // namespace
}  // namespace graspd::relay
