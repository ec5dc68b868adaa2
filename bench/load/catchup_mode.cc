// graspd catches up with a remote, which this tool plays.

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/status_macros.h"
#include "bench/load/baselines.h"
#include "bench/load/delay_line.h"
#include "bench/load/relay_text.h"
#include "bench/load/remote_relay.h"
#include "bench/load/repo_events.h"
#include "bench/load/run.h"
#include "nostr/filter.h"

namespace graspd::bench {
namespace {

using std::chrono::milliseconds;

constexpr size_t kRepos = 5, kVerifySample = 20'000;
constexpr size_t kLastIds = 500;
constexpr auto kLook = milliseconds(10);  // between two looks: so much a figure may be too high
// Longer than the relay needs to look up a million events for the next of its filters.
constexpr auto kQuiet = std::chrono::seconds(5);

double Seconds(base::Duration duration) { return std::chrono::duration<double>(duration).count(); }

/// What a run is made of; the remote has all events, and announcements that name it.
struct Setup {
  RepoEventMaker maker;
  EventSet events;
  std::vector<std::string> announcements;  // JSON
  net::IoPool pool{1, "remote"};
  std::unique_ptr<RemoteRelay> remote;
  std::unique_ptr<DelayLine> line;
};

absl::StatusOr<std::unique_ptr<Setup>> MakeSetup(const Run& run) {
  const Options& options = run.options;
  const size_t issues = std::min(options.issues, options.count);
  RepoEventMaker maker(options.seed, options.now, kRepos, issues);
  auto events = SignRepoEvents(maker, options.count, run.progress);
  auto setup = std::make_unique<Setup>(std::move(maker), std::move(events));
  GRASPD_ASSIGN_OR_RETURN(setup->remote, RemoteRelay::Start(setup->pool, run.clock));
  std::string url = setup->remote->url();
  if (options.delay > 0) {
    const auto delay = std::chrono::duration_cast<base::Duration>(
        std::chrono::duration<double, std::milli>(options.delay));
    GRASPD_ASSIGN_OR_RETURN(setup->line, DelayLine::Start(setup->remote->port(), delay, run.clock));
    url = fmt::format("ws://127.0.0.1:{}", setup->line->port());
  }
  for (size_t i = 0; i < kRepos; ++i) {
    setup->announcements.push_back(
        nostr::EventJson(setup->maker.Announcement(i, {url}, run.clock.UnixNow())));
  }
  for (size_t i = 0; i < setup->events.size(); ++i) {
    GRASPD_RETURN_IF_ERROR(setup->remote->Add(setup->events.json(i)));
  }
  for (const auto& json : setup->announcements) GRASPD_RETURN_IF_ERROR(setup->remote->Add(json));
  return setup;
}

/// Publishes and counts, over one connection.
class Asker {
 public:
  explicit Asker(Client& client) : client_(client) {
    client_.set_on_text([this](size_t, std::string_view text) { return OnText(text); });
  }

  absl::Status Publish(std::string_view event_json) {
    client_.Send(0, {R"(["EVENT",)", event_json, "]"});
    return Wait();
  }
  /// Together, so that the relay hears of all at one time.
  absl::Status Publish(const std::vector<std::string>& events_json) {
    for (const auto& json : events_json) client_.Send(0, {R"(["EVENT",)", json, "]"});
    return Wait(events_json.size());
  }

  /// Reads what comes until the next look is due.
  absl::Status Look() { return client_.Turn(kLook); }

  absl::StatusOr<size_t> Count(std::string_view filters) {
    client_.Send(0, {R"(["COUNT","c",)", filters, "]"});
    GRASPD_RETURN_IF_ERROR(Wait());
    return count_;
  }

 private:
  absl::Status Wait(size_t answers = 1) {
    answers_ = 0;
    return client_.RunUntil([&] { return answers_ >= answers; });
  }

  absl::Status OnText(std::string_view message) {
    constexpr std::string_view kCount = R"("count":)";
    const RelayText text = Scan(message);
    const size_t at = text.rest.find(kCount);
    if (text.verb == RelayText::Verb::kOk) {
      ++answers_;
      if (text.accepted()) return absl::OkStatus();
      return absl::AbortedError(fmt::format("an announcement was refused: {}", message));
    }
    if (text.verb == RelayText::Verb::kOther && at != text.rest.npos) {
      const auto digits = text.rest.substr(at + kCount.size());
      std::from_chars(digits.data(), digits.data() + digits.size(), count_);
      ++answers_;
      return absl::OkStatus();
    }
    return Unexpected(text);
  }

  Client& client_;
  size_t answers_ = 0;
  size_t count_ = 0;
};

/// Looks at the remote every kLook until `done` likes what it sees. Errors: kDeadlineExceeded when
/// the remote has heard nothing for so long as --timeout says.
template <typename Done>
absl::Status AwaitRemote(const Run& run, const Setup& setup, Asker& asker, Done done) {
  const auto start = run.clock.Now();
  while (true) {
    const auto stats = setup.remote->stats();
    if (done(stats)) return absl::OkStatus();
    const auto last = std::max(start, stats.last_traffic);
    if (Seconds(run.clock.Now() - last) > run.options.timeout) {
      return absl::DeadlineExceededError(
          fmt::format("the remote has sent {} events, and then heard nothing for too long (does "
                      "the relay sync, and from 127.0.0.0/8?)",
                      stats.delivered));
    }
    run.progress.Show("events sent by the remote", stats.delivered);
    GRASPD_RETURN_IF_ERROR(asker.Look());
  }
}

absl::Status AwaitQuiet(const Run& run, const Setup& setup, Asker& asker, size_t neg_opens = 0) {
  return AwaitRemote(run, setup, asker, [&](const RemoteRelay::Stats& stats) {
    return stats.neg_opens > neg_opens && stats.neg_running == 0 &&
           run.clock.Now() - stats.last_traffic >= kQuiet;
  });
}

absl::Status AwaitCount(const Run& run, Asker& asker, std::string_view filters, size_t wanted) {
  const auto start = run.clock.Now();
  while (true) {
    GRASPD_ASSIGN_OR_RETURN(const size_t count, asker.Count(filters));
    if (count == wanted) return absl::OkStatus();
    if (Seconds(run.clock.Now() - start) > run.options.timeout) {
      return absl::DeadlineExceededError(
          fmt::format("the relay has {} of {} events", count, wanted));
    }
    GRASPD_RETURN_IF_ERROR(asker.Look());
  }
}

// The cost until all events are stored. To count them all is work too, which must not be measured:
// it is looked for the latest ones, and only if then others are missing the measured time goes on.
absl::StatusOr<Cost> AwaitStored(const Run& run, const Setup& setup, Asker& asker,
                                 const Meter& meter) {
  nostr::Filter latest;
  latest.ids = setup.remote->LastDelivered(kLastIds);
  latest.Normalize();
  GRASPD_RETURN_IF_ERROR(AwaitCount(run, asker, nostr::FilterJson(latest), latest.ids->size()));
  GRASPD_ASSIGN_OR_RETURN(const auto cost, meter.End());
  const std::string filters = RepoFiltersJson(setup.maker);
  GRASPD_ASSIGN_OR_RETURN(const size_t count, asker.Count(filters));
  if (count == setup.events.size()) return cost;
  GRASPD_RETURN_IF_ERROR(AwaitCount(run, asker, filters, setup.events.size()));
  return meter.End();
}

void ReportTraffic(const RemoteRelay::Stats& stats, std::string_view prefix, Report& report) {
  report.Result(fmt::format("{}neg_sessions", prefix), stats.neg_opens);
  report.Result(fmt::format("{}events_sent", prefix), stats.sent);
  // As graspd sees it: up is what it sends.
  report.Result(fmt::format("{}bytes_up", prefix), stats.bytes_in);
  report.Result(fmt::format("{}bytes_up_filters", prefix), stats.filter_bytes);
  report.Result(fmt::format("{}bytes_down", prefix), stats.bytes_out);
}

void ReportRatios(const Options& options, const Cost& cost, double verify_s, Report& report) {
  const auto count = static_cast<double>(options.count);
  report.Result("verify_us", verify_s * 1e6);
  const double cores = std::thread::hardware_concurrency();
  report.Result("share_of_machine", count / cost.wall_s * verify_s / cores);
  if (!cost.relay) return;
  report.Result("catchup_to_verification", cost.relay->cpu_s() / count / verify_s);
}

absl::Status CatchUp(const Run& run, Setup& setup, double verify_before) {
  GRASPD_ASSIGN_OR_RETURN(const auto client, run.Connect(1));
  Asker asker(*client);
  // The remote has the other announcements too: they are found there.
  GRASPD_RETURN_IF_ERROR(asker.Publish(setup.announcements[0]));
  GRASPD_ASSIGN_OR_RETURN(const auto meter, run.Measure());
  const size_t all = setup.events.size() + setup.announcements.size() - 1;
  GRASPD_RETURN_IF_ERROR(AwaitRemote(
      run, setup, asker, [&](const RemoteRelay::Stats& stats) { return stats.delivered >= all; }));
  GRASPD_ASSIGN_OR_RETURN(const auto cost, AwaitStored(run, setup, asker, meter));
  run.report.Result("events_per_s", static_cast<double>(setup.events.size()) / cost.wall_s);
  run.report.Result("", cost);
  ReportTraffic(setup.remote->stats(), "", run.report);
  if (run.options.verify_baseline) {
    GRASPD_ASSIGN_OR_RETURN(const double after, VerifySecondsPerEvent(setup.events, kVerifySample));
    ReportRatios(run.options, cost, (verify_before + after) / 2, run.report);
  }
  // What is compared after everything is there.
  GRASPD_RETURN_IF_ERROR(AwaitQuiet(run, setup, asker));
  GRASPD_ASSIGN_OR_RETURN(const auto settled, meter.End());
  if (settled.relay) run.report.Result("settled_relay_cpu_s", settled.relay->cpu_s());
  ReportTraffic(setup.remote->stats(), "settled_", run.report);
  return absl::OkStatus();
}

absl::Status LoadAll(const Run& run, const Setup& setup) {
  if (run.options.no_load) return absl::OkStatus();
  GRASPD_ASSIGN_OR_RETURN(const auto client, run.Connect(1));
  Asker asker(*client);
  // Older than those that name the remote.
  for (size_t i = 0; i < kRepos; ++i) {
    const auto event = setup.maker.Announcement(i, {"wss://relay.invalid"}, run.options.now);
    GRASPD_RETURN_IF_ERROR(asker.Publish(nostr::EventJson(event)));
  }
  return run.Load(setup.events);
}

absl::Status CompareEqual(const Run& run, Setup& setup) {
  // Takes minutes, in which a connection that nobody reads would be cut.
  GRASPD_RETURN_IF_ERROR(LoadAll(run, setup));
  GRASPD_ASSIGN_OR_RETURN(const auto client, run.Connect(1));
  Asker asker(*client);
  GRASPD_RETURN_IF_ERROR(AwaitCount(run, asker, RepoFiltersJson(setup.maker), setup.events.size()));
  GRASPD_ASSIGN_OR_RETURN(const auto meter, run.Measure());
  const auto start = run.clock.Now();
  GRASPD_RETURN_IF_ERROR(asker.Publish(setup.announcements));
  GRASPD_RETURN_IF_ERROR(AwaitQuiet(run, setup, asker));
  GRASPD_ASSIGN_OR_RETURN(const auto cost, meter.End());
  const auto first = setup.remote->stats();
  run.report.Result("first_compared_s", Seconds(first.last_traffic - start));
  if (cost.relay) run.report.Result("first_relay_cpu_s", cost.relay->cpu_s());
  run.report.Result("first_bytes", first.bytes_in + first.bytes_out);

  GRASPD_ASSIGN_OR_RETURN(const auto again, run.Measure());
  setup.remote->HangUp();
  GRASPD_RETURN_IF_ERROR(AwaitQuiet(run, setup, asker, first.neg_opens));
  GRASPD_ASSIGN_OR_RETURN(const auto cost_again, again.End());
  const auto stats = setup.remote->stats();
  run.report.Result("", cost_again);
  const auto since = [&](auto field) { return stats.*field - first.*field; };
  using Stats = RemoteRelay::Stats;
  run.report.Result("neg_sessions", since(&Stats::neg_opens));
  run.report.Result("bytes_up_filters", since(&Stats::filter_bytes));
  run.report.Result("bytes", since(&Stats::bytes_in) + since(&Stats::bytes_out));
  if (stats.delivered <= setup.announcements.size()) return absl::OkStatus();
  return absl::AbortedError(fmt::format("{} events were fetched again", stats.delivered));
}

}  // namespace

absl::Status RunCatchup(const Run& run) {
  const Options& options = run.options;
  run.report.Parameter("events", options.count);
  run.report.Parameter("event_bytes", kRepoEventBytes);
  run.report.Parameter("repositories", kRepos);
  run.report.Parameter("issues", options.issues);
  run.report.Parameter("delay_ms_each_way", options.delay);
  run.report.Parameter("equal", options.equal ? 1UL : 0UL);
  GRASPD_ASSIGN_OR_RETURN(const auto setup, MakeSetup(run));
  if (options.equal) return CompareEqual(run, *setup);
  double verify_s = 0;
  if (options.verify_baseline) {
    GRASPD_ASSIGN_OR_RETURN(verify_s, VerifySecondsPerEvent(setup->events, kVerifySample));
  }
  return CatchUp(run, *setup, verify_s);
}

}  // namespace graspd::bench
