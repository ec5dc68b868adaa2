#include "nostr/filter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "base/random.h"

namespace graspd::nostr {
namespace {

const std::string kA(64, 'a');
const std::string kB(64, 'b');

TEST(ParseFilter, ReadsEveryConditionSortedAndWithoutDuplicates) {
  const auto filter =
      ParseFilter(R"( {"kinds":[2,1,2,65535],"ids":[")" + kB + R"(",")" + kA + R"(",")" + kA +
                  R"("],"authors":[")" + kA + R"("],"#t":["y","x","y",""],"#E":[")" + kA +
                  R"("],"#q":["30617:x"],"since":1,"until":9007199254740992,"limit":0})");
  ASSERT_TRUE(filter.ok()) << filter.status();
  EXPECT_EQ(*filter->kinds, (std::vector<Kind>{1, 2, 65535}));
  EXPECT_EQ(*filter->ids, (std::vector{*EventId::FromHex(kA), *EventId::FromHex(kB)}));
  EXPECT_EQ(filter->authors->size(), 1u);
  EXPECT_EQ(filter->tags.at('t'), (std::vector<std::string>{"", "x", "y"}));
  EXPECT_EQ(filter->tags.at('E'), (std::vector<std::string>{kA}));
  EXPECT_EQ(filter->since, 1u);
  EXPECT_EQ(filter->until, uint64_t{1} << 53);
  EXPECT_EQ(filter->limit, 0u);
  EXPECT_EQ(filter->ValueCount(), 3u + 2 + 1 + 3 + 1 + 1);
}

TEST(ParseFilter, RefusesWrongValuesAsInvalid) {
  for (const std::string& text :
       std::vector<std::string>{"",
                                "[]",
                                "null",
                                "{",
                                "{}x",
                                R"({"ids":"x"})",
                                R"({"ids":[1]})",
                                R"({"ids":["abc"]})",
                                R"({"ids":[")" + std::string(64, 'A') + "\"]}",
                                R"({"authors":null})",
                                R"({"kinds":["1"]})",
                                R"({"kinds":[65536]})",
                                R"({"kinds":[-1]})",
                                R"({"kinds":[1.0]})",
                                R"({"kinds":1})",
                                R"({"#e":["abc"]})",
                                R"({"#p":["abc"]})",
                                R"({"#E":["abc"]})",
                                R"({"#P":[""]})",
                                R"({"#t":"x"})",
                                R"({"#t":[1]})",
                                R"({"since":-1})",
                                R"({"until":1.5})",
                                R"({"since":"1"})",
                                R"({"limit":-1})",
                                R"({"limit":1e9})",
                                R"({"limit":9007199254740993})",
                                R"({"limit":18446744073709551616})",
                                R"({"limit":1,"limit":1})",
                                R"({"#t":["\ud800"]})",
                                R"({"#t":["x"],"\u0023t":["x"]})",
                                R"({"kinds":[1,]})",
                                R"({"search":[1,})"}) {
    EXPECT_EQ(ParseFilter(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(ParseFilter, RefusesUnknownKeysAsUnsupported) {
  for (const char* text :
       {R"({"search":"x"})", R"({"#tt":["x"]})", R"({"#":["x"]})", R"({"#1":["x"]})",
        R"({"&t":["x"]})", R"({"":0})", R"({"IDS":[]})", R"({"x":{"deep":[[1]]},"kinds":[1]})"}) {
    EXPECT_EQ(ParseFilter(text).status().code(), absl::StatusCode::kUnimplemented) << text;
  }
}

TEST(FilterJson, IsTheSameForEqualFilters) {
  const auto filter = ParseFilter(R"({"limit":5,"#t":["b","a\n"],"until":3,"#A":["z"],"since":2,)"
                                  R"("kinds":[7,1],"authors":[],"ids":[")" +
                                  kA + R"("]})");
  ASSERT_TRUE(filter.ok()) << filter.status();
  EXPECT_EQ(FilterJson(*filter), R"({"ids":[")" + kA +
                                     R"("],"authors":[],"kinds":[1,7],"#A":["z"],)"
                                     R"("#t":["a\n","b"],"since":2,"until":3,"limit":5})");
  EXPECT_EQ(*ParseFilter(FilterJson(*filter)), *filter);
  EXPECT_EQ(FilterJson(Filter()), "{}");
}

TEST(Matches, EmptyListMatchesNothingAndAbsentOneEverything) {
  const Event event;
  EXPECT_TRUE(Matches(Filter(), event));
  EXPECT_FALSE(Filter().MatchesNothing());
  for (const char* text :
       {R"({"ids":[]})", R"({"authors":[]})", R"({"kinds":[]})", R"({"#t":[]})"}) {
    const auto filter = ParseFilter(text);
    ASSERT_TRUE(filter.ok()) << filter.status();
    EXPECT_TRUE(filter->MatchesNothing()) << text;
    EXPECT_FALSE(Matches(*filter, event)) << text;
  }
}

TEST(Matches, TimesAreInclusiveAndLimitPlaysNoPart) {
  Event event;
  event.created_at = 10;
  EXPECT_TRUE(Matches(*ParseFilter(R"({"since":10,"until":10,"limit":0})"), event));
  EXPECT_FALSE(Matches(*ParseFilter(R"({"since":11})"), event));
  EXPECT_FALSE(Matches(*ParseFilter(R"({"until":9})"), event));
}

TEST(Matches, LooksAtTheFirstValueOfEveryTagOfThatExactName) {
  Event event;
  event.tags.Add({"t", "one", "two"});
  event.tags.Add({"t", "three"});
  event.tags.Add({"T", "upper"});
  event.tags.Add({"tt", "long"});
  event.tags.Add({"x"});
  event.tags.Add({"y", ""});
  const auto matches = [&](const char* filter) { return Matches(*ParseFilter(filter), event); };
  EXPECT_TRUE(matches(R"({"#t":["one"]})"));
  EXPECT_TRUE(matches(R"({"#t":["zzz","three"]})"));
  EXPECT_FALSE(matches(R"({"#t":["two"]})"));
  EXPECT_FALSE(matches(R"({"#t":["upper"]})"));
  EXPECT_FALSE(matches(R"({"#t":["long"]})"));
  EXPECT_FALSE(matches(R"({"#t":["on"]})"));
  EXPECT_TRUE(matches(R"({"#t":["one"],"#T":["upper"]})"));
  EXPECT_FALSE(matches(R"({"#t":["one"],"#T":["other"]})"));
  EXPECT_FALSE(matches(R"({"#x":[""]})"));
  EXPECT_TRUE(matches(R"({"#y":[""]})"));
}

// ---- against an oracle that knows nothing of sorting ----

bool OracleMatches(const Filter& filter, const Event& event) {
  const auto contains = [](const auto& list, const auto& value) {
    return std::find(list.begin(), list.end(), value) != list.end();
  };
  if (filter.ids && !contains(*filter.ids, event.id)) return false;
  if (filter.authors && !contains(*filter.authors, event.pubkey)) return false;
  if (filter.kinds && !contains(*filter.kinds, event.kind)) return false;
  if (filter.since && !(event.created_at >= *filter.since)) return false;
  if (filter.until && !(event.created_at <= *filter.until)) return false;
  for (const auto& [letter, values] : filter.tags) {
    bool found = false;
    for (size_t i = 0; i < event.tags.size(); ++i) {
      const Tag tag = event.tags[i];
      found |= tag.size() >= 2 && tag[0] == std::string(1, letter) &&
               contains(values, std::string(tag[1]));
    }
    if (!found) return false;
  }
  return true;
}

template <typename T>
std::vector<T> RandomList(base::Random& random, T (*make)(base::Random&)) {
  std::vector<T> list(random.Below(4));
  for (T& item : list) item = make(random);
  return list;
}

EventId RandomId(base::Random& random) {
  EventId id;
  id.bytes[random.Below(2) * 31] = static_cast<uint8_t>(random.Below(3));
  return id;
}
PublicKey RandomKey(base::Random& random) { return PublicKey{RandomId(random).bytes}; }
Kind RandomKind(base::Random& random) { return static_cast<Kind>(random.Below(3)); }
std::string RandomText(base::Random& random) {
  return std::string(random.Below(3), static_cast<char>('x' + random.Below(2)));
}

Event RandomEvent(base::Random& random) {
  Event event;
  event.id = RandomId(random);
  event.pubkey = RandomKey(random);
  event.kind = RandomKind(random);
  event.created_at = random.Below(4);
  for (uint64_t tags = random.Below(4); tags > 0; --tags) {
    event.tags.AddElement(random.Below(2) == 0 ? "t" : "a");
    for (uint64_t more = random.Below(3); more > 0; --more) {
      event.tags.AddElement(RandomText(random));
    }
    event.tags.EndTag();
  }
  return event;
}

Filter RandomFilter(base::Random& random) {
  Filter filter;
  if (random.Below(4) == 0) filter.ids = RandomList(random, RandomId);
  if (random.Below(4) == 0) filter.authors = RandomList(random, RandomKey);
  if (random.Below(3) == 0) filter.kinds = RandomList(random, RandomKind);
  if (random.Below(3) == 0) filter.tags['t'] = RandomList(random, RandomText);
  if (random.Below(3) == 0) filter.tags['a'] = RandomList(random, RandomText);
  if (random.Below(3) == 0) filter.since = random.Below(4);
  if (random.Below(3) == 0) filter.until = random.Below(4);
  return filter;
}

TEST(Matches, AgreesWithANaiveOracle) {
  base::SeededRandom random(7);
  size_t matched = 0;
  constexpr size_t kPairs = 100'000;
  for (size_t i = 0; i < kPairs; ++i) {
    const Filter raw = RandomFilter(random);
    const Event event = RandomEvent(random);
    Filter filter = raw;
    filter.Normalize();
    const bool expected = OracleMatches(raw, event);
    ASSERT_EQ(Matches(filter, event), expected) << FilterJson(filter) << EventJson(event);
    ASSERT_EQ(Matches(filter, event, TagValues(event.tags)), expected)
        << FilterJson(filter) << EventJson(event);
    ASSERT_EQ(MatchesAny({filter, filter}, event), expected);
    ASSERT_FALSE(filter.MatchesNothing() && expected);
    matched += expected ? 1 : 0;
  }
  EXPECT_GT(matched, kPairs / 20);
  EXPECT_LT(matched, kPairs / 2);
}

// Lists of any lengths, each the longer one in turn.
TEST(Matches, ManyTagsAgainstManyValuesAgreeWithTryingAll) {
  base::SeededRandom random(8);
  size_t matched = 0;
  constexpr size_t kPairs = 5000;
  for (size_t i = 0; i < kPairs; ++i) {
    Event event;
    for (uint64_t n = random.Below(random.Below(2) == 0 ? 5 : 300); n > 0; --n) {
      event.tags.Add({random.Below(2) == 0 ? "t" : "u", std::to_string(random.Below(5000))});
    }
    Filter filter;
    for (uint64_t n = 1 + random.Below(random.Below(2) == 0 ? 5 : 300); n > 0; --n) {
      filter.tags['t'].push_back(std::to_string(random.Below(5000)));
    }
    filter.Normalize();
    const bool expected = OracleMatches(filter, event);
    ASSERT_EQ(Matches(filter, event, TagValues(event.tags)), expected) << FilterJson(filter);
    matched += expected ? 1 : 0;
  }
  EXPECT_GT(matched, kPairs / 20);
  EXPECT_LT(matched, kPairs / 2);
}

TEST(MatchesAny, OfNoFilterIsFalse) {
  EXPECT_FALSE(MatchesAny({}, Event()));
  EXPECT_TRUE(MatchesAny({*ParseFilter(R"({"kinds":[1]})"), Filter()}, Event()));
}

}  // namespace
}  // namespace graspd::nostr
