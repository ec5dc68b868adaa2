// Tests with thousands of connections in their own process.
#pragma once

#include <sys/resource.h>

namespace graspd::tests {

/// As many file descriptors as the hard limit allows: a shell's usual soft limit is 1,024.
inline void RaiseDescriptorLimit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace graspd::tests
