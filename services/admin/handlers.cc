#include "services/admin/handlers.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status_macros.h"
#include "nostr/relay_url.h"
#include "services/admin/convert.h"
#include "services/admin/errors.h"
#include "services/admin/paging.h"

namespace graspd::admin {
namespace {

constexpr size_t kMaxReason = 256;  // bytes; what a log line holds

absl::Status CheckReason(const std::string& reason) {
  if (reason.size() <= kMaxReason) return absl::OkStatus();
  return FieldError("reason", "must not be longer than 256 bytes");
}

// Canonical URL of the remote named by the request field `remote`. Whether there is such a remote
// is known only for ids, which have to be looked up.
absl::StatusOr<std::string> ResolveRemote(RemoteControl& remotes, const std::string& remote,
                                          base::Duration timeout) {
  if (remote.empty()) return FieldError("remote", "is required: the id or the URL of a remote");
  if (remote.starts_with("r-")) {
    GRASPD_ASSIGN_OR_RETURN(const auto all, remotes.ListRemotes(timeout));
    for (const RemoteInfo& info : all) {
      if (RemoteId(info.url) == remote) return info.url;
    }
    return RemoteNotFound(remote);
  }
  const auto url = nostr::RelayUrl::Parse(remote);
  if (url.ok()) return url->ToString();
  const absl::string_view why = url.status().message();
  return FieldError("remote", "is neither an id (r-...) nor a relay URL: " + std::string(why),
                    Reason::kUrlInvalid);
}

template <typename Request>
absl::StatusOr<RemoteSelector> Select(RemoteControl& remotes, const Request& request,
                                      base::Duration timeout) {
  GRASPD_RETURN_IF_ERROR(CheckReason(request.reason()));
  if (!request.all()) {
    GRASPD_ASSIGN_OR_RETURN(std::string url, ResolveRemote(remotes, request.remote(), timeout));
    return RemoteSelector{std::move(url), false};
  }
  if (request.remote().empty()) return RemoteSelector{"", true};
  return FieldError("all", "cannot be combined with `remote`");
}

// Whether `value` passes a repeated enum filter; an empty filter lets everything pass.
template <typename Filter, typename Enum>
bool Passes(const Filter& filter, Enum value) {
  return filter.empty() ||
         std::find(filter.begin(), filter.end(), static_cast<int>(value)) != filter.end();
}

template <typename Filter>
absl::Status CheckEnums(std::string_view field, const Filter& filter, bool (*is_valid)(int)) {
  for (const int value : filter) {
    if (value != 0 && is_valid(value)) continue;
    return FieldError(field, "has no value number " + std::to_string(value));
  }
  return absl::OkStatus();
}

bool Contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

template <typename T>
void SortByUrl(std::vector<T>& items) {
  std::sort(items.begin(), items.end(), [](const T& a, const T& b) { return a.url < b.url; });
}

// One page of `items` (everything that passed the filters) for `request`, a List*Request.
template <typename T>
struct Page {
  std::vector<T> items;
  std::string next_token;
  int32_t total = 0;
};
template <typename T, typename Request>
absl::StatusOr<Page<T>> MakePage(std::vector<T> items, const Request& request) {
  Request filters = request;
  filters.clear_page_size();
  filters.clear_page_token();
  const std::string mark = filters.GetTypeName() + filters.SerializeAsString();
  GRASPD_ASSIGN_OR_RETURN(const size_t size, PageSize(request.page_size()));
  GRASPD_ASSIGN_OR_RETURN(const std::string after, ReadPageToken(request.page_token(), mark));

  SortByUrl(items);
  Page<T> page;
  page.total = static_cast<int32_t>(items.size());
  auto first =
      std::upper_bound(items.begin(), items.end(), after,
                       [](const std::string& key, const T& item) { return key < item.url; });
  const size_t left = static_cast<size_t>(items.end() - first);
  const auto last = first + static_cast<std::ptrdiff_t>(std::min(size, left));
  if (last != items.end()) page.next_token = MakePageToken((last - 1)->url, mark);
  page.items.assign(std::make_move_iterator(first), std::make_move_iterator(last));
  return page;
}

template <typename Response>
void FillChange(RemoteChange change, Response* response) {
  SortByUrl(change.remotes);
  for (const RemoteInfo& info : change.remotes) ToProto(info, response->add_remotes());
  response->set_changed(change.changed);
}

// Disabled is no worse than OK: somebody wanted it so.
int Severity(ComponentStatus status) {
  return status == ComponentStatus::kDisabled ? static_cast<int>(ComponentStatus::kOk)
                                              : static_cast<int>(status);
}

}  // namespace

absl::Status ListRemotes(RemoteControl& remotes, base::Duration timeout,
                         const v1::ListRemotesRequest& request, v1::ListRemotesResponse* response) {
  GRASPD_RETURN_IF_ERROR(CheckEnums("states", request.states(), v1::RemoteState_IsValid));
  GRASPD_RETURN_IF_ERROR(CheckEnums("sources", request.sources(), v1::RemoteSource_IsValid));
  GRASPD_ASSIGN_OR_RETURN(auto all, remotes.ListRemotes(timeout));
  std::erase_if(all, [&](const RemoteInfo& info) {
    return !Passes(request.states(), info.state) || !Passes(request.sources(), info.source) ||
           !Contains(info.url, request.url_substring());
  });
  GRASPD_ASSIGN_OR_RETURN(const auto page, MakePage(std::move(all), request));
  for (const RemoteInfo& info : page.items) ToProto(info, response->add_remotes());
  response->set_next_page_token(page.next_token);
  response->set_total_size(page.total);
  return absl::OkStatus();
}

absl::Status GetRemote(RemoteControl& remotes, base::Duration timeout,
                       const v1::GetRemoteRequest& request, v1::GetRemoteResponse* response) {
  GRASPD_ASSIGN_OR_RETURN(const std::string url, ResolveRemote(remotes, request.remote(), timeout));
  GRASPD_ASSIGN_OR_RETURN(const RemoteInfo info, remotes.GetRemote(url, timeout));
  ToProto(info, response->mutable_remote());
  return absl::OkStatus();
}

absl::Status PauseRemote(RemoteControl& remotes, base::Duration timeout,
                         const v1::PauseRemoteRequest& request, v1::PauseRemoteResponse* response) {
  GRASPD_ASSIGN_OR_RETURN(const auto which, Select(remotes, request, timeout));
  GRASPD_ASSIGN_OR_RETURN(auto change, remotes.PauseRemotes(which, timeout));
  FillChange(std::move(change), response);
  return absl::OkStatus();
}

absl::Status ResumeRemote(RemoteControl& remotes, base::Duration timeout,
                          const v1::ResumeRemoteRequest& request,
                          v1::ResumeRemoteResponse* response) {
  GRASPD_ASSIGN_OR_RETURN(const auto which, Select(remotes, request, timeout));
  GRASPD_ASSIGN_OR_RETURN(auto change,
                          remotes.ResumeRemotes(which, request.reset_backoff(), timeout));
  FillChange(std::move(change), response);
  return absl::OkStatus();
}

absl::Status TriggerDiscovery(DiscoveryControl& discovery, base::Duration timeout,
                              const v1::TriggerDiscoveryRequest& request,
                              v1::TriggerDiscoveryResponse* response) {
  GRASPD_RETURN_IF_ERROR(CheckReason(request.reason()));
  GRASPD_ASSIGN_OR_RETURN(const auto run, discovery.TriggerDiscovery(timeout));
  ToProto(run, response->mutable_run());
  response->set_joined(run.joined);
  return absl::OkStatus();
}

absl::Status ListCandidates(DiscoveryControl& discovery, base::Duration timeout,
                            const v1::ListCandidatesRequest& request,
                            v1::ListCandidatesResponse* response) {
  GRASPD_RETURN_IF_ERROR(
      CheckEnums("decisions", request.decisions(), v1::CandidateDecision_IsValid));
  GRASPD_ASSIGN_OR_RETURN(auto all, discovery.ListCandidates(timeout));
  std::erase_if(all, [&](const CandidateInfo& info) {
    return !Passes(request.decisions(), info.decision) ||
           (!request.reason().empty() && request.reason() != info.reason) ||
           !Contains(info.url, request.url_substring());
  });
  GRASPD_ASSIGN_OR_RETURN(const auto page, MakePage(std::move(all), request));
  for (const CandidateInfo& info : page.items) ToProto(info, response->add_candidates());
  response->set_next_page_token(page.next_token);
  response->set_total_size(page.total);
  return absl::OkStatus();
}

absl::Status TriggerSync(SyncControl& sync, RemoteControl& remotes, base::Duration timeout,
                         const v1::TriggerSyncRequest& request, v1::TriggerSyncResponse* response) {
  GRASPD_ASSIGN_OR_RETURN(const auto which, Select(remotes, request, timeout));
  GRASPD_ASSIGN_OR_RETURN(auto jobs, sync.TriggerSync(which, timeout));
  std::stable_sort(jobs.begin(), jobs.end(), [](const SyncJobInfo& a, const SyncJobInfo& b) {
    return a.remote_url < b.remote_url;
  });
  for (const SyncJobInfo& job : jobs) {
    v1::SyncJob* added = response->add_jobs();
    ToProto(job, added);
    if (which.all) added->clear_filter_json();
  }
  return absl::OkStatus();
}

absl::Status GetHealth(HealthControl& health, base::Duration timeout,
                       const v1::GetHealthRequest& request, v1::GetHealthResponse* response) {
  GRASPD_ASSIGN_OR_RETURN(auto components, health.GetComponents(timeout));
  for (const std::string& name : request.components()) {
    const bool known = std::any_of(components.begin(), components.end(),
                                   [&](const ComponentHealth& c) { return c.name == name; });
    if (!known) return FieldError("components", "no component " + name, Reason::kComponentUnknown);
  }
  std::sort(components.begin(), components.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  int worst = static_cast<int>(ComponentStatus::kOk);
  for (const ComponentHealth& component : components) {
    const auto& wanted = request.components();
    if (!wanted.empty() &&
        std::find(wanted.begin(), wanted.end(), component.name) == wanted.end()) {
      continue;
    }
    worst = std::max(worst, Severity(component.status));
    ToProto(component, response->add_components());
  }
  response->set_overall(static_cast<v1::ComponentStatus>(worst));
  return absl::OkStatus();
}

}  // namespace graspd::admin
