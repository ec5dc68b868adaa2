// What a change costs the sync engine: deciding which remotes to ask what, and nothing else.

#include <benchmark/benchmark.h>

#include <chrono>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "base/log.h"
#include "base/random.h"
#include "sync/engine.h"
#include "sync/testing/events.h"

namespace graspd::sync {
namespace {

using testing::Announcement;
using testing::Issue;
using testing::Repo;

constexpr uint64_t kEpoch = 1'700'000'000;

std::string Host(size_t i) { return "wss://r" + std::to_string(i) + ".example"; }
nostr::Address RepoOf(size_t i) { return Repo("owner" + std::to_string(i), "tool"); }

/// An engine whose remotes are all connected and caught up; each repository names two of them.
class World {
 public:
  World(size_t repositories, size_t remotes) : engine_(Options(), random_) {
    base::ConfigureLog(base::LogLevel::kError, base::LogFormat::kText);
    for (size_t i = 0; i < repositories; ++i) {
      engine_.Load(Announcement(RepoOf(i), kEpoch, {Host(i % remotes), Host((i + 1) % remotes)}));
    }
    engine_.Start(now_);
    while (connected_ < remotes) Pass(std::chrono::seconds(1));
    Pass(std::chrono::seconds(10));
  }

  /// Makes a new issue of a repository.
  void NewIssue(size_t repository) {
    storage::Change change;
    const auto event = Issue({RepoOf(repository)}, kEpoch, std::to_string(++issues_));
    change.id = event.id;
    change.event = nostr::MakeRecord(event);
    changes_.assign(1, std::move(change));
  }
  /// Tells the engine, until all that follows has been asked for.
  void Decide() {
    engine_.OnChanges(now_, changes_);
    Pass(std::chrono::milliseconds(20));  // the change is waited with for 10 ms
  }
  [[nodiscard]] size_t requests() const { return requests_; }

 private:
  static EngineOptions Options() {
    EngineOptions options;
    options.concurrent_dials = options.new_remotes_per_minute = 1'000'000;
    return options;
  }

  void Pass(base::Duration time) {
    now_.steady += time;
    engine_.OnTimer(now_);
    for (auto actions = engine_.TakeActions(); !actions.empty(); actions = engine_.TakeActions()) {
      for (const Action& action : actions) Answer(action);
    }
  }
  // Everybody connects at once, says nothing of itself, and has nothing that is not here.
  void Answer(const Action& action) {
    if (const auto* dial = std::get_if<Dial>(&action)) {
      ++connected_;
      engine_.OnConnected(now_, dial->connection, {});
    } else if (const auto* fetch = std::get_if<FetchInformation>(&action)) {
      engine_.OnInformation(now_, fetch->connection, absl::UnavailableError("none"), "");
    } else if (const auto* start = std::get_if<ReconcileStart>(&action)) {
      engine_.OnReconcileStep(now_, start->job, ReconcileStep());
    } else if (std::holds_alternative<Subscribe>(action)) {
      ++requests_;
    }
  }

  base::SeededRandom random_{1};
  SyncEngine engine_;
  Instant now_{base::SteadyTime(std::chrono::hours(1000)), kEpoch};
  std::vector<storage::Change> changes_;
  size_t connected_ = 0, requests_ = 0, issues_ = 0;
};

// 10,000 repositories, 200 remotes: a new issue of one repository is asked about at its two.
void BM_OneChange(benchmark::State& state) {
  World world(10'000, 200);
  const size_t before = world.requests();
  size_t repository = 0;
  for (auto _ : state) {
    state.PauseTiming();
    world.NewIssue(repository = (repository + 37) % 10'000);
    state.ResumeTiming();
    world.Decide();
  }
  state.counters["requests"] = benchmark::Counter(static_cast<double>(world.requests() - before),
                                                  benchmark::Counter::kAvgIterations);
}
BENCHMARK(BM_OneChange)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace graspd::sync
