#include "services/admin/text.h"

#include <gtest/gtest.h>

namespace graspd::admin {
namespace {

TEST(TextTest, ValidTextOfEveryLengthIsKept) {
  const std::string text = "a\u00e9\u20ac\U0001F600\n";
  EXPECT_EQ(CleanText(text), text);
}

TEST(TextTest, EveryByteThatIsNotUtf8BecomesAQuestionMark) {
  EXPECT_EQ(CleanText("a\xff"
                      "b"),
            "a?b");
  EXPECT_EQ(CleanText("\xc0\xaf"), "??");            // overlong
  EXPECT_EQ(CleanText("\xed\xa0\x80"), "???");       // surrogate
  EXPECT_EQ(CleanText("\xf4\x90\x80\x80"), "????");  // past U+10FFFF
  EXPECT_EQ(CleanText("ok\xe2\x82"), "ok??");        // truncated
}

TEST(TextTest, CutsBetweenCharacters) {
  EXPECT_EQ(CleanText("ab\u20ac", 4), "ab");
  EXPECT_EQ(CleanText("ab\u20ac", 5), "ab\u20ac");
  EXPECT_EQ(CleanText("abc", 0), "");
}

}  // namespace
}  // namespace graspd::admin
