#include "services/relay/info_pages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace graspd::relay {
namespace {

using testing::HasSubstr;
using testing::Not;

net::HttpRequest Get(std::string target, std::string accept = "text/html") {
  net::HttpRequest request;
  request.method = "GET";
  request.target = std::move(target);
  request.headers = {{"accept", std::move(accept)}};
  return request;
}

TEST(InfoPages, TheDocumentNamesWhatIsEnabledAndTheRealLimits) {
  RelayInfo info;
  info.name = "a \"relay\"";
  info.version = "1.2";
  nostr::Limits limits;
  limits.message_bytes = 1234;
  limits.subscriptions = 7;
  EXPECT_EQ(
      RelayInformationDocument(info, limits),
      R"({"name":"a \"relay\"","version":"1.2",)"
      R"("supported_nips":[1,9,11,34,40,42,45,70,77],"supported_grasps":["GRASP-02"],)"
      R"("repo_acceptance_criteria":"Repository announcements that list this service, and )"
      R"(events that refer to them.","limitation":{"max_message_length":1234,)"
      R"("max_subscriptions":7,"max_filters":20,"max_limit":5000,"default_limit":500,)"
      R"("max_subid_length":64,"max_event_tags":2000,"max_content_length":262144,"created_at_upper_limit":900,)"
      R"("auth_required":false,"payment_required":false,"restricted_writes":true}})");
}

TEST(InfoPages, TheDocumentNamesTheSoftwareByItsUrlIfThereIsOne) {
  RelayInfo info;
  EXPECT_THAT(RelayInformationDocument(info, {}), Not(HasSubstr("software")));
  info.software = "https://git.example/graspd";
  EXPECT_THAT(RelayInformationDocument(info, {}),
              HasSubstr(R"("software":"https://git.example/graspd")"));
}

TEST(InfoPages, GraspsFollowTheConfiguration) {
  RelayInfo info;
  info.mode = ingest::PolicyMode::kArchive;
  EXPECT_THAT(RelayInformationDocument(info, {}),
              HasSubstr(R"("supported_grasps":["GRASP-02","GRASP-05"])"));
  info.mode = ingest::PolicyMode::kOpen;
  info.sync_enabled = false;
  EXPECT_THAT(RelayInformationDocument(info, {}), HasSubstr(R"("supported_grasps":[])"));
  EXPECT_THAT(RelayInformationDocument(info, {}), HasSubstr(R"("restricted_writes":false)"));
}

TEST(InfoPages, WhatIsAcceptedFollowsThePolicysLists) {
  RelayInfo info;
  EXPECT_THAT(RelayInformationDocument(info, {}), Not(HasSubstr("curation")));
  info.operator_chooses = true;
  for (const auto mode : {ingest::PolicyMode::kGrasp, ingest::PolicyMode::kArchive}) {
    info.mode = mode;
    EXPECT_THAT(RelayInformationDocument(info, {}), HasSubstr("that the operator has chosen"));
    EXPECT_THAT(RelayInformationDocument(info, {}), HasSubstr(R"("curation":)"));
  }
  info = {.mode = ingest::PolicyMode::kOpen, .blacklists = true};
  EXPECT_THAT(RelayInformationDocument(info, {}), HasSubstr(R"("restricted_writes":true)"));
}

TEST(InfoPages, AGitServiceBesideIsNamed) {
  EXPECT_THAT(RelayInformationDocument({.git_service_beside = true}, {}),
              HasSubstr(R"("supported_grasps":["GRASP-01","GRASP-02"])"));
}

TEST(InfoPages, BrowsersGetAPageAndClientsTheDocument) {
  RelayInfo info;
  info.name = "<script>";
  info.url = "wss://relay.example";
  const InfoPages pages(info, {});
  const auto page = pages.Answer(Get("/"));
  EXPECT_EQ(page.status, 200);
  EXPECT_THAT(page.content_type, HasSubstr("text/html"));
  EXPECT_THAT(page.body, HasSubstr("wss://relay.example"));
  EXPECT_THAT(page.body, Not(HasSubstr("<script>")));
  const auto document = pages.Answer(Get("/?x=1", "text/html, application/nostr+json"));
  EXPECT_EQ(document.content_type, "application/nostr+json");
  EXPECT_EQ(document.body, RelayInformationDocument(info, {}));
}

TEST(InfoPages, UnknownPathsMethodsAndPreflightRequestsAreAnswered) {
  const InfoPages pages({}, {});
  EXPECT_EQ(pages.Answer(Get("/nothing")).status, 404);
  EXPECT_THAT(pages.Answer(Get("/nothing")).body, HasSubstr("<html"));
  auto request = Get("/");
  request.method = "OPTIONS";
  EXPECT_EQ(pages.Answer(request).status, 204);
  request.method = "POST";
  EXPECT_EQ(pages.Answer(request).status, 405);
  request.method = "HEAD";
  EXPECT_EQ(pages.Answer(request).status, 200);
}

TEST(InfoPages, ThePathOfTheRelaysUrlCountsAsTheRelay) {
  RelayInfo info;
  info.url = "wss://example.com/relay";
  const InfoPages pages(info, {});
  EXPECT_EQ(pages.Answer(Get("/relay", "application/nostr+json")).status, 200);
}

}  // namespace
}  // namespace graspd::relay
