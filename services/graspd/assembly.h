// Parts that the daemon and `import` are put together from alike, as the settings say.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "base/metrics.h"
#include "ingest/policy/lists.h"
#include "ingest/policy/policy.h"
#include "nostr/relay_url.h"
#include "services/graspd/settings.h"
#include "storage/event_store.h"

namespace graspd::daemon {

enum class StoreAccess { kReadOnly, kReadWrite };
/// Opens the store; the one place that knows the backends. `stop` is asked now and then while its
/// data format is upgraded, which may take minutes: true ends that. Errors: kCancelled if it was
/// stopped, else the backend's, prefixed with the setting.
absl::StatusOr<std::unique_ptr<storage::EventStore>> OpenStore(const Settings& settings,
                                                               StoreAccess access,
                                                               std::function<bool()> stop = {});

/// True for a store that ends with the process that opened it.
[[nodiscard]] bool IsTransient(const Settings& settings);

[[nodiscard]] std::vector<nostr::HostPort> HostsOf(const std::vector<nostr::RelayUrl>& urls);

absl::StatusOr<std::unique_ptr<ingest::PolicyLists>> LoadPolicyLists(const Settings& settings,
                                                                     storage::EventStore& store);
/// `lists` and `metrics` outlive the policy.
[[nodiscard]] ingest::PolicyOptions PolicyOptionsOf(const Settings& settings,
                                                    const ingest::PolicyLists& lists,
                                                    base::Metrics& metrics);

}  // namespace graspd::daemon
