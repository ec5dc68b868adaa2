#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "services/admin/controls.h"

namespace grpc {
class Service;
}

namespace graspd::admin {

class Guard;
class StreamSet;

/// Who is serving, by the names that grpc.health.v1.Health knows: "" and each service's full name
/// (this server), "liveness", "readiness", "startup" and "sync" (HealthControl's probes).
/// Thread-safe; does not block.
class HealthState {
 public:
  HealthState(HealthControl& control, const std::vector<std::string>& services);

  void SetServing(bool serving) { serving_ = serving; }
  /// Whether `name` serves; nullopt if there is no such name.
  [[nodiscard]] std::optional<bool> Serving(const std::string& name) const;
  /// All names, sorted.
  [[nodiscard]] const std::set<std::string>& names() const { return names_; }

 private:
  HealthControl& control_;
  std::set<std::string> names_;
  std::atomic<bool> serving_{true};
};

/// The service grpc.health.v1.Health. Its watches are told of changes by `streams.PokeAll()`.
/// The arguments outlive it.
std::unique_ptr<grpc::Service> MakeHealthService(const HealthState& state, Guard& guard,
                                                 StreamSet& streams);

}  // namespace graspd::admin
