#pragma once

#include <memory>
#include <string>
#include <vector>

#include "services/admin/admin_server.h"
#include "services/admin/controls.h"

namespace grpc {
class Service;
}

namespace graspd::admin {

class Guard;

/// The services of graspd.admin.v1: each method is its handler (handlers.h) behind the guard.
/// `guard` and the controls outlive them.
std::vector<std::unique_ptr<grpc::Service>> MakeAdminServices(const AdminControls& controls,
                                                              const BuildInfo& build,
                                                              base::UnixSeconds started_at,
                                                              Guard& guard);

}  // namespace graspd::admin
