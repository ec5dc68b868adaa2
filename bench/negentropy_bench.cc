// Set reconciliation as a library: sealing, fingerprints, and a whole session of two sets that
// differ by one per cent.

#include <benchmark/benchmark.h>

#include <cstring>
#include <memory>
#include <vector>

#include "base/random.h"
#include "nostr/negentropy/item_set.h"
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

// Argument: items on each side. Frames as between two relays: 60 kB up, 500 kB down.
void BM_ReconcileOnePercent(benchmark::State& state) {
  auto ours = RandomItems(static_cast<size_t>(state.range(0)), 1);
  auto theirs = ours;
  base::SeededRandom random(2);
  for (size_t i = 0; i < theirs.size(); i += 100) theirs[i] = RandomItem(random);
  const auto our_set = std::make_shared<SealedSet>(std::move(ours));
  const auto their_set = std::make_shared<SealedSet>(std::move(theirs));
  size_t rounds = 0, bytes = 0;
  for (auto _ : state) {
    Initiator initiator(our_set, {.frame_bytes = 60'000});
    const Responder responder(their_set, {.frame_bytes = 500'000});
    std::string message = initiator.Start();
    rounds = bytes = 0;
    while (!message.empty()) {
      const auto reply = responder.Answer(message);
      const auto step = initiator.Continue(*reply);
      bytes += message.size() + reply->size();
      ++rounds;
      message = step->message;
    }
  }
  state.counters["rounds"] = static_cast<double>(rounds);
  state.counters["bytes"] = static_cast<double>(bytes);
}
BENCHMARK(BM_ReconcileOnePercent)->Arg(100'000)->Arg(1'000'000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace graspd::negentropy
