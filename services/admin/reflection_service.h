#pragma once

#include <memory>

namespace grpc {
class Service;
}

namespace graspd::admin {

class Guard;
class ReflectionIndex;
class StreamSet;

/// Server reflection in its two versions, which differ by name only: v1, and v1alpha for tools that
/// know nothing newer. gRPC 1.51's own plugin has v1alpha only, and no comments. The arguments
/// outlive the services.
std::unique_ptr<grpc::Service> MakeReflectionV1(const ReflectionIndex& index, Guard& guard,
                                                StreamSet& streams);
std::unique_ptr<grpc::Service> MakeReflectionV1Alpha(const ReflectionIndex& index, Guard& guard,
                                                     StreamSet& streams);

}  // namespace graspd::admin
