#include "nostr/negentropy/item_tree.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/random.h"
#include "nostr/negentropy/test_session.h"
#include "nostr/negentropy/wire.h"

namespace graspd::negentropy {
namespace {

ItemTree::ByteCount NewCount() { return std::make_shared<std::atomic<size_t>>(0); }

// Whatever can be asked of a view, compared with a sealed set of the same items, at random places.
void ExpectHolds(const ItemView& view, const std::set<Item>& expected, base::Random& random) {
  const SealedSet oracle({expected.begin(), expected.end()});
  const size_t size = oracle.size();
  ASSERT_EQ(view.size(), size);
  EXPECT_EQ(view.FingerprintOf(0, size), oracle.FingerprintOf(0, size));
  for (int round = 0; round < 20; ++round) {
    const size_t to = random.Below(size + 1), from = random.Below(to + 1);
    ASSERT_EQ(view.FingerprintOf(from, to), oracle.FingerprintOf(from, to));
    std::string ids, expected_ids;
    view.AppendIds(from, to, ids);
    oracle.AppendIds(from, to, expected_ids);
    ASSERT_EQ(ids, expected_ids);
    if (to < size) {
      ASSERT_EQ(view.At(to), oracle.At(to));
    }
    const Item bound = round % 2 == 0 && to < size ? oracle.At(to) : Item{random.Below(60), {}};
    ASSERT_EQ(view.LowerBound(from, bound), oracle.LowerBound(from, bound));
  }
  EXPECT_EQ(view.LowerBound(0, Bound::Infinity().item), size);
}

TEST(ItemTreeTest, BuiltFromASortedListItHoldsExactlyThat) {
  base::SeededRandom random(1);
  for (const size_t size : {0, 1, 2, 48, 49, 64, 65, 1000, 50'000}) {
    std::set<Item> items;
    for (size_t i = 0; i < size; ++i) items.insert(MakeItem(random.Below(50), i));
    const ItemTree tree({items.begin(), items.end()}, NewCount());
    ExpectHolds(*tree.Snapshot(), items, random);
  }
}

TEST(ItemTreeTest, FollowsRandomInsertsAndErasesAndKeepsOldStates) {
  struct Kept {
    std::shared_ptr<const ItemView> view;
    std::set<Item> items;
  };
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    base::SeededRandom random(seed);
    const auto bytes = NewCount();
    {
      std::set<Item> items;
      ItemTree tree({}, bytes);
      std::vector<Kept> kept;
      for (int round = 0; round < 12'000; ++round) {
        // Grows to some thousands, shrinks to nothing, grows again.
        const bool growing = (round / 3000) % 2 == 0;
        const Item item = MakeItem(random.Below(50), random.Below(3000));
        if (random.Below(10) < (growing ? 9u : 1u)) {
          ASSERT_EQ(tree.Insert(item), items.insert(item).second);
        } else {
          const auto near = items.lower_bound(item);
          const Item victim = near == items.end() ? item : *near;
          ASSERT_EQ(tree.Erase(victim), items.erase(victim) == 1);
        }
        if (round % 400 == 0) kept.push_back({tree.Snapshot(), items});
      }
      ExpectHolds(*tree.Snapshot(), items, random);
      for (const Kept& old : kept) ExpectHolds(*old.view, old.items, random);
      while (!items.empty()) {
        ASSERT_TRUE(tree.Erase(*items.begin()));
        items.erase(items.begin());
      }
      ExpectHolds(*tree.Snapshot(), items, random);
    }
    EXPECT_EQ(bytes->load(), 0U) << "nodes were counted that are gone";
  }
}

TEST(ItemTreeTest, MemoryStaysWithinItsBoundAndIsGivenBack) {
  constexpr size_t kItems = 20'000;
  std::vector<Item> items;
  for (size_t i = 0; i < kItems; ++i) items.push_back({i, MakeItem(0, i).id});
  const auto bytes = NewCount();
  ItemTree built(items, bytes);
  const size_t one = bytes->load();
  EXPECT_LE(one, kItems * ItemTree::kMaxBytesPerItem);
  EXPECT_GE(one, kItems * sizeof(Item));

  auto before = built.Snapshot();
  for (uint64_t i = 0; i < 100; ++i) EXPECT_TRUE(built.Insert({kItems + i, items[i].id}));
  EXPECT_GT(bytes->load(), one);
  EXPECT_LE(bytes->load(), one + (1 << 20)) << "an old state shares what has not changed";
  before.reset();
  EXPECT_LE(bytes->load(), (kItems + 100) * ItemTree::kMaxBytesPerItem);

  // The worst orders for splits: always at the same end.
  const auto counted = NewCount();
  ItemTree grown({}, counted);
  for (size_t i = kItems; i-- > 0;) EXPECT_TRUE(grown.Insert(items[i]));
  EXPECT_LE(counted->load(), kItems * ItemTree::kMaxBytesPerItem);
}

TEST(ItemTreeTest, ReconcilesLikeASealedSet) {
  base::SeededRandom random(7);
  std::set<Item> ours, theirs;
  for (uint64_t i = 0; i < 5000; ++i) {
    const Item item = MakeItem(random.Below(2000), i);
    if (random.Below(50) != 0) ours.insert(item);
    if (random.Below(50) != 0) theirs.insert(item);
  }
  const auto client = Seal({ours.begin(), ours.end()});
  const auto sealed = Seal({theirs.begin(), theirs.end()});
  const ItemTree tree({theirs.begin(), theirs.end()}, NewCount());
  const auto expected = RunSession(client, sealed, {}, {.frame_bytes = 4096});
  const auto got = RunSession(client, tree.Snapshot(), {}, {.frame_bytes = 4096});
  EXPECT_EQ(got.messages, expected.messages);
  EXPECT_EQ(got.need, expected.need);
}

}  // namespace
}  // namespace graspd::negentropy
