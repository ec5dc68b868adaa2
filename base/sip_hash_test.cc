#include "base/sip_hash.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <set>
#include <string>

#include "base/keyed_hash.h"

namespace graspd::base {
namespace {

// The example of the paper's appendix A: key 00..0f, text 00..0e.
TEST(SipHashTest, GivesThePapersExample) {
  std::string text;
  for (char c = 0; c < 15; ++c) text += c;
  EXPECT_EQ((SipHash<2, 4>(0x0706050403020100, 0x0f0e0d0c0b0a0908).Finish(text)),
            0xa129ca6149be45e5u);
}

TEST(SipHashTest, AWordCountsAsItsBytes) {
  const std::string text = "12345678rest";
  uint64_t word = 0;
  std::memcpy(&word, text.data(), sizeof word);
  SipHash<2, 4> words(1, 2);
  words.Take(word);
  EXPECT_EQ(words.Finish("rest"), (SipHash<2, 4>(1, 2).Finish(text)));
}

// libstdc++'s std::hash of 8 bytes and more can be run backwards from its last word. These texts of
// 32 bytes all end in the same state.
std::string CollidingText(uint64_t number) {
  constexpr uint64_t kFactor = 0xc6a4a7935bd1e995, kSeed = 0xc70f6907, kState = 0x123456789abcdef0;
  uint64_t inverse = kFactor;  // modulo 2^64, by Newton's iteration
  for (int i = 0; i < 6; ++i) inverse *= 2 - kFactor * inverse;
  const auto mix = [](uint64_t x) { return x ^ (x >> 47); };  // its own inverse
  uint64_t words[4] = {number, ~number, number * 3, 0};
  uint64_t state = kSeed ^ (sizeof words * kFactor);
  for (int i = 0; i < 3; ++i) state = (state ^ (mix(words[i] * kFactor) * kFactor)) * kFactor;
  words[3] = mix(((kState * inverse) ^ state) * inverse) * inverse;
  return {reinterpret_cast<const char*>(words), sizeof words};
}

TEST(KeyedHashTest, TextsThatAreMadeToCollideDoNot) {
  std::set<size_t> standard, keyed;
  for (uint64_t i = 0; i < 1000; ++i) {
    const std::string text = CollidingText(i);
    standard.insert(std::hash<std::string_view>{}(text));
    keyed.insert(KeyedHash(text));
  }
  EXPECT_EQ(standard.size(), 1u) << "they no longer collide under std::hash: make others";
  EXPECT_EQ(keyed.size(), 1000u);
}

}  // namespace
}  // namespace graspd::base
