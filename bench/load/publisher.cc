#include "bench/load/publisher.h"

#include <fmt/format.h>

#include <utility>

#include "base/status_macros.h"
#include "bench/load/relay_text.h"

namespace graspd::bench {
namespace {

class Publisher {
 public:
  Publisher(Client& client, const EventSet& events, size_t in_flight, Progress& progress)
      : client_(client),
        events_(events),
        in_flight_(in_flight),
        progress_(progress),
        sent_at_(events.size()) {
    outcome_.ok.Reserve(events.size());
  }

  absl::StatusOr<PublishOutcome> Run() {
    client_.set_on_text(
        [this](size_t connection, std::string_view text) { return OnText(connection, text); });
    for (size_t c = 0; c < client_.size(); ++c) {
      for (size_t i = 0; i < in_flight_; ++i) SendNext(c, client_.clock().Now());
    }
    if (absl::Status status = client_.RunUntil([this] { return answered_ == events_.size(); });
        !status.ok()) {
      return absl::Status(
          status.code(), fmt::format("{} of {} events have their OK: {}", answered_, events_.size(),
                                     std::string(status.message())));
    }
    progress_.Clear();
    return std::move(outcome_);
  }

 private:
  void SendNext(size_t connection, base::SteadyTime now) {
    if (next_ == events_.size()) return;
    sent_at_[next_] = now;
    client_.Send(connection, {R"(["EVENT",)", events_.json(next_), "]"});
    ++next_;
  }

  absl::Status OnText(size_t connection, std::string_view message) {
    const RelayText text = Scan(message);
    if (text.verb != RelayText::Verb::kOk) return Unexpected(text);
    const auto index = events_.Find(text.label);
    if (!index || sent_at_[*index] == base::SteadyTime{}) {
      return absl::AbortedError(fmt::format("an OK that nothing waits for: {}", message));
    }
    outcome_.ok.Add(client_.read_at() - std::exchange(sent_at_[*index], {}));
    ++answered_;
    if (!text.accepted()) {
      if (outcome_.refused++ == 0) outcome_.first_refusal = message;
    } else {
      ++outcome_.accepted;
      if (text.rest.find("duplicate:") != text.rest.npos) ++outcome_.duplicates;
    }
    progress_.Show("events have their OK", answered_);
    SendNext(connection, client_.read_at());
    return absl::OkStatus();
  }

  Client& client_;
  const EventSet& events_;
  const size_t in_flight_;
  Progress& progress_;
  std::vector<base::SteadyTime> sent_at_;  // zero once answered
  size_t next_ = 0, answered_ = 0;
  PublishOutcome outcome_;
};

}  // namespace

absl::StatusOr<PublishOutcome> Publish(Client& client, const EventSet& events, size_t in_flight,
                                       Progress& progress) {
  return Publisher(client, events, in_flight, progress).Run();
}

}  // namespace graspd::bench
