// Set reconciliation as a library: sealing, fingerprints, and a whole session of two sets that
// differ by one per cent.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <vector>

#include "base/random.h"
#include "nostr/negentropy/item_set.h"
#include "nostr/negentropy/item_tree.h"
#include "nostr/negentropy/reconciler.h"

namespace graspd::negentropy {
namespace {

Item RandomItem(base::Random& random) {
  Item item;
  item.created_at = 1'600'000'000 + random.Below(100'000'000);
  for (size_t i = 0; i < item.id.bytes.size(); i += sizeof(uint64_t)) {
    const uint64_t word = random.Next();
    std::memcpy(item.id.bytes.data() + i, &word, sizeof word);
  }
  return item;
}

std::vector<Item> RandomItems(size_t count, uint64_t seed) {
  base::SeededRandom random(seed);
  std::vector<Item> items(count);
  for (auto& item : items) item = RandomItem(random);
  return items;
}

void BM_Seal(benchmark::State& state) {
  const auto items = RandomItems(static_cast<size_t>(state.range(0)), 1);
  for (auto _ : state) benchmark::DoNotOptimize(SealedSet(items));
}
BENCHMARK(BM_Seal)->Arg(100'000)->Arg(1'000'000)->Unit(benchmark::kMillisecond);

// Argument: items of the range, which begins and ends within blocks.
void BM_Fingerprint(benchmark::State& state) {
  const SealedSet set(RandomItems(1'000'000, 1));
  const auto items = static_cast<size_t>(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(set.FingerprintOf(7, 7 + items));
}
BENCHMARK(BM_Fingerprint)->Arg(10)->Arg(1'000)->Arg(999'986);

std::vector<Item> SortedItems(size_t count, uint64_t seed) {
  auto items = RandomItems(count, seed);
  std::sort(items.begin(), items.end());
  return items;
}

ItemTree TreeOf(const std::vector<Item>& sorted) {
  return ItemTree(sorted, std::make_shared<std::atomic<size_t>>(0));
}

void BM_BuildTree(benchmark::State& state) {
  const auto items = SortedItems(1'000'000, 1);
  for (auto _ : state) benchmark::DoNotOptimize(TreeOf(items));
}
BENCHMARK(BM_BuildTree)->Unit(benchmark::kMillisecond);

void BM_TreeFingerprint(benchmark::State& state) {
  const auto view = TreeOf(SortedItems(1'000'000, 1)).Snapshot();
  for (auto _ : state) benchmark::DoNotOptimize(view->FingerprintOf(7, view->size() - 7));
}
BENCHMARK(BM_TreeFingerprint);

void BM_TreeInsertAndErase(benchmark::State& state) {
  ItemTree tree = TreeOf(SortedItems(1'000'000, 1));
  base::SeededRandom random(3);
  for (auto _ : state) {
    const Item item = RandomItem(random);
    tree.Insert(item);
    tree.Erase(item);
  }
}
BENCHMARK(BM_TreeInsertAndErase)->Unit(benchmark::kMicrosecond);

// The cheapest question that makes work: one wrong fingerprint over everything.
void BM_AnswerTwentyBytes(benchmark::State& state) {
  const Responder responder(TreeOf(SortedItems(1'000'000, 1)).Snapshot(), {});
  const std::string message = std::string("\x61\0\0\1", 4) + std::string(16, 'x');
  Round round;
  for (auto _ : state) benchmark::DoNotOptimize(responder.Answer(message, &round));
  state.counters["work"] = static_cast<double>(round.work);
}
BENCHMARK(BM_AnswerTwentyBytes)->Unit(benchmark::kMicrosecond);

// The largest message that asks most: one wrong fingerprint of some items after the other.
void BM_AnswerLargest(benchmark::State& state) {
  const auto items = SortedItems(1'000'000, 1);
  const Responder responder(TreeOf(items).Snapshot(), {.frame_bytes = 250'000});
  // Up to just below the first item; from there on ranges of `step` seconds.
  std::string message("a\x85\xfa\xf8\xa0\x00\0\0", 8);
  const auto step = static_cast<char>(state.range(0));
  while (message.size() < 750'000) message += step + std::string("\0\1", 2) + std::string(16, 'x');
  Round round;
  for (auto _ : state) benchmark::DoNotOptimize(responder.Answer(message, &round));
  state.counters["work"] = static_cast<double>(round.work);
}
BENCHMARK(BM_AnswerLargest)->Arg(1)->Arg(100)->Unit(benchmark::kMicrosecond);

// Arguments: items on each side; whether a tree answers. Frames as between two relays: 60 kB up,
// 500 kB down.
void BM_ReconcileOnePercent(benchmark::State& state) {
  auto ours = RandomItems(static_cast<size_t>(state.range(0)), 1);
  auto theirs = ours;
  base::SeededRandom random(2);
  for (size_t i = 0; i < theirs.size(); i += 100) theirs[i] = RandomItem(random);
  const auto our_set = std::make_shared<SealedSet>(std::move(ours));
  std::sort(theirs.begin(), theirs.end());
  std::shared_ptr<const ItemView> their_set;
  if (state.range(1) != 0) {
    their_set = TreeOf(theirs).Snapshot();
  } else {
    their_set = std::make_shared<SealedSet>(std::move(theirs));
  }
  size_t rounds = 0, bytes = 0, work = 0;
  for (auto _ : state) {
    Initiator initiator(our_set, {.frame_bytes = 60'000});
    const Responder responder(their_set, {.frame_bytes = 500'000});
    std::string message = initiator.Start();
    rounds = bytes = work = 0;
    while (!message.empty()) {
      Round round;
      const auto reply = responder.Answer(message, &round);
      work += round.work;
      const auto step = initiator.Continue(*reply);
      bytes += message.size() + reply->size();
      ++rounds;
      message = step->message;
    }
  }
  state.counters["work"] = static_cast<double>(work);
  state.counters["rounds"] = static_cast<double>(rounds);
  state.counters["bytes"] = static_cast<double>(bytes);
}
BENCHMARK(BM_ReconcileOnePercent)
    ->Args({100'000, 0})
    ->Args({1'000'000, 0})
    ->Args({1'000'000, 1})
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace graspd::negentropy
