// What the environment says that tests need.
#pragma once

#include <cstdlib>
#include <string_view>

namespace graspd::tests {

/// True if the variable is 1: what it names must be there, and a test that lacks it fails instead
/// of being skipped.
[[nodiscard]] inline bool IsRequired(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && std::string_view(value) == "1";
}

}  // namespace graspd::tests
