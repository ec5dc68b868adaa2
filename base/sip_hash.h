#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace graspd::base {

/// SipHash-`kCompress`-`kFinish` (Aumasson and Bernstein, 2012): a hash that nobody without its key
/// can make collide. A plain value; one use: words and at last a text go in, the hash comes out.
/// 2-4 is the cautious choice, for what is kept; 1-3 the quick one, for tables in memory.
template <int kCompress, int kFinish>
class SipHash {
 public:
  SipHash(uint64_t key0, uint64_t key1)
      : v0_(key0 ^ 0x736f6d6570736575),
        v1_(key1 ^ 0x646f72616e646f6d),
        v2_(key0 ^ 0x6c7967656e657261),
        v3_(key1 ^ 0x7465646279746573) {}

  /// The same as eight bytes of text, in little-endian order.
  void Take(uint64_t word) {
    v3_ ^= word;
    for (int i = 0; i < kCompress; ++i) Round();
    v0_ ^= word;
    length_ += 8;
  }
  [[nodiscard]] uint64_t Finish(std::string_view text) {
    const uint64_t length = (length_ + text.size()) << 56;
    for (; text.size() >= 8; text.remove_prefix(8)) Take(Word(text));
    Take(length | Word(text));
    v2_ ^= 0xff;
    for (int i = 0; i < kFinish; ++i) Round();
    return v0_ ^ v1_ ^ v2_ ^ v3_;
  }

 private:
  static uint64_t RotateLeft(uint64_t x, int bits) { return x << bits | x >> (64 - bits); }
  /// The first eight bytes, or as many as there are. This program runs on little-endian machines.
  static uint64_t Word(std::string_view text) {
    uint64_t word = 0;
    if (text.size() >= sizeof word) {
      std::memcpy(&word, text.data(), sizeof word);
    } else if (!text.empty()) {
      std::memcpy(&word, text.data(), text.size());
    }
    return word;
  }
  void Round() {
    v0_ += v1_, v1_ = RotateLeft(v1_, 13) ^ v0_, v0_ = RotateLeft(v0_, 32);
    v2_ += v3_, v3_ = RotateLeft(v3_, 16) ^ v2_;
    v0_ += v3_, v3_ = RotateLeft(v3_, 21) ^ v0_;
    v2_ += v1_, v1_ = RotateLeft(v1_, 17) ^ v2_, v2_ = RotateLeft(v2_, 32);
  }

  uint64_t v0_, v1_, v2_, v3_;
  uint64_t length_ = 0;
};

}  // namespace graspd::base
