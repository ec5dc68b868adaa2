#include "storage/store_uri.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace graspd::storage {

void StoreFactory::Register(std::string scheme, Opener opener) {
  openers_.insert_or_assign(std::move(scheme), std::move(opener));
}

absl::StatusOr<std::unique_ptr<EventStore>> StoreFactory::Open(std::string_view uri) const {
  const size_t colon = uri.find(':');
  if (colon != std::string_view::npos) {
    const auto opener = openers_.find(std::string(uri.substr(0, colon)));
    if (opener != openers_.end()) return opener->second(uri.substr(colon + 1));
  }
  // The URI itself stays out of the message: it may hold a password.
  std::string known;
  for (const auto& [scheme, opener] : openers_) {
    absl::StrAppend(&known, known.empty() ? "" : ", ", scheme, ":");
  }
  return absl::InvalidArgumentError(absl::StrCat("store URI must start with one of ", known));
}

}  // namespace graspd::storage
