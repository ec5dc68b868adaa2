// What every mode gets, and the modes.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "bench/load/client.h"
#include "bench/load/event_set.h"
#include "bench/load/options.h"
#include "bench/load/progress.h"
#include "bench/load/relay_address.h"
#include "bench/load/report.h"

namespace graspd::bench {

/// One run of one mode. The references outlive it.
struct Run {
  const Options& options;
  const RelayAddress& relay;
  const base::Clock& clock;
  Progress& progress;
  Report& report;

  /// A client with `count` open connections.
  [[nodiscard]] absl::StatusOr<std::unique_ptr<Client>> Connect(size_t count) const;
  /// The events that the options name, signed.
  [[nodiscard]] absl::StatusOr<EventSet> Events(const EventMaker& maker) const;
  /// Publishes them to the relay, unless --no-load. Errors: those of Publish, and kAborted if the
  /// relay refuses one; duplicates are welcome.
  [[nodiscard]] absl::Status Load(const EventSet& events) const;
  [[nodiscard]] absl::StatusOr<Meter> Measure() const { return Meter::Begin(clock, options.pid); }
};

// Each adds its parameters and results to the report, as far as it gets. An error means that the
// run failed or that the relay's answers were wrong.
absl::Status RunIngest(const Run& run);
absl::Status RunReq(const Run& run);
absl::Status RunFanout(const Run& run);
absl::Status RunIdle(const Run& run);
absl::Status RunNegentropy(const Run& run);
absl::Status RunCatchup(const Run& run);
absl::Status RunDiscovery(const Run& run);

}  // namespace graspd::bench
