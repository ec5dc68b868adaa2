// What each method of graspd.admin.v1 does, without gRPC: checks the request, asks a control, fills
// the response. Thread-safe as far as the controls are. `timeout` is what the control may take.
// Errors are those of services/admin/errors.h.
#pragma once

#include "absl/status/status.h"
#include "graspd/admin/v1/discovery_service.pb.h"
#include "graspd/admin/v1/ops_service.pb.h"
#include "graspd/admin/v1/remote_service.pb.h"
#include "graspd/admin/v1/sync_service.pb.h"
#include "services/admin/controls.h"

namespace graspd::admin {

absl::Status ListRemotes(RemoteControl& remotes, base::Duration timeout,
                         const v1::ListRemotesRequest& request, v1::ListRemotesResponse* response);
absl::Status GetRemote(RemoteControl& remotes, base::Duration timeout,
                       const v1::GetRemoteRequest& request, v1::GetRemoteResponse* response);
absl::Status PauseRemote(RemoteControl& remotes, base::Duration timeout,
                         const v1::PauseRemoteRequest& request, v1::PauseRemoteResponse* response);
absl::Status ResumeRemote(RemoteControl& remotes, base::Duration timeout,
                          const v1::ResumeRemoteRequest& request,
                          v1::ResumeRemoteResponse* response);

absl::Status TriggerDiscovery(DiscoveryControl& discovery, base::Duration timeout,
                              const v1::TriggerDiscoveryRequest& request,
                              v1::TriggerDiscoveryResponse* response);
absl::Status ListCandidates(DiscoveryControl& discovery, base::Duration timeout,
                            const v1::ListCandidatesRequest& request,
                            v1::ListCandidatesResponse* response);

/// `remotes` looks up a remote that is given by its id.
absl::Status TriggerSync(SyncControl& sync, RemoteControl& remotes, base::Duration timeout,
                         const v1::TriggerSyncRequest& request, v1::TriggerSyncResponse* response);

absl::Status GetHealth(HealthControl& health, base::Duration timeout,
                       const v1::GetHealthRequest& request, v1::GetHealthResponse* response);

}  // namespace graspd::admin
