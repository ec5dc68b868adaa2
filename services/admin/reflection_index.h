#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace google::protobuf {
class DescriptorPool;
class FileDescriptor;
}  // namespace google::protobuf

namespace graspd::admin {

/// Answers the questions of server reflection from a FileDescriptorSet. The files are given out as
/// they are in the set, comments included, which is why this does not use the descriptors that are
/// compiled into the binary.
///
/// Errors: kNotFound, with a message for the client. Threading: immutable, so thread-safe.
class ReflectionIndex {
 public:
  /// `descriptor_set`: serialised, each file after its imports. A broken one aborts: it is built
  /// into the binary.
  explicit ReflectionIndex(std::string_view descriptor_set);
  ~ReflectionIndex();
  ReflectionIndex(const ReflectionIndex&) = delete;
  ReflectionIndex& operator=(const ReflectionIndex&) = delete;

  /// Serialised FileDescriptorProtos: the file first, then everything it imports, each once.
  using Files = std::vector<std::string>;
  [[nodiscard]] absl::StatusOr<Files> FileByName(const std::string& name) const;
  /// `symbol`: full name of a service, method, message, field, enum, enum value or extension.
  [[nodiscard]] absl::StatusOr<Files> FileWithSymbol(const std::string& symbol) const;
  [[nodiscard]] absl::StatusOr<Files> FileWithExtension(const std::string& message,
                                                        int32_t number) const;
  /// Numbers of the extensions of `message`, ascending.
  [[nodiscard]] absl::StatusOr<std::vector<int32_t>> ExtensionNumbers(
      const std::string& message) const;
  /// Full names of all services, sorted.
  [[nodiscard]] const std::vector<std::string>& services() const { return services_; }

 private:
  Files WithImports(const google::protobuf::FileDescriptor& file) const;

  std::unique_ptr<google::protobuf::DescriptorPool> pool_;
  std::map<std::string, std::string, std::less<>> serialized_;  // by file name
  std::vector<std::string> services_;
};

}  // namespace graspd::admin
