#include "services/admin/rpc_services.h"

#include <google/protobuf/stubs/common.h>
#include <grpcpp/grpcpp.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <span>

#include "base/hex.h"
#include "graspd/admin/v1/discovery_service.grpc.pb.h"
#include "graspd/admin/v1/ops_service.grpc.pb.h"
#include "graspd/admin/v1/remote_service.grpc.pb.h"
#include "graspd/admin/v1/sync_service.grpc.pb.h"
#include "proto/descriptor_set.h"
#include "services/admin/convert.h"
#include "services/admin/guard.h"
#include "services/admin/handlers.h"

namespace graspd::admin {
namespace {

using Context = grpc::CallbackServerContext;
using Reactor = grpc::ServerUnaryReactor;

class RemoteServiceImpl final : public v1::RemoteService::CallbackService {
 public:
  RemoteServiceImpl(RemoteControl& remotes, Guard& guard) : remotes_(remotes), guard_(guard) {}

  Reactor* ListRemotes(Context* context, const v1::ListRemotesRequest* request,
                       v1::ListRemotesResponse* response) override {
    return guard_.Run(context, "graspd.admin.v1.RemoteService/ListRemotes", *request,
                      [this, request, response](base::Duration timeout) {
                        return admin::ListRemotes(remotes_, timeout, *request, response);
                      });
  }
  Reactor* GetRemote(Context* context, const v1::GetRemoteRequest* request,
                     v1::GetRemoteResponse* response) override {
    return guard_.Run(context, "graspd.admin.v1.RemoteService/GetRemote", *request,
                      [this, request, response](base::Duration timeout) {
                        return admin::GetRemote(remotes_, timeout, *request, response);
                      });
  }
  Reactor* PauseRemote(Context* context, const v1::PauseRemoteRequest* request,
                       v1::PauseRemoteResponse* response) override {
    return guard_.Run(context, "graspd.admin.v1.RemoteService/PauseRemote", *request,
                      [this, request, response](base::Duration timeout) {
                        return admin::PauseRemote(remotes_, timeout, *request, response);
                      });
  }
  Reactor* ResumeRemote(Context* context, const v1::ResumeRemoteRequest* request,
                        v1::ResumeRemoteResponse* response) override {
    return guard_.Run(context, "graspd.admin.v1.RemoteService/ResumeRemote", *request,
                      [this, request, response](base::Duration timeout) {
                        return admin::ResumeRemote(remotes_, timeout, *request, response);
                      });
  }

 private:
  RemoteControl& remotes_;
  Guard& guard_;
};

class DiscoveryServiceImpl final : public v1::DiscoveryService::CallbackService {
 public:
  DiscoveryServiceImpl(DiscoveryControl& discovery, Guard& guard)
      : discovery_(discovery), guard_(guard) {}

  Reactor* TriggerDiscovery(Context* context, const v1::TriggerDiscoveryRequest* request,
                            v1::TriggerDiscoveryResponse* response) override {
    return guard_.Run(context, "graspd.admin.v1.DiscoveryService/TriggerDiscovery", *request,
                      [this, request, response](base::Duration timeout) {
                        return admin::TriggerDiscovery(discovery_, timeout, *request, response);
                      });
  }
  Reactor* ListCandidates(Context* context, const v1::ListCandidatesRequest* request,
                          v1::ListCandidatesResponse* response) override {
    return guard_.Run(context, "graspd.admin.v1.DiscoveryService/ListCandidates", *request,
                      [this, request, response](base::Duration timeout) {
                        return admin::ListCandidates(discovery_, timeout, *request, response);
                      });
  }

 private:
  DiscoveryControl& discovery_;
  Guard& guard_;
};

class SyncServiceImpl final : public v1::SyncService::CallbackService {
 public:
  SyncServiceImpl(SyncControl& sync, RemoteControl& remotes, Guard& guard)
      : sync_(sync), remotes_(remotes), guard_(guard) {}

  Reactor* TriggerSync(Context* context, const v1::TriggerSyncRequest* request,
                       v1::TriggerSyncResponse* response) override {
    return guard_.Run(context, "graspd.admin.v1.SyncService/TriggerSync", *request,
                      [this, request, response](base::Duration timeout) {
                        return admin::TriggerSync(sync_, remotes_, timeout, *request, response);
                      });
  }

 private:
  SyncControl& sync_;
  RemoteControl& remotes_;
  Guard& guard_;
};

std::string ApiHash() {
  const std::string_view api = proto::AdminDescriptorSet();
  uint8_t digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const uint8_t*>(api.data()), api.size(), digest);
  return base::HexEncode(digest);
}

void AddOwnLibraries(v1::GetBuildInfoResponse* build) {
  auto& libraries = *build->mutable_libraries();
  libraries["grpc"] = grpc::Version();
  libraries["openssl"] = OpenSSL_version(OPENSSL_VERSION_STRING);
  libraries["protobuf"] = google::protobuf::internal::VersionString(GOOGLE_PROTOBUF_VERSION);
}

class OpsServiceImpl final : public v1::OpsService::CallbackService {
 public:
  OpsServiceImpl(HealthControl& health, const BuildInfo& build, base::UnixSeconds started_at,
                 Guard& guard)
      : health_(health), guard_(guard) {
    ToProto(build, &build_);
    AddOwnLibraries(&build_);
    build_.set_api_sha256(ApiHash());
    build_.mutable_started_at()->set_seconds(static_cast<int64_t>(started_at));
  }

  Reactor* GetHealth(Context* context, const v1::GetHealthRequest* request,
                     v1::GetHealthResponse* response) override {
    return guard_.Run(context, "graspd.admin.v1.OpsService/GetHealth", *request,
                      [this, request, response](base::Duration timeout) {
                        return admin::GetHealth(health_, timeout, *request, response);
                      });
  }
  Reactor* GetBuildInfo(Context* context, const v1::GetBuildInfoRequest* request,
                        v1::GetBuildInfoResponse* response) override {
    return guard_.RunNow(context, "graspd.admin.v1.OpsService/GetBuildInfo", *request,
                         [this, response](base::Duration) {
                           *response = build_;
                           return absl::OkStatus();
                         });
  }

 private:
  HealthControl& health_;
  Guard& guard_;
  v1::GetBuildInfoResponse build_;
};

}  // namespace

std::vector<std::unique_ptr<grpc::Service>> MakeAdminServices(const AdminControls& controls,
                                                              const BuildInfo& build,
                                                              base::UnixSeconds started_at,
                                                              Guard& guard) {
  std::vector<std::unique_ptr<grpc::Service>> services;
  services.push_back(std::make_unique<RemoteServiceImpl>(controls.remotes, guard));
  services.push_back(std::make_unique<DiscoveryServiceImpl>(controls.discovery, guard));
  services.push_back(std::make_unique<SyncServiceImpl>(controls.sync, controls.remotes, guard));
  services.push_back(std::make_unique<OpsServiceImpl>(controls.health, build, started_at, guard));
  return services;
}

}  // namespace graspd::admin
