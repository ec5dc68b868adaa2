// The LMDB store without anything around it: durable batches, queries, listing for negentropy.

#include <benchmark/benchmark.h>
#include <stdlib.h>

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

// Unsigned: the store never verifies. Every second one refers to another event.
nostr::EventPtr RandomEvent(base::Random& random) {
  nostr::Event event;
  Fill(event.id, random);
  Fill(event.sig, random);
  base::SeededRandom author(random.Below(kAuthors));
  Fill(event.pubkey, author);
  event.kind = 1;
  event.created_at = kNow - random.Below(10'000'000);
  nostr::EventId parent;
  Fill(parent, random);
  if (random.Below(2) == 0) event.tags.Add({"e", parent.ToHex()});
  event.content = std::string(60, 'x');
  return nostr::MakeRecord(std::move(event));
}

class Store {
 public:
  Store() {
    char path[] = "/tmp/graspd-store-bench-XXXXXX";
    directory_ = mkdtemp(path);
    store_ = *OpenLmdbStore({.directory = directory_});
  }
  ~Store() {
    store_.reset();
    std::filesystem::remove_all(directory_);
  }
  EventStore& operator*() { return *store_; }

  void Write(size_t events) {
    std::vector<WriteRequest> batch;
    for (size_t i = 0; i < events; ++i) batch.push_back({RandomEvent(random_), Source::kDirect});
    if (!store_->Write(batch, judge_, kNow).ok()) std::abort();
  }

 private:
  std::string directory_;
  std::unique_ptr<EventStore> store_;
  AcceptAll judge_;
  base::SeededRandom random_{1};
};

// Argument: events in a batch. Each batch is synced.
void BM_WriteBatch(benchmark::State& state) {
  Store store;
  const auto size = static_cast<size_t>(state.range(0));
  base::SeededRandom random(7);
  AcceptAll judge;
  for (auto _ : state) {
    state.PauseTiming();
    std::vector<WriteRequest> batch;
    for (size_t i = 0; i < size; ++i) batch.push_back({RandomEvent(random), Source::kDirect});
    state.ResumeTiming();
    benchmark::DoNotOptimize((*store).Write(batch, judge, kNow));
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_WriteBatch)->Arg(1)->Arg(100)->Arg(1000)->Unit(benchmark::kMillisecond);

Store& Filled() {
  static Store store;
  static const bool filled = [] {
    for (size_t i = 0; i < 100'000 / kBatch; ++i) store.Write(kBatch);
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
