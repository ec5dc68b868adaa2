// What is refused is refused alike at every door: EVENT, REQ, COUNT and NEG-OPEN. The cases are
// those of hostile clients: too much, too deep, out of range.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/line_reader.h"
#include "base/random.h"
#include "nostr/rules.h"
#include "services/relay/session_test_support.h"

namespace graspd::relay {
namespace {

using nostr::Event;
using nostr::EventBuilder;
using testing::ElementsAre;
using testing::HasSubstr;

using testing::StartsWith;

std::string Id(int i) {
  const std::string digits = std::to_string(i);
  return std::string(64 - digits.size(), '0') + digits;
}

// `{"key":[...]}` with `count` values from `value`.
template <typename Value>
std::string Listing(std::string_view key, int count, Value value) {
  std::string out = "\"" + std::string(key) + "\":[";
  for (int i = 0; i < count; ++i) out += (i == 0 ? "" : ",") + value(i);
  return out + "]";
}

std::string Nested(int depth) { return std::string(depth, '[') + std::string(depth, ']'); }

std::string TagValues() {
  std::string out;
  for (char letter = 'a'; letter <= 'z'; ++letter) {
    out += (out.empty() ? "" : ",") + Listing(std::string("#") + letter, 1000,
                                              [](int i) { return "\"" + Id(i).substr(60) + "\""; });
  }
  return out;
}

struct FilterCase {
  std::string name, filter, prefix;
};

std::vector<FilterCase> FilterCases() {
  std::vector<FilterCase> cases = {
      {"ManyIds", Listing("ids", 1001, [](int i) { return "\"" + Id(i) + "\""; }), "invalid: "},
      {"VeryManyIds", Listing("ids", 7000, [](int i) { return "\"" + Id(i) + "\""; }), "invalid: "},
      {"ManyTagValues", TagValues(), "invalid: "},
      {"Deep", "\"kinds\":" + Nested(17), "invalid: "},
      {"VeryDeep", "\"kinds\":" + Nested(100'000), "invalid: "},
      {"DuplicateKeys", R"("kinds":[1],"kinds":[2])", "invalid: "},
      {"UnknownKey", R"("search":"x")", "unsupported: "},
      {"IdNotHex", R"("ids":["x"])", "invalid: "},
      {"IdUpperCase", R"("ids":[")" + std::string(64, 'A') + R"("])", "invalid: "},
      {"AuthorPrefix", R"("authors":["abcd"])", "invalid: "},
  };
  for (const char* number : {"-1", "1.5", "1e9", "18446744073709551616", "\"1\"", "null"}) {
    cases.push_back({"Limit", "\"limit\":" + std::string(number), "invalid: "});
  }
  for (const char* number : {"65536", "-1", "1.0", "1e0", "\"1\"", "18446744073709551617"}) {
    cases.push_back({"Kind", "\"kinds\":[" + std::string(number) + "]", "invalid: "});
  }
  for (const char* number : {"9223372036854775808", "18446744073709551616", "-1", "1.5", "1e10"}) {
    cases.push_back({"Since", "\"since\":" + std::string(number), "invalid: "});
    cases.push_back({"Until", "\"until\":" + std::string(number), "invalid: "});
  }
  return cases;
}

struct Door {
  std::string name, message, after_filter, answer;
};

class QueryDoors : public SessionTest, public testing::WithParamInterface<Door> {
 protected:
  std::string Message(const std::string& filters) {
    return "[\"" + GetParam().message + "\",\"s\"," + filters + GetParam().after_filter + "]";
  }
  std::string Refusal(const std::string& prefix) {
    return "[\"" + GetParam().answer + "\",\"s\",\"" + prefix;
  }
  void ExpectStillServed() {
    EXPECT_THAT(Ask(R"(["REQ","honest",{"limit":0}])", 1),
                ElementsAre(nostr::EoseMessage("honest")));
    EXPECT_EQ(connection_->close_code, 0);
  }
};

TEST_P(QueryDoors, RefuseTheSameFiltersWithTheSamePrefix) {
  Start();
  for (const FilterCase& c : FilterCases()) {
    EXPECT_THAT(Ask(Message("{" + c.filter + "}"), 1), ElementsAre(StartsWith(Refusal(c.prefix))))
        << c.name << " " << c.filter.substr(0, 100);
  }
  ExpectStillServed();
  EXPECT_EQ(store_->queries + store_->counts + store_->lists, 0);
}

TEST_P(QueryDoors, TakeAsManyValuesAsAreAllowed) {
  Start();
  Send(Message("{" + Listing("kinds", 1000, [](int i) { return std::to_string(i); }) + "}"));
  const Strings answers = Receive(1);
  EXPECT_THAT(answers[0], testing::Not(StartsWith("[\"" + GetParam().answer)));
}

TEST_P(QueryDoors, HoldFastSendersToTheSameBudget) {
  limits_.reqs_burst = 1;
  Start();
  Send(R"(["REQ","first",{"limit":0}])");
  connection_->sent.clear();
  EXPECT_THAT(Ask(Message("{}"), 1), ElementsAre(StartsWith(Refusal("rate-limited: "))));
}

INSTANTIATE_TEST_SUITE_P(All, QueryDoors,
                         testing::Values(Door{"Req", "REQ", "", "CLOSED"},
                                         Door{"Count", "COUNT", "", "CLOSED"},
                                         Door{"NegOpen", "NEG-OPEN", ",\"6100000200\"", "NEG-ERR"}),
                         [](const auto& door) { return door.param.name; });

class DoorsTest : public SessionTest {
 protected:
  // The answer to an EVENT with this text.
  std::string Answer(const std::string& event_json) {
    return Ask("[\"EVENT\"," + event_json + "]", 1).at(0);
  }
  // A signed event with `from` replaced in its text.
  std::string Changed(std::string_view from, const std::string& to) {
    std::string json = nostr::EventJson(Note("x"));
    const size_t at = json.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return json.replace(at, from.size(), to);
  }
  std::string Refusal(const std::string& prefix) {
    return "[\"OK\",\"" + Note("x").id.ToHex() + "\",false,\"" + prefix;
  }
  Event At(uint64_t created_at) { return EventBuilder(1, created_at).Sign(key_); }
  Event Expiring(const std::string& expiration) {
    return EventBuilder(1, clock_.UnixNow()).Tag({"expiration", expiration}).Sign(key_);
  }
};

TEST_F(DoorsTest, TooManyFiltersAreRefused) {
  Start();
  for (const int count : {21, 10'000}) {
    std::string filters = "{}";
    for (int i = 1; i < count; ++i) filters += ",{}";
    for (const char* door : {"REQ", "COUNT"}) {
      EXPECT_THAT(Ask("[\"" + std::string(door) + "\",\"s\"," + filters + "]", 1),
                  ElementsAre(StartsWith(R"(["CLOSED","s","invalid: )")));
    }
  }
}

TEST_F(DoorsTest, ManyReqsOfOneConnectionAreRefusedPastTheSubscriptionsAllowed) {
  limits_.reqs_per_second = 0;
  Start();
  for (int i = 0; i < 10'000; ++i) {
    Send("[\"REQ\",\"" + std::to_string(i) + "\",{\"kinds\":[1],\"limit\":0}]");
  }
  const auto refused = std::count_if(
      connection_->sent.begin(), connection_->sent.end(),
      [](const std::string& m) { return m.find("\"rate-limited: ") != std::string::npos; });
  EXPECT_EQ(refused, 10'000 - 200);
  EXPECT_EQ(hub_.index().size(), 200u);
}

// Threats C20: a few bad ones among many spoil neither their neighbours nor the order.
TEST_F(DoorsTest, PoisonAmongPipelinedEventsIsRefusedAloneAndAllAreAnsweredInOrder) {
  Start();
  std::vector<Event> events;
  for (int i = 0; i < 100; ++i) events.push_back(Note(std::to_string(i)));
  events[0].id.bytes[31] ^= 1;
  events[50].sig.bytes[63] ^= 1;
  EventBuilder many(1, clock_.UnixNow());
  for (size_t i = 0; i <= limits_.event_tags; ++i) many.Tag({"t"});
  events[98] = many.Sign(key_);
  for (const Event& event : events) Publish(event);
  const Strings answers = Receive(events.size());
  ASSERT_EQ(answers.size(), events.size());
  for (size_t i = 0; i < events.size(); ++i) {
    const bool poison = i == 0 || i == 50 || i == 98;
    EXPECT_THAT(answers[i], StartsWith("[\"OK\",\"" + events[i].id.ToHex() +
                                       (poison ? "\",false,\"invalid: " : "\",true,")));
  }
  EXPECT_EQ((*store_->GetStats()).events, 97u);
  EXPECT_EQ(connection_->close_code, 0);
}

TEST_F(DoorsTest, AnEventOutOfShapeIsRefusedWithItsId) {
  Start();
  const std::string kind = "\"kind\":1", time = "\"created_at\":1700000000", tags = "\"tags\":[]";
  for (const char* number : {"65536", "-1", "1.0", "1e0", "\"1\"", "4294967297"}) {
    EXPECT_THAT(Answer(Changed(kind, "\"kind\":" + std::string(number))),
                StartsWith(Refusal("invalid: ")))
        << number;
  }
  for (const char* number :
       {"9223372036854775808", "18446744073709551616", "-1", "1e10", "1.5", "9007199254740993"}) {
    EXPECT_THAT(Answer(Changed(time, "\"created_at\":" + std::string(number))),
                StartsWith(Refusal("invalid: ")))
        << number;
  }
  for (const std::string& deep : {Nested(17), Nested(100'000)}) {
    EXPECT_THAT(Answer(Changed(tags, "\"tags\":" + deep)), StartsWith(Refusal("invalid: ")));
    EXPECT_THAT(Answer(Changed(tags, tags + ",\"unknown\":" + deep)),
                StartsWith(Refusal("invalid: ")));
  }
  for (const std::string& field : {kind, time, tags}) {
    EXPECT_THAT(Answer(Changed(field, field + "," + field)), StartsWith(Refusal("invalid: ")));
  }
  const std::pair<const char*, const char*> twice[] = {
      {"\"content\":", "\"content\":\"y\",\"content\":"},
      {"\"content\":\"x\"", "\"content\":\"x\",\"content\":\"y\""},
      {"\"kind\":1", "\"kind\":1,\"kind\":2"},
      {"\"kind\":1", "\"kind\":2,\"kind\":1"},
  };
  for (const auto& [field, both] : twice) {
    EXPECT_THAT(Answer(Changed(field, both)), StartsWith(Refusal("invalid: "))) << both;
  }
  const std::string other = "\"id\":\"" + std::string(64, 'a') + "\",";
  for (const std::string& before : {std::string("\"id\":"), std::string("\"sig\":")}) {
    EXPECT_THAT(Answer(Changed(before, other + before)), HasSubstr(",false,\"invalid: ")) << before;
  }
  EXPECT_EQ(connection_->close_code, 0);
  EXPECT_EQ((*store_->GetStats()).events, 0u);
}

TEST_F(DoorsTest, CreatedAtMayBeAheadByTheLimitAndNoMore) {
  Start();
  const uint64_t now = clock_.UnixNow();
  EXPECT_THAT(Answer(nostr::EventJson(At(now + 899))), HasSubstr(",true,"));
  EXPECT_THAT(Answer(nostr::EventJson(At(now + 900))), HasSubstr(",true,"));
  EXPECT_THAT(Answer(nostr::EventJson(At(now + 901))), HasSubstr(",false,\"invalid: "));
  EXPECT_THAT(Answer(nostr::EventJson(At(10'000'000'000))), HasSubstr(",false,\"invalid: "));
  EXPECT_THAT(Answer(nostr::EventJson(At(0))), HasSubstr(",true,"));
}

TEST_F(DoorsTest, AnExpiredEventIsNeitherTakenNorServedNorCountedNorReconciled) {
  Start();
  const uint64_t now = clock_.UnixNow();
  for (const std::string& gone : {std::to_string(now - 1), std::to_string(now), std::string("0")}) {
    EXPECT_THAT(Answer(nostr::EventJson(Expiring(gone))), HasSubstr(",false,\"invalid: ")) << gone;
  }
  for (const char* none : {"abc", "18446744073709551616"}) {
    EXPECT_THAT(Answer(nostr::EventJson(Expiring(none))), HasSubstr(",true,")) << none;
  }
  EXPECT_THAT(Answer(nostr::EventJson(Expiring(std::to_string(now + 2)))), HasSubstr(",true,"));
  const auto expect = [&](size_t events) {
    EXPECT_EQ(Ask(R"(["REQ","s",{}])", events + 1).size(), events + 1);
    EXPECT_THAT(Ask(R"(["COUNT","c",{}])", 1), ElementsAre(nostr::CountMessage("c", events)));
    size_t reconciled = 0;
    neg_sets_->Get({}, [&](const absl::StatusOr<storage::NegSets::SetPtr>& set) {
      ASSERT_TRUE(set.ok()) << set.status();
      reconciled = (*set)->size();
    });
    EXPECT_EQ(reconciled, events);
  };
  expect(3);
  clock_.Advance(std::chrono::seconds(2));
  expect(2);
  // Not swept yet, which must make no difference.
  EXPECT_THAT(Answer(nostr::EventJson(Expiring(std::to_string(now + 2)))),
              HasSubstr(",false,\"invalid: "));
}

TEST_F(DoorsTest, AskingForWhatIsNotSupportedIsNoCheaperThanOtherQuestions) {
  limits_.reqs_per_second = 1;
  limits_.reqs_burst = 3;
  Start();
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(Ask(R"(["REQ","u",{"search":"x"}])", 1), ElementsAre(HasSubstr("unsupported: ")));
  }
  EXPECT_THAT(Ask(R"(["REQ","u",{"search":"x"}])", 1), ElementsAre(HasSubstr("rate-limited: ")));
  EXPECT_THAT(Ask(R"(["COUNT","u",{"search":"x"}])", 1), ElementsAre(HasSubstr("rate-limited: ")));
  EXPECT_EQ(connection_->close_code, 0) << "it is no offence";
}

TEST_F(DoorsTest, AnEphemeralEventIsAnsweredWhoeverListensAndNeverStored) {
  limits_.subscriptions = 1000;
  limits_.reqs_per_second = 0;
  Start();
  for (const size_t listeners : {0, 1, 1000}) {
    for (size_t i = 0; i < listeners; ++i) {
      Send("[\"REQ\",\"" + std::to_string(i) + "\",{\"kinds\":[20001],\"limit\":0}]");
    }
    connection_->sent.clear();
    const Event event = Note(std::to_string(listeners), 20'001);
    Publish(event);
    const Strings heard = Receive(listeners + 1);
    EXPECT_THAT(heard, testing::Contains(Ok(event)));
    EXPECT_EQ(heard.size(), listeners + 1);
  }
  EXPECT_EQ((*store_->GetStats()).events, 0u);
}

// ---- events from outside ---------------------------------------------------------------------

constexpr auto kLongAfter =
    std::chrono::hours(24 * 365 * 5);  // hardly any event lies in the future

class WildEventsTest : public DoorsTest {
 protected:
  // Calls `handle` with what stands before the event of each line, and with the event's text.
  template <typename Handler>
  void ForEachEvent(const std::string& file, Handler&& handle) {
    auto reader = base::LineReader::Open("tests/data/" + file);
    ASSERT_TRUE(reader.ok()) << reader.status();
    while (const auto line = reader->Next()) {
      const std::string_view text(*line);
      const size_t key = text.find("\"event\":");
      ASSERT_NE(key, std::string::npos);
      const size_t begin = text.find('{', key), end = text.rfind('}');
      handle(text.substr(0, key), std::string(text.substr(begin, end - begin)));
    }
    ASSERT_TRUE(reader->status().ok()) << reader->status();
  }
  // As if an event of this id, key and signature had been stored before.
  void StoreTwin(const nostr::Event& event) {
    nostr::Event twin = event;
    twin.content = "valid";
    twin.kind = 1;
    twin.tags = {};
    twin.created_at = clock_.UnixNow();
    ingest::Policy open({ingest::PolicyMode::kOpen, {}, true});
    const storage::WriteRequest request{nostr::MakeRecord(twin), storage::Source::kDirect};
    EXPECT_TRUE(store_->Write({&request, 1}, open, clock_.UnixNow()).ok());
  }
  // The text with which an invalid event is refused: the cheapest reason of several comes first.
  // `why` begins with {"reason": "<what is wrong>: <field> ...
  std::string Expected(std::string_view why, const std::string& json) {
    const size_t begin = why.find(": \"") + 3, colon = why.find(": ", begin);
    const std::string_view wrong = why.substr(begin, colon - begin);
    const auto event = nostr::ParseEvent(json);
    EXPECT_EQ(event.ok(), wrong == "id" || wrong == "sig") << why << event.status();
    if (!event.ok()) {
      const std::string field(why.substr(colon + 2, why.find(' ', colon + 2) - colon - 2));
      return "invalid: " + (field == "tag" ? "a tag's element" : field) + " must be ";
    }
    if (nostr::IsProtected(*event)) return "auth-required: ";
    if (event->created_at > clock_.UnixNow() + 900) return "invalid: created_at";
    if (event->kind == nostr::kAuthKind) return "invalid: kind 22242";
    if (wrong == "sig") return "invalid: bad signature";
    return "invalid: id is not the hash of the event";
  }
};

// Also if a valid event is stored that has the same id, key and signature: as the signature says of
// some, there is one, and they are no duplicates of it.
TEST_F(WildEventsTest, EachInvalidEventIsRefusedForItsOwnReason) {
  clock_.Advance(kLongAfter);
  Start(true);
  std::set<nostr::EventId> twins;
  Publish(EventBuilder(1, clock_.UnixNow()).Tag({"-"}).Sign(key_));
  Receive(2);  // the challenge comes once
  size_t count = 0;
  ForEachEvent("invalid-events.jsonl.gz", [&](std::string_view why, const std::string& event) {
    ++count;
    const auto parsed = nostr::ParseEvent(event);
    if (why.find("sig over given id VALID") != std::string_view::npos && parsed.ok()) {
      StoreTwin(*parsed);
      twins.insert(parsed->id);
    }
    EXPECT_THAT(Answer(event), HasSubstr(",false,\"" + Expected(why, event))) << why;
  });
  EXPECT_EQ(count, 447u);
  EXPECT_GE(twins.size(), 20u);
  EXPECT_EQ((*store_->GetStats()).events, twins.size());
}

TEST_F(WildEventsTest, ASecondValidSignatureIsADuplicateAndAForgedOneInvalid) {
  clock_.Advance(kLongAfter);
  Start(true);
  size_t count = 0;
  ForEachEvent("same-id-other-sig.jsonl.gz", [&](std::string_view, const std::string& json) {
    auto other = nostr::ParseEvent(json);
    ASSERT_TRUE(other.ok());
    // The signature that came first: here it is as if it had been stored before.
    nostr::Event first = *other;
    first.sig.bytes[0] ^= 1;
    ingest::Policy open({ingest::PolicyMode::kOpen, {}, true});
    const storage::WriteRequest request{nostr::MakeRecord(first), storage::Source::kDirect};
    auto written = store_->Write({&request, 1}, open, clock_.UnixNow());
    ASSERT_TRUE(written.ok());
    if (written->results[0].outcome != storage::Outcome::kStored) return;  // an older version
    ++count;

    const std::string id = other->id.ToHex();
    EXPECT_EQ(Answer(json), nostr::OkMessage(id, true, "duplicate: already have this event"));
    EXPECT_EQ(*store_->FindSignature(other->id), first.sig);
    nostr::Event forged = *other;
    forged.sig.bytes[63] ^= 1;
    EXPECT_EQ(Answer(nostr::EventJson(forged)),
              nostr::OkMessage(id, false, "invalid: bad signature"));
    EXPECT_EQ(*store_->FindSignature(other->id), first.sig);
  });
  EXPECT_GT(count, 40u);
}

// Threats C29: no label comes from strangers.
TEST_F(DoorsTest, NothingThatClientsChooseAddsASeriesToTheMetrics) {
  Start(true);
  const auto series = [this] {
    const std::string text = metrics_.Serialize();
    size_t lines = 0;
    for (size_t at = 0; at < text.size(); at = text.find('\n', at) + 1) lines += text[at] != '#';
    return lines;
  };
  const size_t before = series();
  base::SeededRandom random(1);
  for (int first = 0; first < 65'536; first += 1000) {
    const int count = std::min(1000, 65'536 - first);
    const std::string id = std::to_string(random.Next());
    Send("[\"REQ\",\"" + id + "\",{\"limit\":0," +
         Listing("kinds", count, [&](int i) { return std::to_string(first + i); }) + "}]");
    Send(R"(["CLOSE",")" + id + R"("])");
  }
  connection_->sent.clear();
  for (int kind = 0; kind < 65'536; kind += 64) {
    Publish(EventBuilder(static_cast<nostr::Kind>(kind), clock_.UnixNow() - kind).Sign(key_));
  }
  Receive(1024);
  for (int i = 0; i < 1000; ++i) {
    const std::string any = std::to_string(random.Next());
    session_->OnClosed();
    connection_->peer_value.user_agent = any;
    connection_->peer_value.address.bytes[3] = static_cast<uint8_t>(i);
    Start(i % 2 == 0);
    Send("[\"" + any + "\"]");
    Send("[\"EVENT\",{\"id\":\"" + any + "\"}]");
    Send("[\"NEG-CLOSE\",\"" + any + "\"]");
  }
  EXPECT_EQ(series(), before);
  EXPECT_LT(before, 2000u);
}

}  // namespace
}  // namespace graspd::relay
