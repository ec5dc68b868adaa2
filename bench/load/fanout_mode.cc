// Many live subscriptions, one publisher: every event must reach every subscriber exactly once.

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "base/status_macros.h"
#include "bench/load/baselines.h"
#include "bench/load/relay_text.h"
#include "bench/load/run.h"

namespace graspd::bench {
namespace {

constexpr auto kLook = std::chrono::milliseconds(500);
constexpr size_t kBaselineSends = 200'000;

class Fanout {
 public:
  Fanout(Client& client, const EventSet& events, size_t subscribers, Progress& progress)
      : client_(client),
        events_(events),
        subscribers_(subscribers),
        progress_(progress),
        sent_at_(events.size()),
        got_(subscribers * events.size()) {
    client_.set_on_text(
        [this](size_t connection, std::string_view text) { return OnText(connection, text); });
    deliveries_.Reserve(got_.size());
    oks_.Reserve(events.size());
  }

  // Returns when every subscription has had its EOSE.
  absl::Status Subscribe(const std::string& filter) {
    for (size_t c = 0; c < subscribers_; ++c) client_.Send(c, {R"(["REQ","live",)", filter, "]"});
    return client_.RunUntil([this] { return live_ == subscribers_; });
  }

  // At most two bursts are under way, so that the second waits at the relay when the first is done;
  // but single events each alone, or two would leave in one message now and then.
  absl::Status RunBursts(size_t burst) {
    const size_t most = burst == 1 ? 1 : 2 * burst;
    return Explain(client_.RunUntil([&] {
      if (sent_ < events_.size() && (sent_ - oldest_missing()) < most) SendNext(burst);
      return done();
    }));
  }

  absl::Status RunPaced(double per_second) {
    const auto interval =
        std::chrono::duration_cast<base::Duration>(std::chrono::duration<double>(1 / per_second));
    auto due = client_.clock().Now();
    while (!done()) {
      const auto now = client_.clock().Now();
      if (sent_ < events_.size() && now >= due) {
        SendNext(1);
        due += interval;
        GRASPD_RETURN_IF_ERROR(client_.Flush());  // alone, also when late
        continue;
      }
      const base::Duration wait = sent_ < events_.size() ? due - now : base::Duration(kLook);
      GRASPD_RETURN_IF_ERROR(Explain(client_.Turn(wait)));
      GRASPD_RETURN_IF_ERROR(Explain(client_.CheckPatience()));
    }
    return absl::OkStatus();
  }

  [[nodiscard]] const Latencies& deliveries() const { return deliveries_; }
  [[nodiscard]] const Latencies& oks() const { return oks_; }

 private:
  [[nodiscard]] bool done() const {
    return oks_.size() == events_.size() && deliveries_.size() == got_.size();
  }
  // Events that have reached everybody, about: relays deliver in order.
  [[nodiscard]] size_t oldest_missing() const { return deliveries_.size() / subscribers_; }

  void SendNext(size_t count) {
    const auto now = client_.clock().Now();
    for (; count > 0 && sent_ < events_.size(); --count, ++sent_) {
      sent_at_[sent_] = now;
      client_.Send(subscribers_, {R"(["EVENT",)", events_.json(sent_), "]"});
    }
  }

  absl::Status OnText(size_t connection, std::string_view message) {
    const RelayText text = Scan(message);
    switch (text.verb) {
      case RelayText::Verb::kOk:
        return OnOk(text, message);
      case RelayText::Verb::kEvent:
        return OnDelivery(connection, text);
      case RelayText::Verb::kEose:
        ++live_;
        return absl::OkStatus();
      default:
        return Unexpected(text);
    }
  }

  absl::Status OnOk(const RelayText& text, std::string_view message) {
    const auto event = events_.Find(text.label);
    if (!event || !text.accepted() || text.rest.find("duplicate:") != text.rest.npos) {
      return absl::AbortedError(fmt::format("not accepted as new (see --first): {}", message));
    }
    oks_.Add(client_.read_at() - sent_at_[*event]);
    return absl::OkStatus();
  }

  // Stored events, and what others may publish meanwhile, do not count.
  absl::Status OnDelivery(size_t connection, const RelayText& text) {
    const auto event = events_.Find(text.event_id());
    if (!event || sent_at_[*event] == base::SteadyTime{}) return absl::OkStatus();
    std::vector<bool>::reference got = got_[connection * events_.size() + *event];
    if (got) {
      return absl::AbortedError(fmt::format("event {} came twice to connection {}",
                                            std::string(text.event_id()), connection));
    }
    got = true;
    deliveries_.Add(client_.read_at() - sent_at_[*event]);
    progress_.Show("deliveries", deliveries_.size());
    return absl::OkStatus();
  }

  absl::Status Explain(const absl::Status& status) const {
    if (status.ok()) return status;
    return absl::Status(status.code(), fmt::format("{} of {} deliveries and {} of {} OKs came: {}",
                                                   deliveries_.size(), got_.size(), oks_.size(),
                                                   events_.size(), std::string(status.message())));
  }

  Client& client_;
  const EventSet& events_;
  const size_t subscribers_;  // connections 0 ... ; the publisher is the one behind them
  Progress& progress_;
  std::vector<base::SteadyTime> sent_at_;
  std::vector<bool> got_;  // connection * events + event
  size_t sent_ = 0, live_ = 0;
  Latencies deliveries_, oks_;
};

absl::Status AddSendBaseline(const Run& run, const Cost& cost, double bytes, size_t together) {
  const auto sockets = run.options.connections;
  const auto size = static_cast<size_t>(bytes * static_cast<double>(together));
  GRASPD_ASSIGN_OR_RETURN(const double per_call, SendSecondsPerCall(sockets, size, kBaselineSends));
  const double per_delivery = per_call / static_cast<double>(together);
  run.report.Result("send_baseline_messages_per_send", together);
  run.report.Result("send_baseline_us_per_delivery", per_delivery * 1e6);
  const auto deliveries = static_cast<double>(sockets * run.options.count);
  const auto compare = [&](const std::string& name, double seconds) {
    if (cost.relay) run.report.Result(name, cost.relay->cpu_s() / deliveries / seconds);
  };
  compare("relay_cpu_to_send_baseline", per_delivery);
  if (run.options.paced == 0) return absl::OkStatus();
  const auto interval = std::chrono::duration_cast<base::Duration>(
      std::chrono::duration<double>(1 / run.options.paced));
  GRASPD_ASSIGN_OR_RETURN(const double paced,
                          SendSecondsPerCall(sockets, size, 100 * sockets, interval));
  run.report.Result("paced_send_baseline_us_per_delivery", paced * 1e6);
  compare("relay_cpu_to_paced_send_baseline", paced);
  return absl::OkStatus();
}

}  // namespace

absl::Status RunFanout(const Run& run) {
  const Options& options = run.options;
  const EventMaker maker(options.seed, options.now);
  GRASPD_ASSIGN_OR_RETURN(const auto events, run.Events(maker));
  run.report.Parameter("subscribers", options.connections);
  if (options.paced > 0) {
    run.report.Parameter("events_per_s", options.paced);
  } else {
    run.report.Parameter("burst", options.burst);
  }
  GRASPD_ASSIGN_OR_RETURN(const auto client, run.Connect(options.connections + 1));
  Fanout fanout(*client, events, options.connections, run.progress);
  GRASPD_RETURN_IF_ERROR(fanout.Subscribe(options.filters.front()));

  const uint64_t bytes_before = client->bytes_read(), reads_before = client->reads();
  GRASPD_ASSIGN_OR_RETURN(const auto meter, run.Measure());
  GRASPD_RETURN_IF_ERROR(options.paced > 0 ? fanout.RunPaced(options.paced)
                                           : fanout.RunBursts(options.burst));
  GRASPD_ASSIGN_OR_RETURN(const auto cost, meter.End());
  run.progress.Clear();

  const auto deliveries = static_cast<double>(fanout.deliveries().size());
  const double bytes = static_cast<double>(client->bytes_read() - bytes_before) / deliveries;
  run.report.Result("deliveries", fanout.deliveries().size());
  run.report.Result("deliveries_per_s", deliveries / cost.wall_s);
  run.report.Result("bytes_per_delivery", bytes);
  run.report.Result("deliveries_per_read",
                    deliveries / static_cast<double>(client->reads() - reads_before));
  run.report.Result("delivery", fanout.deliveries());
  run.report.Result("ok", fanout.oks());
  run.report.Result("", cost);
  run.report.Result("client_us_per_delivery", cost.client_cpu_s / deliveries * 1e6);
  if (cost.relay) {
    run.report.Result("relay_us_per_delivery", cost.relay->cpu_s() / deliveries * 1e6);
  }
  if (!options.send_baseline) return absl::OkStatus();
  return AddSendBaseline(run, cost, bytes, options.paced > 0 ? 1 : options.burst);
}

}  // namespace graspd::bench
