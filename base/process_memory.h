// How much memory the process holds, and how much it may.
#pragma once

#include <cstddef>
#include <string>

namespace graspd::base {

/// Bytes that only this process can give back: resident memory less the pages of mapped files,
/// which the kernel takes when it needs them. 0 if /proc does not say.
[[nodiscard]] size_t UnreclaimableMemoryBytes();

/// What the process may use before the kernel ends it: the lowest memory limit of its cgroup and
/// those above it (v2 or v1), or all of the RAM.
[[nodiscard]] size_t MemoryLimitBytes();

/// The part of it that cgroups set: the lowest limit of the groups, of either version, that the
/// file `membership` names (as /proc/self/cgroup does), and of those above them. SIZE_MAX if none.
[[nodiscard]] size_t CgroupMemoryLimit(const std::string& membership = "/proc/self/cgroup",
                                       const std::string& mount = "/sys/fs/cgroup");

/// Gives what the allocator has kept of freed memory back to the kernel. May take milliseconds.
void ReturnFreedMemory();

}  // namespace graspd::base
