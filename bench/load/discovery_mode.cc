// New relays: how soon one that an announcement names is dialled, its repository here, and what it
// publishes later delivered; and what many of them cost while nothing happens.

#include <fmt/format.h>

#include <chrono>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "base/status_macros.h"
#include "bench/load/relay_text.h"
#include "bench/load/remote.h"
#include "bench/load/repository_events.h"
#include "bench/load/run.h"

namespace graspd::bench {
namespace {

constexpr size_t kEvents = 100, kIssues = 10;  // of each repository
constexpr size_t kRelaysEach = 20;             // of an announcement, when remotes are idle
constexpr auto kTurn = std::chrono::milliseconds(1);

/// A publisher and subscriber of the relay under test.
class Onlooker {
 public:
  explicit Onlooker(Client& client) : client_(client) {
    client_.set_on_text([this](size_t, std::string_view text) { return OnText(text); });
  }

  absl::Status Subscribe() {
    client_.Send(0, {R"(["REQ","all",{"kinds":[1621,1111],"limit":0}])"});
    return Await([this] { return subscribed_; });
  }
  /// When its OK was read.
  absl::StatusOr<base::SteadyTime> Publish(const nostr::Event& event) {
    ok_.reset();
    client_.Send(0, {R"(["EVENT",)", nostr::EventJson(event), "]"});
    GRASPD_RETURN_IF_ERROR(Await([this] { return ok_.has_value(); }));
    return *ok_;
  }
  /// Waits for so many events in all; when the last of them was read.
  absl::StatusOr<base::SteadyTime> AwaitEvents(size_t count) {
    GRASPD_RETURN_IF_ERROR(Await([&] { return events_ >= count; }));
    return last_event_;
  }
  absl::Status Await(const std::function<bool()>& done) {
    GRASPD_RETURN_IF_ERROR(client_.Flush());
    while (!done()) {
      GRASPD_RETURN_IF_ERROR(client_.Turn(kTurn));
      GRASPD_RETURN_IF_ERROR(client_.CheckPatience());
    }
    return absl::OkStatus();
  }
  [[nodiscard]] size_t events() const { return events_; }

 private:
  absl::Status OnText(std::string_view message) {
    const RelayText text = Scan(message);
    switch (text.verb) {
      case RelayText::Verb::kEvent:
        ++events_;
        last_event_ = client_.read_at();
        return absl::OkStatus();
      case RelayText::Verb::kEose:
        subscribed_ = true;
        return absl::OkStatus();
      case RelayText::Verb::kOk:
        if (!text.accepted()) return absl::AbortedError(std::string(message));
        ok_ = client_.read_at();
        return absl::OkStatus();
      default:
        return Unexpected(text);
    }
  }

  Client& client_;
  bool subscribed_ = false;
  std::optional<base::SteadyTime> ok_;
  size_t events_ = 0;
  base::SteadyTime last_event_;
};

/// A time that another thread notes.
class NotedTime {
 public:
  void Note(base::SteadyTime time) {
    const std::lock_guard lock(mutex_);
    time_ = time;
  }
  [[nodiscard]] std::optional<base::SteadyTime> Take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(time_, std::nullopt);
  }

 private:
  std::mutex mutex_;
  std::optional<base::SteadyTime> time_;
};

struct Delays {
  Latencies contact, repository, live;
};

// One repository on one new relay, from its announcement to the live delivery of a new issue.
absl::Status Round(const RepositoryMaker& maker, Remote& remote, size_t number, Onlooker& onlooker,
                   Delays& delays) {
  const size_t before = onlooker.events();
  remote.Rearm();
  const auto announcement = maker.Announcement(number, {"ws://" + remote.addresses().at(number)});
  GRASPD_ASSIGN_OR_RETURN(const auto ok, onlooker.Publish(announcement));
  GRASPD_ASSIGN_OR_RETURN(const auto last, onlooker.AwaitEvents(before + kEvents));
  const base::SteadyTime contact{std::chrono::nanoseconds(remote.counts().first_contact)};
  delays.contact.Add(std::max(contact - ok, base::Duration(0)));
  delays.repository.Add(last - ok);

  NotedTime sent;
  remote.Publish(maker.Issue(number, kEvents), [&](base::SteadyTime time) { sent.Note(time); });
  GRASPD_ASSIGN_OR_RETURN(const auto delivered, onlooker.AwaitEvents(before + kEvents + 1));
  delays.live.Add(delivered - sent.Take().value_or(delivered));
  return absl::OkStatus();
}

absl::Status RunRounds(const Run& run, const RepositoryMaker& maker) {
  const size_t rounds = run.options.remotes;
  GRASPD_ASSIGN_OR_RETURN(const auto remote,
                          Remote::Start(maker.Events(rounds, kIssues, kEvents), rounds));
  GRASPD_ASSIGN_OR_RETURN(const auto client, run.Connect(1));
  Onlooker onlooker(*client);
  GRASPD_RETURN_IF_ERROR(onlooker.Subscribe());
  Delays delays;
  GRASPD_ASSIGN_OR_RETURN(const auto meter, run.Measure());
  for (size_t i = 0; i < rounds; ++i) {
    GRASPD_RETURN_IF_ERROR(Round(maker, *remote, i, onlooker, delays));
    run.progress.Show("repositories", i + 1);
  }
  GRASPD_ASSIGN_OR_RETURN(const auto cost, meter.End());
  run.report.Result("ok_to_contact", delays.contact);
  run.report.Result("ok_to_last_event", delays.repository);
  run.report.Result("live", delays.live);
  run.report.Result("", cost);
  return absl::OkStatus();
}

absl::Status RunIdleRemotes(const Run& run, const RepositoryMaker& maker) {
  const size_t count = run.options.remotes;
  GRASPD_ASSIGN_OR_RETURN(const auto remote, Remote::Start({}, count));
  GRASPD_ASSIGN_OR_RETURN(const auto client, run.Connect(1));
  Onlooker onlooker(*client);
  GRASPD_ASSIGN_OR_RETURN(const auto meter, run.Measure());
  for (size_t at = 0; at < count; at += kRelaysEach) {
    std::vector<std::string> relays;
    for (size_t i = at; i < std::min(at + kRelaysEach, count); ++i) {
      relays.push_back("ws://" + remote->addresses()[i]);
    }
    GRASPD_RETURN_IF_ERROR(onlooker.Publish(maker.Announcement(at, relays)).status());
  }
  const Remote::Counts& counts = remote->counts();
  // All connected, and everything that begins a connection over.
  const auto settled = [&] {
    const base::SteadyTime last{std::chrono::nanoseconds(counts.last_activity)};
    return counts.open >= count && run.clock.Now() - last > std::chrono::seconds(3);
  };
  const auto give_up = run.clock.Now() + std::chrono::duration_cast<base::Duration>(
                                             std::chrono::duration<double>(run.options.timeout));
  while (!settled()) {
    if (run.clock.Now() > give_up) {
      return absl::DeadlineExceededError(
          fmt::format("{} of {} remotes are connected", counts.open.load(), count));
    }
    run.progress.Show("remotes connected", counts.open);
    GRASPD_RETURN_IF_ERROR(client->Turn(std::chrono::milliseconds(20)));
  }
  GRASPD_ASSIGN_OR_RETURN(const auto idle_meter, run.Measure());
  std::this_thread::sleep_for(std::chrono::duration<double>(run.options.hold));
  GRASPD_ASSIGN_OR_RETURN(const auto idle, idle_meter.End());
  GRASPD_ASSIGN_OR_RETURN(const auto whole, meter.End());
  run.report.Parameter("hold_s", run.options.hold);
  run.report.Result("", whole);
  if (idle.relay) {
    const double grown = static_cast<double>(whole.relay->after.anonymous_kib) -
                         static_cast<double>(whole.relay->before.anonymous_kib);
    run.report.Result("relay_anonymous_growth_kib", grown);
    run.report.Result("relay_cores_while_idle", idle.relay->cpu_s() / idle.wall_s);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status RunDiscovery(const Run& run) {
  run.report.Parameter("remotes", run.options.remotes);
  const RepositoryMaker maker(run.options.seed, run.options.now);
  return run.options.idle ? RunIdleRemotes(run, maker) : RunRounds(run, maker);
}

}  // namespace graspd::bench
