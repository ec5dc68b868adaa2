#include "bench/load/relay_text.h"

#include <gtest/gtest.h>

#include <string>

namespace graspd::bench {
namespace {

using Verb = RelayText::Verb;

TEST(RelayText, ReadsAnOk) {
  const auto yes = Scan(R"(["OK","abc",true,"duplicate: have it"])");
  EXPECT_EQ(yes.verb, Verb::kOk);
  EXPECT_EQ(yes.label, "abc");
  EXPECT_TRUE(yes.accepted());
  EXPECT_FALSE(Scan(R"(["OK","abc",false,"invalid: true"])").accepted());
}

TEST(RelayText, ReadsWhateverTheSpacing) {
  const auto ok = Scan(" [ \"OK\" , \"abc\" ,\n true , \"\" ]");
  EXPECT_EQ(ok.verb, Verb::kOk);
  EXPECT_EQ(ok.label, "abc");
  EXPECT_TRUE(ok.accepted());
}

TEST(RelayText, FindsTheIdOfAnEventWhereverItStands) {
  const std::string id(64, 'a');
  EXPECT_EQ(Scan(R"(["EVENT","s",{"id":")" + id + R"(","kind":1}])").event_id(), id);
  EXPECT_EQ(Scan(R"(["EVENT","s",{"content":"\"id\":\"x\"","tags":[["id","id"]], "id" : ")" + id +
                 R"("}])")
                .event_id(),
            id);
  EXPECT_EQ(Scan(R"(["EVENT","s",{"id":"short"}])").event_id(), "");
  EXPECT_EQ(Scan(R"(["EVENT","s",{}])").event_id(), "");
}

TEST(RelayText, ReadsThePayloadOfANegMsg) {
  const auto text = Scan(R"(["NEG-MSG","n","61ff"])");
  EXPECT_EQ(text.verb, Verb::kNegMsg);
  EXPECT_EQ(text.payload(), "61ff");
}

TEST(RelayText, CutShortIsNothingKnown) {
  const std::string message = R"(["EOSE","a\"b"])";
  EXPECT_EQ(Scan(message).verb, Verb::kEose);
  EXPECT_EQ(Scan(message).label, R"(a\"b)");
  for (size_t size = 0; size < message.size(); ++size) (void)Scan(message.substr(0, size));
  EXPECT_EQ(Scan(R"(["EOSE)").verb, Verb::kOther);
  EXPECT_EQ(Scan("{}").verb, Verb::kOther);
  EXPECT_EQ(Scan(R"(["HELLO","x"])").verb, Verb::kOther);
}

TEST(Unexpected, OnlyComplaintsAreErrors) {
  EXPECT_TRUE(Unexpected(Scan(R"(["AUTH","challenge"])")).ok());
  EXPECT_EQ(Unexpected(Scan(R"(["NOTICE","slow down"])")).message(),
            "NOTICE from the relay: slow down");
  EXPECT_EQ(Unexpected(Scan(R"(["CLOSED","s","error: busy"])")).message(),
            "the relay ended 's': error: busy");
  EXPECT_FALSE(Unexpected(Scan(R"(["NEG-ERR","n","blocked: no"])")).ok());
}

}  // namespace
}  // namespace graspd::bench
