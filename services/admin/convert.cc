#include "services/admin/convert.h"

#include <algorithm>

#include "services/admin/text.h"

namespace graspd::admin {
namespace {

constexpr base::UnixSeconds kYear9999 = 253'402'300'799;  // the end of RFC 3339 and of Timestamp

// `make` yields the Timestamp to set; it is not called for "never".
template <typename Make>
void SetTime(base::UnixSeconds seconds, Make make) {
  if (seconds != 0) make()->set_seconds(static_cast<int64_t>(std::min(seconds, kYear9999)));
}

// The enums of controls.h have the numbers of the API's; handlers_test.cc compares their ends.
template <typename Proto, typename Enum>
Proto ToEnum(Enum value) {
  return static_cast<Proto>(static_cast<int>(value));
}

void ToProto(const RemoteCounts& from, v1::RemoteCounts* to) {
  to->set_received(from.received);
  to->set_stored(from.stored);
  to->set_duplicate(from.duplicate);
  to->set_parked(from.parked);
  to->set_rejected(from.rejected);
  to->set_invalid(from.invalid);
  to->set_gap_filled(from.gap_filled);
  to->set_needed(from.needed);
}

void ToProto(const RemoteError& from, v1::RemoteError* to) {
  to->set_code(CleanText(from.code));
  to->set_message(CleanText(from.message));
  SetTime(from.at, [&] { return to->mutable_at(); });
}

}  // namespace

void ToProto(const RemoteInfo& from, v1::Remote* to) {
  to->set_id(RemoteId(from.url));
  to->set_url(from.url);
  to->set_address(from.address);
  to->set_source(ToEnum<v1::RemoteSource>(from.source));
  to->set_state(ToEnum<v1::RemoteState>(from.state));
  to->set_state_reason(CleanText(from.state_reason));
  to->set_consecutive_failures(from.consecutive_failures);
  to->set_subscriptions(from.subscriptions);
  to->set_filters(from.filters);
  to->set_method(ToEnum<v1::SyncMethod>(from.method));
  SetTime(from.state_since, [&] { return to->mutable_state_since(); });
  SetTime(from.connected_at, [&] { return to->mutable_connected_at(); });
  SetTime(from.last_event_at, [&] { return to->mutable_last_event_at(); });
  SetTime(from.last_full_reconcile_at, [&] { return to->mutable_last_full_reconcile_at(); });
  SetTime(from.next_attempt_at, [&] { return to->mutable_next_attempt_at(); });
  SetTime(from.rate_limited_until, [&] { return to->mutable_rate_limited_until(); });
  if (from.last_error.at != 0) ToProto(from.last_error, to->mutable_last_error());
  ToProto(from.counts, to->mutable_counts());
}

void ToProto(const CandidateInfo& from, v1::Candidate* to) {
  to->set_url(CleanText(from.url));
  to->set_referenced_by(from.referenced_by);
  to->set_decision(ToEnum<v1::CandidateDecision>(from.decision));
  to->set_reason(from.reason);
  to->set_message(CleanText(from.message));
  SetTime(from.first_seen, [&] { return to->mutable_first_seen(); });
}

void ToProto(const DiscoveryRunInfo& from, v1::DiscoveryRun* to) {
  to->set_id(from.id);
  to->set_found(from.found);
  to->set_added(from.added);
  to->set_refused(from.refused);
  SetTime(from.started_at, [&] { return to->mutable_started_at(); });
  SetTime(from.finished_at, [&] { return to->mutable_finished_at(); });
}

void ToProto(const SyncJobInfo& from, v1::SyncJob* to) {
  to->set_id(from.id);
  to->set_remote(from.remote_url);
  to->set_filter_json(CleanText(from.filter_json));
  to->set_state(ToEnum<v1::SyncJobState>(from.state));
  to->set_method(ToEnum<v1::SyncMethod>(from.method));
  to->set_joined(from.joined);
  to->set_have(from.have);
  to->set_need(from.need);
  to->set_fetched(from.fetched);
  to->set_missing(from.missing);
  to->set_rounds(from.rounds);
  to->set_bytes(from.bytes);
  to->set_error(CleanText(from.error));
  SetTime(from.created_at, [&] { return to->mutable_created_at(); });
  SetTime(from.started_at, [&] { return to->mutable_started_at(); });
  SetTime(from.finished_at, [&] { return to->mutable_finished_at(); });
}

void ToProto(const ComponentHealth& from, v1::ComponentHealth* to) {
  to->set_name(from.name);
  to->set_status(ToEnum<v1::ComponentStatus>(from.status));
  to->set_message(CleanText(from.message));
  for (const auto& [key, value] : from.details) (*to->mutable_details())[key] = CleanText(value);
  SetTime(from.since, [&] { return to->mutable_since(); });
  SetTime(from.last_ok, [&] { return to->mutable_last_ok(); });
}

void ToProto(const BuildInfo& from, v1::GetBuildInfoResponse* to) {
  to->set_version(from.version);
  to->set_commit(from.commit);
  to->set_dirty(from.dirty);
  to->set_compiler(from.compiler);
  for (const auto& [name, version] : from.libraries) (*to->mutable_libraries())[name] = version;
  to->set_schema_version(from.schema_version);
  for (const auto& feature : from.features) to->add_features(feature);
  for (const uint32_t nip : from.nips) to->add_nips(nip);
  for (const auto& grasp : from.grasps) to->add_grasps(grasp);
}

}  // namespace graspd::admin
