// Events from outside: published vectors and events found in the wild, good and bad.
#include <gtest/gtest.h>
#include <simdjson.h>

#include <set>
#include <string>

#include "base/line_reader.h"
#include "base/random.h"
#include "nostr/event.h"
#include "nostr/keys.h"

namespace graspd::nostr {
namespace {

template <typename Handler>
void ForEachLine(const std::string& name, Handler&& handle) {
  auto reader = base::LineReader::Open("tests/data/" + name);
  ASSERT_TRUE(reader.ok()) << reader.status();
  while (const auto line = reader->Next()) handle(*line);
  ASSERT_TRUE(reader->status().ok()) << reader->status();
}

bool Accepted(std::string_view json) {
  const auto event = ParseEvent(json);
  return event.ok() && ComputeId(*event) == event->id && VerifySignature(*event);
}

TEST(Vectors, RealEventsAreAllValidAndKeepTheirMeaning) {
  size_t count = 0;
  ForEachLine("real-events.jsonl.gz", [&](std::string_view line) {
    ++count;
    const auto event = ParseEvent(line);
    ASSERT_TRUE(event.ok()) << event.status() << line;
    ASSERT_EQ(ComputeId(*event), event->id) << line;
    EventId computed;
    ASSERT_EQ(MakeRecord(*event, computed)->json, EventJson(*event));
    ASSERT_EQ(computed, event->id) << line;
    ASSERT_TRUE(VerifySignature(*event)) << line;
    ASSERT_EQ(*ParseEvent(EventJson(*event)), *event);
  });
  EXPECT_EQ(count, 5319u);
}

TEST(Vectors, SecondSignaturesOfTheSameIdAreValidToo) {
  size_t count = 0;
  simdjson::dom::parser parser;
  ForEachLine("same-id-other-sig.jsonl.gz", [&](std::string_view line) {
    ++count;
    const simdjson::padded_string padded(line);
    EXPECT_TRUE(Accepted(simdjson::minify(parser.parse(padded)["event"].value()))) << line;
  });
  EXPECT_EQ(count, 49u);
}

TEST(Vectors, InvalidEventsAreAllRefused) {
  size_t count = 0;
  simdjson::dom::parser parser;
  ForEachLine("invalid-events.jsonl.gz", [&](std::string_view line) {
    ++count;
    const simdjson::padded_string padded(line);
    EXPECT_FALSE(Accepted(simdjson::minify(parser.parse(padded)["event"].value()))) << line;
  });
  EXPECT_EQ(count, 447u);
}

// Where implementations differ, what this project decided.
bool DecidedToAccept(const std::string& name) {
  static const std::set<std::string> kAccepted = {
      "created_at 0",          "created_at 1",          "created_at 2147483647",
      "created_at 2147483648", "created_at 4294967296", "created_at 9007199254740991",
      "wire extra fields",     "content 70000 bytes",   "tags [[\"\"]]",
      "e tag not 32-byte hex", "p tag upper-case hex"};
  return kAccepted.contains(name) || name.find("preimage \\u00xx lower-case") != std::string::npos;
}

TEST(Vectors, WireFormIsJudgedAsDocumented) {
  std::string text;
  ForEachLine("nip01-wire.json.gz", [&](std::string_view line) { text += line; });
  simdjson::dom::parser parser;
  const simdjson::padded_string padded(text);
  size_t count = 0;
  for (const simdjson::dom::element vector : parser.parse(padded)["vectors"]) {
    ++count;
    const std::string name(vector["name"].get_string().value());
    const std::string_view expect = vector["expect"];
    const std::string_view wire = vector["wire"];
    const bool accept = expect == "either" ? DecidedToAccept(name) : expect == "accept";
    EXPECT_EQ(Accepted(wire), accept) << name;
    if (accept) {
      EXPECT_EQ(IdPreimage(*ParseEvent(wire)), std::string_view(vector["preimage"])) << name;
    }
  }
  EXPECT_EQ(count, 137u);
}

// Whatever is done to an event's text, only JSON that a complete parser takes may pass, and what
// passes has one stable form.
TEST(Vectors, DamagedEventsPassOnlyIfTheyAreStillJson) {
  std::vector<std::string> events;
  ForEachLine("real-events.jsonl.gz", [&](std::string_view line) {
    if (events.size() < 50 && line.size() < 2000) events.emplace_back(line);
  });
  base::SeededRandom random(1);
  simdjson::dom::parser parser;
  constexpr std::string_view kBytes = "[]{}\",:\\u0d8 1e.-tn\n\x80\xed\xff";
  size_t passed = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string text = events[random.Below(events.size())];
    for (uint64_t edits = 1 + random.Below(3); edits > 0; --edits) {
      const size_t at = random.Below(text.size());
      const char byte = kBytes[random.Below(kBytes.size())];
      switch (random.Below(3)) {
        case 0:
          text[at] = byte;
          break;
        case 1:
          text.insert(at, 1, byte);
          break;
        default:
          text.erase(at, 1 + random.Below(4));
      }
    }
    const auto event = ParseEvent(text);
    if (!event.ok()) continue;
    ++passed;
    const simdjson::padded_string padded(text);
    ASSERT_FALSE(parser.parse(padded).error()) << text;
    const std::string json = EventJson(*event);
    const auto again = ParseEvent(json);
    ASSERT_TRUE(again.ok()) << again.status() << json;
    ASSERT_EQ(*again, *event);
    ASSERT_EQ(EventJson(*again), json);
  }
  EXPECT_GT(passed, 100u);
}

}  // namespace
}  // namespace graspd::nostr
