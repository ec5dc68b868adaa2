#include "storage/event_store.h"

#include "absl/strings/str_cat.h"

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
