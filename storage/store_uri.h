#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "storage/event_store.h"

namespace graspd::storage {

/// Opens a store by URI: `memory:`, `lmdb:PATH`. main() registers the backends it links, so that
/// nobody below it names one. Thread-compatible.
class StoreFactory {
 public:
  /// `rest` is the URI after "scheme:".
  using Opener = std::function<absl::StatusOr<std::unique_ptr<EventStore>>(std::string_view rest)>;
  void Register(std::string scheme, Opener opener);
  /// Errors: kInvalidArgument for an unknown scheme, naming those that exist; else the backend's.
  absl::StatusOr<std::unique_ptr<EventStore>> Open(std::string_view uri) const;

 private:
  std::map<std::string, Opener> openers_;
};

}  // namespace graspd::storage
