#include "base/process_memory.h"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

namespace graspd::base {
namespace {

constexpr size_t kNoLimit = std::numeric_limits<size_t>::max();

size_t PageBytes() { return static_cast<size_t>(::sysconf(_SC_PAGESIZE)); }

/// The number in a cgroup's file; no limit if it is absent or holds a word ("max").
size_t LimitIn(const std::string& path) {
  std::ifstream file(path);
  size_t bytes = 0;
  return file >> bytes ? bytes : kNoLimit;
}

/// The lowest limit of a group and of those above it, up to the root of its hierarchy.
size_t LowestLimit(const std::string& root, std::string group, const std::string& file) {
  size_t lowest = kNoLimit;
  for (;;) {
    lowest = std::min(lowest, LimitIn(root + group + file));
    if (group.empty()) return lowest;
    group.resize(group.rfind('/') == std::string::npos ? 0 : group.rfind('/'));
  }
}

}  // namespace

size_t CgroupMemoryLimit(const std::string& membership, const std::string& mount) {
  size_t lowest = kNoLimit;
  std::ifstream groups(membership);
  for (std::string line; std::getline(groups, line);) {
    constexpr char kVersion2[] = "0::", kVersion1[] = ":memory:";
    if (line.starts_with(kVersion2)) {
      lowest =
          std::min(lowest, LowestLimit(mount, line.substr(sizeof kVersion2 - 1), "/memory.max"));
    } else if (const size_t at = line.find(kVersion1); at != std::string::npos) {
      lowest =
          std::min(lowest, LowestLimit(mount + "/memory", line.substr(at + sizeof kVersion1 - 1),
                                       "/memory.limit_in_bytes"));
    }
  }
  return lowest;
}

size_t UnreclaimableMemoryBytes() {
  std::ifstream statm("/proc/self/statm");
  size_t total = 0, resident = 0, of_files = 0;
  if (!(statm >> total >> resident >> of_files)) return 0;
  return (resident - std::min(resident, of_files)) * PageBytes();
}

size_t MemoryLimitBytes() {
  return std::min(CgroupMemoryLimit(),
                  static_cast<size_t>(::sysconf(_SC_PHYS_PAGES)) * PageBytes());
}

void ReturnFreedMemory() { ::malloc_trim(0); }

}  // namespace graspd::base
