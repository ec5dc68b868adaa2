// The control structs as messages of the API. Free texts are cleaned (text.h) on the way.
#pragma once

#include "graspd/admin/v1/discovery_service.pb.h"
#include "graspd/admin/v1/ops_service.pb.h"
#include "graspd/admin/v1/remote_service.pb.h"
#include "graspd/admin/v1/sync_service.pb.h"
#include "services/admin/controls.h"

namespace graspd::admin {

void ToProto(const RemoteInfo& from, v1::Remote* to);
void ToProto(const CandidateInfo& from, v1::Candidate* to);
void ToProto(const DiscoveryRunInfo& from, v1::DiscoveryRun* to);
void ToProto(const SyncJobInfo& from, v1::SyncJob* to);
void ToProto(const ComponentHealth& from, v1::ComponentHealth* to);
void ToProto(const BuildInfo& from, v1::GetBuildInfoResponse* to);

}  // namespace graspd::admin
