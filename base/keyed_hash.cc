#include "base/keyed_hash.h"

#include "base/random.h"
#include "base/sip_hash.h"

namespace graspd::base {
namespace {

struct HashKey {
  uint64_t first = SystemRandom::Instance().Next(), second = SystemRandom::Instance().Next();
};

HashKey& Key() {
  static HashKey key;
  return key;
}

}  // namespace

uint64_t KeyedHash(std::string_view text) {
  const HashKey& key = Key();
  return SipHash<1, 3>(key.first, key.second).Finish(text);
}

void FixHashKeyForTest() { Key() = {1, 2}; }

}  // namespace graspd::base
