#include "nostr/nip11.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace graspd::nostr {
namespace {

TEST(Nip11, ReadsWhatLimitsAClient) {
  const auto information = ParseRelayInformation(R"({
      "name": "a relay", "supported_nips": [1, 11, 77, "x", -1, 1.5],
      "limitation": {"max_message_length": 131072, "max_subscriptions": 20, "max_filters": 100,
                     "max_limit": 500, "auth_required": true, "min_pow_difficulty": 0},
      "fees": {"admission": [{"amount": 1}]}})");
  ASSERT_TRUE(information.ok());
  EXPECT_EQ(information->max_message_length, 131072u);
  EXPECT_EQ(information->max_subscriptions, 20u);
  EXPECT_EQ(information->max_filters, 100u);
  EXPECT_EQ(information->max_limit, 500u);
  EXPECT_TRUE(information->auth_required);
  EXPECT_THAT(information->supported_nips, ::testing::ElementsAre(1, 11, 77));
}

TEST(Nip11, WhatMakesNoSenseCountsAsNotSaid) {
  for (const char* text : {"{}", R"({"limitation": null})", R"({"limitation": []})",
                           R"({"limitation": {"max_subscriptions": 0}})",
                           R"({"limitation": {"max_subscriptions": -5}})",
                           R"({"limitation": {"max_subscriptions": "20"}})",
                           R"({"limitation": {"max_subscriptions": 1e3}})"}) {
    const auto information = ParseRelayInformation(text);
    ASSERT_TRUE(information.ok()) << text;
    EXPECT_FALSE(information->max_subscriptions.has_value()) << text;
    EXPECT_FALSE(information->auth_required) << text;
  }
}

TEST(Nip11, OtherThanAnObjectIsAnError) {
  for (const std::string& text :
       {std::string(), std::string("[]"), std::string("<html>"), std::string("{\"name\":"),
        std::string(100'000, '['), std::string("{\"a\":\"\xff\"}")}) {
    EXPECT_FALSE(ParseRelayInformation(text).ok()) << text.substr(0, 20);
  }
}

}  // namespace
}  // namespace graspd::nostr
