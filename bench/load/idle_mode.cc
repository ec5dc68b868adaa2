// Connections that do nothing, and what they cost.

#include <fmt/format.h>

#include <chrono>
#include <string_view>

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

// What the relay has grown by since the meter began, for each of `count`.
void ReportMemory(const Cost& cost, double count, std::string_view of_what, Report& report) {
  if (!cost.relay) return;
  const auto add = [&](std::string_view name, uint64_t before_kib, uint64_t after_kib) {
    const double grown = static_cast<double>(after_kib) - static_cast<double>(before_kib);
    report.Result(fmt::format("relay_{}_bytes_per_{}", name, of_what), grown * 1024 / count);
  };
  const ProcessStats &before = cost.relay->before, &after = cost.relay->after;
  add("rss", before.rss_kib, after.rss_kib);
  add("anonymous", before.anonymous_kib, after.anonymous_kib);
}

}  // namespace

absl::Status RunIdle(const Run& run) {
  const Options& options = run.options;
  run.report.Parameter("connections", options.connections);
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
  GRASPD_ASSIGN_OR_RETURN(const auto idle_meter, run.Measure());
  GRASPD_RETURN_IF_ERROR(Hold(*client, hold));
  GRASPD_ASSIGN_OR_RETURN(const auto idle, idle_meter.End());
  GRASPD_ASSIGN_OR_RETURN(const auto whole, meter.End());
  run.report.Result("", whole);
  if (idle.relay) run.report.Result("relay_cpu_s_while_idle", idle.relay->cpu_s());
  ReportMemory(whole, count, "connection", run.report);
  if (!options.subscribe) return absl::OkStatus();

  GRASPD_ASSIGN_OR_RETURN(const auto subscribe_meter, run.Measure());
  GRASPD_RETURN_IF_ERROR(SubscribeAll(*client, options.filters.front()));
  GRASPD_RETURN_IF_ERROR(Hold(*client, hold));
  GRASPD_ASSIGN_OR_RETURN(const auto subscribed, subscribe_meter.End());
  ReportMemory(subscribed, count, "subscription", run.report);
  return absl::OkStatus();
}

}  // namespace graspd::bench
