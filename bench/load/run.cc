#include "bench/load/run.h"

#include <fmt/format.h>

#include <chrono>

#include "base/status_macros.h"
#include "bench/load/publisher.h"

namespace graspd::bench {
namespace {
constexpr size_t kHandshakesAtOnce = 128, kLoadConnections = 8;
}  // namespace

absl::StatusOr<std::unique_ptr<Client>> Run::Connect(size_t count) const {
  const auto patience =
      std::chrono::duration_cast<base::Duration>(std::chrono::duration<double>(options.timeout));
  auto client = std::make_unique<Client>(clock, patience);
  GRASPD_RETURN_IF_ERROR(client->Open(relay, count, kHandshakesAtOnce));
  return client;
}

absl::StatusOr<EventSet> Run::Events(const EventMaker& maker) const {
  report.Parameter("events", options.count);
  report.Parameter("first_event", options.first);
  report.Parameter("event_bytes", kEventBytes);
  return LoadOrSign(maker, options.first, options.count, options.events, progress);
}

absl::Status Run::Load(const EventSet& events) const {
  if (options.no_load) return absl::OkStatus();
  GRASPD_ASSIGN_OR_RETURN(const auto client, Connect(kLoadConnections));
  GRASPD_ASSIGN_OR_RETURN(const auto outcome,
                          Publish(*client, events, options.in_flight, progress));
  if (outcome.refused == 0) return absl::OkStatus();
  return absl::AbortedError(
      fmt::format("{} events were refused: {}", outcome.refused, outcome.first_refusal));
}

}  // namespace graspd::bench
