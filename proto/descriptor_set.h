#pragma once

#include <string_view>

namespace graspd::proto {

/// The serialised google.protobuf.FileDescriptorSet of the admin API and of everything it imports,
/// with source info: descriptors in generated code have no comments, these have. Each file comes
/// after the ones it imports.
std::string_view AdminDescriptorSet();

}  // namespace graspd::proto
