#include "storage/event_store.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace graspd::storage {

std::string_view SourceName(Source source) {
  switch (source) {
    case Source::kDirect:
      return "direct";
    case Source::kLive:
      return "live";
    case Source::kStartup:
      return "startup";
    case Source::kReconnect:
      return "reconnect";
    case Source::kDaily:
      return "daily";
    case Source::kManual:
      return "manual";
    case Source::kImport:
      return "import";
  }
  return "unknown";
}

void FromServedOrder(std::vector<negentropy::Item>& items) {
  std::reverse(items.begin(), items.end());
  for (auto begin = items.begin(); begin != items.end();) {
    const auto end = std::find_if(begin, items.end(), [begin](const negentropy::Item& item) {
      return item.created_at != begin->created_at;
    });
    std::reverse(begin, end);
    begin = end;
  }
}

absl::StatusOr<std::vector<negentropy::Item>> EventStore::ListItems(const nostr::Filter& filter,
                                                                    uint64_t unix_now,
                                                                    size_t max_items) {
  GRASPD_ASSIGN_OR_RETURN(const Stats stats, GetStats());
  std::vector<negentropy::Item> items;
  // Address space: memory is taken as it is written to, and no growth copies millions of items.
  items.reserve(std::min<uint64_t>(stats.events, max_items));
  const auto collect = [&](const negentropy::Item& item, std::optional<uint64_t>) {
    if (items.size() == max_items) {
      return absl::ResourceExhaustedError("the filter matches too many events");
    }
    items.push_back(item);
    return absl::OkStatus();
  };
  GRASPD_RETURN_IF_ERROR(VisitItems(filter, unix_now, collect, nullptr));
  FromServedOrder(items);
  return items;
}

absl::Status CheckKeyValue(std::string_view key, std::optional<std::string_view> value) {
  if (key.empty() || key.size() > kMaxKeyBytes) {
    return absl::InvalidArgumentError(absl::StrCat("a key has 1 to ", kMaxKeyBytes, " bytes"));
  }
  if (value && value->size() > kMaxValueBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a value has at most ", kMaxValueBytes, " bytes"));
  }
  return absl::OkStatus();
}

}  // namespace graspd::storage
