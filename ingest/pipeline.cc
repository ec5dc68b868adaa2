#include "ingest/pipeline.h"

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "ingest/checker.h"
#include "ingest/gate.h"
#include "ingest/inbox.h"
#include "ingest/rejected_index.h"
#include "ingest/writer.h"

namespace graspd::ingest {
namespace {

constexpr size_t kSources = static_cast<size_t>(storage::Source::kImport) + 1;
using SourceCounters = std::array<prometheus::Counter*, kSources>;

/// What a connection holds: its inbox, closed when it goes.
class InboxSubmitter final : public Submitter {
 public:
  InboxSubmitter(std::shared_ptr<Inbox> inbox, std::shared_ptr<const SourceCounters> received)
      : inbox_(std::move(inbox)), received_(std::move(received)) {}
  ~InboxSubmitter() override { inbox_->Close(); }

  void Submit(nostr::Event event, storage::Source source, Lookup lookup) override {
    (*received_)[static_cast<size_t>(source)]->Increment();
    inbox_->Submit(std::move(event), source, lookup);
  }
  size_t credits() const override { return inbox_->credits(); }

 private:
  const std::shared_ptr<Inbox> inbox_;
  const std::shared_ptr<const SourceCounters> received_;
};

}  // namespace

std::string_view CodeName(Code code) {
  switch (code) {
    case Code::kStored:
      return "stored";
    case Code::kDuplicate:
      return "duplicate";
    case Code::kOlder:
      return "older";
    case Code::kDeleted:
      return "deleted";
    case Code::kExpired:
      return "expired";
    case Code::kInvalid:
      return "invalid";
    case Code::kRefused:
      return "refused";
    case Code::kParked:
      return "parked";
    case Code::kError:
      return "error";
  }
  return "unknown";
}

// Shared with the checks that are still queued on the CPU pool when the pipeline goes: by then they
// hold only events that are answered kError.
struct Pipeline::Impl {
  Impl(const Dependencies& deps, const nostr::Limits& limits)
      : checker(deps.store, deps.clock, limits, deps.metrics),
        rejected(deps.clock, {}),
        writer({deps.store, deps.feed, deps.judge, deps.clock, deps.metrics, gate, rejected},
               limits),
        shared{checker, deps.cpu, writer, gate} {
    for (size_t i = 0; i < kSources; ++i) {
      received[i] = &deps.metrics.MakeCounter(
          "graspd_ingest_events_received_total", "Events handed in, by the way they came.",
          {{"source", std::string(storage::SourceName(static_cast<storage::Source>(i)))}});
    }
    AddGauges(deps.metrics);
  }

  void AddGauges(base::Metrics& metrics) {
    const auto add = [&](const char* name, const char* help, std::function<double()> read,
                         const base::Metrics::Labels& labels = {}) {
      gauges.push_back(metrics.Sample(name, help, std::move(read), labels));
    };
    constexpr char kQueue[] = "graspd_ingest_write_queue_events";
    constexpr char kQueueHelp[] = "Checked events that wait for the writer.";
    add(kQueue, kQueueHelp, [this] { return double(writer.queued(Lane::kClient)); },
        {{"lane", "client"}});
    add(kQueue, kQueueHelp, [this] { return double(writer.queued(Lane::kSync)); },
        {{"lane", "sync"}});
    add(kQueue, kQueueHelp, [this] { return double(writer.queued_again()); }, {{"lane", "again"}});
    add("graspd_ingest_in_flight_events", "Events between being handed in and being answered.",
        [this] { return double(gate.events()); });
    add("graspd_ingest_in_flight_bytes", "Their size.", [this] { return double(gate.bytes()); });
    add("graspd_ingest_author_budgets", "Authors whose rates are remembered.",
        [this] { return double(writer.authors()); });
    add("graspd_ingest_parked_events", "Events that wait for what they refer to.",
        [this] { return double(writer.parked()); });
    add("graspd_ingest_parked_bytes", "Memory of the parking lots, estimated.",
        [this] { return double(writer.parked_bytes()); });
    add("graspd_ingest_rejected_ids", "Refused events that sync does not fetch again.",
        [this] { return double(rejected.size()); });
    gauges.push_back(metrics.SampleCounter(
        "graspd_ingest_rejected_hits_total",
        "Events that were not fetched: refused before, or in the parking lot.",
        [this] { return double(rejected.hits()); }));
  }

  Gate gate;
  const Checker checker;
  RejectedIndex rejected;
  Writer writer;
  const Inbox::Shared shared;
  SourceCounters received{};
  std::vector<std::unique_ptr<base::Metrics::SampledGauge>> gauges;
};

Pipeline::Pipeline(Dependencies dependencies, const nostr::Limits& limits)
    : impl_(std::make_shared<Impl>(dependencies, limits)) {}

Pipeline::~Pipeline() {
  Drain();
  impl_->writer.Stop();
  impl_->gauges.clear();  // the metrics may go before the last check on the CPU pool
}

std::unique_ptr<Submitter> Pipeline::Open(Lane lane, base::Executor& executor,
                                          Callback on_results) {
  auto inbox = std::make_shared<Inbox>(std::shared_ptr<const Inbox::Shared>(impl_, &impl_->shared),
                                       lane, executor, std::move(on_results));
  return std::make_unique<InboxSubmitter>(
      std::move(inbox), std::shared_ptr<const SourceCounters>(impl_, &impl_->received));
}

void Pipeline::SweepExpired() { impl_->writer.SweepExpired(); }

void Pipeline::PolicyChanged() { impl_->writer.PolicyChanged(); }

KnownRefusals& Pipeline::known_refusals() { return impl_->rejected; }

void Pipeline::Drain() { impl_->gate.CloseAndWait(); }

}  // namespace graspd::ingest
