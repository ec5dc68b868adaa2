#include "services/admin/paging.h"

#include <gtest/gtest.h>

#include "services/admin/errors.h"

namespace graspd::admin {
namespace {

TEST(PagingTest, PageSizeHasADefaultAndAMaximumAndMayNotBeNegative) {
  EXPECT_EQ(*PageSize(0), 50u);
  EXPECT_EQ(*PageSize(7), 7u);
  EXPECT_EQ(*PageSize(501), 500u);
  const auto error = GetErrorDetail(PageSize(-1).status());
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->field, "page_size");
}

TEST(PagingTest, TokenGivesItsKeyBackAndIsSafeInUrls) {
  const std::string token = MakePageToken("wss://\u20ac?/>", "f");
  EXPECT_EQ(token.find_first_of("+/ ?&"), std::string::npos);
  EXPECT_EQ(*ReadPageToken(token, "f"), "wss://\u20ac?/>");
  EXPECT_EQ(*ReadPageToken("", "f"), "");
}

TEST(PagingTest, TokenOfOtherFiltersOrOfNobodyIsRefused) {
  const std::string token = MakePageToken("wss://a", "f");
  for (const auto& result : {ReadPageToken(token, "g"), ReadPageToken("nonsense!", "f"),
                             ReadPageToken(token.substr(0, 6), "f"), ReadPageToken("AAAA", "f")}) {
    const auto error = GetErrorDetail(result.status());
    ASSERT_TRUE(error.has_value());
    EXPECT_EQ(error->reason, Reason::kPageTokenInvalid);
    EXPECT_EQ(error->field, "page_token");
  }
}

}  // namespace
}  // namespace graspd::admin
