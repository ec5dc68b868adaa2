#include "base/lru_map.h"

#include <gtest/gtest.h>

#include <string>

namespace graspd::base {
namespace {

TEST(LruMap, KeepsAnEntryAndForgetsTheOneAskedForLongestAgo) {
  LruMap<int, std::string> map(2);
  int made = 0;
  const auto get = [&](int key) -> std::string& {
    return map.GetOrMake(key, [&] { return std::to_string(++made); });
  };
  get(1) = "kept";
  get(2);
  EXPECT_EQ(get(1), "kept");
  get(3);  // 2 goes
  EXPECT_EQ(map.size(), 2u);
  EXPECT_EQ(get(1), "kept");
  EXPECT_EQ(made, 3);
  get(2);
  EXPECT_EQ(made, 4);
  EXPECT_EQ(map.size(), 2u);
}

}  // namespace
}  // namespace graspd::base
