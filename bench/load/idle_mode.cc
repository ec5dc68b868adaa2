// Connections that do nothing, and what they cost.

#include <chrono>

#include "base/status_macros.h"
#include "bench/load/relay_text.h"
#include "bench/load/run.h"

namespace graspd::bench {
namespace {

absl::Status SubscribeAll(Client& client, const std::string& filter) {
  size_t live = 0;
  client.set_on_text([&](size_t, std::string_view message) {
    const RelayText text = Scan(message);
    if (text.verb == RelayText::Verb::kEose) ++live;
    return Unexpected(text);
  });
  for (size_t c = 0; c < client.size(); ++c) client.Send(c, {R"(["REQ","idle",)", filter, "]"});
  GRASPD_RETURN_IF_ERROR(client.Flush());
  const absl::Status status = client.RunUntil([&] { return live == client.size(); });
  client.set_on_text([](size_t, std::string_view message) { return Unexpected(Scan(message)); });
  return status;
}

absl::Status Hold(Client& client, base::Duration duration) {
  const auto end = client.clock().Now() + duration;
  for (auto now = client.clock().Now(); now < end; now = client.clock().Now()) {
    GRASPD_RETURN_IF_ERROR(client.Turn(end - now));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status RunIdle(const Run& run) {
  const Options& options = run.options;
  run.report.Parameter("connections", options.connections);
  run.report.Parameter("subscriptions", options.subscribe ? options.connections : size_t{0});
  run.report.Parameter("hold_s", options.hold);
  const auto hold =
      std::chrono::duration_cast<base::Duration>(std::chrono::duration<double>(options.hold));
  const auto count = static_cast<double>(options.connections);

  GRASPD_ASSIGN_OR_RETURN(const auto meter, run.Measure());
  GRASPD_ASSIGN_OR_RETURN(const auto client, run.Connect(options.connections));
  GRASPD_ASSIGN_OR_RETURN(const auto connecting, meter.End());
  run.report.Result("connections_per_s", count / connecting.wall_s);
  if (connecting.relay) {
    run.report.Result("relay_us_per_connect", connecting.relay->cpu_s() / count * 1e6);
  }
  if (options.subscribe) GRASPD_RETURN_IF_ERROR(SubscribeAll(*client, options.filters.front()));

  GRASPD_ASSIGN_OR_RETURN(const auto idle_meter, run.Measure());
  GRASPD_RETURN_IF_ERROR(Hold(*client, hold));
  GRASPD_ASSIGN_OR_RETURN(const auto idle, idle_meter.End());
  GRASPD_ASSIGN_OR_RETURN(const auto whole, meter.End());
  run.report.Result("", whole);
  if (!whole.relay) return absl::OkStatus();
  const auto grown = [&](uint64_t before, uint64_t after) {
    return (static_cast<double>(after) - static_cast<double>(before)) * 1024 / count;
  };
  run.report.Result("relay_cpu_s_while_idle", idle.relay->cpu_s());
  run.report.Result("relay_rss_bytes_per_connection",
                    grown(whole.relay->before.rss_kib, whole.relay->after.rss_kib));
  run.report.Result("relay_anonymous_bytes_per_connection",
                    grown(whole.relay->before.anonymous_kib, whole.relay->after.anonymous_kib));
  return absl::OkStatus();
}

}  // namespace graspd::bench
