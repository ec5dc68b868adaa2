// The server as clients see it: over real sockets, with fake controls behind it.
#include "services/admin/admin_server.h"

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.pb.h>
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <thread>

#include "base/bounded_queue.h"
#include "base/manual_clock.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "graspd/admin/v1/ops_service.grpc.pb.h"
#include "graspd/admin/v1/remote_service.grpc.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "grpc/reflection/v1/reflection.grpc.pb.h"
#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"
#include "services/admin/fake_controls.h"

namespace graspd::admin {
namespace {

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using std::chrono::hours;
using std::chrono::seconds;
using testing::Contains;
using testing::HasSubstr;

net::ListenAddress At(std::string_view text) { return *net::ListenAddress::Parse(text); }

class AdminServerTest : public testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<AdminServer>> Start(AdminOptions options) {
    BuildInfo build;
    build.version = "1.2.3";
    build.libraries = {{"boost", "1.2.3"}};
    return AdminServer::Start(std::move(options), {remotes_, discovery_, sync_, health_}, build,
                              metrics_, clock_);
  }
  // A server on a free port; channel_ leads to it.
  void StartServer(bool reflection = true) {
    auto server = Start({.listen = {At("127.0.0.1:0")}, .reflection = reflection});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = std::move(*server);
    channel_ = grpc::CreateChannel(server_->addresses().front().ToString(),
                                   grpc::InsecureChannelCredentials());
  }
  void AddRemote(const std::string& url) {
    RemoteInfo info;
    info.url = url;
    info.state = RemoteState::kLive;
    remotes_.Add(info);
  }
  // The status that Health.Check gives for `name`, or UNKNOWN if it fails.
  HealthCheckResponse::ServingStatus Check(const std::string& name) {
    grpc::ClientContext context;
    HealthCheckRequest request;
    request.set_service(name);
    HealthCheckResponse response;
    const auto status = Health::NewStub(channel_)->Check(&context, request, &response);
    return status.ok() ? response.status() : HealthCheckResponse::UNKNOWN;
  }

  base::ManualClock clock_;
  base::Metrics metrics_;
  FakeRemotes remotes_;
  FakeDiscovery discovery_;
  FakeSync sync_;
  FakeHealth health_;
  std::unique_ptr<AdminServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(AdminServerTest, AnswersOverLoopbackAndCountsTheCall) {
  AddRemote("wss://a.example");
  StartServer();
  grpc::ClientContext context;
  v1::ListRemotesResponse response;
  const auto status = v1::RemoteService::NewStub(channel_)->ListRemotes(&context, {}, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(response.remotes_size(), 1);
  EXPECT_EQ(response.remotes(0).url(), "wss://a.example");

  const std::string text = metrics_.Serialize();
  EXPECT_THAT(text, HasSubstr("grpc_server_started_total{grpc_method=\"ListRemotes\","
                              "grpc_service=\"graspd.admin.v1.RemoteService\"} 1"));
  EXPECT_THAT(text,
              HasSubstr("grpc_server_handled_total{grpc_code=\"OK\",grpc_method=\"ListRemotes\","
                        "grpc_service=\"graspd.admin.v1.RemoteService\"} 1"));
  EXPECT_THAT(text, HasSubstr("grpc_server_started_total{grpc_method=\"PauseRemote\","
                              "grpc_service=\"graspd.admin.v1.RemoteService\"} 0"));
}

TEST_F(AdminServerTest, ErrorsComeWithDecodableDetails) {
  StartServer();
  grpc::ClientContext context;
  v1::GetRemoteRequest request;
  request.set_remote("wss://nobody.example");
  v1::GetRemoteResponse response;
  const auto status = v1::RemoteService::NewStub(channel_)->GetRemote(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  google::rpc::Status details;
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(details.ParseFromString(status.error_details()));
  ASSERT_TRUE(details.details(0).UnpackTo(&info));
  EXPECT_EQ(info.reason(), "REMOTE_NOT_FOUND");
  EXPECT_EQ(info.domain(), "admin.graspd");
}

TEST_F(AdminServerTest, ControlsGetTheCallersDeadlineOrTenSeconds) {
  StartServer();
  const auto stub = v1::RemoteService::NewStub(channel_);
  v1::ListRemotesResponse response;
  grpc::ClientContext without;
  ASSERT_TRUE(stub->ListRemotes(&without, {}, &response).ok());
  EXPECT_EQ(remotes_.last_timeout(), seconds(10));
  grpc::ClientContext with;
  with.set_deadline(gpr_time_from_seconds(30, GPR_TIMESPAN));
  ASSERT_TRUE(stub->ListRemotes(&with, {}, &response).ok());
  EXPECT_GT(remotes_.last_timeout(), seconds(10));
  EXPECT_LT(remotes_.last_timeout(), seconds(30));
}

TEST_F(AdminServerTest, CallsPastTheQueueAreRefusedAndHealthStillAnswers) {
  constexpr size_t kCapacity = 4 + 64;  // running and waiting
  constexpr size_t kCalls = kCapacity + 10;
  struct Call {
    grpc::ClientContext context;
    v1::ListRemotesRequest request;
    v1::ListRemotesResponse response;
  };
  StartServer();
  remotes_.Close();
  const auto stub = v1::RemoteService::NewStub(channel_);
  std::vector<Call> calls(kCalls);
  // Shared: the last callback may still be in TryPush when this test has seen its result.
  const auto ended = std::make_shared<base::BoundedQueue<grpc::StatusCode>>(kCalls);
  for (Call& call : calls) {
    stub->async()->ListRemotes(
        &call.context, &call.request, &call.response,
        [ended](const grpc::Status& status) { EXPECT_TRUE(ended->TryPush(status.error_code())); });
  }
  // While the control hangs, only refusals can end.
  for (size_t i = kCapacity; i < kCalls; ++i) {
    EXPECT_EQ(ended->Pop(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  }
  EXPECT_EQ(Check("liveness"), HealthCheckResponse::SERVING);
  remotes_.Open();
  int succeeded = 0;
  for (size_t i = 0; i < kCapacity; ++i) succeeded += ended->Pop() == grpc::StatusCode::OK;
  EXPECT_GE(succeeded, 64);
}

TEST_F(AdminServerTest, BuildInfoHasVersionsStartAndHashOfTheApi) {
  StartServer();
  grpc::ClientContext context;
  v1::GetBuildInfoResponse response;
  ASSERT_TRUE(v1::OpsService::NewStub(channel_)->GetBuildInfo(&context, {}, &response).ok());
  EXPECT_EQ(response.version(), "1.2.3");
  for (const char* library : {"boost", "grpc", "openssl", "protobuf"}) {
    ASSERT_TRUE(response.libraries().contains(library)) << library;
    EXPECT_THAT(response.libraries().at(library), testing::MatchesRegex("[0-9]+[.][0-9]+.*"));
  }
  EXPECT_EQ(response.api_sha256().size(), 64u);
  EXPECT_EQ(response.started_at().seconds(), static_cast<int64_t>(clock_.UnixNow()));
}

// Asks one reflection question, in either version of the protocol.
template <typename Reflection, typename Request, typename Response>
Response Ask(const std::shared_ptr<grpc::Channel>& channel, const Request& request) {
  grpc::ClientContext context;
  const auto stub = Reflection::NewStub(channel);
  const auto stream = stub->ServerReflectionInfo(&context);
  Response response;
  EXPECT_TRUE(stream->Write(request));
  EXPECT_TRUE(stream->Read(&response));
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
  return response;
}

template <typename Request, typename Response, typename Reflection>
void ExpectReflectionWithComments(const std::shared_ptr<grpc::Channel>& channel) {
  Request list;
  list.set_list_services("*");
  const auto services = Ask<Reflection, Request, Response>(channel, list);
  EXPECT_EQ(services.list_services_response().service_size(), 7);

  Request symbol;
  symbol.set_file_containing_symbol("graspd.admin.v1.RemoteService.PauseRemote");
  const auto answer = Ask<Reflection, Request, Response>(channel, symbol);
  ASSERT_GT(answer.file_descriptor_response().file_descriptor_proto_size(), 0);
  EXPECT_EQ(answer.original_request().file_containing_symbol(), symbol.file_containing_symbol());
  google::protobuf::FileDescriptorProto file;
  ASSERT_TRUE(file.ParseFromString(answer.file_descriptor_response().file_descriptor_proto(0)));
  EXPECT_GT(file.source_code_info().location_size(), 0);

  Request unknown;
  unknown.set_file_containing_symbol("no.such.Thing");
  const auto error = Ask<Reflection, Request, Response>(channel, unknown);
  EXPECT_EQ(error.error_response().error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(AdminServerTest, ReflectsInBothVersionsWithComments) {
  namespace alpha = grpc::reflection::v1alpha;
  namespace v1r = grpc::reflection::v1;
  StartServer();
  ExpectReflectionWithComments<v1r::ServerReflectionRequest, v1r::ServerReflectionResponse,
                               v1r::ServerReflection>(channel_);
  ExpectReflectionWithComments<alpha::ServerReflectionRequest, alpha::ServerReflectionResponse,
                               alpha::ServerReflection>(channel_);
}

TEST_F(AdminServerTest, ReflectionCanBeSwitchedOff) {
  StartServer(false);
  grpc::ClientContext context;
  const auto stub = grpc::reflection::v1::ServerReflection::NewStub(channel_);
  EXPECT_EQ(stub->ServerReflectionInfo(&context)->Finish().error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(Check("grpc.reflection.v1.ServerReflection"), HealthCheckResponse::UNKNOWN);
}

TEST_F(AdminServerTest, HealthFollowsTheProbes) {
  StartServer();
  for (const char* name : {"", "liveness", "readiness", "startup", "sync",
                           "graspd.admin.v1.RemoteService", "grpc.health.v1.Health"}) {
    EXPECT_EQ(Check(name), HealthCheckResponse::SERVING) << name;
  }
  health_.ready = false;
  health_.in_sync = false;
  EXPECT_EQ(Check("readiness"), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(Check("sync"), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(Check(""), HealthCheckResponse::SERVING);
  EXPECT_EQ(Check("liveness"), HealthCheckResponse::SERVING);
}

TEST_F(AdminServerTest, UnknownHealthNameIsNotFound) {
  StartServer();
  grpc::ClientContext context;
  HealthCheckRequest request;
  request.set_service("nope");
  HealthCheckResponse response;
  EXPECT_EQ(Health::NewStub(channel_)->Check(&context, request, &response).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(AdminServerTest, NotServingLeavesLivenessAlone) {
  StartServer();
  server_->SetServing(false);
  EXPECT_EQ(Check(""), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(Check("readiness"), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(Check("graspd.admin.v1.OpsService"), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(Check("liveness"), HealthCheckResponse::SERVING);
  server_->SetServing(true);
  EXPECT_EQ(Check(""), HealthCheckResponse::SERVING);
}

TEST_F(AdminServerTest, WatchTellsOfChangesAndEndsAtShutdown) {
  StartServer();
  grpc::ClientContext context;
  HealthCheckRequest request;
  request.set_service("readiness");
  const auto stub = Health::NewStub(channel_);
  const auto watch = stub->Watch(&context, request);
  HealthCheckResponse response;
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  health_.ready = false;  // nobody tells the server: it looks by itself
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::NOT_SERVING);
  server_->Shutdown(hours(1));
  EXPECT_FALSE(watch->Read(&response));
  EXPECT_EQ(watch->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(AdminServerTest, WatchOfAnUnknownNameStaysOpen) {
  StartServer();
  grpc::ClientContext context;
  HealthCheckRequest request;
  request.set_service("nope");
  const auto stub = Health::NewStub(channel_);
  const auto watch = stub->Watch(&context, request);
  HealthCheckResponse response;
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVICE_UNKNOWN);
  context.TryCancel();
  EXPECT_EQ(watch->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(AdminServerTest, ShutdownDoesNotWaitForAnIdleReflectionStream) {
  StartServer();
  grpc::ClientContext context;
  const auto stub = grpc::reflection::v1::ServerReflection::NewStub(channel_);
  const auto stream = stub->ServerReflectionInfo(&context);
  grpc::reflection::v1::ServerReflectionRequest request;
  request.set_list_services("*");
  grpc::reflection::v1::ServerReflectionResponse response;
  ASSERT_TRUE(stream->Write(request));
  ASSERT_TRUE(stream->Read(&response));
  server_->Shutdown(hours(1));
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(AdminServerTest, StreamsPastTheLimitAreRefused) {
  StartServer();
  constexpr int kLimit = 64;
  const auto stub = Health::NewStub(channel_);
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<HealthCheckResponse>>> watches;
  HealthCheckResponse response;
  for (int i = 0; i < kLimit; ++i) {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    watches.push_back(stub->Watch(contexts.back().get(), HealthCheckRequest()));
    ASSERT_TRUE(watches.back()->Read(&response)) << i;
  }
  grpc::ClientContext one_more;
  EXPECT_EQ(stub->Watch(&one_more, HealthCheckRequest())->Finish().error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  for (auto& context : contexts) context->TryCancel();
  for (auto& watch : watches) EXPECT_FALSE(watch->Finish().ok());
}

TEST_F(AdminServerTest, ShutdownTwiceIsFine) {
  StartServer();
  server_->Shutdown(seconds(1));
  server_->Shutdown(seconds(1));
}

TEST_F(AdminServerTest, OnlyLocalAddressesAreAccepted) {
  for (const char* address : {"0.0.0.0:0", "[::]:0", "192.0.2.1:7335"}) {
    EXPECT_EQ(Start({.listen = {At("127.0.0.1:0"), At(address)}}).status().code(),
              absl::StatusCode::kInvalidArgument)
        << address;
  }
  EXPECT_EQ(Start({.listen = {}}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(AdminServerTest, TakenPortIsAnErrorThatNamesIt) {
  StartServer();
  const std::string address = server_->addresses().front().ToString();
  const auto second = Start({.listen = {At(address)}});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(second.status().ToString(), HasSubstr(address));
  EXPECT_THAT(second.status().ToString(), HasSubstr("in use"));
}

TEST_F(AdminServerTest, UnixSocketIsForTheOwnerOnlyAndReplacesAStaleOne) {
  namespace fs = std::filesystem;
  char name[] = "/tmp/graspd_admin_XXXXXX";
  ASSERT_NE(::mkdtemp(name), nullptr);
  const std::string path = std::string(name) + "/admin.sock";
  const std::string address = "unix:" + path;
  {
    auto server = Start({.listen = {At(address), At("127.0.0.1:0")}});
    ASSERT_TRUE(server.ok()) << server.status();
    EXPECT_EQ((*server)->addresses().front().ToString(), address);
    EXPECT_NE((*server)->addresses().back().tcp.port, 0);
    struct stat info {};
    ASSERT_EQ(::stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u);
    EXPECT_EQ(Start({.listen = {At(address)}}).status().code(), absl::StatusCode::kAlreadyExists);

    grpc::ClientContext context;
    v1::ListRemotesResponse response;
    const auto channel = grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
    EXPECT_TRUE(v1::RemoteService::NewStub(channel)->ListRemotes(&context, {}, &response).ok());
  }
  auto again = Start({.listen = {At(address)}});
  EXPECT_TRUE(again.ok()) << again.status();
  again = absl::CancelledError();
  fs::remove_all(name);
}

}  // namespace
}  // namespace graspd::admin
