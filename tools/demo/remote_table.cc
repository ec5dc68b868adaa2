#include "tools/demo/remote_table.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include "graspd/admin/v1/remote_service.grpc.pb.h"

namespace graspd::demo {
namespace {

namespace v1 = graspd::admin::v1;

// "REMOTE_STATE_SYNCING_HISTORY" -> "syncing history".
std::string Words(std::string name, std::string_view prefix) {
  if (name.starts_with(prefix)) name.erase(0, prefix.size());
  for (char& c : name) c = c == '_' ? ' ' : static_cast<char>(c | 0x20);
  return name;
}

RemoteRow ToRow(const v1::Remote& remote) {
  RemoteRow row;
  row.url = remote.url();
  row.state = Words(v1::RemoteState_Name(remote.state()), "REMOTE_STATE_");
  row.method = Words(v1::SyncMethod_Name(remote.method()), "SYNC_METHOD_");
  if (row.method == "unspecified") row.method = "-";
  row.error = remote.state_reason();
  row.needed = remote.counts().needed();
  row.fetched = remote.counts().received();
  row.stored = remote.counts().stored();
  row.refused = remote.counts().rejected() + remote.counts().parked();
  return row;
}

}  // namespace

struct AdminClient::Impl {
  std::unique_ptr<v1::RemoteService::Stub> remotes;
};

AdminClient::AdminClient(const std::string& address) : impl_(std::make_unique<Impl>()) {
  impl_->remotes =
      v1::RemoteService::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
}
AdminClient::~AdminClient() = default;

absl::StatusOr<std::vector<RemoteRow>> AdminClient::ListRemotes() {
  std::vector<RemoteRow> rows;
  v1::ListRemotesRequest request;
  request.set_page_size(500);
  do {
    grpc::ClientContext context;
    v1::ListRemotesResponse response;
    const auto status = impl_->remotes->ListRemotes(&context, request, &response);
    if (!status.ok()) return absl::UnavailableError(status.error_message());
    for (const auto& remote : response.remotes()) rows.push_back(ToRow(remote));
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  return rows;
}

RemoteTable::RemoteTable(std::FILE* out) : out_(out), in_place_(isatty(fileno(out))) {}

void RemoteTable::Show(const std::vector<RemoteRow>& rows) {
  if (lines_ > 0 && rows == shown_) return;
  std::string text;
  if (in_place_ && lines_ > 0) text += fmt::format("\x1b[{}A\x1b[J", lines_);
  text += fmt::format("  {:<40} {:<16} {:<10} {:>7} {:>7} {:>7} {:>8}\n", "remote", "state",
                      "method", "needed", "fetched", "stored", "refused");
  if (rows.empty()) text += "  (no relay discovered yet)\n";
  for (const auto& row : rows) {
    text += fmt::format("  {:<40} {:<16} {:<10} {:>7} {:>7} {:>7} {:>8}\n", row.url.substr(0, 40),
                        row.state, row.method, row.needed, row.fetched, row.stored, row.refused);
  }
  std::fputs(text.c_str(), out_);
  std::fflush(out_);
  shown_ = rows;
  lines_ = 1 + std::max<size_t>(rows.size(), 1);
}

}  // namespace graspd::demo
