// One relay that has everything: how fast the relay under test fetches it, or finds that it has it.

#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <thread>
#include <utility>

#include "base/status_macros.h"
#include "bench/load/baselines.h"
#include "bench/load/delay_line.h"
#include "bench/load/publisher.h"
#include "bench/load/relay_text.h"
#include "bench/load/remote.h"
#include "bench/load/repository_events.h"
#include "bench/load/run.h"

namespace graspd::bench {
namespace {

constexpr size_t kRepositories = 10, kIssuesEach = 100, kVerifySample = 20'000;
constexpr size_t kLoadConnections = 8;
constexpr auto kQuiet = std::chrono::milliseconds(1500);  // then nothing comes any more
constexpr auto kPoll = std::chrono::milliseconds(20);

absl::Status PublishAll(Client& client, const EventSet& events, const Run& run) {
  GRASPD_ASSIGN_OR_RETURN(const auto outcome,
                          Publish(client, events, run.options.in_flight, run.progress));
  if (outcome.refused == 0) return absl::OkStatus();
  return absl::AbortedError(
      fmt::format("{} events were refused: {}", outcome.refused, outcome.first_refusal));
}

EventSet Announcements(const RepositoryMaker& maker, const std::vector<std::string>& relays,
                       uint64_t version) {
  std::vector<nostr::Event> events;
  for (size_t r = 0; r < kRepositories; ++r) {
    events.push_back(maker.Announcement(r, relays, version));
  }
  return EventSet::Of(events);
}

/// How many of the events the relay has (NIP-45).
absl::StatusOr<uint64_t> CountStored(Client& client) {
  std::optional<uint64_t> count;
  client.set_on_text([&](size_t, std::string_view message) {
    const size_t at = message.find("\"count\":");
    if (!message.starts_with("[\"COUNT\"") || at == message.npos) return Unexpected(Scan(message));
    std::from_chars(message.data() + at + 8, message.data() + message.size(), count.emplace());
    return absl::OkStatus();
  });
  client.Send(0, {R"(["COUNT","c",{"kinds":[1621,1111]}])"});
  GRASPD_RETURN_IF_ERROR(client.Flush());
  GRASPD_RETURN_IF_ERROR(client.RunUntil([&] { return count.has_value(); }));
  return *count;
}

/// Until the remote has delivered all and the relay has stored it.
absl::Status AwaitAll(const Run& run, Client& client, const Remote& remote, uint64_t count) {
  const auto give_up = run.clock.Now() + std::chrono::duration_cast<base::Duration>(
                                             std::chrono::duration<double>(run.options.timeout));
  for (;;) {
    const uint64_t sent = remote.counts().events_sent;
    run.progress.Show("events fetched", sent);
    if (sent >= count) {
      GRASPD_ASSIGN_OR_RETURN(const uint64_t stored, CountStored(client));
      if (stored >= count) return absl::OkStatus();
    }
    if (run.clock.Now() > give_up) {
      return absl::DeadlineExceededError(fmt::format("{} of {} events were fetched", sent, count));
    }
    std::this_thread::sleep_for(kPoll);
  }
}

/// Until every reconciliation has ended and nothing has come for kQuiet; when the last thing came.
absl::StatusOr<base::SteadyTime> AwaitQuiet(const Run& run, const Remote& remote) {
  const auto give_up = run.clock.Now() + std::chrono::duration_cast<base::Duration>(
                                             std::chrono::duration<double>(run.options.timeout));
  const Remote::Counts& counts = remote.counts();
  for (;;) {
    const base::SteadyTime last{std::chrono::nanoseconds(counts.last_activity)};
    if (counts.reconciliations_closed > 0 &&
        counts.reconciliations_open == counts.reconciliations_closed &&
        run.clock.Now() - last > kQuiet) {
      return last;
    }
    if (run.clock.Now() > give_up) return absl::DeadlineExceededError("it does not come to rest");
    std::this_thread::sleep_for(kPoll);
  }
}

void ReportTraffic(const Remote& remote, Report& report) {
  const Remote::Counts& counts = remote.counts();
  report.Result("events_fetched", counts.events_sent.load());
  report.Result("reconciliations", counts.reconciliations_open.load());
  report.Result("reqs", counts.live.load());
  report.Result("bytes_up", counts.bytes_in.load());
  report.Result("bytes_down", counts.bytes_out.load());
}

}  // namespace

absl::Status RunCatchup(const Run& run) {
  const Options& options = run.options;
  const RepositoryMaker maker(options.seed, options.now);
  const size_t each = options.count / kRepositories;
  if (each <= kIssuesEach) return absl::InvalidArgumentError("--count: at least 1010");
  const uint64_t count = each * kRepositories;
  run.report.Parameter("events", count);
  run.report.Parameter("repositories", kRepositories);
  run.report.Parameter("issues", kRepositories * kIssuesEach);
  run.report.Parameter("delay_ms", options.delay);
  auto made = maker.Events(kRepositories, kIssuesEach, each);
  GRASPD_ASSIGN_OR_RETURN(const auto client, run.Connect(kLoadConnections));
  double machine_rate = 0;
  {
    const EventSet events = EventSet::Of(made);
    GRASPD_ASSIGN_OR_RETURN(machine_rate, VerificationsPerSecond(events, kVerifySample));
    if (options.equal) {
      GRASPD_RETURN_IF_ERROR(PublishAll(*client, Announcements(maker, {}, 0), run));
      if (!options.no_load) GRASPD_RETURN_IF_ERROR(PublishAll(*client, events, run));
    }
  }
  GRASPD_ASSIGN_OR_RETURN(const auto remote, Remote::Start(std::move(made), 1));
  std::string address = remote->addresses().front();
  std::unique_ptr<DelayLine> line;
  if (options.delay > 0) {
    const auto delay = std::chrono::duration_cast<base::Duration>(
        std::chrono::duration<double, std::milli>(options.delay));
    GRASPD_ASSIGN_OR_RETURN(line, DelayLine::Start(address, delay));
    address = line->address();
  }

  GRASPD_ASSIGN_OR_RETURN(const auto meter, run.Measure());
  const base::SteadyTime begin = run.clock.Now();
  GRASPD_RETURN_IF_ERROR(PublishAll(*client, Announcements(maker, {"ws://" + address}, 1), run));
  if (options.equal) {
    GRASPD_ASSIGN_OR_RETURN(const base::SteadyTime end, AwaitQuiet(run, *remote));
    GRASPD_ASSIGN_OR_RETURN(const auto cost, meter.End());
    ReportTraffic(*remote, run.report);
    run.report.Result("", cost);
    run.report.Result("until_quiet_s", std::chrono::duration<double>(end - begin).count());
    if (remote->counts().events_sent == 0) return absl::OkStatus();
    return absl::AbortedError("events were fetched although both sides are equal");
  }
  GRASPD_RETURN_IF_ERROR(AwaitAll(run, *client, *remote, count));
  GRASPD_ASSIGN_OR_RETURN(const auto cost, meter.End());
  ReportTraffic(*remote, run.report);
  const double rate = static_cast<double>(count) / cost.wall_s;
  run.report.Result("events_per_s", rate);
  run.report.Result("verifications_per_s", machine_rate);
  run.report.Result("share_of_machine", rate / machine_rate);
  run.report.Result("", cost);
  if (cost.relay) {
    run.report.Result("relay_us_per_event", cost.relay->cpu_s() / static_cast<double>(count) * 1e6);
  }
  return absl::OkStatus();
}

}  // namespace graspd::bench
