// Which live subscriptions an event belongs to: what every event costs each I/O thread.

#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "nostr/event.h"
#include "nostr/event_builder.h"
#include "nostr/filter.h"
#include "nostr/keys.h"
#include "services/relay/subscription_index.h"

namespace graspd::relay {
namespace {

constexpr size_t kRepositories = 1000;

std::string Coordinate(size_t repository) {
  return "30617:" + std::string(64, 'a') + ":repository-" + std::to_string(repository);
}

// An issue of repository 0.
const nostr::Event& Sample() {
  static const nostr::Event event = nostr::EventBuilder(1621, 1'700'000'000)
                                        .Tag({"a", Coordinate(0)})
                                        .Tag({"p", std::string(64, 'a')})
                                        .Content("It fails")
                                        .Sign(nostr::SecretKey::FromSeed("bench"));
  return event;
}

// `count` subscriptions in an index; `make` gives the filter of the i-th.
class Subscriptions {
 public:
  template <typename Make>
  Subscriptions(size_t count, Make make) {
    for (size_t i = 0; i < count; ++i) {
      nostr::Filter filter = make(i);
      filter.Normalize();
      all_.push_back(std::make_unique<IndexedSubscription>(std::vector{std::move(filter)}));
      index_.Add(*all_.back());
    }
  }
  ~Subscriptions() {
    for (auto& subscription : all_) index_.Remove(*subscription);
  }

  // Finds again and again; counts what is found.
  void Run(benchmark::State& state) {
    std::vector<IndexedSubscription*> found;
    for (auto _ : state) {
      found.clear();
      index_.Find(Sample(), found);
    }
    state.counters["found"] = static_cast<double>(found.size());
  }

 private:
  SubscriptionIndex index_;
  std::vector<std::unique_ptr<IndexedSubscription>> all_;
};

// Argument: subscriptions, each to one of 1,000 repositories: few of them match.
void BM_FindByRepository(benchmark::State& state) {
  Subscriptions(static_cast<size_t>(state.range(0)), [](size_t i) {
    nostr::Filter filter;
    filter.kinds = {1617, 1618, 1621};
    filter.tags['a'] = {Coordinate(i % kRepositories)};
    return filter;
  }).Run(state);
}
BENCHMARK(BM_FindByRepository)->Arg(1'000)->Arg(100'000);

// Argument: subscriptions, all of which match.
void BM_FindAll(benchmark::State& state) {
  Subscriptions(static_cast<size_t>(state.range(0)), [](size_t) {
    nostr::Filter filter;
    filter.kinds = {1621};
    return filter;
  }).Run(state);
}
BENCHMARK(BM_FindAll)->Arg(1'000);

}  // namespace
}  // namespace graspd::relay
