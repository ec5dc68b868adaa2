#include "base/process_memory.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>

namespace graspd::base {
namespace {

TEST(ProcessMemoryTest, WhatIsWrittenToIsUsedUntilItIsReturned) {
  constexpr size_t kBytes = 64 << 20, kAbout = 8 << 20;
  const size_t before = UnreclaimableMemoryBytes();
  EXPECT_GT(before, 0u);
  auto block = std::make_unique_for_overwrite<char[]>(kBytes);
  std::memset(block.get(), 1, kBytes);
  EXPECT_GT(UnreclaimableMemoryBytes(), before + kBytes - kAbout) << int(block[kBytes / 2]);
  block.reset();
  ReturnFreedMemory();
  EXPECT_LT(UnreclaimableMemoryBytes(), before + kAbout);
}

TEST(ProcessMemoryTest, TheLimitIsAboveWhatIsUsed) {
  EXPECT_GT(MemoryLimitBytes(), UnreclaimableMemoryBytes());
}

}  // namespace
}  // namespace graspd::base
