#include "base/process_memory.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

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

class CgroupTest : public testing::Test {
 protected:
  CgroupTest() { Write("membership", ""); }
  ~CgroupTest() override { std::filesystem::remove_all(root_); }
  void Write(const std::string& file, const std::string& text) const {
    const std::filesystem::path path = root_ / file;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text << "\n";
  }
  [[nodiscard]] size_t Limit() const {
    return CgroupMemoryLimit(root_ / "membership", root_ / "fs");
  }

 private:
  static std::filesystem::path Make() {
    std::string name = std::filesystem::temp_directory_path() / "graspd-cgroup-XXXXXX";
    return mkdtemp(name.data());
  }
  const std::filesystem::path root_ = Make();
};

TEST_F(CgroupTest, WithoutOneThereIsNoLimit) {
  EXPECT_EQ(Limit(), SIZE_MAX);
  Write("membership", "0::/");
  EXPECT_EQ(Limit(), SIZE_MAX);
  Write("membership", "0::/a");
  Write("fs/a/memory.max", "max");
  EXPECT_EQ(Limit(), SIZE_MAX);
}

TEST_F(CgroupTest, TheLowestOfTheGroupAndThoseAboveItCounts) {
  Write("membership", "0::/pods/mine/inner");
  Write("fs/pods/mine/inner/memory.max", "max");
  Write("fs/pods/mine/memory.max", "1000");
  Write("fs/pods/memory.max", "2000");
  EXPECT_EQ(Limit(), 1000u);
  Write("fs/pods/memory.max", "500");
  EXPECT_EQ(Limit(), 500u);
  Write("fs/pods/mine/inner/memory.max", "100");
  EXPECT_EQ(Limit(), 100u);
}

TEST_F(CgroupTest, VersionOneIsUnderstoodBesideOtherControllers) {
  Write("membership", "12:cpu,cpuacct:/x\n9:memory:/docker/mine\n0::/y");
  Write("fs/memory/memory.limit_in_bytes", "9223372036854771712");
  EXPECT_EQ(Limit(), 9223372036854771712u);
  Write("fs/memory/docker/mine/memory.limit_in_bytes", "268435456");
  EXPECT_EQ(Limit(), 268435456u);
}

}  // namespace
}  // namespace graspd::base
