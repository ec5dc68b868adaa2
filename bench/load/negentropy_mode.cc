// Reconciliation with the relay: what either side lacks, and what finding out costs.

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/hex.h"
#include "base/status_macros.h"
#include "bench/load/relay_text.h"
#include "bench/load/run.h"
#include "nostr/negentropy/item_set.h"
#include "nostr/negentropy/reconciler.h"

namespace graspd::bench {
namespace {

using nostr::EventId;

/// Our side, made from the relay's events: some are left out, and as many others put in.
struct Sides {
  std::shared_ptr<const negentropy::SealedSet> ours;
  std::vector<EventId> only_ours, only_theirs;  // sorted
};

absl::StatusOr<Sides> MakeSides(const EventSet& events, double difference) {
  Sides sides;
  std::vector<negentropy::Item> items;
  items.reserve(events.size());
  // Half of the difference on each side, spread evenly over the events.
  const double share = difference / 100 / 2;
  double owed = 0;
  for (size_t i = 0; i < events.size(); ++i) {
    GRASPD_ASSIGN_OR_RETURN(const auto event, nostr::ParseEvent(events.json(i)));
    owed += share;
    if (owed < 1) {
      items.push_back({event.created_at, event.id});
      continue;
    }
    owed -= 1;
    const EventId made_up{nostr::Sha256(fmt::format("only ours {}", i))};
    items.push_back({event.created_at, made_up});
    sides.only_ours.push_back(made_up);
    sides.only_theirs.push_back(event.id);
  }
  std::sort(sides.only_ours.begin(), sides.only_ours.end());
  std::sort(sides.only_theirs.begin(), sides.only_theirs.end());
  sides.ours = std::make_shared<const negentropy::SealedSet>(std::move(items));
  return sides;
}

class Reconciliation {
 public:
  Reconciliation(Client& client, const Sides& sides, size_t frame_bytes)
      : client_(client), initiator_(sides.ours, {.frame_bytes = frame_bytes}) {
    client_.set_on_text([this](size_t, std::string_view text) { return OnText(text); });
  }

  absl::Status Run(const std::string& filter) {
    const std::string first = base::HexEncode(Bytes(initiator_.Start()));
    start_ = client_.clock().Now();
    client_.Send(0, {R"(["NEG-OPEN","n",)", filter, R"(,")", first, R"("])"});
    GRASPD_RETURN_IF_ERROR(client_.RunUntil([this] { return done_; }));
    std::sort(have_.begin(), have_.end());
    std::sort(need_.begin(), need_.end());
    return absl::OkStatus();
  }

  [[nodiscard]] const std::vector<EventId>& have() const { return have_; }
  [[nodiscard]] const std::vector<EventId>& need() const { return need_; }
  [[nodiscard]] size_t rounds() const { return rounds_; }
  [[nodiscard]] base::Duration first_reply() const { return first_reply_; }

 private:
  static std::span<const uint8_t> Bytes(std::string_view text) {
    return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
  }

  absl::Status OnText(std::string_view message) {
    const RelayText text = Scan(message);
    if (text.verb != RelayText::Verb::kNegMsg) return Unexpected(text);
    if (rounds_++ == 0) first_reply_ = client_.read_at() - start_;
    const auto hex = text.payload();
    std::vector<uint8_t> reply(hex.size() / 2);
    if (!base::HexDecode(hex, reply)) return absl::InvalidArgumentError("NEG-MSG is not hex");
    GRASPD_ASSIGN_OR_RETURN(
        const auto step,
        initiator_.Continue({reinterpret_cast<const char*>(reply.data()), reply.size()}));
    have_.insert(have_.end(), step.have.begin(), step.have.end());
    need_.insert(need_.end(), step.need.begin(), step.need.end());
    done_ = step.message.empty();
    if (done_) {
      client_.Send(0, {R"(["NEG-CLOSE","n"])"});
    } else {
      client_.Send(0, {R"(["NEG-MSG","n",")", base::HexEncode(Bytes(step.message)), R"("])"});
    }
    return absl::OkStatus();
  }

  Client& client_;
  negentropy::Initiator initiator_;
  std::vector<EventId> have_, need_;
  size_t rounds_ = 0;
  bool done_ = false;
  base::SteadyTime start_;
  base::Duration first_reply_{};
};

absl::Status Judge(const Reconciliation& found, const Sides& sides) {
  if (found.have() == sides.only_ours && found.need() == sides.only_theirs) return absl::OkStatus();
  return absl::AbortedError(fmt::format(
      "the difference found is wrong: {} ids ours alone instead of {}, {} theirs alone instead of "
      "{} (does the relay hold just the events of this run?)",
      found.have().size(), sides.only_ours.size(), found.need().size(), sides.only_theirs.size()));
}

}  // namespace

absl::Status RunNegentropy(const bench::Run& run) {
  const Options& options = run.options;
  const EventMaker maker(options.seed, options.now);
  GRASPD_ASSIGN_OR_RETURN(const auto events, run.Events(maker));
  run.report.Parameter("difference_percent", options.difference);
  run.report.Parameter("frame_bytes", options.frame_bytes);
  GRASPD_ASSIGN_OR_RETURN(const auto sides, MakeSides(events, options.difference));
  GRASPD_RETURN_IF_ERROR(run.Load(events));

  GRASPD_ASSIGN_OR_RETURN(const auto client, run.Connect(1));
  Reconciliation session(*client, sides, options.frame_bytes);
  const uint64_t read_before = client->bytes_read(), queued_before = client->bytes_queued();
  GRASPD_ASSIGN_OR_RETURN(const auto meter, run.Measure());
  GRASPD_RETURN_IF_ERROR(session.Run(options.filters.front()));
  GRASPD_ASSIGN_OR_RETURN(const auto cost, meter.End());
  run.report.Result("have", session.have().size());
  run.report.Result("need", session.need().size());
  run.report.Result("rounds", session.rounds());
  run.report.Result("first_reply_s", std::chrono::duration<double>(session.first_reply()).count());
  run.report.Result("bytes_up", client->bytes_queued() - queued_before);
  run.report.Result("bytes_down", client->bytes_read() - read_before);
  run.report.Result("", cost);
  return Judge(session, sides);
}

}  // namespace graspd::bench
