// The LMDB store without anything around it: durable batches, queries, listing for negentropy.

#include <benchmark/benchmark.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "nostr/event.h"
#include "storage/lmdb/lmdb_store.h"

namespace graspd::storage {
namespace {

constexpr uint64_t kNow = 1'700'000'000;
constexpr size_t kAuthors = 1000, kBatch = 500;

class AcceptAll final : public Judge {
 public:
  absl::StatusOr<Verdict> Decide(const nostr::Event&, Source, const ReadView&) override {
    return Verdict{};
  }
};

template <typename Bytes>
void Fill(Bytes& out, base::Random& random) {
  for (size_t i = 0; i < out.bytes.size(); i += sizeof(uint64_t)) {
    const uint64_t word = random.Next();
    std::memcpy(out.bytes.data() + i, &word, sizeof word);
  }
}

// The JSON has 423 bytes on average. Unsigned: the store never verifies. Every second one refers to
// another event.
nostr::EventPtr RandomEvent(base::Random& random, uint64_t created_at) {
  nostr::Event event;
  Fill(event.id, random);
  Fill(event.sig, random);
  base::SeededRandom author(random.Below(kAuthors));
  Fill(event.pubkey, author);
  event.kind = 1;
  event.created_at = created_at;
  nostr::EventId parent;
  Fill(parent, random);
  if (random.Below(2) == 0) event.tags.Add({"e", parent.ToHex()});
  event.content = std::string(60, 'x');
  return nostr::MakeRecord(std::move(event));
}

/// In which order events come: those of clients are new, those of a first synchronisation of any
/// age.
enum class Order : int64_t { kLive, kAnyAge };

class Events {
 public:
  explicit Events(Order order) : order_(order) {}
  std::vector<WriteRequest> Batch(size_t size) {
    std::vector<WriteRequest> batch;
    batch.reserve(size);
    while (batch.size() < size)
      batch.push_back({RandomEvent(random_, NextTime()), Source::kDirect});
    return batch;
  }

 private:
  uint64_t NextTime() {
    if (order_ == Order::kAnyAge) return kNow - random_.Below(10'000'000);
    return kNow - 100'000'000 + count_++ / 20;
  }
  const Order order_;
  uint64_t count_ = 0;
  base::SeededRandom random_{1};
};

/// CPU time of the process, the kernel's included, in seconds.
double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         1e-6 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

class Store {
 public:
  explicit Store(Order order = Order::kAnyAge) : events_(order) {
    char path[] = "/tmp/graspd-store-bench-XXXXXX";
    directory_ = mkdtemp(path);
    store_ = *OpenLmdbStore({.directory = directory_});
  }
  ~Store() {
    store_.reset();
    std::filesystem::remove_all(directory_);
  }
  EventStore& operator*() { return *store_; }
  [[nodiscard]] std::vector<WriteRequest> NextBatch(size_t size) { return events_.Batch(size); }

  void Write(const std::vector<WriteRequest>& batch) {
    if (!store_->Write(batch, judge_, kNow).ok()) std::abort();
  }
  void Fill(size_t events) {
    for (size_t i = 0; i < events; i += kBatch) Write(NextBatch(kBatch));
  }

 private:
  std::string directory_;
  std::unique_ptr<EventStore> store_;
  AcceptAll judge_;
  Events events_;
};

// Arguments: events in a batch, events stored before, order. Each batch is synced; the CPU time
// includes the kernel's.
void BM_WriteBatch(benchmark::State& state) {
  Store store(static_cast<Order>(state.range(2)));
  store.Fill(static_cast<size_t>(state.range(1)));
  double cpu = 0;
  for (auto _ : state) {
    state.PauseTiming();
    const auto batch = store.NextBatch(static_cast<size_t>(state.range(0)));
    state.ResumeTiming();
    const double before = CpuSeconds();
    store.Write(batch);
    cpu += CpuSeconds() - before;
  }
  const auto written = static_cast<double>(state.iterations() * state.range(0));
  const auto stats = *(*store).GetStats();
  state.counters["cpu_us_per_event"] = 1e6 * cpu / written;
  state.counters["bytes_per_event"] =
      static_cast<double>(stats.bytes) / static_cast<double>(stats.events);
  state.SetItemsProcessed(static_cast<int64_t>(written));
}
BENCHMARK(BM_WriteBatch)
    ->ArgNames({"batch", "stored", "any_age"})
    ->ArgsProduct({{1, 100, 500}, {0, 100'000}, {0, 1}})
    ->ArgsProduct({{100, 500}, {1'000'000}, {0, 1}})
    ->Unit(benchmark::kMillisecond)
    ->Iterations(200);

Store& Filled() {
  static Store store;
  static const bool filled = [] {
    store.Fill(100'000);
    return true;
  }();
  benchmark::DoNotOptimize(filled);
  return store;
}

void RunQuery(benchmark::State& state, nostr::Filter filter) {
  auto& store = Filled();
  QuerySpec spec;
  filter.Normalize();
  spec.filters = {std::move(filter)};
  spec.unix_now = kNow;
  size_t rows = 0;
  for (auto _ : state) {
    const auto page = (*store).Query(spec, nullptr);
    rows = page->rows.size();
  }
  state.counters["rows"] = static_cast<double>(rows);
}

void BM_QueryKindLimit500(benchmark::State& state) {
  nostr::Filter filter;
  filter.kinds = {1};
  filter.limit = 500;
  RunQuery(state, std::move(filter));
}
BENCHMARK(BM_QueryKindLimit500)->Unit(benchmark::kMicrosecond);

void BM_QueryAuthorLimit20(benchmark::State& state) {
  nostr::Filter filter;
  nostr::PublicKey author;
  base::SeededRandom random(3);
  Fill(author, random);
  filter.authors = {author};
  filter.limit = 20;
  RunQuery(state, std::move(filter));
}
BENCHMARK(BM_QueryAuthorLimit20)->Unit(benchmark::kMicrosecond);

void BM_ListItems(benchmark::State& state) {
  auto& store = Filled();
  nostr::Filter filter;
  filter.kinds = {1};
  for (auto _ : state) benchmark::DoNotOptimize((*store).ListItems(filter, kNow, 1'000'000));
}
BENCHMARK(BM_ListItems)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace graspd::storage
