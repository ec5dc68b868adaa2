// The memory store, too simple to be wrong in the same way, is the judge of LMDB: the same random
// operations must have the same outcomes, and the same random filters the same answers.
#include <iterator>
#include <utility>

#include "base/random.h"
#include "storage/lmdb/lmdb_store.h"
#include "storage/memory/memory_store.h"
#include "tests/conformance/event_store_suite.h"

namespace graspd::storage {
namespace {

using nostr::Event;

/// Draws from a universe so small that events meet: same times, addresses, tags, targets.
class Universe {
 public:
  explicit Universe(uint64_t seed) : random_(seed) {}

  uint64_t Below(uint64_t bound) { return random_.Below(bound); }
  bool Chance(uint64_t one_in) { return Below(one_in) == 0; }

  Event NewEvent() {
    Event event;
    if (!events_.empty() && Chance(8)) return events_[Below(events_.size())];
    // Ids in random order, some with long common prefixes.
    event.id = Id(Below(1000) << 20 | events_.size());
    if (Chance(2)) std::swap(event.id.bytes[0], event.id.bytes[31]);
    event.pubkey = AnyAuthor();
    event.kind = AnyKind();
    event.created_at = AnyTime();
    event.content = Chance(15) ? "bad" : "content";
    if (Chance(6)) event.tags.Add({"expiration", std::to_string(1000 + Below(100))});
    for (uint64_t tags = Below(4); tags > 0; --tags) AddTag(event.tags);
    if (event.kind == nostr::kDeletionKind) AddTargets(event);
    events_.push_back(event);
    return event;
  }

  nostr::Filter NewFilter() {
    nostr::Filter filter;
    if (Chance(5)) Fill(filter.ids.emplace(), 4, [&] { return AnyId(); });
    if (Chance(3)) Fill(filter.authors.emplace(), 3, [&] { return AnyAuthor(); });
    if (Chance(3)) Fill(filter.kinds.emplace(), 3, [&] { return AnyKind(); });
    for (const char letter : {'t', 'e', 'd'}) {
      if (!Chance(4)) continue;
      Fill(filter.tags[letter], 3, [&] { return letter == 'e' ? AnyId().ToHex() : AnyValue(); });
    }
    if (Chance(4)) filter.since = AnyTime();
    if (Chance(4)) filter.until = AnyTime();
    if (Chance(2)) filter.limit = Below(12);
    filter.Normalize();
    return filter;
  }

  nostr::EventId AnyId() {
    return events_.empty() || Chance(10) ? Id(Below(5)) : events_[Below(events_.size())].id;
  }

 private:
  template <typename T, typename Make>
  void Fill(std::vector<T>& out, uint64_t max, Make make) {
    for (uint64_t n = Below(max + 1); n > 0; --n) out.push_back(make());
  }
  nostr::PublicKey AnyAuthor() {
    // Same first 8 bytes: the author index cannot tell them apart.
    nostr::PublicKey author = Author(1 + Below(2));
    author.bytes[31] = static_cast<uint8_t>(Below(3));
    return author;
  }
  nostr::Kind AnyKind() {
    static constexpr nostr::Kind kKinds[] = {0,     1,     1,     1621,  5,    5,
                                             10002, 20001, 22242, 30617, 30617};
    return kKinds[Below(std::size(kKinds))];
  }
  uint64_t AnyTime() { return 100 + Below(12); }
  std::string AnyValue() {
    static const std::string kValues[] = {"",
                                          "a",
                                          "b",
                                          "\"",
                                          "\\",
                                          "\\\"",
                                          "a\",\"b",
                                          std::string("\0\n\x1f", 3),
                                          "\xc3\xa4",
                                          std::string(700, 'x'),
                                          R"(["t","a"])"};
    return kValues[Below(std::size(kValues))];
  }
  void AddTag(nostr::Tags& tags) {
    switch (Below(6)) {
      case 0:
        return tags.Add({"t"});
      case 1:
        return tags.Add({"e", AnyId().ToHex(), "hint"});
      case 2:
      case 3:
        return tags.Add({"d", AnyValue()});
      default:
        return tags.Add({"t", AnyValue(), AnyValue()});
    }
  }
  void AddTargets(Event& deletion) {
    for (uint64_t n = Below(4); n > 0; --n) {
      if (Chance(2)) {
        deletion.tags.Add({"e", AnyId().ToHex()});
      } else {
        deletion.tags.Add({"a", nostr::Address{AnyKind(), deletion.pubkey, AnyValue()}.ToString()});
      }
    }
  }

  base::SeededRandom random_;
  std::vector<Event> events_;
};

std::string Text(const Change& change) {
  return std::to_string(static_cast<int>(change.type)) + ' ' + change.id.ToHex() + ' ' +
         std::to_string(change.created_at) + ' ' + std::to_string(change.kind) + ' ' +
         std::to_string(static_cast<int>(change.reason)) + ' ' +
         std::to_string(static_cast<int>(change.source)) + ' ' + std::to_string(change.ephemeral) +
         ' ' + (change.event == nullptr ? "" : change.event->json);
}

std::vector<std::string> Texts(const std::vector<Change>& changes) {
  std::vector<std::string> texts;
  for (const Change& change : changes) texts.push_back(Text(change));
  return texts;
}

std::vector<std::string> Texts(const std::vector<Row>& rows) {
  std::vector<std::string> texts;
  for (const Row& row : rows) {
    texts.push_back(row.id.ToHex() + ' ' + std::to_string(row.created_at) + ' ' + row.json);
  }
  return texts;
}

class Differential : public testing::TestWithParam<uint64_t> {
 protected:
  void SetUp() override { OpenLmdb(); }
  void OpenLmdb() {
    lmdb_.reset();
    // At any time entries wait, are half moved and are in their tables.
    auto opened = OpenLmdbStore({.directory = directory_.path(),
                                 .map_bytes = size_t{1} << 30,
                                 .pending_entries = 20 + universe_.Below(60)});
    ASSERT_TRUE(opened.ok()) << opened.status();
    lmdb_ = *std::move(opened);
  }

  void WriteBoth() {
    std::vector<Event> events;
    for (uint64_t n = universe_.Below(6); n > 0; --n) events.push_back(universe_.NewEvent());
    TestJudge judge([](const Event& event, const ReadView& view) -> absl::StatusOr<Judge::Verdict> {
      // Depends on what is stored already, so that the views are compared as well.
      const auto kind = view.FindKind(event.id);
      if (!kind.ok()) return kind.status();
      const auto address = nostr::AddressOf(event);
      const auto replaces = address ? view.Contains(*address) : false;
      if (!replaces.ok()) return replaces.status();
      return Judge::Verdict{event.content != "bad" && !*kind,
                            *replaces ? "restricted: bad again" : "restricted: bad"};
    });
    const auto requests = Requests(events, static_cast<Source>(universe_.Below(7)));
    const auto expected = memory_->Write(requests, judge, now_);
    const auto got = lmdb_->Write(requests, judge, now_);
    ASSERT_TRUE(expected.ok());
    ASSERT_TRUE(got.ok()) << got.status();
    ASSERT_EQ(got->results.size(), expected->results.size());
    for (size_t i = 0; i < got->results.size(); ++i) {
      EXPECT_EQ(got->results[i].outcome, expected->results[i].outcome);
      EXPECT_EQ(got->results[i].message, expected->results[i].message);
    }
    EXPECT_EQ(got->commit.position, expected->commit.position);
    EXPECT_EQ(Texts(got->commit.changes), Texts(expected->commit.changes));
  }

  void SweepBoth() {
    const auto expected = memory_->RemoveExpired(now_, 3);
    const auto got = lmdb_->RemoveExpired(now_, 3);
    ASSERT_TRUE(expected.ok() && got.ok());
    EXPECT_EQ(Texts(got->changes), Texts(expected->changes));
  }

  void QueryBoth() {
    QuerySpec spec;
    for (uint64_t n = 1 + universe_.Below(3); n > 0; --n) {
      spec.filters.push_back(universe_.NewFilter());
    }
    spec.unix_now = now_;
    spec.max_rows = 1 + universe_.Below(10);
    const uint64_t latest = memory_->Position().value;
    if (universe_.Chance(2)) spec.as_of = FeedPosition{universe_.Below(latest + 1)};
    std::string description;
    for (const auto& filter : spec.filters) description += nostr::FilterJson(filter);

    const auto expected = QueryAll(*memory_, spec);
    const auto got = QueryAll(*lmdb_, spec);
    ASSERT_TRUE(expected.ok());
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(Texts(*got), Texts(*expected)) << description;
    EXPECT_EQ(*lmdb_->Count(spec.filters, now_, nullptr),
              *memory_->Count(spec.filters, now_, nullptr))
        << description;
    const auto expected_items = memory_->ListItems(spec.filters[0], now_, 1000);
    const auto items = lmdb_->ListItems(spec.filters[0], now_, 1000);
    ASSERT_TRUE(expected_items.ok() && items.ok());
    EXPECT_TRUE(*items == *expected_items) << description;
  }

  void LookUpBoth() {
    std::vector<nostr::EventId> ids;
    for (int i = 0; i < 5; ++i) ids.push_back(universe_.AnyId());
    EXPECT_EQ(*lmdb_->Known(ids), *memory_->Known(ids));
    EXPECT_EQ(*lmdb_->FindSignature(ids[0]), *memory_->FindSignature(ids[0]));
    const FeedPosition after{universe_.Below(memory_->Position().value + 1)};
    const auto expected = memory_->ReadFeed(after, 7);
    const auto got = lmdb_->ReadFeed(after, 7);
    ASSERT_TRUE(expected.ok() && got.ok());
    EXPECT_EQ(Texts(got->changes), Texts(expected->changes));
    EXPECT_EQ(got->next, expected->next);
    EXPECT_EQ(got->more, expected->more);
  }

  TempDirectory directory_;
  std::unique_ptr<EventStore> memory_ = OpenMemoryStore();
  std::unique_ptr<EventStore> lmdb_;
  Universe universe_{GetParam()};
  uint64_t now_ = 1000;
};

TEST_P(Differential, LmdbAnswersLikeMemory) {
  for (int step = 0; step < 100 && !HasFailure(); ++step) {
    WriteBoth();
    for (int i = 0; i < 6; ++i) QueryBoth();
    LookUpBoth();
    now_ += universe_.Below(2);
    if (universe_.Chance(10)) SweepBoth();
    if (universe_.Chance(40)) OpenLmdb();
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, Differential, testing::Range<uint64_t>(1, 6));

}  // namespace
}  // namespace graspd::storage
