#include "nostr/negentropy/item_set.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.h"
#include "nostr/negentropy/test_session.h"
#include "nostr/negentropy/wire.h"

namespace graspd::negentropy {
namespace {

std::vector<Item> RandomItems(base::Random& random, size_t count, uint64_t times) {
  std::vector<Item> items;
  for (size_t i = 0; i < count; ++i) items.push_back(MakeItem(random.Below(times), i));
  return items;
}

// NIP-77's text, byte by byte: an independent second opinion.
Fingerprint SlowFingerprint(const std::vector<Item>& sorted, size_t from, size_t to) {
  std::string input(32, '\0');
  for (size_t i = from; i < to; ++i) {
    unsigned carry = 0;
    for (size_t byte = 0; byte < 32; ++byte) {
      carry += static_cast<uint8_t>(input[byte]) + sorted[i].id.bytes[byte];
      input[byte] = static_cast<char>(carry & 0xff);
      carry >>= 8;
    }
  }
  AppendVarint(input, to - from);
  const auto digest = nostr::Sha256(input);
  Fingerprint out;
  std::copy_n(digest.begin(), out.size(), out.begin());
  return out;
}

TEST(SealedSetTest, SortsByTimeThenIdAndDropsDuplicates) {
  base::SeededRandom random(1);
  auto items = RandomItems(random, 500, 20);
  auto expected = items;
  std::sort(expected.begin(), expected.end());
  items.insert(items.end(), expected.begin(), expected.begin() + 100);

  const SealedSet set(items);
  ASSERT_EQ(set.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(set.At(i), expected[i]);
}

TEST(SealedSetTest, FingerprintOfEveryKindOfRangeAgreesWithTheDefinition) {
  base::SeededRandom random(2);
  for (const size_t size : {0, 1, 15, 16, 17, 32, 333}) {
    auto items = RandomItems(random, size, 1000);
    std::sort(items.begin(), items.end());
    const SealedSet set(items);
    EXPECT_EQ(set.FingerprintOf(0, size), SlowFingerprint(items, 0, size));
    for (int round = 0; round < 100; ++round) {
      const size_t to = random.Below(size + 1);
      const size_t from = random.Below(to + 1);
      EXPECT_EQ(set.FingerprintOf(from, to), SlowFingerprint(items, from, to))
          << from << ".." << to << " of " << size;
    }
  }
}

TEST(SealedSetTest, SumWrapsAroundAt256Bits) {
  Item ones{1, {}}, one{2, {}}, zero{3, {}};
  ones.id.bytes.fill(0xff);
  one.id.bytes[0] = 1;  // least significant byte first
  const SealedSet wrapped({ones, one});
  const SealedSet zeros({zero, Item{4, {}}});
  EXPECT_EQ(wrapped.FingerprintOf(0, 2), zeros.FingerprintOf(0, 2));
  EXPECT_NE(wrapped.FingerprintOf(0, 2), zeros.FingerprintOf(0, 1)) << "the count matters";
}

TEST(SealedSetTest, LowerBoundAgreesWithASearchOfTheWholeSet) {
  base::SeededRandom random(3);
  for (const size_t size : {0, 1, 2, 100, 1000}) {
    auto items = RandomItems(random, size, 50);
    std::sort(items.begin(), items.end());
    const SealedSet set(items);
    for (int round = 0; round < 300; ++round) {
      const Item bound = round % 3 == 0 ? Item{random.Below(52), {}}
                                        : MakeItem(random.Below(52), random.Below(2 * size + 1));
      const size_t from = random.Below(size + 1);
      const auto expected =
          std::lower_bound(items.begin() + static_cast<ptrdiff_t>(from), items.end(), bound) -
          items.begin();
      EXPECT_EQ(set.LowerBound(from, bound), static_cast<size_t>(expected));
    }
    EXPECT_EQ(set.LowerBound(0, Bound::Infinity().item), size);
  }
}

TEST(SealedSetTest, GivesBackTheSlackOfAGrownVector) {
  base::SeededRandom random(4);
  auto items = RandomItems(random, 1000, 1000);
  items.reserve(100'000);
  EXPECT_LT(SealedSet(std::move(items)).memory_bytes(), 1000 * 45 + 1000);
}

}  // namespace
}  // namespace graspd::negentropy
