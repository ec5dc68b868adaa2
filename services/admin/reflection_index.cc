#include "services/admin/reflection_index.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <set>

#include "base/log.h"

namespace graspd::admin {
namespace {

namespace pb = google::protobuf;

absl::Status NotFound(const std::string& what) {
  return absl::NotFoundError("reflection: no " + what);
}

}  // namespace

ReflectionIndex::ReflectionIndex(std::string_view descriptor_set)
    : pool_(std::make_unique<pb::DescriptorPool>()) {
  pb::FileDescriptorSet set;
  bool ok = set.ParseFromArray(descriptor_set.data(), static_cast<int>(descriptor_set.size()));
  for (const pb::FileDescriptorProto& file : set.file()) {
    const pb::FileDescriptor* built = ok ? pool_->BuildFile(file) : nullptr;
    ok = built != nullptr;
    for (int i = 0; ok && i < built->service_count(); ++i) {
      services_.push_back(built->service(i)->full_name());
    }
    serialized_[file.name()] = file.SerializeAsString();
  }
  if (!ok) {
    base::LogError("admin", "the embedded descriptor set is broken");
    std::abort();
  }
  std::sort(services_.begin(), services_.end());
}

ReflectionIndex::~ReflectionIndex() = default;

ReflectionIndex::Files ReflectionIndex::WithImports(const pb::FileDescriptor& file) const {
  Files files;
  std::set<const pb::FileDescriptor*> seen{&file};
  std::deque<const pb::FileDescriptor*> queue{&file};
  for (; !queue.empty(); queue.pop_front()) {
    const pb::FileDescriptor& next = *queue.front();
    files.push_back(serialized_.at(next.name()));
    for (int i = 0; i < next.dependency_count(); ++i) {
      if (seen.insert(next.dependency(i)).second) queue.push_back(next.dependency(i));
    }
  }
  return files;
}

absl::StatusOr<ReflectionIndex::Files> ReflectionIndex::FileByName(const std::string& name) const {
  const pb::FileDescriptor* file = pool_->FindFileByName(name);
  if (file == nullptr) return NotFound("file " + name);
  return WithImports(*file);
}

absl::StatusOr<ReflectionIndex::Files> ReflectionIndex::FileWithSymbol(
    const std::string& symbol) const {
  const pb::FileDescriptor* file = pool_->FindFileContainingSymbol(symbol);
  if (file == nullptr) return NotFound("symbol " + symbol);
  return WithImports(*file);
}

absl::StatusOr<ReflectionIndex::Files> ReflectionIndex::FileWithExtension(
    const std::string& message, int32_t number) const {
  const pb::Descriptor* extended = pool_->FindMessageTypeByName(message);
  const pb::FieldDescriptor* extension =
      extended == nullptr ? nullptr : pool_->FindExtensionByNumber(extended, number);
  if (extension == nullptr) {
    return NotFound("extension " + std::to_string(number) + " of " + message);
  }
  return WithImports(*extension->file());
}

absl::StatusOr<std::vector<int32_t>> ReflectionIndex::ExtensionNumbers(
    const std::string& message) const {
  const pb::Descriptor* extended = pool_->FindMessageTypeByName(message);
  if (extended == nullptr) return NotFound("message " + message);
  std::vector<const pb::FieldDescriptor*> extensions;
  pool_->FindAllExtensions(extended, &extensions);
  std::vector<int32_t> numbers;
  for (const pb::FieldDescriptor* extension : extensions) numbers.push_back(extension->number());
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

}  // namespace graspd::admin
