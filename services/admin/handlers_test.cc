#include "services/admin/handlers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <set>

#include "services/admin/errors.h"
#include "services/admin/fake_controls.h"

namespace graspd::admin {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;

constexpr base::Duration kTimeout = seconds(5);

RemoteInfo Remote(const std::string& url, RemoteState state = RemoteState::kLive) {
  RemoteInfo info;
  info.url = url;
  info.state = state;
  info.source = RemoteSource::kDiscovered;
  return info;
}

// Expects `status` to be an error of `reason` about the request field `field`.
void ExpectError(const absl::Status& status, Reason reason, std::string_view field = "") {
  const auto detail = GetErrorDetail(status);
  ASSERT_TRUE(detail.has_value()) << status;
  EXPECT_EQ(ReasonName(detail->reason), ReasonName(reason));
  EXPECT_EQ(detail->field, field);
}

class HandlersTest : public testing::Test {
 protected:
  v1::ListRemotesResponse List(const v1::ListRemotesRequest& request) {
    v1::ListRemotesResponse response;
    EXPECT_EQ(ListRemotes(remotes_, kTimeout, request, &response), absl::OkStatus());
    return response;
  }
  static std::vector<std::string> Urls(const v1::ListRemotesResponse& response) {
    std::vector<std::string> urls;
    for (const auto& remote : response.remotes()) urls.push_back(remote.url());
    return urls;
  }

  FakeRemotes remotes_;
  FakeDiscovery discovery_;
  FakeSync sync_;
  FakeHealth health_;
};

TEST_F(HandlersTest, EnumsOfTheControlsHaveTheNumbersOfTheApi) {
  EXPECT_EQ(static_cast<int>(RemoteState::kDiscovered), v1::REMOTE_STATE_DISCOVERED);
  EXPECT_EQ(static_cast<int>(RemoteState::kSyncingHistory), v1::REMOTE_STATE_SYNCING_HISTORY);
  EXPECT_EQ(static_cast<int>(RemoteState::kBlocked), v1::REMOTE_STATE_BLOCKED);
  EXPECT_EQ(static_cast<int>(RemoteSource::kConfig), v1::REMOTE_SOURCE_CONFIG);
  EXPECT_EQ(static_cast<int>(RemoteSource::kApi), v1::REMOTE_SOURCE_API);
  EXPECT_EQ(static_cast<int>(SyncMethod::kReq), v1::SYNC_METHOD_REQ);
  EXPECT_EQ(static_cast<int>(CandidateDecision::kRefused), v1::CANDIDATE_DECISION_REFUSED);
  EXPECT_EQ(static_cast<int>(SyncJobState::kCancelled), v1::SYNC_JOB_STATE_CANCELLED);
  EXPECT_EQ(static_cast<int>(ComponentStatus::kDisabled), v1::COMPONENT_STATUS_DISABLED);
}

TEST_F(HandlersTest, RemoteShowsEveryFieldAndLeavesOutWhatNeverHappened) {
  RemoteInfo info = Remote("wss://a.example", RemoteState::kBackingOff);
  info.state_since = 1'700'000'000;
  info.last_error = {"tls", "bad \xff certificate", 1'700'000'001};
  info.consecutive_failures = 3;
  info.counts.gap_filled = 7;
  remotes_.Add(info);
  const auto response = List({});
  ASSERT_EQ(response.remotes_size(), 1);
  const v1::Remote& remote = response.remotes(0);
  EXPECT_EQ(remote.id(), RemoteId("wss://a.example"));
  EXPECT_EQ(remote.state(), v1::REMOTE_STATE_BACKING_OFF);
  EXPECT_EQ(remote.state_since().seconds(), 1'700'000'000);
  EXPECT_EQ(remote.last_error().message(), "bad ? certificate");
  EXPECT_EQ(remote.consecutive_failures(), 3u);
  EXPECT_EQ(remote.counts().gap_filled(), 7u);
  EXPECT_FALSE(remote.has_connected_at());
  EXPECT_FALSE(remote.has_next_attempt_at());
}

TEST_F(HandlersTest, PagesCoverEveryRemoteOnceInOrderOfUrl) {
  std::set<std::string> expected;
  for (int i = 0; i < 25; ++i) {
    expected.insert("wss://r" + std::to_string(i) + ".example");
  }
  for (const auto& url : expected) remotes_.Add(Remote(url));
  v1::ListRemotesRequest request;
  request.set_page_size(10);
  std::vector<std::string> seen;
  int pages = 0;
  do {
    const auto response = List(request);
    EXPECT_EQ(response.total_size(), 25);
    for (const auto& url : Urls(response)) seen.push_back(url);
    request.set_page_token(response.next_page_token());
    ++pages;
  } while (!request.page_token().empty() && pages < 10);
  EXPECT_EQ(pages, 3);
  EXPECT_EQ(seen, std::vector<std::string>(expected.begin(), expected.end()));
}

TEST_F(HandlersTest, LastPageThatIsExactlyFullHasNoToken) {
  remotes_.Add(Remote("wss://a.example"));
  v1::ListRemotesRequest request;
  request.set_page_size(1);
  EXPECT_EQ(List(request).next_page_token(), "");
}

TEST_F(HandlersTest, PageStaysRightWhenItsLastRemoteIsGone) {
  for (const char* url : {"wss://a.example", "wss://c.example"}) remotes_.Add(Remote(url));
  v1::ListRemotesRequest request;
  request.set_page_size(1);
  request.set_page_token(List(request).next_page_token());
  FakeRemotes others;
  for (const char* url : {"wss://b.example", "wss://c.example"}) others.Add(Remote(url));
  v1::ListRemotesResponse response;
  ASSERT_TRUE(ListRemotes(others, kTimeout, request, &response).ok());
  EXPECT_THAT(Urls(response), ElementsAre("wss://b.example"));
}

TEST_F(HandlersTest, FiltersNarrowTheListTogether) {
  remotes_.Add(Remote("wss://a.example", RemoteState::kLive));
  remotes_.Add(Remote("wss://b.example", RemoteState::kDead));
  remotes_.Add(Remote("wss://b.other", RemoteState::kLive));
  v1::ListRemotesRequest request;
  request.add_states(v1::REMOTE_STATE_LIVE);
  EXPECT_THAT(Urls(List(request)), ElementsAre("wss://a.example", "wss://b.other"));
  request.set_url_substring("b.");
  EXPECT_THAT(Urls(List(request)), ElementsAre("wss://b.other"));
  request.add_sources(v1::REMOTE_SOURCE_API);
  EXPECT_THAT(Urls(List(request)), ElementsAre());
}

TEST_F(HandlersTest, TokenOfAnotherFilterIsRefused) {
  for (const char* url : {"wss://a.example", "wss://b.example"}) remotes_.Add(Remote(url));
  v1::ListRemotesRequest request;
  request.set_page_size(1);
  request.set_page_token(List(request).next_page_token());
  request.set_url_substring("example");
  v1::ListRemotesResponse response;
  ExpectError(ListRemotes(remotes_, kTimeout, request, &response), Reason::kPageTokenInvalid,
              "page_token");
}

TEST_F(HandlersTest, UnknownEnumValueNamesItsField) {
  v1::ListRemotesRequest request;
  request.add_states(static_cast<v1::RemoteState>(99));
  v1::ListRemotesResponse response;
  ExpectError(ListRemotes(remotes_, kTimeout, request, &response), Reason::kArgumentInvalid,
              "states");
}

TEST_F(HandlersTest, RemoteIsFoundByIdAndByAnySpellingOfItsUrl) {
  remotes_.Add(Remote("wss://a.example"));
  for (const std::string& name :
       {RemoteId("wss://a.example"), std::string("WSS://A.Example:443/")}) {
    v1::GetRemoteRequest request;
    request.set_remote(name);
    v1::GetRemoteResponse response;
    ASSERT_EQ(GetRemote(remotes_, kTimeout, request, &response), absl::OkStatus()) << name;
    EXPECT_EQ(response.remote().url(), "wss://a.example");
  }
}

TEST_F(HandlersTest, UnknownAndMalformedRemotesAreToldApart) {
  v1::GetRemoteRequest request;
  v1::GetRemoteResponse response;
  ExpectError(GetRemote(remotes_, kTimeout, request, &response), Reason::kArgumentInvalid,
              "remote");
  request.set_remote("https://a.example");
  ExpectError(GetRemote(remotes_, kTimeout, request, &response), Reason::kUrlInvalid, "remote");
  request.set_remote("wss://nobody.example");
  ExpectError(GetRemote(remotes_, kTimeout, request, &response), Reason::kRemoteNotFound);
  request.set_remote("r-0123456789abcdef");
  ExpectError(GetRemote(remotes_, kTimeout, request, &response), Reason::kRemoteNotFound);
}

TEST_F(HandlersTest, PauseTwiceChangesOnce) {
  remotes_.Add(Remote("wss://a.example"));
  v1::PauseRemoteRequest request;
  request.set_remote("wss://a.example");
  for (const bool changed : {true, false}) {
    v1::PauseRemoteResponse response;
    ASSERT_EQ(PauseRemote(remotes_, kTimeout, request, &response), absl::OkStatus());
    ASSERT_TRUE(response.has_changed());
    EXPECT_EQ(response.changed(), changed);
    ASSERT_EQ(response.remotes_size(), 1);
    EXPECT_EQ(response.remotes(0).state(), v1::REMOTE_STATE_PAUSED);
  }
}

TEST_F(HandlersTest, ResumeOfAllPassesOnTheResetOfBackoff) {
  remotes_.Add(Remote("wss://b.example", RemoteState::kPaused));
  remotes_.Add(Remote("wss://a.example", RemoteState::kPaused));
  v1::ResumeRemoteRequest request;
  request.set_all(true);
  request.set_reset_backoff(true);
  v1::ResumeRemoteResponse response;
  ASSERT_EQ(ResumeRemote(remotes_, kTimeout, request, &response), absl::OkStatus());
  EXPECT_TRUE(response.changed());
  EXPECT_TRUE(remotes_.reset_backoff());
  ASSERT_EQ(response.remotes_size(), 2);
  EXPECT_EQ(response.remotes(0).url(), "wss://a.example");
}

TEST_F(HandlersTest, RemoteAndAllExcludeEachOtherAndOneIsNeeded) {
  v1::PauseRemoteRequest request;
  v1::PauseRemoteResponse response;
  ExpectError(PauseRemote(remotes_, kTimeout, request, &response), Reason::kArgumentInvalid,
              "remote");
  request.set_remote("wss://a.example");
  request.set_all(true);
  ExpectError(PauseRemote(remotes_, kTimeout, request, &response), Reason::kArgumentInvalid, "all");
}

TEST_F(HandlersTest, ReasonThatDoesNotFitIntoTheLogIsRefused) {
  v1::PauseRemoteRequest request;
  request.set_all(true);
  request.set_reason(std::string(257, 'x'));
  v1::PauseRemoteResponse response;
  ExpectError(PauseRemote(remotes_, kTimeout, request, &response), Reason::kArgumentInvalid,
              "reason");
}

TEST_F(HandlersTest, DiscoveryRunTellsIfItWasJoined) {
  discovery_.run = DiscoveryRunInfo{.id = "d-1", .started_at = 1'700'000'000, .joined = true};
  v1::TriggerDiscoveryResponse response;
  ASSERT_EQ(TriggerDiscovery(discovery_, kTimeout, {}, &response), absl::OkStatus());
  EXPECT_TRUE(response.joined());
  EXPECT_EQ(response.run().id(), "d-1");
  EXPECT_FALSE(response.run().has_finished_at());
}

TEST_F(HandlersTest, DiscoveryThatIsRateLimitedSaysSo) {
  discovery_.run = AdminError(Reason::kSyncDisabled, "sync is switched off");
  v1::TriggerDiscoveryResponse response;
  ExpectError(TriggerDiscovery(discovery_, kTimeout, {}, &response), Reason::kSyncDisabled);
}

TEST_F(HandlersTest, CandidatesAreFilteredByDecisionAndReason) {
  discovery_.candidates = {
      {"wss://c", 1, 1, CandidateDecision::kAdded, "", ""},
      {"wss://b", 1, 2, CandidateDecision::kRefused, "SELF", ""},
      {"not \xff a url", 1, 3, CandidateDecision::kRefused, "URL_INVALID", ""}};
  v1::ListCandidatesRequest request;
  request.add_decisions(v1::CANDIDATE_DECISION_REFUSED);
  v1::ListCandidatesResponse response;
  ASSERT_EQ(ListCandidates(discovery_, kTimeout, request, &response), absl::OkStatus());
  ASSERT_EQ(response.candidates_size(), 2);
  EXPECT_EQ(response.candidates(0).url(), "not ? a url");
  response.Clear();
  request.set_reason("SELF");
  ASSERT_EQ(ListCandidates(discovery_, kTimeout, request, &response), absl::OkStatus());
  ASSERT_EQ(response.candidates_size(), 1);
  EXPECT_EQ(response.candidates(0).referenced_by(), 2u);
}

TEST_F(HandlersTest, SyncReturnsTheJobsOfTheSelectedRemote) {
  SyncJobInfo job;
  job.id = "j-1";
  job.remote_url = "wss://a.example";
  job.filter_json = "{}";
  job.joined = true;
  sync_.jobs = {job};
  v1::TriggerSyncRequest request;
  request.set_remote("wss://A.example/");
  v1::TriggerSyncResponse response;
  ASSERT_EQ(TriggerSync(sync_, remotes_, kTimeout, request, &response), absl::OkStatus());
  EXPECT_EQ(sync_.selected.url, "wss://a.example");
  ASSERT_EQ(response.jobs_size(), 1);
  EXPECT_TRUE(response.jobs(0).joined());
  EXPECT_EQ(response.jobs(0).state(), v1::SYNC_JOB_STATE_QUEUED);
  EXPECT_EQ(response.jobs(0).filter_json(), "{}");
}

TEST_F(HandlersTest, HealthIsAsBadAsItsWorstComponentAndDisabledIsFine) {
  health_.components = {{.name = "store"}, {.name = "sync", .status = ComponentStatus::kDisabled}};
  v1::GetHealthResponse response;
  ASSERT_EQ(GetHealth(health_, kTimeout, {}, &response), absl::OkStatus());
  EXPECT_EQ(response.overall(), v1::COMPONENT_STATUS_OK);
  health_.components.push_back({.name = "ingest", .status = ComponentStatus::kDegraded});
  response.Clear();
  ASSERT_EQ(GetHealth(health_, kTimeout, {}, &response), absl::OkStatus());
  EXPECT_EQ(response.overall(), v1::COMPONENT_STATUS_DEGRADED);
  EXPECT_EQ(response.components(0).name(), "ingest");
}

TEST_F(HandlersTest, HealthOfChosenComponentsOnly) {
  health_.components = {{.name = "store"}, {.name = "sync", .status = ComponentStatus::kFailed}};
  v1::GetHealthRequest request;
  request.add_components("store");
  v1::GetHealthResponse response;
  ASSERT_EQ(GetHealth(health_, kTimeout, request, &response), absl::OkStatus());
  EXPECT_EQ(response.overall(), v1::COMPONENT_STATUS_OK);
  EXPECT_EQ(response.components_size(), 1);
  request.add_components("nope");
  ExpectError(GetHealth(health_, kTimeout, request, &response), Reason::kComponentUnknown,
              "components");
}

}  // namespace
}  // namespace graspd::admin
