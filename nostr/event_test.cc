#include "nostr/event.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <string>
#include <vector>

#include "nostr/event_builder.h"
#include "nostr/keys.h"

namespace graspd::nostr {
namespace {

using ::testing::HasSubstr;

const std::string kHex32(64, 'a');
const std::string kHex64(128, 'b');

// An event's JSON with one field's text replaced, or left out if `text` is empty.
std::string EventText(std::string_view field = "", std::string_view text = "") {
  const std::vector<std::pair<std::string, std::string>> fields = {
      {"id", '"' + kHex32 + '"'},   {"pubkey", '"' + kHex32 + '"'},
      {"created_at", "1700000000"}, {"kind", "1"},
      {"tags", R"([["t","x"]])"},   {"content", R"("hello")"},
      {"sig", '"' + kHex64 + '"'}};
  std::string out;
  for (const auto& [name, value] : fields) {
    if (name == field && text.empty()) continue;
    out += (out.empty() ? "{\"" : ",\"") + name + "\":";
    out += name == field ? text : value;
  }
  return out + "}";
}

std::string WithMember(std::string_view member) {
  std::string out = EventText();
  out.insert(out.size() - 1, ',' + std::string(member));
  return out;
}

std::string Nested(int depth) { return std::string(depth, '[') + std::string(depth, ']'); }

TEST(ParseEvent, ReadsTheSevenFields) {
  const auto event = ParseEvent(EventText("tags", R"([["e","1","2"],["p"],["",""]])"));
  ASSERT_TRUE(event.ok()) << event.status();
  EXPECT_EQ(event->id.ToHex(), kHex32);
  EXPECT_EQ(event->pubkey.ToHex(), kHex32);
  EXPECT_EQ(event->created_at, 1700000000u);
  EXPECT_EQ(event->kind, 1);
  EXPECT_EQ(event->content, "hello");
  EXPECT_EQ(event->sig.ToHex(), kHex64);
  ASSERT_EQ(event->tags.size(), 3u);
  EXPECT_EQ(event->tags[0].size(), 3u);
  EXPECT_EQ(event->tags[0][2], "2");
  EXPECT_EQ(event->tags[1].value(), "");
  EXPECT_EQ(event->tags[2].size(), 2u);
}

TEST(ParseEvent, AcceptsAnyOrderWhiteSpaceEscapedKeysAndOtherFields) {
  const auto expected = ParseEvent(EventText());
  ASSERT_TRUE(expected.ok());
  const std::string reversed = " {\n\"sig\" : \"" + kHex64 + "\" , \"content\":\"h\\u0065llo\"," +
                               "\t\"tags\" : [ [ \"t\" , \"x\" ] ],\"kind\":1," +
                               "\"created_at\":1700000000,\"pubkey\":\"" + kHex32 +
                               "\",\"\\u0069d\":\"" + kHex32 + "\"}\r\n";
  for (const std::string& text :
       {reversed, WithMember(R"("relay":{"a":[1,-2.5e+10,null,true,"\n"],"b":{}})"),
        WithMember("\"x\":" + Nested(15)), WithMember("\"x\":123456789012345678901234567890")}) {
    const auto event = ParseEvent(text);
    ASSERT_TRUE(event.ok()) << event.status() << " for " << text;
    EXPECT_EQ(*event, *expected);
  }
}

TEST(ParseEvent, TakesTheWholeRangeOfIntegers) {
  EXPECT_EQ(ParseEvent(EventText("kind", "0"))->kind, 0);
  EXPECT_EQ(ParseEvent(EventText("kind", "65535"))->kind, 65535);
  EXPECT_EQ(ParseEvent(EventText("created_at", "0"))->created_at, 0u);
  EXPECT_EQ(ParseEvent(EventText("created_at", "9007199254740992"))->created_at, 1ull << 53);
}

TEST(ParseEvent, RefusesWrongValues) {
  for (const char* number : {"1.0", "1e0", "-1", "-0", "\"1\"", "null", "true", "[1]", "01", "+1",
                             "18446744073709551616", "99999999999999999999999"}) {
    EXPECT_FALSE(ParseEvent(EventText("kind", number)).ok()) << number;
    EXPECT_FALSE(ParseEvent(EventText("created_at", number)).ok()) << number;
  }
  EXPECT_FALSE(ParseEvent(EventText("kind", "65536")).ok());
  EXPECT_FALSE(ParseEvent(EventText("created_at", "9007199254740993")).ok());
  for (const char* tags : {"{}", "null", "\"\"", "[[]]", "[\"a\"]", "[[1]]", "[[null]]", "[[[]]]",
                           "[[\"a\",]]", "[[\"a\"],]", "[[\"a\" \"b\"]]", "[,]"}) {
    EXPECT_FALSE(ParseEvent(EventText("tags", tags)).ok()) << tags;
  }
  for (const std::string& id : {std::string(64, 'A'), std::string(63, 'a'), std::string(65, 'a'),
                                std::string(64, 'g'), std::string()}) {
    EXPECT_FALSE(ParseEvent(EventText("id", '"' + id + '"')).ok()) << id;
    EXPECT_FALSE(ParseEvent(EventText("pubkey", '"' + id + '"')).ok()) << id;
    EXPECT_FALSE(ParseEvent(EventText("sig", '"' + id + id + '"')).ok()) << id;
  }
  EXPECT_FALSE(ParseEvent(EventText("content", "7")).ok());
}

TEST(ParseEvent, RefusesMissingFieldsAndSaysSo) {
  for (const char* field : {"id", "pubkey", "created_at", "kind", "tags", "content", "sig"}) {
    const auto event = ParseEvent(EventText(field, ""));
    ASSERT_FALSE(event.ok()) << field;
    EXPECT_EQ(event.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(event.status().message()), HasSubstr("needs"));
  }
}

TEST(ParseEvent, RefusesDuplicateKeysOfAnyObject) {
  EXPECT_FALSE(ParseEvent(WithMember("\"kind\":1")).ok());
  EXPECT_FALSE(ParseEvent(WithMember("\"\\u0069d\":\"" + kHex32 + '"')).ok());
  EXPECT_FALSE(ParseEvent(WithMember("\"x\":1,\"x\":1")).ok());
  EXPECT_FALSE(ParseEvent(WithMember("\"x\":{\"y\":1,\"y\":2}")).ok());
  std::string many;
  for (int i = 0; i < 40; ++i) many += "\"k" + std::to_string(i) + "\":0,";
  EXPECT_TRUE(ParseEvent(WithMember(many + "\"last\":0")).ok());
  EXPECT_FALSE(ParseEvent(WithMember(many + "\"k39\":0")).ok());
}

TEST(ParseEvent, RefusesWhatIsNotJsonEvenInFieldsNobodyReads) {
  for (const char* value : {"",
                            "tru",
                            "truex",
                            "nul",
                            "nulll",
                            "fals",
                            "True",
                            "1.",
                            ".5",
                            "01",
                            "-",
                            "1e",
                            "1e+",
                            "--1",
                            "0x1",
                            "NaN",
                            "'a'",
                            "\"a",
                            "\"a\\x\"",
                            "\"\\u12\"",
                            "\"\\u12g4\"",
                            "[1,]",
                            "[1 2]",
                            "[\"a\":1}]",
                            "{\"a\":\"b\":1}}",
                            "[,1]",
                            "{\"a\"}",
                            "{\"a\":}",
                            "{a:1}",
                            "{\"a\":1,}",
                            "{\"a\" 1}",
                            "{1:1}",
                            "[",
                            "{",
                            "]",
                            "}",
                            "[}",
                            "{]",
                            "1 1",
                            "\"a\"x",
                            "\"a\"\"b\"",
                            "1\"a\"",
                            "\"tab\there\"",
                            "\"new\nline\""}) {
    EXPECT_FALSE(ParseEvent(WithMember("\"x\":" + std::string(value))).ok()) << value;
  }
  for (const char* around : {"", " ", "null", "[]", "\"\"", "1"}) {
    EXPECT_FALSE(ParseEvent(around).ok()) << around;
  }
  for (const char* trailing : {"x", "}", "]", ",", "{}", "1", "\"\"", "\\"}) {
    EXPECT_FALSE(ParseEvent(EventText() + trailing).ok()) << trailing;
  }
  EXPECT_FALSE(ParseEvent(EventText() + std::string(1, '\0')).ok());
  EXPECT_FALSE(ParseEvent("[" + EventText() + "]").ok());
}

TEST(ParseEvent, RefusesEveryPrefixOfAnEvent) {
  const std::string text = WithMember(R"("x":{"a":[1,"b"]})");
  ASSERT_TRUE(ParseEvent(text).ok());
  for (size_t size = 0; size < text.size(); ++size) {
    EXPECT_FALSE(ParseEvent(text.substr(0, size)).ok()) << size;
  }
}

TEST(ParseEvent, RefusesDeepNestingWithoutUsingUpTheStack) {
  const auto parse = [](void*) -> void* {
    EXPECT_TRUE(ParseEvent(WithMember("\"x\":" + Nested(15))).ok());
    EXPECT_FALSE(ParseEvent(WithMember("\"x\":" + Nested(16))).ok());
    EXPECT_FALSE(ParseEvent(WithMember("\"x\":" + Nested(100'000))).ok());
    EXPECT_FALSE(ParseEvent(std::string(1'000'000, '[')).ok());
    return nullptr;
  };
  pthread_attr_t small;
  pthread_attr_init(&small);
  ASSERT_EQ(pthread_attr_setstacksize(&small, 256 * 1024), 0);
  pthread_t thread;
  ASSERT_EQ(pthread_create(&thread, &small, parse, nullptr), 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&small);
}

TEST(ParseEvent, RefusesTextThatIsNotUnicode) {
  for (const char* content :
       {"\"\xff\"", "\"\xc0\x80\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"", "\"\xe2\x82\"",
        R"("\ud800")", R"("\udc00")", R"("\ud800x")", R"("\ud800\n")", R"("\ud800\u0041")",
        R"("\ud800\ud800")", R"("\ud800\ue000")", R"("\udc00\ud800")", R"("\uD83D\\uDE00")"}) {
    EXPECT_FALSE(ParseEvent(EventText("content", content)).ok()) << content;
    EXPECT_FALSE(ParseEvent(WithMember("\"x\":" + std::string(content))).ok()) << content;
  }
}

TEST(ParseEvent, ResolvesEscapes) {
  const auto event = ParseEvent(
      EventText("content", R"("\u0000\"\\\/\b\f\n\r\t\u007F\u00e9\uD83D\uDE00\ufffe\\ud800")"));
  ASSERT_TRUE(event.ok()) << event.status();
  EXPECT_EQ(event->content, std::string(1, '\0') +
                                "\"\\/\b\f\n\r\t\x7f\xc3\xa9\xf0\x9f\x98\x80\xef\xbf\xbe\\ud800");
}

TEST(ParseEvent, TextOfAnEarlierLongerMessageDoesNotLeakIn) {
  ASSERT_TRUE(ParseEvent(WithMember("\"x\":\"" + std::string(5000, 'x') + '"')).ok());
  const std::string text = EventText();
  EXPECT_FALSE(ParseEvent(text.substr(0, text.size() - 1)).ok());
  EXPECT_TRUE(ParseEvent(text).ok());
}

TEST(ParseEvent, RefusesTextBeyondTheCapAndReadsOnAfterwards) {
  EXPECT_FALSE(ParseEvent(std::string((size_t{64} << 20) + 1, ' ')).ok());
  EXPECT_TRUE(ParseEvent(WithMember("\"x\":\"" + std::string(5 << 20, 'x') + '"')).ok());
  EXPECT_TRUE(ParseEvent(EventText()).ok());
}

TEST(EventJson, EscapesAsNip01Says) {
  Event event;
  for (int c = 0; c < 0x20; ++c) event.content += static_cast<char>(c);
  event.content += "\"\\/\x7f<>&\xe2\x80\xa8";
  EXPECT_THAT(EventJson(event),
              HasSubstr(R"("content":"\u0000\u0001\u0002\u0003\u0004\u0005\u0006\u0007\b\t\n\u000b)"
                        R"(\f\r\u000e\u000f\u0010\u0011\u0012\u0013\u0014\u0015\u0016\u0017\u0018)"
                        R"(\u0019\u001a\u001b\u001c\u001d\u001e\u001f\"\\/)"
                        "\x7f<>&\xe2\x80\xa8\""));
  const auto again = ParseEvent(EventJson(event));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(*again, event);
}

TEST(EventJson, HasOneFormAndPreimageFollowsNip01) {
  const auto event = ParseEvent(EventText("tags", R"([ ["t" , "\u0078"], ["a"] ])"));
  ASSERT_TRUE(event.ok());
  EXPECT_EQ(EventJson(*event),
            R"({"id":")" + kHex32 + R"(","pubkey":")" + kHex32 +
                R"(","created_at":1700000000,"kind":1,"tags":[["t","x"],["a"]],)" +
                R"("content":"hello","sig":")" + kHex64 + R"("})");
  EXPECT_EQ(IdPreimage(*event),
            R"([0,")" + kHex32 + R"(",1700000000,1,[["t","x"],["a"]],"hello"])");
  EXPECT_EQ(ComputeId(*event).bytes, Sha256(IdPreimage(*event)));
}

TEST(Tags, AreEqualOnlyWithTheSameStructure) {
  Tags one, two;
  one.Add({"a", "b"});
  two.Add({"a"});
  two.Add({"b"});
  EXPECT_NE(one, two);
  Tags shifted;
  shifted.Add({"ab", ""});
  EXPECT_NE(one, shifted);
  EXPECT_EQ(one.FirstValue("a"), "b");
  EXPECT_EQ(one.FirstValue("b"), "");
  EXPECT_TRUE(two.Has("b"));
  EXPECT_FALSE(one.Has("b"));
}

TEST(EventBuilder, MakesEventsThatVerifyAndGoesOn) {
  const SecretKey key = SecretKey::FromSeed("author");
  EventBuilder builder(1621, 1700000000);
  builder.Tag({"a", "30617:x:y"}).Content("It fails");
  const Event first = builder.Sign(key);
  const Event second = builder.Tag({"t", "bug"}).Sign(key);
  for (const Event& event : {first, second}) {
    EXPECT_EQ(event.id, ComputeId(event));
    EXPECT_TRUE(VerifySignature(event));
    EXPECT_EQ(event.pubkey, key.public_key());
  }
  EXPECT_EQ(second.tags.size(), 2u);
  EXPECT_NE(first.id, second.id);
  EXPECT_EQ(MakeRecord(first)->json, EventJson(first));
}

TEST(ServedBefore, NewestFirstThenLowerId) {
  EventId low, high;
  high.bytes[31] = 1;
  EXPECT_TRUE(ServedBefore(2, high, 1, low));
  EXPECT_TRUE(ServedBefore(1, low, 1, high));
  EXPECT_FALSE(ServedBefore(1, low, 1, low));
}

}  // namespace
}  // namespace graspd::nostr
