#include "tests/e2e/admin_client.h"

#include <grpcpp/grpcpp.h>

#include <stdexcept>

#include "graspd/admin/v1/discovery_service.grpc.pb.h"
#include "graspd/admin/v1/remote_service.grpc.pb.h"

namespace graspd::e2e {
namespace {

namespace v1 = graspd::admin::v1;

constexpr int kPage = 500;

std::shared_ptr<grpc::Channel> ChannelTo(const std::string& address) {
  return grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
}

// Calls `method` of `Service` with `request`, once.
template <typename Service, typename Request, typename Response>
Response Call(const std::string& address,
              grpc::Status (Service::Stub::*method)(grpc::ClientContext*, const Request&,
                                                    Response*),
              const Request& request) {
  grpc::ClientContext context;
  Response response;
  const grpc::Status status =
      ((*Service::NewStub(ChannelTo(address))).*method)(&context, request, &response);
  if (!status.ok()) throw std::runtime_error("admin API: " + status.error_message());
  return response;
}

}  // namespace

v1::Remote AdminClient::Find(const std::string& url) const {
  v1::ListRemotesRequest request;
  request.set_page_size(500);
  const auto response =
      Call<v1::RemoteService>(address_, &v1::RemoteService::Stub::ListRemotes, request);
  for (const auto& remote : response.remotes()) {
    if (remote.url() == url) return remote;
  }
  return {};
}

std::vector<v1::Remote> AdminClient::Remotes() const {
  std::vector<v1::Remote> all;
  v1::ListRemotesRequest request;
  request.set_page_size(kPage);
  do {
    const auto page =
        Call<v1::RemoteService>(address_, &v1::RemoteService::Stub::ListRemotes, request);
    all.insert(all.end(), page.remotes().begin(), page.remotes().end());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return all;
}

std::map<std::string, v1::Candidate> AdminClient::Candidates() const {
  std::map<std::string, v1::Candidate> all;
  v1::ListCandidatesRequest request;
  request.set_page_size(kPage);
  do {
    const auto page =
        Call<v1::DiscoveryService>(address_, &v1::DiscoveryService::Stub::ListCandidates, request);
    for (const auto& candidate : page.candidates()) all.emplace(candidate.url(), candidate);
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return all;
}

bool AdminClient::IsLive(const std::string& url) const {
  return Find(url).state() == v1::REMOTE_STATE_LIVE;
}

v1::Candidate AdminClient::FindCandidate(const std::string& url) const {
  v1::ListCandidatesRequest request;
  request.set_page_size(500);
  const auto response =
      Call<v1::DiscoveryService>(address_, &v1::DiscoveryService::Stub::ListCandidates, request);
  for (const auto& candidate : response.candidates()) {
    if (candidate.url() == url) return candidate;
  }
  return {};
}

void AdminClient::Pause(const std::string& url) const {
  v1::PauseRemoteRequest request;
  request.set_remote(url);
  (void)Call<v1::RemoteService>(address_, &v1::RemoteService::Stub::PauseRemote, request);
}

void AdminClient::Resume(const std::string& url) const {
  v1::ResumeRemoteRequest request;
  request.set_remote(url);
  (void)Call<v1::RemoteService>(address_, &v1::RemoteService::Stub::ResumeRemote, request);
}

}  // namespace graspd::e2e
