// graspd discovers remotes, which this tool plays, and follows them.

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status_macros.h"
#include "bench/load/latencies.h"
#include "bench/load/relay_text.h"
#include "bench/load/remote_relay.h"
#include "bench/load/repo_events.h"
#include "bench/load/run.h"

namespace graspd::bench {
namespace {

using std::chrono::milliseconds;

constexpr size_t kEventsOfRepo = 100, kIssuesOfRepo = 5;
constexpr size_t kRelaysOfRepo = 20;  // graspd reads no more of one announcement
constexpr auto kLook = milliseconds(1), kQuiet = milliseconds(100);

double Seconds(base::Duration duration) { return std::chrono::duration<double>(duration).count(); }

/// The client of graspd: publishes announcements, and sees what arrives of one repository.
class Watcher {
 public:
  Watcher(Client& client, double timeout) : client_(client), timeout_(timeout) {
    client_.set_on_text([this](size_t, std::string_view text) { return OnText(text); });
  }

  /// From here on what the filters select is counted.
  absl::Status Subscribe(std::string_view filters) {
    live_ = false;
    client_.Send(0, {R"(["REQ","round",)", filters, "]"});
    GRASPD_RETURN_IF_ERROR(Await("EOSE", [this] { return live_; }));
    seen_ = 0;
    return absl::OkStatus();
  }
  absl::Status Publish(const nostr::Event& event) {
    accepted_ = false;
    client_.Send(0, {R"(["EVENT",)", nostr::EventJson(event), "]"});
    return Await("OK", [this] { return accepted_; });
  }

  /// Turns until `done`. Errors: kDeadlineExceeded, naming `what`, when --timeout has passed.
  template <typename Done>
  absl::Status Await(std::string_view what, Done done) {
    const auto start = client_.clock().Now();
    while (!done()) {
      GRASPD_RETURN_IF_ERROR(client_.Turn(kLook));
      if (Seconds(client_.clock().Now() - start) <= timeout_) continue;
      return absl::DeadlineExceededError(fmt::format("{}: waited for too long", what));
    }
    return absl::OkStatus();
  }

  [[nodiscard]] size_t seen() const { return seen_; }
  [[nodiscard]] base::SteadyTime seen_at() const { return seen_at_; }
  [[nodiscard]] base::SteadyTime accepted_at() const { return accepted_at_; }

 private:
  absl::Status OnText(std::string_view message) {
    const RelayText text = Scan(message);
    switch (text.verb) {
      case RelayText::Verb::kEvent:
        ++seen_;
        seen_at_ = client_.read_at();
        return absl::OkStatus();
      case RelayText::Verb::kEose:
        live_ = true;
        return absl::OkStatus();
      case RelayText::Verb::kOk:
        accepted_ = true;
        accepted_at_ = client_.read_at();
        if (text.accepted()) return absl::OkStatus();
        return absl::AbortedError(fmt::format("an announcement was refused: {}", message));
      default:
        return Unexpected(text);
    }
  }

  Client& client_;
  const double timeout_;
  bool live_ = false, accepted_ = false;
  size_t seen_ = 0;
  base::SteadyTime seen_at_, accepted_at_;
};

/// A repository and the remote that has its events, both of one round.
struct Round {
  RepoEventMaker maker;
  EventSet events;
  std::unique_ptr<RemoteRelay> remote;
};

struct Figures {
  Latencies ok, dial, stored, issue;
};

absl::StatusOr<std::unique_ptr<Round>> MakeRound(const Run& run, net::IoPool& pool, size_t number) {
  const Options& options = run.options;
  RepoEventMaker maker(options.seed * 1'000'003 + number, options.now, 1, kIssuesOfRepo);
  auto events = SignRepoEvents(maker, kEventsOfRepo, run.progress);
  auto round = std::make_unique<Round>(std::move(maker), std::move(events), nullptr);
  GRASPD_ASSIGN_OR_RETURN(round->remote, RemoteRelay::Start(pool, run.clock));
  for (size_t i = 0; i < round->events.size(); ++i) {
    GRASPD_RETURN_IF_ERROR(round->remote->Add(round->events.json(i)));
  }
  return round;
}

// Nothing is being compared, and what is new would be told to graspd.
bool IsSettled(const Run& run, const Round& round, const nostr::Event& next) {
  const auto stats = round.remote->stats();
  return stats.neg_opens > 0 && stats.neg_running == 0 &&
         run.clock.Now() - stats.last_traffic >= kQuiet && round.remote->Listeners(next) > 0;
}

absl::Status PlayRound(const Run& run, const Round& round, Watcher& watcher, Figures& figures) {
  const auto announcement = round.maker.Announcement(0, {round.remote->url()}, run.clock.UnixNow());
  GRASPD_RETURN_IF_ERROR(watcher.Subscribe(RepoFiltersJson(round.maker)));
  const auto sent = run.clock.Now();
  GRASPD_RETURN_IF_ERROR(watcher.Publish(announcement));
  const auto ok = watcher.accepted_at();
  GRASPD_RETURN_IF_ERROR(
      watcher.Await("the remote's events (does the relay sync, from "
                    "127.0.0.0/8, and may it dial so many?)",
                    [&] { return watcher.seen() >= round.events.size(); }));
  figures.ok.Add(ok - sent);
  const auto contact = round.remote->stats().first_contact.value_or(ok);
  figures.dial.Add(std::max(contact - ok, base::Duration::zero()));
  figures.stored.Add(std::max(watcher.seen_at() - ok, base::Duration::zero()));

  const auto issue = round.maker.Issue(kEventsOfRepo);
  GRASPD_RETURN_IF_ERROR(watcher.Await("the live subscription at the remote",
                                       [&] { return IsSettled(run, round, issue); }));
  const auto published = run.clock.Now();
  round.remote->Publish(issue);
  GRASPD_RETURN_IF_ERROR(
      watcher.Await("the new issue", [&] { return watcher.seen() > round.events.size(); }));
  figures.issue.Add(watcher.seen_at() - published);
  return absl::OkStatus();
}

absl::Status PlayRounds(const Run& run) {
  const size_t rounds = run.options.rounds;
  run.report.Parameter("rounds", rounds);
  run.report.Parameter("events_per_repository", kEventsOfRepo);
  net::IoPool pool(1, "remote");
  GRASPD_ASSIGN_OR_RETURN(const auto client, run.Connect(1));
  Watcher watcher(*client, run.options.timeout);
  GRASPD_ASSIGN_OR_RETURN(const auto meter, run.Measure());
  // They stay connected: one that has gone would be dialled again in a later round.
  std::vector<std::unique_ptr<Round>> played;
  Figures figures;
  absl::Status status;
  while (status.ok() && played.size() < rounds) {
    GRASPD_ASSIGN_OR_RETURN(auto round, MakeRound(run, pool, played.size()));
    status = PlayRound(run, *round, watcher, figures);
    played.push_back(std::move(round));
    run.progress.Show("rounds", played.size());
  }
  GRASPD_ASSIGN_OR_RETURN(const auto cost, meter.End());
  run.report.Result("announcement_ok", figures.ok);
  run.report.Result("dial_beyond_ok", figures.dial);
  run.report.Result("stored_beyond_ok", figures.stored);
  run.report.Result("issue_to_client", figures.issue);
  run.report.Result("", cost);
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      fmt::format("round {}: {}", played.size(), std::string(status.message())));
}

absl::Status Announce(const Run& run, const RemoteRelay& remotes, Watcher& watcher) {
  const size_t count = run.options.remotes;
  const RepoEventMaker maker(run.options.seed, run.options.now,
                             (count + kRelaysOfRepo - 1) / kRelaysOfRepo, 0);
  for (size_t i = 0; i < maker.repos(); ++i) {
    std::vector<std::string> urls;
    const size_t end = std::min(count, (i + 1) * kRelaysOfRepo);
    for (size_t r = i * kRelaysOfRepo; r < end; ++r) urls.push_back(remotes.url(r));
    GRASPD_RETURN_IF_ERROR(watcher.Publish(maker.Announcement(i, urls, run.clock.UnixNow())));
  }
  return absl::OkStatus();
}

void ReportIdle(const Options& options, const Cost& whole, const Cost& idle, Report& report) {
  report.Result("", whole);
  if (!whole.relay || !idle.relay) return;
  const auto before = static_cast<double>(whole.relay->before.anonymous_kib);
  const auto after = static_cast<double>(idle.relay->after.anonymous_kib);
  report.Result("relay_anonymous_mb", (after - before) * 1024 / 1e6);
  report.Result("relay_anonymous_bytes_per_remote",
                (after - before) * 1024 / static_cast<double>(options.remotes));
  report.Result("relay_cpu_s_while_idle", idle.relay->cpu_s());
  report.Result("relay_cpu_percent_while_idle", idle.relay->cpu_s() / idle.wall_s * 100);
}

absl::Status HoldRemotes(const Run& run) {
  const Options& options = run.options;
  run.report.Parameter("remotes", options.remotes);
  run.report.Parameter("hold_s", options.hold);
  net::IoPool pool(1, "remote");
  GRASPD_ASSIGN_OR_RETURN(const auto remotes, RemoteRelay::Start(pool, run.clock, options.remotes));
  GRASPD_ASSIGN_OR_RETURN(const auto client, run.Connect(1));
  Watcher watcher(*client, options.timeout);
  GRASPD_ASSIGN_OR_RETURN(const auto meter, run.Measure());
  GRASPD_RETURN_IF_ERROR(Announce(run, *remotes, watcher));
  const auto status = watcher.Await("the remotes' connections", [&] {
    const auto stats = remotes->stats();
    return stats.connections >= options.remotes && stats.neg_running == 0 &&
           Seconds(run.clock.Now() - stats.last_traffic) > 1;
  });
  run.report.Result("remotes_connected", remotes->stats().connections);
  GRASPD_RETURN_IF_ERROR(status);
  GRASPD_ASSIGN_OR_RETURN(const auto connected, meter.End());
  GRASPD_ASSIGN_OR_RETURN(const auto idle_meter, run.Measure());
  const auto end = run.clock.Now() + std::chrono::duration_cast<base::Duration>(
                                         std::chrono::duration<double>(options.hold));
  for (auto now = run.clock.Now(); now < end; now = run.clock.Now()) {
    GRASPD_RETURN_IF_ERROR(client->Turn(end - now));
  }
  GRASPD_ASSIGN_OR_RETURN(const auto idle, idle_meter.End());
  ReportIdle(options, connected, idle, run.report);
  if (remotes->stats().connections >= options.remotes) return absl::OkStatus();
  return absl::AbortedError("remotes were lost while they were idle");
}

}  // namespace

absl::Status RunDiscovery(const Run& run) {
  return run.options.remotes > 0 ? HoldRemotes(run) : PlayRounds(run);
}

}  // namespace graspd::bench
