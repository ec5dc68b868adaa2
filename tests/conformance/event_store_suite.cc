#include "tests/conformance/event_store_suite.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <set>
#include <thread>
#include <tuple>
#include <utility>

#include "base/random.h"

namespace graspd::storage {
namespace {

using nostr::Event;
using nostr::EventId;
using enum Outcome;

std::string Quoted(const EventId& id) { return "\"" + id.ToHex() + "\""; }

// ---- outcomes
// ------------------------------------------------------------------------------------

TEST_P(EventStoreSuite, ServesTheCanonicalJsonOfWhatItStored) {
  const Event event = MakeEvent(1, 1, 100, {{"e", "x", "y"}, {"t", "\"quoted\" \\ \n"}, {""}}, 7,
                                "tab\t and \"quotes\"");
  EXPECT_EQ(Outcomes({event}), std::vector{kStored});
  QuerySpec spec;
  spec.filters = {nostr::Filter{}};
  spec.unix_now = kNow;
  const auto rows = QueryAll(*store_, spec);
  ASSERT_TRUE(rows.ok()) << rows.status();
  ASSERT_EQ(rows->size(), 1u);
  EXPECT_EQ(rows->front().json, nostr::EventJson(event));
  EXPECT_EQ(rows->front().created_at, 100u);
}

TEST_P(EventStoreSuite, SecondArrivalIsDuplicateInABatchAndAcrossBatches) {
  EXPECT_EQ(Outcomes({MakeEvent(1, 1, 100), MakeEvent(1, 1, 100)}),
            (std::vector{kStored, kDuplicate}));
  EXPECT_EQ(Outcomes({MakeEvent(1, 1, 100)}), std::vector{kDuplicate});
  EXPECT_EQ(Find("{}"), Ids({1}));
}

TEST_P(EventStoreSuite, NewerVersionReplacesAndOlderIsRefused) {
  EXPECT_EQ(Outcomes({MakeEvent(1, 30617, 100, {{"d", "repo"}})}), std::vector{kStored});
  const BatchResult newer = Write({MakeEvent(2, 30617, 200, {{"d", "repo"}})});
  ASSERT_EQ(newer.commit.changes.size(), 2u);
  EXPECT_EQ(newer.commit.changes[0].type, Change::Type::kAdded);
  EXPECT_EQ(newer.commit.changes[0].id, Id(2));
  EXPECT_EQ(newer.commit.changes[1].type, Change::Type::kRemoved);
  EXPECT_EQ(newer.commit.changes[1].id, Id(1));
  EXPECT_EQ(newer.commit.changes[1].created_at, 100u);
  EXPECT_EQ(newer.commit.changes[1].reason, Removal::kReplaced);
  EXPECT_EQ(Outcomes({MakeEvent(3, 30617, 150, {{"d", "repo"}})}), std::vector{kOlder});
  // Another identifier, author or kind is another address.
  EXPECT_EQ(Outcomes({MakeEvent(4, 30617, 50, {{"d", "other"}}),
                      MakeEvent(5, 30617, 50, {{"d", "repo"}}, 2),
                      MakeEvent(6, 30618, 50, {{"d", "repo"}})}),
            (std::vector{kStored, kStored, kStored}));
  EXPECT_EQ(Find("{}"), Ids({2, 4, 5, 6}));
}

TEST_P(EventStoreSuite, TieGoesToTheLowerIdWhateverTheOrder) {
  EXPECT_EQ(Outcomes({MakeEvent(2, 0, 100), MakeEvent(1, 0, 100), MakeEvent(3, 0, 100)}),
            (std::vector{kStored, kStored, kOlder}));
  EXPECT_EQ(Find("{}"), Ids({1}));
}

TEST_P(EventStoreSuite, ExpiredEventsAreRefusedHiddenAndSwept) {
  const std::string soon = std::to_string(kNow + 10);
  const std::string past = std::to_string(kNow);
  EXPECT_EQ(Outcomes({MakeEvent(1, 1, 100, {{"expiration", soon}}),
                      MakeEvent(2, 1, 100, {{"expiration", past}}),
                      MakeEvent(3, 1, 100, {{"expiration", "soon"}})}),
            (std::vector{kStored, kExpired, kStored}));
  EXPECT_EQ(Find("{}", kNow + 9), Ids({1, 3}));
  for (const auto* filter : {"{}", R"({"kinds":[1]})"}) {
    EXPECT_EQ(Find(filter, kNow + 10), Ids({3}));
    EXPECT_EQ(Count({filter}, kNow + 10), 1u);
    EXPECT_EQ(ListIds(filter, kNow + 10), Ids({3}));
  }
  EXPECT_EQ(Outcomes({MakeEvent(1, 1, 100, {{"expiration", soon}})}, kNow + 10),
            std::vector{kExpired});

  const auto early = store_->RemoveExpired(kNow + 9, 10);
  ASSERT_TRUE(early.ok());
  EXPECT_TRUE(early->changes.empty());
  const auto swept = store_->RemoveExpired(kNow + 10, 10);
  ASSERT_TRUE(swept.ok());
  ASSERT_EQ(swept->changes.size(), 1u);
  EXPECT_EQ(swept->changes[0].id, Id(1));
  EXPECT_EQ(swept->changes[0].reason, Removal::kExpired);
  EXPECT_EQ(swept->position, store_->Position());
  EXPECT_EQ(Find("{}", kNow), Ids({3}));
}

TEST_P(EventStoreSuite, SweepTakesTheEarliestFirstAndAtMostSoMany) {
  for (uint64_t n = 1; n <= 5; ++n) {
    Write({MakeEvent(n, 1, 100, {{"expiration", std::to_string(kNow + 10 - n)}})});
  }
  const auto swept = store_->RemoveExpired(kNow + 20, 2);
  ASSERT_TRUE(swept.ok());
  ASSERT_EQ(swept->changes.size(), 2u);
  EXPECT_EQ(swept->changes[0].id, Id(5));
  EXPECT_EQ(swept->changes[1].id, Id(4));
}

TEST_P(EventStoreSuite, ExpiredVersionGivesWayToAnOlderOne) {
  Write({MakeEvent(1, 0, 200, {{"expiration", std::to_string(kNow + 5)}})});
  EXPECT_EQ(Outcomes({MakeEvent(2, 0, 100)}), std::vector{kOlder});
  const BatchResult late = Write({MakeEvent(2, 0, 100)}, kNow + 5);
  EXPECT_EQ(late.results[0].outcome, kStored);
  ASSERT_EQ(late.commit.changes.size(), 2u);
  EXPECT_EQ(late.commit.changes[1].reason, Removal::kExpired);
  EXPECT_EQ(Find("{}"), Ids({2}));
}

TEST_P(EventStoreSuite, EphemeralEventsPassThroughWithoutBeingStored) {
  const FeedPosition before = store_->Position();
  const BatchResult result = Write({MakeEvent(1, 20001, 100), MakeEvent(1, 20001, 100)});
  EXPECT_EQ(result.results[0].outcome, kStored);
  EXPECT_EQ(result.results[1].outcome, kDuplicate);
  ASSERT_EQ(result.commit.changes.size(), 1u);
  EXPECT_TRUE(result.commit.changes[0].ephemeral);
  EXPECT_GT(result.commit.position, before);
  EXPECT_TRUE(Find("{}").empty());
  const auto feed = ReadWholeFeed(*store_, before, 10);
  ASSERT_TRUE(feed.ok());
  EXPECT_TRUE(feed->empty());
}

TEST_P(EventStoreSuite, AuthenticationEventIsNeverAccepted) {
  const BatchResult result = Write({MakeEvent(1, 22242, 100)});
  EXPECT_EQ(result.results[0].outcome, kRefused);
  EXPECT_TRUE(result.results[0].message.starts_with("invalid:"));
  EXPECT_TRUE(result.commit.changes.empty());
}

// ---- deletion
// ------------------------------------------------------------------------------------

TEST_P(EventStoreSuite, DeletionCountsOnlyFromTheAuthor) {
  Write({MakeEvent(1, 1, 100), MakeEvent(2, 1, 100, {}, 2)});
  const BatchResult result =
      Write({MakeEvent(3, 5, 200, {{"e", Id(1).ToHex()}, {"e", Id(2).ToHex()}, {"e", "no id"}})});
  ASSERT_EQ(result.commit.changes.size(), 2u);
  EXPECT_EQ(result.commit.changes[1].id, Id(1));
  EXPECT_EQ(result.commit.changes[1].reason, Removal::kDeleted);
  EXPECT_EQ(Find("{}"), Ids({3, 2}));
  EXPECT_EQ(Outcomes({MakeEvent(1, 1, 100)}), std::vector{kDeleted});
}

TEST_P(EventStoreSuite, DeletionThatArrivesFirstHoldsForWhatComesLater) {
  Write({MakeEvent(3, 5, 200, {{"e", Id(1).ToHex()}, {"e", Id(2).ToHex()}})});
  EXPECT_EQ(Outcomes({MakeEvent(1, 1, 100), MakeEvent(2, 1, 100, {}, 2)}),
            (std::vector{kDeleted, kStored}));
}

TEST_P(EventStoreSuite, DeletionOfADeletionDoesNothing) {
  Write({MakeEvent(1, 1, 100), MakeEvent(2, 5, 200, {{"e", Id(1).ToHex()}})});
  EXPECT_EQ(Outcomes({MakeEvent(3, 5, 300, {{"e", Id(2).ToHex()}}), MakeEvent(1, 1, 100)}),
            (std::vector{kStored, kDeleted}));
  EXPECT_EQ(Find("{}"), Ids({3, 2}));
}

TEST_P(EventStoreSuite, AddressDeletionEndsVersionsUpToItsTime) {
  const std::string address = "30617:" + Author(1).ToHex() + ":a:b";  // identifiers may hold colons
  Write({MakeEvent(1, 30617, 100, {{"d", "a:b"}}), MakeEvent(2, 5, 200, {{"a", address}})});
  EXPECT_EQ(
      Outcomes({MakeEvent(3, 30617, 200, {{"d", "a:b"}}), MakeEvent(4, 30617, 201, {{"d", "a:b"}}),
                MakeEvent(5, 30617, 50, {{"d", "a:b"}}, 2)}),
      (std::vector{kDeleted, kStored, kStored}));
  // An earlier deletion does not lower the time; a stranger's does nothing.
  Write({MakeEvent(6, 5, 150, {{"a", address}}), MakeEvent(7, 5, 900, {{"a", address}}, 2)});
  EXPECT_EQ(Outcomes({MakeEvent(8, 30617, 180, {{"d", "a:b"}})}), std::vector{kDeleted});
  EXPECT_EQ(Find(R"({"kinds":[30617]})"), Ids({4, 5}));
}

TEST_P(EventStoreSuite, KnownMeansStoredOrDeletedForGood) {
  Write({MakeEvent(1, 1, 100), MakeEvent(2, 1, 100),
         MakeEvent(3, 5, 200, {{"e", Id(2).ToHex()}, {"e", Id(4).ToHex()}})});
  const auto ask = [&] {
    const auto known = store_->Known(Ids({1, 2, 3, 4, 5}));
    EXPECT_TRUE(known.ok());
    return *known;
  };
  // Whether 4 is deleted depends on its author, which is not known before it is seen.
  EXPECT_EQ(ask(), (std::vector{true, true, true, false, false}));
  EXPECT_EQ(Outcomes({MakeEvent(4, 1, 100)}), std::vector{kDeleted});
  EXPECT_EQ(ask(), (std::vector{true, true, true, true, false}));
}

// ---- the judge
// -----------------------------------------------------------------------------------

TEST_P(EventStoreSuite, RefusedEventCostsOnlyItself) {
  const BatchResult result =
      Write({MakeEvent(1, 1, 100), MakeEvent(2, 1, 100, {}, 1, "bad"), MakeEvent(3, 1, 100)},
            TestJudge([](const Event& event, const ReadView&) {
              return Judge::Verdict{event.content != "bad", "restricted: bad"};
            }));
  EXPECT_EQ(result.results[0].outcome, kStored);
  EXPECT_EQ(result.results[1].outcome, kRefused);
  EXPECT_EQ(result.results[1].message, "restricted: bad");
  EXPECT_EQ(result.results[2].outcome, kStored);
  EXPECT_EQ(Find("{}"), Ids({1, 3}));
}

TEST_P(EventStoreSuite, JudgeSeesTheParentInTheSameBatch) {
  const BatchResult result = Write(
      {MakeEvent(1, 1621, 100), MakeEvent(2, 1111, 100, {{"e", Id(1).ToHex()}}),
       MakeEvent(3, 1111, 100, {{"e", Id(9).ToHex()}})},
      TestJudge([](const Event& event, const ReadView& view) -> absl::StatusOr<Judge::Verdict> {
        if (event.kind == 1621) return Judge::Verdict{};
        const auto parent = nostr::EventId::FromHex(event.tags.FirstValue("e"));
        const auto kind = view.FindKind(*parent);
        if (!kind.ok()) return kind.status();
        return Judge::Verdict{*kind == 1621, "restricted: no parent"};
      }));
  EXPECT_EQ(result.results[1].outcome, kStored);
  EXPECT_EQ(result.results[2].outcome, kRefused);
}

TEST_P(EventStoreSuite, JudgeFindsWhoTagsSomethingButForSomeKinds) {
  const std::string value = Id(9).ToHex();
  Write({MakeEvent(1, 1111, 100, {{"e", value}})});
  for (int i = 0; i < 5; ++i) Write({MakeEvent(10 + i, 5, 200 + i, {{"e", value}})});
  Write({MakeEvent(30, 1111, 300, {{"e", value}, {"expiration", std::to_string(kNow + 10)}})});
  std::vector<bool> found;
  Write({MakeEvent(4, 1, 50)},
        TestJudge([&](const Event&, const ReadView& view) -> absl::StatusOr<Judge::Verdict> {
          const nostr::Kind deletions[] = {5};
          found = {view.AnyTagged('e', value, {}, 2).value(),
                   view.AnyTagged('e', value, deletions, 5).value(),
                   view.AnyTagged('e', value, deletions, 10).value(),
                   view.AnyTagged('E', value, {}, 10).value(),
                   view.AnyTagged('e', Id(8).ToHex(), {}, 10).value()};
          return Judge::Verdict{};
        }),
        kNow + 20);
  EXPECT_EQ(found, (std::vector<bool>{true, false, true, false, false}));
}

// The ids that VisitTagged finds with #d "x" of kind 30617, up to `most`.
std::vector<nostr::EventId> Tagged(const ReadView& view, size_t max_events, size_t most = 100) {
  std::vector<nostr::EventId> ids;
  EXPECT_TRUE(view.VisitTagged(30617, 'd', "x", max_events,
                               [&](const std::string& json) {
                                 ids.push_back(nostr::ParseEvent(json)->id);
                                 return ids.size() < most;
                               })
                  .ok());
  return ids;
}

TEST_P(EventStoreSuite, JudgeVisitsWhatHasATagNewestFirstUntilToldToStop) {
  std::vector<std::vector<nostr::EventId>> seen;
  TestJudge judge([&](const Event&, const ReadView& view) -> absl::StatusOr<Judge::Verdict> {
    seen.push_back(Tagged(view, 10));
    return Judge::Verdict{};
  });
  const std::string soon = std::to_string(kNow + 10);
  Write({MakeEvent(1, 30617, 100, {{"d", "x"}}, 1), MakeEvent(2, 30617, 300, {{"d", "x"}}, 2),
         MakeEvent(3, 30617, 200, {{"d", "x"}, {"expiration", soon}}, 3),
         MakeEvent(4, 30617, 400, {{"d", "y"}}, 4), MakeEvent(5, 30618, 250, {{"d", "x"}}, 5)});
  Write({MakeEvent(6, 30617, 150, {{"d", "x"}}, 6), MakeEvent(7, 1, 50)}, judge);
  Write({MakeEvent(8, 1, 51)}, judge, kNow + 20);
  ASSERT_EQ(seen.size(), 3u);
  EXPECT_EQ(seen[0], Ids({2, 3, 1}));
  EXPECT_EQ(seen[1], Ids({2, 3, 6, 1})) << "of the same batch too";
  EXPECT_EQ(seen[2], Ids({2, 6, 1})) << "what has expired is not served";
  Write({MakeEvent(9, 1, 52)},
        TestJudge([&](const Event&, const ReadView& view) -> absl::StatusOr<Judge::Verdict> {
          EXPECT_EQ(Tagged(view, 10, 2), Ids({2, 3}));
          EXPECT_EQ(Tagged(view, 1), Ids({2}));
          EXPECT_EQ(Tagged(view, 0), Ids({}));
          return Judge::Verdict{};
        }));
}

// Announcements at 100, 300 and 500 and one of another identifier at 400; comments all around.
TEST_P(EventStoreSuite, JudgeVisitsPastAnyNumberOfOtherKindsWithTheTag) {
  std::vector<Event> events = {
      MakeEvent(1, 30617, 100, {{"d", "x"}}, 1), MakeEvent(2, 30617, 300, {{"d", "x"}}, 2),
      MakeEvent(3, 30617, 500, {{"d", "x"}}, 3), MakeEvent(4, 30617, 400, {{"d", "y"}}, 4)};
  for (uint64_t n = 0; n < 10'000; ++n) {
    events.push_back(MakeEvent(10 + n, 1111, 50 + n % 600, {{"d", "x"}}));
  }
  Write(events);
  // One comment is looked at before each of the four announcements, and one behind them.
  std::vector<std::vector<nostr::EventId>> seen;
  Write({MakeEvent(5, 1, 50)},
        TestJudge([&](const Event&, const ReadView& view) -> absl::StatusOr<Judge::Verdict> {
          for (const size_t most : {1, 2, 4, 5, 6, 7, 8}) seen.push_back(Tagged(view, most));
          return Judge::Verdict{};
        }));
  EXPECT_EQ(seen, (std::vector{Ids({}), Ids({3}), Ids({3}), Ids({3, 2}), Ids({3, 2}),
                               Ids({3, 2, 1}), Ids({3, 2, 1})}));
}

TEST_P(EventStoreSuite, JudgeFindsAnAuthorAmongSoManyOfTheirEvents) {
  Write({MakeEvent(1, 1, 100, {}, 7), MakeEvent(2, 1, 90, {}, 8)});
  std::vector<Event> brief;
  for (uint64_t n = 0; n < 9; ++n) {
    brief.push_back(MakeEvent(10 + n, 1, 200, {{"expiration", std::to_string(kNow + 10)}}, 7));
  }
  Write(brief);
  std::vector<bool> found;
  Write({MakeEvent(4, 1, 50, {}, 9)},
        TestJudge([&](const Event&, const ReadView& view) -> absl::StatusOr<Judge::Verdict> {
          found = {view.AnyBy(Author(7), 9).value(), view.AnyBy(Author(7), 10).value(),
                   view.AnyBy(Author(8), 1).value(), view.AnyBy(Author(9), 10).value()};
          return Judge::Verdict{};
        }),
        kNow + 20);
  EXPECT_EQ(found, (std::vector<bool>{false, true, true, false}));
}

TEST_P(EventStoreSuite, FailureOfTheJudgeLeavesNothingOfTheBatch) {
  Write({MakeEvent(1, 30617, 100, {{"d", "x"}})});
  const FeedPosition before = store_->Position();
  TestJudge judge([](const Event& event, const ReadView&) -> absl::StatusOr<Judge::Verdict> {
    if (event.content == "fail") return absl::UnavailableError("no");
    return Judge::Verdict{};
  });
  const auto result = store_->Write(
      Requests({MakeEvent(2, 30617, 200, {{"d", "x"}}),
                MakeEvent(3, 5, 300, {{"e", Id(1).ToHex()}}), MakeEvent(4, 1, 300, {}, 1, "fail")}),
      judge, kNow);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(store_->Position(), before);
  EXPECT_EQ(Find("{}"), Ids({1}));
  // Nor is there a tombstone or a newer version left behind.
  EXPECT_EQ(Outcomes({MakeEvent(5, 30617, 150, {{"d", "x"}})}), std::vector{kStored});
}

// ---- poison
// --------------------------------------------------------------------------------------

TEST_P(EventStoreSuite, PoisonIsStoredServedAndFound) {
  const std::string long_value(100'000, 'v');
  const std::string long_identifier(600, 'd');
  const std::string nul("a\0b", 3);
  Event many = MakeEvent(5, 1, 100);
  for (int i = 0; i < 2000; ++i) many.tags.Add({"t", "value " + std::to_string(i)});
  const std::vector<Event> poison = {
      MakeEvent(1, 1, 100, {}, 1, nul),
      MakeEvent(2, 1, 100, {{"x", long_value}}),
      MakeEvent(3, 30617, 100, {{"d", long_identifier}}),
      MakeEvent(4, 1, 100, {{""}, {"", "y"}, {"x"}, {"x", ""}, {"\xc3\xa4", "z"}, {"1", "digit"}}),
      many,
      MakeEvent(6, 1, 100, {{"x", nul}, {"x", "\xe2\x80\xa8\x7f"}, {"x", R"(["x","inner"])"}}),
      MakeEvent(7, 1, 100, {{"content", "\"],\"content\":\""}}, 1, R"(["x","content"])"),
      MakeEvent(8, 1, uint64_t{1} << 53),
      MakeEvent(9, 65535, 0),
  };
  EXPECT_EQ(Outcomes(poison), std::vector(poison.size(), kStored));
  EXPECT_EQ(Count({"{}"}), poison.size());
  const auto find_tag = [&](char letter, const std::string& value) {
    nostr::Filter filter;
    filter.tags[letter] = {value};
    QuerySpec spec;
    spec.filters = {filter};
    spec.unix_now = kNow;
    std::vector<EventId> ids;
    const auto rows = QueryAll(*store_, spec);
    EXPECT_TRUE(rows.ok());
    for (const Row& row : *rows) ids.push_back(row.id);
    return ids;
  };
  EXPECT_EQ(find_tag('x', long_value), Ids({2}));
  EXPECT_EQ(find_tag('d', long_identifier), Ids({3}));
  EXPECT_EQ(find_tag('x', ""), Ids({4}));
  EXPECT_EQ(find_tag('t', "value 1999"), Ids({5}));
  EXPECT_EQ(find_tag('x', nul), Ids({6}));
  EXPECT_EQ(find_tag('x', "\xe2\x80\xa8\x7f"), Ids({6}));
  EXPECT_EQ(find_tag('x', R"(["x","inner"])"), Ids({6}));
  EXPECT_TRUE(find_tag('x', "inner").empty());
  EXPECT_TRUE(find_tag('x', "content").empty());

  QuerySpec spec;
  spec.filters = {nostr::Filter{}};
  spec.unix_now = kNow;
  std::map<EventId, std::string> json;
  const auto rows = QueryAll(*store_, spec);
  ASSERT_TRUE(rows.ok());
  for (const Row& row : *rows) json[row.id] = row.json;
  for (const Event& event : poison) {
    EXPECT_TRUE(json[event.id] == nostr::EventJson(event)) << event.id.ToHex();
  }

  // And they can be taken away again, whatever their keys.
  Event deletion = MakeEvent(20, 5, 200);
  for (const Event& event : poison) deletion.tags.Add({"e", event.id.ToHex()});
  Write({deletion});
  EXPECT_EQ(Find("{}"), Ids({20}));
  EXPECT_EQ(Outcomes({MakeEvent(30, 30617, 50, {{"d", long_identifier}})}), std::vector{kOlder});
}

// Values around the longest key that a backend may have, and far beyond it.
TEST_P(EventStoreSuite, TagValuesOfAnyLengthAreStoredServedAndFoundByAllOfTheirText) {
  base::SeededRandom random(1);
  uint64_t number = 0;
  for (const size_t length : {511, 512, 2704, 2705, 8191, 100'000}) {
    std::string printable(length, ' ');
    for (char& c : printable) c = static_cast<char>('!' + random.Next() % ('~' - '!' + 1));
    for (const std::string& value : {printable, std::string(length, 'v')}) {
      SCOPED_TRACE(std::to_string(length) + " characters of " + value.substr(0, 8));
      // Another value that differs in its last character only.
      std::string other = value;
      other.back() = ' ';
      const uint64_t first = number;
      number += 5;
      const std::vector<Event> events = {
          MakeEvent(first + 1, 1, 100, {{"x", value}}),
          MakeEvent(first + 2, 1, 100, {{"x", other}}),
          MakeEvent(first + 3, 30617, 100, {{"d", value}}),
          MakeEvent(first + 4, 30617, 100, {{"d", other}}),
      };
      EXPECT_EQ(Outcomes(events), std::vector(events.size(), kStored));
      EXPECT_EQ(Outcomes({MakeEvent(first + 5, 30617, 50, {{"d", value}})}), std::vector{kOlder});
      for (size_t i = 0; i < events.size(); ++i) {
        nostr::Filter filter;
        filter.tags[i < 2 ? 'x' : 'd'] = {i % 2 == 0 ? value : other};
        QuerySpec spec;
        spec.filters = {filter};
        spec.unix_now = kNow;
        const auto rows = QueryAll(*store_, spec);
        ASSERT_TRUE(rows.ok()) << rows.status();
        ASSERT_EQ(rows->size(), 1u);
        EXPECT_EQ(rows->front().id, events[i].id);
        EXPECT_TRUE(rows->front().json == nostr::EventJson(events[i]));
      }
    }
  }
}

// ---- queries
// -------------------------------------------------------------------------------------

TEST_P(EventStoreSuite, AnswersNewestFirstTiesByLowerIdUpToTheLimit) {
  Write({MakeEvent(5, 1, 100), MakeEvent(2, 1, 100), MakeEvent(9, 1, 50), MakeEvent(1, 1, 300),
         MakeEvent(4, 2, 100)});
  EXPECT_EQ(Find("{}"), Ids({1, 2, 4, 5, 9}));
  EXPECT_EQ(Find(R"({"limit":3})"), Ids({1, 2, 4}));
  EXPECT_TRUE(Find(R"({"limit":0})").empty());
  EXPECT_EQ(Find(R"({"kinds":[1],"limit":2})"), Ids({1, 2}));
  EXPECT_EQ(Find(R"({"since":100,"until":100})"), Ids({2, 4, 5}));
  EXPECT_EQ(Find(R"({"since":101})"), Ids({1}));
  EXPECT_EQ(Find(R"({"until":99})"), Ids({9}));
  EXPECT_TRUE(Find(R"({"since":200,"until":100})").empty());
  EXPECT_EQ(ListIds("{}"), Ids({9, 2, 4, 5, 1}));
  EXPECT_EQ(ListIds(R"({"limit":1,"kinds":[1]})"), Ids({9, 2, 5, 1}));
}

TEST_P(EventStoreSuite, EveryKindOfConditionSelects) {
  const std::string e1 = Id(101).ToHex();
  const std::string e2 = Id(102).ToHex();
  Write({MakeEvent(1, 1, 10, {{"e", e1}, {"t", "x"}}, 1),
         MakeEvent(2, 1, 20, {{"e", e2}, {"e", e1}}, 2),
         MakeEvent(3, 2, 30, {{"e", e1, "t", "x"}, {"E", e2}}, 1),
         MakeEvent(4, 0, 40, {{"t", "x"}}, 1),
         MakeEvent(5, 30617, 50, {{"d", "repo"}, {"d", "second"}}, 3)});
  const std::string a1 = "\"" + Author(1).ToHex() + "\"";
  const std::string a3 = "\"" + Author(3).ToHex() + "\"";
  EXPECT_EQ(Find("{\"ids\":[" + Quoted(Id(3)) + "," + Quoted(Id(1)) + "," + Quoted(Id(77)) + "]}"),
            Ids({3, 1}));
  EXPECT_EQ(Find("{\"ids\":[" + Quoted(Id(3)) + "," + Quoted(Id(1)) + "],\"kinds\":[1]}"),
            Ids({1}));
  EXPECT_EQ(Find("{\"authors\":[" + a1 + "," + a3 + "]}"), Ids({5, 4, 3, 1}));
  EXPECT_EQ(Find("{\"authors\":[" + a1 + "],\"kinds\":[0,1]}"), Ids({4, 1}));
  EXPECT_EQ(Find("{\"authors\":[" + a1 + "],\"kinds\":[0,3]}"), Ids({4}));
  EXPECT_EQ(Find("{\"authors\":[" + a1 + "],\"kinds\":[0],\"#t\":[\"y\"]}"), Ids({}));
  EXPECT_EQ(Find("{\"kinds\":[1,2]}"), Ids({3, 2, 1}));
  EXPECT_EQ(Find("{\"#e\":[\"" + e1 + "\",\"" + e2 + "\"]}"), Ids({3, 2, 1}));
  EXPECT_EQ(Find("{\"#e\":[\"" + e1 + "\",\"" + e2 + "\"],\"limit\":2}"), Ids({3, 2}));
  EXPECT_EQ(Find("{\"#E\":[\"" + e2 + "\"]}"), Ids({3}));
  EXPECT_EQ(Find("{\"#e\":[\"" + e1 + "\"],\"#t\":[\"x\"]}"), Ids({1}));
  EXPECT_EQ(Find("{\"#t\":[\"x\"],\"authors\":[" + a1 + "],\"kinds\":[1]}"), Ids({1}));
  // Any d tag counts for a filter, though only the first makes the address.
  EXPECT_EQ(Find("{\"#d\":[\"second\"],\"kinds\":[30617],\"authors\":[" + a3 + "]}"), Ids({5}));
  for (const auto* nothing :
       {R"({"ids":[]})", R"({"authors":[]})", R"({"kinds":[]})", R"({"#e":[]})"}) {
    EXPECT_TRUE(Find(nothing).empty()) << nothing;
    EXPECT_EQ(Count({nothing}), 0u);
  }
}

TEST_P(EventStoreSuite, PagesJoinToTheWholeAnswer) {
  std::vector<Event> events;
  for (uint64_t n = 0; n < 60; ++n) {
    events.push_back(
        MakeEvent(n, n % 3 == 0 ? 2 : 1, 100 + n / 7, {{"t", n % 2 == 0 ? "even" : "odd"}}));
  }
  Write(events);
  QuerySpec spec;
  spec.unix_now = kNow;
  spec.filters = {ParseFilterOrDie(R"({"kinds":[1],"limit":25})"),
                  ParseFilterOrDie(R"({"#t":["even","odd"]})"), ParseFilterOrDie(R"({"limit":0})"),
                  ParseFilterOrDie(R"({"kinds":[2]})")};
  const auto whole = QueryAll(*store_, spec);
  ASSERT_TRUE(whole.ok());
  EXPECT_EQ(whole->size(), 25u + 60u + 20u);
  for (const size_t max_rows : {1, 2, 7, 25}) {
    spec.max_rows = max_rows;
    const auto paged = QueryAll(*store_, spec);
    ASSERT_TRUE(paged.ok());
    ASSERT_EQ(paged->size(), whole->size());
    for (size_t i = 0; i < whole->size(); ++i) EXPECT_EQ((*paged)[i].id, (*whole)[i].id);
  }
  spec.max_rows = 500;
  spec.max_bytes = 1;  // one row each: every call gets on
  const auto page = store_->Query(spec, nullptr);
  ASSERT_TRUE(page.ok());
  EXPECT_EQ(page->rows.size(), 1u);
  EXPECT_EQ(QueryAll(*store_, spec)->size(), whole->size());
}

TEST_P(EventStoreSuite, AsOfLeavesOutWhatWasCommittedLater) {
  Write({MakeEvent(1, 1, 100), MakeEvent(2, 1, 200), MakeEvent(3, 1, 300)});
  QuerySpec spec;
  spec.filters = {ParseFilterOrDie(R"({"limit":3})")};
  spec.unix_now = kNow;
  spec.max_rows = 1;
  spec.as_of = store_->Position();
  auto page = store_->Query(spec, nullptr);
  ASSERT_TRUE(page.ok());
  EXPECT_EQ(page->rows[0].id, Id(3));
  Write({MakeEvent(4, 1, 250), MakeEvent(5, 1, 400), MakeEvent(6, 1, 150)});
  std::vector<EventId> rest;
  while (!page->done) {
    const QueryCursor cursor = page->cursor;
    page = store_->Query(spec, &cursor);
    ASSERT_TRUE(page.ok());
    for (const Row& row : page->rows) rest.push_back(row.id);
  }
  EXPECT_EQ(rest, Ids({2, 1}));
  EXPECT_EQ(Find("{}").size(), 6u);
}

TEST_P(EventStoreSuite, CursorOfAnotherQueryIsRefused) {
  QuerySpec spec;
  spec.filters = {nostr::Filter{}};
  const QueryCursor foreign{std::vector<QueryCursor::PerFilter>(2)};
  EXPECT_EQ(store_->Query(spec, &foreign).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_P(EventStoreSuite, CountIsExactAndCountsEachEventOnce) {
  std::vector<Event> events;
  for (uint64_t n = 0; n < 50; ++n) {
    events.push_back(
        MakeEvent(n, n % 5 == 0 ? 2 : 1, 100, {{"t", "all"}, {"t", n % 2 == 0 ? "even" : "odd"}}));
  }
  Write(events);
  EXPECT_EQ(Count({"{}"}), 50u);
  EXPECT_EQ(Count({R"({"limit":3})"}), 50u);
  EXPECT_EQ(Count({R"({"#t":["all","even","odd"]})"}), 50u);
  EXPECT_EQ(Count({R"({"kinds":[2]})", R"({"#t":["even"]})", R"({"kinds":[2]})"}), 10u + 25u - 5u);
  EXPECT_EQ(Count({}), 0u);
}

TEST_P(EventStoreSuite, ALongReadIsGivenUpWhenItIsToStop) {
  std::vector<Event> events;
  for (uint64_t n = 0; n < 25'000; ++n) events.push_back(MakeEvent(n, 1, 100, {{"t", "x"}}));
  Write(events);
  size_t visited = 0;
  const auto visit = [&](const negentropy::Item&, std::optional<uint64_t>) {
    return ++visited, absl::OkStatus();
  };
  // Also where nothing is found.
  for (const char* text : {"{}", R"({"#t":["x"],"until":100,"since":100,"kinds":[2]})"}) {
    const nostr::Filter filter = ParseFilterOrDie(text);
    const auto stop = [] { return true; };
    EXPECT_TRUE(absl::IsCancelled(store_->Count({filter}, kNow, stop).status())) << text;
    EXPECT_TRUE(absl::IsCancelled(store_->VisitItems(filter, kNow, visit, stop))) << text;
  }
  EXPECT_GT(visited, 0u);
  EXPECT_LT(visited, 25'000u);
  visited = 0;
  int asked = 0;
  const auto go_on = [&] { return ++asked, false; };
  EXPECT_EQ(*store_->Count({nostr::Filter{}}, kNow, go_on), 25'000u);
  EXPECT_GE(asked, 1);
  EXPECT_TRUE(store_->VisitItems(nostr::Filter{}, kNow, visit, go_on).ok());
  EXPECT_EQ(visited, 25'000u);
  EXPECT_GE(asked, 2);
}

TEST_P(EventStoreSuite, ListItemsAscendsAndStopsAtTheCap) {
  std::vector<Event> events;
  for (uint64_t n = 0; n < 40; ++n) events.push_back(MakeEvent(97 * n % 41, 1, 100 + n / 6));
  Write(events);
  const auto items = store_->ListItems(nostr::Filter{}, kNow, 40);
  ASSERT_TRUE(items.ok()) << items.status();
  EXPECT_EQ(items->size(), 40u);
  EXPECT_TRUE(std::is_sorted(items->begin(), items->end()));
  EXPECT_EQ(store_->ListItems(nostr::Filter{}, kNow, 39).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST_P(EventStoreSuite, VisitItemsTellsWhenEachExpiresAndEndsWithTheVisitor) {
  Write({MakeEvent(1, 1, 100, {{"expiration", std::to_string(kNow + 5)}}), MakeEvent(2, 1, 101),
         MakeEvent(3, 1, 102, {{"expiration", std::to_string(kNow + 9)}})});
  std::vector<std::pair<negentropy::Item, std::optional<uint64_t>>> seen;
  const auto note = [&](const negentropy::Item& item, std::optional<uint64_t> expiration) {
    seen.emplace_back(item, expiration);
    return seen.size() < 3 ? absl::OkStatus() : absl::CancelledError("enough");
  };
  EXPECT_EQ(store_->VisitItems(nostr::Filter{}, kNow, note, nullptr),
            absl::CancelledError("enough"));
  ASSERT_EQ(seen.size(), 3u);
  EXPECT_EQ(seen[0], (std::pair{negentropy::Item{102, Id(3)}, std::optional(kNow + 9)}));
  EXPECT_EQ(seen[1], (std::pair{negentropy::Item{101, Id(2)}, std::optional<uint64_t>()}));
  EXPECT_EQ(seen[2], (std::pair{negentropy::Item{100, Id(1)}, std::optional(kNow + 5)}));

  seen.clear();
  EXPECT_TRUE(store_->VisitItems(nostr::Filter{}, kNow + 5, note, nullptr).ok());
  EXPECT_EQ(seen.size(), 2u);
}

TEST_P(EventStoreSuite, FindsTheStoredSignature) {
  const Event event = MakeEvent(1, 1, 100);
  Write({event});
  const auto found = store_->FindSignature(Id(1));
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(*found, event.sig);
  EXPECT_EQ(*store_->FindSignature(Id(2)), std::nullopt);
  Write({MakeEvent(3, 5, 200, {{"e", Id(1).ToHex()}})});
  EXPECT_EQ(*store_->FindSignature(Id(1)), std::nullopt);
}

// ---- feed
// ----------------------------------------------------------------------------------------

TEST_P(EventStoreSuite, FeedTellsEveryChangeAfterAPositionInOrder) {
  const FeedPosition start = store_->Position();
  std::vector<FeedPosition> positions;
  for (uint64_t n = 1; n <= 10; ++n) {
    positions.push_back(
        Write({MakeEvent(2 * n, 1, 100), MakeEvent(2 * n + 1, 1, 100)}).commit.position);
  }
  EXPECT_TRUE(std::is_sorted(positions.begin(), positions.end()));
  for (const size_t page : {1, 3, 100}) {
    const auto feed = ReadWholeFeed(*store_, start, page);
    ASSERT_TRUE(feed.ok());
    ASSERT_EQ(feed->size(), 20u);
    for (uint64_t i = 0; i < 20; ++i) {
      EXPECT_EQ((*feed)[i].id, Id(i + 2));
      EXPECT_EQ((*feed)[i].event->json, nostr::EventJson((*feed)[i].event->event));
    }
  }
  const auto rest = ReadWholeFeed(*store_, positions[6], 100);
  ASSERT_TRUE(rest.ok());
  EXPECT_EQ(rest->size(), 6u);
  const auto end = store_->ReadFeed(store_->Position(), 100);
  ASSERT_TRUE(end.ok());
  EXPECT_TRUE(end->changes.empty());
  EXPECT_FALSE(end->more);
  EXPECT_EQ(end->next, store_->Position());
}

TEST_P(EventStoreSuite, FeedRecordsRemovalsWithTheirReason) {
  const auto expiring = MakeEvent(3, 1, 100, {{"expiration", std::to_string(kNow + 1)}});
  Write({MakeEvent(1, 1, 100), MakeEvent(2, 0, 100), expiring});
  const FeedPosition before = store_->Position();
  Write({MakeEvent(4, 0, 200), MakeEvent(5, 5, 300, {{"e", Id(1).ToHex()}})});
  ASSERT_TRUE(store_->RemoveExpired(kNow + 1, 10).ok());
  const auto feed = ReadWholeFeed(*store_, before, 2);
  ASSERT_TRUE(feed.ok());
  std::map<EventId, Removal> removed;
  std::vector<EventId> added;
  for (const Change& change : *feed) {
    if (change.type == Change::Type::kAdded) added.push_back(change.id);
    if (change.type == Change::Type::kRemoved) {
      removed[change.id] = change.reason;
      EXPECT_EQ(change.created_at, 100u);
      EXPECT_EQ(change.event, nullptr);
    }
  }
  EXPECT_EQ(added, Ids({4, 5}));
  EXPECT_EQ(removed, (std::map<EventId, Removal>{{Id(1), Removal::kDeleted},
                                                 {Id(2), Removal::kReplaced},
                                                 {Id(3), Removal::kExpired}}));
}

TEST_P(EventStoreSuite, FeedKeepsTheSource) {
  TestJudge judge;
  ASSERT_TRUE(store_->Write(Requests({MakeEvent(1, 1, 100)}, Source::kDaily), judge, kNow).ok());
  const auto feed = ReadWholeFeed(*store_, {}, 10);
  ASSERT_TRUE(feed.ok());
  ASSERT_EQ(feed->size(), 1u);
  EXPECT_EQ(feed->front().source, Source::kDaily);
}

TEST_P(EventStoreSuite, BatchWithoutEffectKeepsThePosition) {
  Write({MakeEvent(1, 1, 100)});
  const FeedPosition before = store_->Position();
  EXPECT_TRUE(Write({MakeEvent(1, 1, 100)}).commit.changes.empty());
  EXPECT_TRUE(Write({}).commit.changes.empty());
  EXPECT_EQ(store_->Position(), before);
}

// ---- key-value area
// ------------------------------------------------------------------------------

TEST_P(EventStoreSuite, CompareAndSetChangesOnlyTheExpectedVersion) {
  EXPECT_EQ(*store_->GetKey("a"), std::nullopt);
  const auto first = store_->CompareAndSet("a", 0, "one");
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(store_->CompareAndSet("a", 0, "two").status().code(), absl::StatusCode::kAborted);
  const auto second = store_->CompareAndSet("a", *first, "two");
  ASSERT_TRUE(second.ok());
  EXPECT_EQ((*store_->GetKey("a"))->value, "two");
  EXPECT_EQ((*store_->GetKey("a"))->version, *second);
  EXPECT_EQ(*store_->CompareAndSet("a", *second, std::nullopt), 0u);
  EXPECT_EQ(*store_->GetKey("a"), std::nullopt);
  // A version never comes back, or a change could go unnoticed.
  const auto third = store_->CompareAndSet("a", 0, "three");
  ASSERT_TRUE(third.ok());
  EXPECT_GT(*third, *second);
  EXPECT_TRUE(store_->Health().ok());
}

TEST_P(EventStoreSuite, ListsKeysByPrefixInOrder) {
  for (const auto* key : {"b/2", "b/1", "a", "b", "c"}) {
    ASSERT_TRUE(store_->CompareAndSet(key, 0, key).ok());
  }
  const auto names = [&](std::string_view prefix) {
    std::vector<std::string> out;
    const auto entries = store_->ListKeys(prefix);
    EXPECT_TRUE(entries.ok());
    for (const KeyValue& entry : *entries) out.push_back(entry.key);
    return out;
  };
  EXPECT_EQ(names("b/"), (std::vector<std::string>{"b/1", "b/2"}));
  EXPECT_EQ(names(""), (std::vector<std::string>{"a", "b", "b/1", "b/2", "c"}));
  EXPECT_TRUE(names("d").empty());
}

TEST_P(EventStoreSuite, KeysAndValuesHaveBounds) {
  const std::string key(kMaxKeyBytes, '\0');
  const std::string value(kMaxValueBytes, '\xff');
  ASSERT_TRUE(store_->CompareAndSet(key, 0, value).ok());
  EXPECT_EQ((*store_->GetKey(key))->value, value);
  const auto refused = [&](const std::string& k, const std::string& v) {
    return absl::IsInvalidArgument(store_->CompareAndSet(k, 0, v).status());
  };
  EXPECT_TRUE(refused("", "x"));
  EXPECT_TRUE(refused(key + "x", "x"));
  EXPECT_TRUE(refused("k", value + "x"));
}

// ---- life
// ----------------------------------------------------------------------------------------

// What a feed says, in a form that tests can compare.
std::vector<std::tuple<Change::Type, EventId, Removal>> Summary(
    const absl::StatusOr<std::vector<Change>>& feed) {
  std::vector<std::tuple<Change::Type, EventId, Removal>> summary;
  EXPECT_TRUE(feed.ok()) << feed.status();
  for (const Change& change : *feed) summary.emplace_back(change.type, change.id, change.reason);
  return summary;
}

TEST_P(DurableEventStoreSuite, RestartKeepsEverything) {
  Write({MakeEvent(1, 1, 100), MakeEvent(2, 0, 100, {{"t", "x"}}), MakeEvent(3, 20001, 100)});
  Write({MakeEvent(
      4, 5, 200,
      {{"e", Id(1).ToHex()}, {"e", Id(5).ToHex()}, {"a", "30617:" + Author(1).ToHex() + ":r"}})});
  Write({MakeEvent(9, 20001, 100)});
  const auto version = store_->CompareAndSet("key", 0, "value");
  const FeedPosition position = store_->Position();
  const auto feed = Summary(ReadWholeFeed(*store_, {}, 2));
  Reopen();
  EXPECT_EQ(store_->Position(), position);
  EXPECT_EQ(Summary(ReadWholeFeed(*store_, {}, 2)), feed);
  EXPECT_EQ(Find("{}"), Ids({4, 2}));
  EXPECT_EQ(Find(R"({"#t":["x"]})"), Ids({2}));
  EXPECT_EQ((*store_->GetKey("key"))->version, *version);
  EXPECT_EQ(Outcomes({MakeEvent(1, 1, 100), MakeEvent(2, 0, 100), MakeEvent(5, 1, 100),
                      MakeEvent(6, 0, 50), MakeEvent(7, 30617, 150, {{"d", "r"}})}),
            (std::vector{kDeleted, kDuplicate, kDeleted, kOlder, kDeleted}));
  EXPECT_GT(Write({MakeEvent(8, 1, 100)}).commit.position, position);
  EXPECT_EQ(store_->GetStats()->events, 3u);
}

TEST_P(EventStoreSuite, ReadersSeeWholeCommitsWhileWritesGoOn) {
  constexpr uint64_t kBatches = 60;
  std::atomic<bool> stop{false};
  const auto read = [&] {
    while (!stop) {
      // Each batch holds a pair; half of one would be a torn read.
      const auto count = store_->Count({nostr::Filter{}}, kNow, nullptr);
      ASSERT_TRUE(count.ok()) << count.status();
      EXPECT_EQ(*count % 2, 0u);
      QuerySpec spec;
      spec.filters = {nostr::Filter{}};
      spec.unix_now = kNow;
      spec.as_of = store_->Position();
      spec.max_rows = 16;
      const auto rows = QueryAll(*store_, spec);
      ASSERT_TRUE(rows.ok()) << rows.status();
      EXPECT_EQ(rows->size() % 2, 0u);
    }
  };
  std::array<std::thread, 3> readers{std::thread(read), std::thread(read), std::thread(read)};
  for (uint64_t n = 0; n < kBatches; ++n) {
    Write({MakeEvent(2 * n, 1, 100 + n), MakeEvent(2 * n + 1, 1, 500 - n)});
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(Count({"{}"}), 2 * kBatches);
}

}  // namespace
}  // namespace graspd::storage
