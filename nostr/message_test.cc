#include "nostr/message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/random.h"
#include "nostr/event_builder.h"
#include "nostr/keys.h"

namespace graspd::nostr {
namespace {

using ::testing::StartsWith;
using Answer = ClientRefused::Answer;

const Event& AnEvent() {
  static const Event event = EventBuilder(1, 1700000000)
                                 .Tag({"t", "x"})
                                 .Content("a \"quoted\" word")
                                 .Sign(SecretKey::FromSeed("author"));
  return event;
}

// ---- from a client ----

template <typename Message>
Message Client(std::string_view text) {
  ClientMessage message = ParseClientMessage(text);
  if (const auto* refused = std::get_if<ClientRefused>(&message)) {
    ADD_FAILURE() << text << ": " << refused->reason;
  }
  return std::get<Message>(std::move(message));
}

void ExpectRefused(std::string_view text, Answer answer, std::string_view subject,
                   const char* prefix = "invalid: ") {
  const ClientMessage message = ParseClientMessage(text);
  const auto* refused = std::get_if<ClientRefused>(&message);
  ASSERT_NE(refused, nullptr) << text;
  EXPECT_EQ(refused->answer, answer) << text;
  EXPECT_EQ(refused->subject, subject) << text;
  EXPECT_THAT(refused->reason, StartsWith(prefix)) << text;
}

TEST(ParseClientMessage, ReadsWhatTheWritersWrite) {
  const std::string json = EventJson(AnEvent());
  EXPECT_EQ(Client<ClientEvent>(ClientEventMessage(json)).event, AnEvent());
  EXPECT_EQ(Client<ClientAuth>(ClientAuthMessage(json)).event, AnEvent());
  EXPECT_EQ(Client<ClientClose>(CloseMessage("s")).subscription, "s");
  EXPECT_EQ(Client<ClientNegClose>(NegCloseMessage("s")).subscription, "s");

  const std::vector<Filter> filters = {*ParseFilter(R"({"kinds":[1],"#t":["x"]})"), Filter()};
  const auto req = Client<ClientReq>(ReqMessage("with \"quote\"", filters));
  EXPECT_EQ(req.subscription, "with \"quote\"");
  EXPECT_EQ(req.filters, filters);

  const std::string bytes("a\0\xff", 3);
  const auto open = Client<ClientNegOpen>(NegOpenMessage("n", filters[0], bytes));
  EXPECT_EQ(open.subscription, "n");
  EXPECT_EQ(open.filter, filters[0]);
  EXPECT_EQ(open.message, bytes);
  const auto message = Client<ClientNegMsg>(NegMsgMessage("n", bytes));
  EXPECT_EQ(message.subscription, "n");
  EXPECT_EQ(message.message, bytes);
}

TEST(ParseClientMessage, ReadsCountAndWhiteSpace) {
  const auto count = Client<ClientCount>(" [ \"COUNT\" ,\n\"c\", {} , {\"kinds\":[1]} ] ");
  EXPECT_EQ(count.subscription, "c");
  EXPECT_EQ(count.filters.size(), 2u);
}

TEST(ParseClientMessage, AnswersWhatIsNoMessageWithANotice) {
  for (const char* text : {"",
                           " ",
                           "x",
                           "{}",
                           "[]",
                           "[",
                           "null",
                           "[null]",
                           "[1,2]",
                           "\"EVENT\"",
                           "[[]]",
                           "[\"REQ\"]",
                           "[\"REQ\",1,{}]",
                           "[\"CLOSE\"]",
                           "[\"CLOSE\",\"\"]",
                           "[\"CLOSE\",\"s\",1]",
                           "[\"CLOSE\",\"s\"",
                           "[\"NEG-MSG\"]",
                           "\xff",
                           "[\"CLOSE\":1},\"s\"]"}) {
    ExpectRefused(text, Answer::kNotice, "");
  }
  ExpectRefused("[\"HELLO\",\"s\"]", Answer::kNotice, "", "unsupported: ");
  ExpectRefused("[\"event\",{}]", Answer::kNotice, "", "unsupported: ");
}

TEST(ParseClientMessage, AnswersEveryBadEventWithOkAndTheIdItClaimed) {
  const std::string id = AnEvent().id.ToHex();
  std::string json = EventJson(AnEvent());
  ExpectRefused("[\"EVENT\"]", Answer::kOk, "");
  ExpectRefused("[\"EVENT\",{}]", Answer::kOk, "");
  ExpectRefused("[\"EVENT\",5]", Answer::kOk, "");
  ExpectRefused("[\"EVENT\",{\"id\":5}]", Answer::kOk, "");
  ExpectRefused("[\"EVENT\",{\"id\":\"short\"}]", Answer::kOk, "short");
  ExpectRefused("[\"AUTH\",{\"id\":\"short\"}]", Answer::kOk, "short");
  ExpectRefused("[\"EVENT\",{\"id\":\"" + std::string(100, 'x') + "\"}]", Answer::kOk,
                std::string(64, 'x'));
  ExpectRefused("[\"EVENT\"," + json + ",1]", Answer::kOk, id);
  ExpectRefused("[\"EVENT\"," + json, Answer::kOk, id);
  ExpectRefused("[\"EVENT\"," + json.substr(0, 90), Answer::kOk, id);
  ExpectRefused("[\"EVENT\"," + json + "]x", Answer::kOk, id);
  json.replace(json.find("quoted"), 1, "\xff");
  ExpectRefused("[\"EVENT\"," + json + "]", Answer::kOk, id);
}

TEST(ParseClientMessage, FindsTheClaimedIdOnlyWhereItStands) {
  ExpectRefused(R"(["EVENT",{"content":"\"id\":\"no\"","tags":[["id","no"]],"x":{"id":"no"},)"
                R"("id" : "yes"}])",
                Answer::kOk, "yes");
  ExpectRefused(R"(["EVENT",{"x":"id","id":"yes"}])", Answer::kOk, "yes");
  ExpectRefused(R"(["EVENT",[["x"],{"id":"no"}]])", Answer::kOk, "");
  ExpectRefused("[\"EVENT\",{\"id\":\"ab\xff\"}]", Answer::kOk, "ab");
  ExpectRefused(R"(["EVENT",{"id":"ab\)", Answer::kOk, "ab");
  ExpectRefused(R"(["EVENT",{"id":)", Answer::kOk, "");
  ExpectRefused(R"(["EVENT",{"id")", Answer::kOk, "");
  ExpectRefused(R"(["EVENT","\)", Answer::kOk, "");
}

TEST(ParseClientMessage, AnswersBadQueriesUnderTheirSubscription) {
  for (const auto& [type, closed] :
       {std::pair("REQ", Answer::kClosed), std::pair("COUNT", Answer::kCountClosed)}) {
    const std::string begin = "[\"" + std::string(type) + "\",";
    ExpectRefused(begin + "\"s\"]", closed, "s");
    ExpectRefused(begin + "\"s\",[]]", closed, "s");
    ExpectRefused(begin + "\"s\",{\"kinds\":[-1]}]", closed, "s");
    ExpectRefused(begin + "\"s\",{},{\"search\":\"x\"}]", closed, "s", "unsupported: ");
    ExpectRefused(begin + "\"s\",{}", closed, "s");
    ExpectRefused(begin + "\"s\",{\"#t\":[\"\\ud800\"]}]", closed, "s");
    ExpectRefused(begin + "\"s\",{}]]", closed, "s");
    ExpectRefused(begin + "\"\xc3\xa9\",5]", closed, "\xc3\xa9");
    ExpectRefused(begin + "\"\",{}]", Answer::kNotice, "");
    ExpectRefused(begin + '"' + std::string(65, 's') + "\",{}]", Answer::kNotice, "");
  }
  EXPECT_EQ(Client<ClientReq>("[\"REQ\",\"" + std::string(64, 's') + "\",{}]").subscription,
            std::string(64, 's'));
}

TEST(ParseClientMessage, ASubscriptionIdHasUpTo64CharactersOfAnyLength) {
  for (const std::string character : {"s", "\u00e9", "\u20ac", "\U0001F600"}) {
    std::string id;
    for (int i = 0; i < 64; ++i) id += character;
    EXPECT_EQ(Client<ClientReq>("[\"REQ\",\"" + id + "\",{}]").subscription, id);
    ExpectRefused("[\"REQ\",\"" + id + character + "\",{}]", Answer::kNotice, "");
  }
}

TEST(ParseClientMessage, AnswersBadNegentropyMessagesWithNegErr) {
  for (const char* text :
       {R"(["NEG-OPEN","n"])", R"(["NEG-OPEN","n",{}])", R"(["NEG-OPEN","n",{},"6"])",
        R"(["NEG-OPEN","n",{},"6G"])", R"(["NEG-OPEN","n",{},"6A"])", R"(["NEG-OPEN","n",{},5])",
        R"(["NEG-OPEN","n",{},16,"61"])", R"(["NEG-OPEN","n",{},"61",1])",
        R"(["NEG-OPEN","n",{"kinds":1},"61"])", R"(["NEG-MSG","n"])", R"(["NEG-MSG","n","xx"])",
        R"(["NEG-MSG","n","61)", R"(["NEG-CLOSE","n",1])"}) {
    ExpectRefused(text, Answer::kNegError, "n");
  }
  ExpectRefused(R"(["NEG-OPEN","n",{"search":"x"},"61"])", Answer::kNegError, "n", "unsupported: ");
}

TEST(ParseClientMessage, DepthIsCountedFromTheMessage) {
  const auto nested = [](int depth) {
    return "[\"EVENT\",{\"x\":" + std::string(depth, '[') + std::string(depth, ']') + "," +
           EventJson(AnEvent()).substr(1) + "]";
  };
  EXPECT_EQ(Client<ClientEvent>(nested(14)).event, AnEvent());
  ExpectRefused(nested(15), Answer::kOk, AnEvent().id.ToHex());
}

TEST(ParseClientMessage, SurvivesEveryPrefix) {
  const std::string event = ClientEventMessage(EventJson(AnEvent()));
  const std::string open = NegOpenMessage("n", *ParseFilter(R"({"#t":["\n"]})"), "abc");
  for (const std::string& text : {event, open}) {
    for (size_t size = 0; size < text.size(); ++size) {
      const ClientMessage message = ParseClientMessage(text.substr(0, size));
      EXPECT_TRUE(std::holds_alternative<ClientRefused>(message)) << size;
    }
  }
}

// ---- from a relay ----

template <typename Message>
Message Relay(std::string_view text) {
  RelayMessage message = ParseRelayMessage(text);
  if (const auto* malformed = std::get_if<RelayMalformed>(&message)) {
    ADD_FAILURE() << text << ": " << malformed->reason;
  }
  return std::get<Message>(std::move(message));
}

TEST(ParseRelayMessage, ReadsWhatTheWritersWrite) {
  const auto event = Relay<RelayEvent>(EventMessagePrefix("s\n") + EventJson(AnEvent()) + "]");
  EXPECT_EQ(event.subscription, "s\n");
  EXPECT_EQ(event.event, AnEvent());
  const auto ok = Relay<RelayOk>(OkMessage(AnEvent().id.ToHex(), true, "duplicate: \"known\""));
  EXPECT_EQ(ok.id, AnEvent().id);
  EXPECT_TRUE(ok.accepted);
  EXPECT_EQ(ok.message, "duplicate: \"known\"");
  EXPECT_FALSE(Relay<RelayOk>(OkMessage(AnEvent().id.ToHex(), false, "")).accepted);
  EXPECT_EQ(Relay<RelayEose>(EoseMessage("s")).subscription, "s");
  const auto closed = Relay<RelayClosed>(ClosedMessage("s", "error: x"));
  EXPECT_EQ(closed.subscription, "s");
  EXPECT_EQ(closed.message, "error: x");
  EXPECT_EQ(Relay<RelayNotice>(NoticeMessage("n")).message, "n");
  EXPECT_EQ(Relay<RelayAuth>(AuthChallengeMessage("c")).challenge, "c");
  const auto count = Relay<RelayCount>(CountMessage("s", 12));
  EXPECT_EQ(count.subscription, "s");
  EXPECT_EQ(count.count, 12u);
  EXPECT_EQ(Relay<RelayNegMsg>(NegMsgMessage("s", "\x01\xff")).message, "\x01\xff");
  EXPECT_EQ(Relay<RelayNegErr>(NegErrMessage("s", "blocked: x")).reason, "blocked: x");
  EXPECT_EQ(Relay<RelayNegErr>(NegErrMessage("s", "blocked: x", 10)).subscription, "s");
}

TEST(ParseRelayMessage, BearsWhatOtherRelaysAddAndLeaveOut) {
  const std::string id = AnEvent().id.ToHex();
  EXPECT_EQ(Relay<RelayOk>("[\"OK\",\"" + id + "\",true]").message, "");
  EXPECT_EQ(Relay<RelayClosed>("[\"CLOSED\",\"s\"]").message, "");
  EXPECT_EQ(Relay<RelayNegErr>("[\"NEG-ERR\",\"s\"]").reason, "");
  EXPECT_EQ(Relay<RelayEose>("[\"EOSE\",\"s\",{\"more\":[1]}]").subscription, "s");
  EXPECT_EQ(Relay<RelayCount>(R"(["COUNT","s",{"approximate":true,"count":3,"hll":"00"}])").count,
            3u);
}

TEST(ParseRelayMessage, ReportsEverythingElseAsMalformed) {
  const std::string id = AnEvent().id.ToHex();
  for (const std::string& text :
       std::vector<std::string>{"",
                                "x",
                                "[]",
                                "{}",
                                "[1]",
                                "[\"HELLO\"]",
                                "[\"EVENT\",\"s\"]",
                                "[\"EVENT\",\"s\",{}]",
                                "[\"EVENT\"," + EventJson(AnEvent()) + "]",
                                "[\"EVENT\",\"s\"," + EventJson(AnEvent()) + "]]",
                                "[\"OK\"]",
                                "[\"OK\",\"x\",true,\"\"]",
                                "[\"OK\",\"" + id + "\",1,\"\"]",
                                "[\"OK\",\"" + id + "\",true,1]",
                                "[\"EOSE\"]",
                                "[\"EOSE\",1]",
                                "[\"EOSE\",\"s\"",
                                "[\"EOSE\",\"s\",[1,]]",
                                "[\"CLOSED\",1,2]",
                                "[\"NOTICE\"]",
                                "[\"NOTICE\",\"\xff\"]",
                                "[\"AUTH\",{}]",
                                "[\"COUNT\",\"s\"]",
                                "[\"COUNT\",\"s\",{}]",
                                "[\"COUNT\",\"s\",{\"count\":-1}]",
                                "[\"COUNT\",\"s\",{\"count\":1.5}]",
                                "[\"COUNT\",\"s\",5]",
                                "[\"NEG-MSG\",\"s\"]",
                                "[\"NEG-MSG\",\"s\",\"0\"]",
                                "[\"NEG-ERR\"]",
                                std::string(200'000, '[')}) {
    EXPECT_TRUE(std::holds_alternative<RelayMalformed>(ParseRelayMessage(text))) << text;
  }
}

// What other relays may take, and strangers write.
TEST(ParseRelayMessage, SaysWhatAnEventSeemsToBeThatIsNoneByOurRules) {
  const std::string good = EventJson(AnEvent());
  const auto with = [&](const std::string& what, const std::string& by) {
    std::string event = good;
    event.replace(event.find(what), what.size(), by);
    return EventMessagePrefix("s") + event + "]";
  };
  for (const auto& text : {with(R"([["t","x"]])", "[[]]"), with(R"("kind":1)", R"("kind":65536)"),
                           with(R"("sig":")", R"("sig":"0)")}) {
    const auto unreadable = Relay<RelayUnreadable>(text);
    EXPECT_EQ(unreadable.subscription, "s");
    EXPECT_EQ(unreadable.id, AnEvent().id);
    EXPECT_EQ(unreadable.created_at, AnEvent().created_at);
  }
  EXPECT_EQ(Relay<RelayUnreadable>(with(R"("created_at":)", R"("created_at":-)")).created_at,
            std::nullopt);
}

TEST(ParseMessages, BearAnyDamage) {
  const std::string event = EventJson(AnEvent());
  const std::vector<std::string> messages = {
      ClientEventMessage(event),
      ReqMessage("s", {*ParseFilter(R"({"kinds":[1],"#t":["x","\n"],"since":1})"), Filter()}),
      NegOpenMessage("n", Filter(), "abc"),
      NegMsgMessage("n", "abc"),
      EventMessagePrefix("s") + event + "]",
      OkMessage(AnEvent().id.ToHex(), true, "x"),
      CountMessage("s", 5)};
  constexpr std::string_view kBytes = "[]{}\",:\\u0d8 1e.-tn\n\x80\xed\xff";
  base::SeededRandom random(2);
  size_t understood = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string text = messages[random.Below(messages.size())];
    for (uint64_t edits = random.Below(4); edits > 0; --edits) {
      const char byte = kBytes[random.Below(kBytes.size())];
      const size_t at = random.Below(text.size());
      if (random.Below(2) == 0) {
        text[at] = byte;
      } else {
        text.insert(at, 1, byte);
      }
    }
    const ClientMessage client = ParseClientMessage(text);
    if (const auto* refused = std::get_if<ClientRefused>(&client)) {
      ASSERT_LE(refused->subject.size(), 64u) << text;
      ASSERT_EQ(refused->answer == Answer::kNotice && !refused->subject.empty(), false) << text;
    } else {
      ++understood;
    }
    const RelayMessage relay = ParseRelayMessage(text);
    understood += std::holds_alternative<RelayMalformed>(relay) ? 0 : 1;
  }
  EXPECT_GT(understood, 1000u);
  EXPECT_LT(understood, 19'000u);
}

// ---- writing ----

TEST(Writers, GiveCompactJson) {
  EXPECT_EQ(EventMessagePrefix("a\"b"), R"(["EVENT","a\"b",)");
  EXPECT_EQ(OkMessage("id", true, ""), R"(["OK","id",true,""])");
  EXPECT_EQ(OkMessage("", false, "invalid: x"), R"(["OK","",false,"invalid: x"])");
  EXPECT_EQ(EoseMessage("s"), R"(["EOSE","s"])");
  EXPECT_EQ(ClosedMessage("s", "error: \n"), R"(["CLOSED","s","error: \n"])");
  EXPECT_EQ(NoticeMessage("hi"), R"(["NOTICE","hi"])");
  EXPECT_EQ(CountMessage("s", 0), R"(["COUNT","s",{"count":0}])");
  EXPECT_EQ(NegMsgMessage("s", "a\x01"), R"(["NEG-MSG","s","6101"])");
  EXPECT_EQ(NegErrMessage("s", "closed: x"), R"(["NEG-ERR","s","closed: x"])");
  EXPECT_EQ(NegErrMessage("s", "blocked: x", 7), R"(["NEG-ERR","s","blocked: x",7])");
  EXPECT_EQ(NegOpenMessage("s", Filter(), "a"), R"(["NEG-OPEN","s",{},"61"])");
  EXPECT_EQ(ReqMessage("s", {}), R"(["REQ","s"])");
}

}  // namespace
}  // namespace graspd::nostr
