#include "sync/remote_limits.h"

#include <algorithm>

#include "nostr/message.h"

namespace graspd::sync {
namespace {

constexpr uint64_t kSubscriptions = 20, kFilters = 10, kMessageBytes = 128 * 1024;
// Enough to keep us busy while the answers of one that is far away are on their way; more would
// only wait there.
constexpr uint64_t kRequests = 24, kJobs = 3;
constexpr size_t kFrameBytes = 60'000;  // more is not faster
constexpr size_t kBytesPerId = 80;      // in a REQ, with some room to spare

}  // namespace

size_t RemoteLimits::NegentropyFrame(const nostr::Filter& filter) const {
  constexpr size_t kNameBytes = 64;  // of a subscription, at most
  constexpr size_t kLeast = 4096;    // NIP-77
  const size_t around = nostr::NegOpenMessage("", filter, "").size() + kNameBytes;
  if (around >= plan.message_bytes) return 0;
  const size_t frame = std::min(kFrameBytes, (plan.message_bytes - around) / 2);
  return frame < kLeast ? 0 : frame;
}

RemoteLimits LimitsOf(const nostr::RelayInformation& information) {
  const uint64_t subscriptions = std::min(information.max_subscriptions.value_or(kSubscriptions),
                                          RemoteLimits::kMostSubscriptions);
  const uint64_t requests = std::clamp<uint64_t>(subscriptions / 3, 1, kRequests);
  const uint64_t bytes =
      std::min(information.max_message_length.value_or(kMessageBytes), kMessageBytes);
  RemoteLimits limits;
  limits.plan.subscriptions = std::max<uint64_t>(subscriptions - requests, 1);
  limits.plan.filters_per_req = information.max_filters.value_or(kFilters);
  limits.plan.message_bytes = bytes;
  limits.jobs = std::min(requests, kJobs);
  limits.job.requests = requests / limits.jobs;
  limits.job.page = std::clamp<uint64_t>(information.max_limit.value_or(CatchUpJob::kLargePageSize),
                                         1, CatchUpJob::kLargePageSize);
  limits.job.ids_per_request =
      std::clamp<size_t>(bytes / kBytesPerId, 1, std::min(CatchUpJob::kIdsPerReq, limits.job.page));
  return limits;
}

}  // namespace graspd::sync
