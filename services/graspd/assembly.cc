#include "services/graspd/assembly.h"

#include <string>
#include <string_view>

#include "storage/lmdb/lmdb_store.h"
#include "storage/memory/memory_store.h"
#include "storage/store_uri.h"

namespace graspd::daemon {
namespace {

using StorePtr = std::unique_ptr<storage::EventStore>;

constexpr std::string_view kMemory = "memory";

}  // namespace

absl::StatusOr<StorePtr> OpenStore(const Settings& settings, StoreAccess access,
                                   std::function<bool()> stop) {
  storage::StoreFactory factory;
  factory.Register(std::string(kMemory), [](std::string_view) -> absl::StatusOr<StorePtr> {
    return storage::OpenMemoryStore();
  });
  factory.Register("lmdb", [&](std::string_view path) {
    storage::LmdbOptions options;
    options.directory = path;
    options.map_bytes = settings.lmdb_map_size;
    options.read_only = access == StoreAccess::kReadOnly;
    options.stop_upgrade = stop;
    return storage::OpenLmdbStore(options);
  });
  auto store = factory.Open(settings.store);
  if (store.ok()) return store;
  return absl::Status(store.status().code(),
                      "store " + settings.store + ": " + std::string(store.status().message()));
}

bool IsTransient(const Settings& settings) { return settings.store.starts_with(kMemory); }

std::vector<nostr::HostPort> HostsOf(const std::vector<nostr::RelayUrl>& urls) {
  std::vector<nostr::HostPort> hosts;
  for (const auto& url : urls) hosts.push_back({url.host(), url.port()});
  return hosts;
}

absl::StatusOr<std::unique_ptr<ingest::PolicyLists>> LoadPolicyLists(const Settings& settings,
                                                                     storage::EventStore& store) {
  return ingest::PolicyLists::Load(
      store, {settings.policy_author_blacklist, settings.policy_repository_blacklist,
              settings.policy_repository_whitelist, settings.policy_archive_repositories,
              settings.policy_archive_hosts});
}

ingest::PolicyOptions PolicyOptionsOf(const Settings& settings, const ingest::PolicyLists& lists,
                                      base::Metrics& metrics) {
  return {.mode = settings.policy_mode,
          .own_hosts = HostsOf(settings.relay_urls),
          .require_clone = settings.policy_require_clone,
          .lists = &lists,
          .metrics = &metrics};
}

}  // namespace graspd::daemon
