#pragma once

#include <string_view>

namespace graspd::base {

/// What this binary was built from, for `graspd version`, metrics and the admin API. Known since
/// CMake last configured, which it does at each build after a commit or a checkout.
[[nodiscard]] std::string_view BuildVersion();  // "0.1.0"
[[nodiscard]] std::string_view BuildCommit();   // abbreviated git commit, or "unknown"

}  // namespace graspd::base
