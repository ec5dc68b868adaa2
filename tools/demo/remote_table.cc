#include "tools/demo/remote_table.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <limits>

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
  row.reason = remote.state_reason();
  row.needed = remote.counts().needed();
  row.fetched = remote.counts().received();
  row.stored = remote.counts().stored();
  row.refused = remote.counts().rejected() + remote.counts().parked();
  return row;
}

constexpr size_t kUnlimited = std::numeric_limits<size_t>::max();

struct Size {
  size_t columns = kUnlimited, lines = kUnlimited;
};

// What may be printed so that redrawing in place works: a line that wraps or scrolls away cannot be
// reached any more. The last line of the terminal is the cursor's.
Size RoomOn(std::FILE* out) {
  constexpr size_t kFewest = 2;  // what TableLines() needs
  winsize window{};
  if (ioctl(fileno(out), TIOCGWINSZ, &window) != 0 || window.ws_row == 0 || window.ws_col == 0) {
    return {.columns = 80, .lines = 23};
  }
  return {.columns = window.ws_col, .lines = std::max<size_t>(window.ws_row - 1u, kFewest)};
}

// On a narrow terminal the URL is what gives way.
std::string Line(size_t columns, std::string_view url, std::string_view state,
                 std::string_view method, const auto& needed, const auto& fetched,
                 const auto& stored, const auto& refused) {
  constexpr size_t kOther = 61, kLeastUrl = 19, kMostUrl = 40;
  const size_t width = std::clamp(columns, kOther + kLeastUrl, kOther + kMostUrl) - kOther;
  return fmt::format("  {:<{}.{}} {:<15} {:<10} {:>7} {:>7} {:>7} {:>7}", url, width, width, state,
                     method, needed, fetched, stored, refused);
}

}  // namespace

std::vector<std::string> TableLines(const std::vector<RemoteRow>& rows, size_t columns,
                                    size_t lines) {
  std::vector<std::string> table = {
      Line(columns, "remote", "state", "method", "needed", "fetched", "stored", "refused")};
  if (rows.empty()) table.emplace_back("  (no relay discovered yet)");
  for (size_t i = 0; i < rows.size(); ++i) {
    const RemoteRow& row = rows[i];
    const size_t height = row.reason.empty() ? 1 : 2;
    const size_t below = i + 1 < rows.size() ? 1 : 0;  // for the line that tells what is left out
    if (table.size() + height + below > lines) {
      table.push_back(fmt::format("  ... and {} more", rows.size() - i));
      break;
    }
    table.push_back(Line(columns, row.url, row.state, row.method, row.needed, row.fetched,
                         row.stored, row.refused));
    if (!row.reason.empty()) table.push_back("    " + row.reason);
  }
  for (std::string& line : table) line.resize(std::min(line.size(), columns));
  return table;
}

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
  const Size room = in_place_ ? RoomOn(out_) : Size();
  const auto table = TableLines(rows, room.columns, room.lines);
  for (const std::string& line : table) text += line + "\n";
  std::fputs(text.c_str(), out_);
  std::fflush(out_);
  shown_ = rows;
  lines_ = table.size();
}

}  // namespace graspd::demo
