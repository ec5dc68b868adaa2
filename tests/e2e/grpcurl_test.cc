// The admin API with the tool that operators use, and without any .proto file.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "tests/e2e/admin_client.h"
#include "tests/e2e/support.h"

namespace graspd::e2e {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// On PATH, or where tools/install_grpcurl.sh puts it.
std::optional<std::string> FindGrpcurl() {
  const char* path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string candidate = folder + "/grpcurl";
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  if (access(GRPCURL, X_OK) == 0) return GRPCURL;
  return std::nullopt;
}

// A graspd whose only remote is a small upstream, connected and live.
class GrpcurlTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto found = FindGrpcurl();
    if (!found && InteropIsRequired()) {
      FAIL() << "grpcurl is required and absent: tools/install_grpcurl.sh installs it";
    }
    if (!found) GTEST_SKIP() << "no grpcurl: tools/install_grpcurl.sh installs it";
    grpcurl_ = *found;
    upstream_ = std::make_unique<Graspd>(
        dir_, "upstream", std::vector<std::string>{"--store=memory:", "--policy-mode=open"});
    graspd_ = std::make_unique<Graspd>(
        dir_, "graspd",
        std::vector<std::string>{"--store=memory:", "--sync-startup-delay=0s",
                                 "--sync-allow-cidrs=127.0.0.0/8", "--sync-bootstrap=" + remote(),
                                 "--admin-listen=127.0.0.1:0,unix:" + socket_});
    admin_ = graspd_->admin().substr(0, graspd_->admin().find(','));
    ASSERT_TRUE(Eventually([&] { return AdminClient(admin_).IsLive(remote()); }));
  }

  // Flags go before the address, the rest behind it.
  Outcome Grpcurl(std::vector<std::string> flags, const std::vector<std::string>& rest) const {
    flags.insert(flags.begin(), {grpcurl_, "-plaintext"});
    flags.push_back(admin_);
    flags.insert(flags.end(), rest.begin(), rest.end());
    return RunToEnd(flags);
  }
  // The answer to a call that succeeds.
  std::string Call(const std::string& method, const std::string& request = "{}") const {
    const Outcome outcome = Grpcurl({"-d", request}, {method});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return outcome.out;
  }
  std::string CallV1(const std::string& method, const std::string& request = "{}") const {
    return Call("graspd.admin.v1." + method, request);
  }
  [[nodiscard]] std::string remote() const { return upstream_->relay_url(); }
  [[nodiscard]] std::string OneRemote() const { return R"({"remote": ")" + remote() + R"("})"; }

  const TempDir dir_;
  const std::string socket_ = dir_ / "admin.sock";
  std::string grpcurl_, admin_;
  std::unique_ptr<Graspd> upstream_, graspd_;
};

TEST_F(GrpcurlTest, ListShowsEveryService) {
  const Outcome outcome = Grpcurl({}, {"list"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  for (const char* service :
       {"graspd.admin.v1.DiscoveryService", "graspd.admin.v1.OpsService",
        "graspd.admin.v1.RemoteService", "graspd.admin.v1.SyncService", "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"}) {
    EXPECT_THAT(outcome.out, HasSubstr(service));
  }
}

TEST_F(GrpcurlTest, DescribeShowsCommentsAndTheRole) {
  const Outcome outcome = Grpcurl({}, {"describe", "graspd.admin.v1.RemoteService.PauseRemote"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("stays away until it is resumed"),
                                 HasSubstr("required_role"), HasSubstr("ROLE_OPERATOR")));
}

TEST_F(GrpcurlTest, RemotesAreListedPausedResumedAndSynchronised) {
  EXPECT_THAT(CallV1("RemoteService/ListRemotes"),
              AllOf(HasSubstr(remote()), HasSubstr("REMOTE_STATE_LIVE"),
                    HasSubstr("REMOTE_SOURCE_CONFIG")));
  EXPECT_THAT(CallV1("SyncService/TriggerSync", OneRemote()),
              AllOf(HasSubstr("\"jobs\""), HasSubstr(remote())));
  EXPECT_THAT(CallV1("RemoteService/PauseRemote", OneRemote()),
              AllOf(HasSubstr("REMOTE_STATE_PAUSED"), HasSubstr("\"changed\": true")));
  EXPECT_THAT(CallV1("RemoteService/PauseRemote", OneRemote()), HasSubstr("\"changed\": false"));
  EXPECT_THAT(CallV1("RemoteService/ResumeRemote", OneRemote()),
              AllOf(Not(HasSubstr("REMOTE_STATE_PAUSED")), HasSubstr("\"changed\": true")));
  EXPECT_TRUE(Eventually([&] { return AdminClient(admin_).IsLive(remote()); }));
}

TEST_F(GrpcurlTest, DiscoveryRunsAndShowsItsCandidates) {
  EXPECT_THAT(CallV1("DiscoveryService/TriggerDiscovery"), HasSubstr("\"finishedAt\""));
  EXPECT_THAT(CallV1("DiscoveryService/ListCandidates"),
              AllOf(HasSubstr(remote()), HasSubstr("CANDIDATE_DECISION_ADDED")));
}

TEST_F(GrpcurlTest, HealthAndBuildAreShown) {
  EXPECT_THAT(CallV1("OpsService/GetHealth"),
              AllOf(HasSubstr("\"overall\": \"COMPONENT_STATUS_OK\""), HasSubstr("\"store\""),
                    HasSubstr("\"sync\"")));
  EXPECT_THAT(CallV1("OpsService/GetBuildInfo"),
              AllOf(HasSubstr("\"version\""), HasSubstr("\"dirty\""), Not(HasSubstr("-dirty")),
                    HasSubstr("\"boost\""), HasSubstr("\"protobuf\""), HasSubstr("\"apiSha256\""),
                    HasSubstr("GRASP-02")));
  EXPECT_THAT(Call("grpc.health.v1.Health/Check"), HasSubstr("\"SERVING\""));
  EXPECT_THAT(Call("grpc.health.v1.Health/Check", R"({"service": "readiness"})"),
              HasSubstr("\"SERVING\""));
}

TEST_F(GrpcurlTest, AnErrorNamesItsReason) {
  const Outcome outcome = Grpcurl({"-format-error", "-d", R"({"remote": "wss://unknown.example"})"},
                                  {"graspd.admin.v1.RemoteService/PauseRemote"});
  EXPECT_NE(outcome.exit_code, 0);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("REMOTE_NOT_FOUND"), HasSubstr("admin.graspd"),
                                 HasSubstr("wss://unknown.example")));
}

TEST_F(GrpcurlTest, AUnixSocketServesTheSame) {
  const Outcome outcome = RunToEnd(
      {grpcurl_, "-plaintext", "-unix", socket_, "graspd.admin.v1.RemoteService/ListRemotes"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr(remote()));
}

}  // namespace
}  // namespace graspd::e2e
