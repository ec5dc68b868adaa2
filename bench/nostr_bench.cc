// What one event costs before it reaches the store. The event is a short note of 423 bytes of JSON
// with one `e` tag, the size that docs/benchmarks.md compares.

#include <benchmark/benchmark.h>

#include <string>

#include "nostr/event.h"
#include "nostr/event_builder.h"
#include "nostr/filter.h"
#include "nostr/keys.h"
#include "nostr/limits.h"
#include "nostr/message.h"

namespace graspd::nostr {
namespace {

constexpr uint64_t kNow = 1'700'000'000;
constexpr size_t kJsonBytes = 423;

const Event& Sample() {
  static const Event event = [] {
    const auto key = SecretKey::FromSeed("bench");
    EventBuilder builder(1, kNow);
    builder.Tag({"e", std::string(64, 'a')});
    const size_t rest = kJsonBytes - EventJson(builder.Content("").Sign(key)).size();
    return builder.Content(std::string(rest, 'x')).Sign(key);
  }();
  return event;
}

void BM_ParseClientMessage(benchmark::State& state) {
  const std::string message = ClientEventMessage(EventJson(Sample()));
  for (auto _ : state) benchmark::DoNotOptimize(ParseClientMessage(message));
}
BENCHMARK(BM_ParseClientMessage);

// The target is 3 us for all of it together.
void BM_ParseLimitsAndId(benchmark::State& state) {
  const std::string message = ClientEventMessage(EventJson(Sample()));
  const Limits limits;
  for (auto _ : state) {
    const auto parsed = ParseClientMessage(message);
    const Event& event = std::get<ClientEvent>(parsed).event;
    benchmark::DoNotOptimize(ExceededLimit(event, kJsonBytes, limits, kNow));
    benchmark::DoNotOptimize(ComputeId(event) == event.id);
  }
}
BENCHMARK(BM_ParseLimitsAndId);

void BM_EventJson(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(EventJson(Sample()));
}
BENCHMARK(BM_EventJson);

// Writing the preimage and its SHA-256.
void BM_ComputeId(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(ComputeId(Sample()));
}
BENCHMARK(BM_ComputeId);

// Argument: bytes. What ComputeId hashes is about 250.
void BM_Sha256(benchmark::State& state) {
  const std::string text(static_cast<size_t>(state.range(0)), 'x');
  for (auto _ : state) benchmark::DoNotOptimize(Sha256(text));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_Sha256)->Arg(250)->Arg(65'536);

void BM_VerifySignature(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(VerifySignature(Sample()));
}
BENCHMARK(BM_VerifySignature);

void BM_MatchTagFilter(benchmark::State& state) {
  Filter filter;
  filter.kinds = {1};
  filter.tags['e'] = {std::string(64, 'a'), std::string(64, 'b')};
  filter.Normalize();
  for (auto _ : state) benchmark::DoNotOptimize(Matches(filter, Sample()));
}
BENCHMARK(BM_MatchTagFilter);

}  // namespace
}  // namespace graspd::nostr
