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

size_t CgroupLimit() {
  size_t lowest = LimitIn("/sys/fs/cgroup/memory/memory.limit_in_bytes");
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    constexpr char kVersion2[] = "0::";
    if (!line.starts_with(kVersion2)) continue;
    std::string path = line.substr(sizeof(kVersion2) - 1);
    for (;;) {
      lowest = std::min(lowest, LimitIn("/sys/fs/cgroup" + path + "/memory.max"));
      if (path.empty()) break;
      path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
    }
  }
  return lowest;
}

}  // namespace

size_t UnreclaimableMemoryBytes() {
  std::ifstream statm("/proc/self/statm");
  size_t total = 0, resident = 0, of_files = 0;
  if (!(statm >> total >> resident >> of_files)) return 0;
  return (resident - std::min(resident, of_files)) * PageBytes();
}

size_t MemoryLimitBytes() {
  return std::min(CgroupLimit(), static_cast<size_t>(::sysconf(_SC_PHYS_PAGES)) * PageBytes());
}

void ReturnFreedMemory() { ::malloc_trim(0); }

}  // namespace graspd::base
