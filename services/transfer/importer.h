#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "base/executor.h"
#include "base/line_reader.h"
#include "nostr/event.h"
#include "services/transfer/target.h"

namespace graspd::transfer {

/// Reads events from files, one JSON object per line, and hands them to a target.
///
/// An event that is refused for want of another one is kept, within `waiting_bytes`, and handed in
/// again after the last line, as long as that gets anything stored; past the bound the oldest are
/// given up. Empty lines are passed over. Memory: what is in flight and what waits.
/// Threading: lives on the executor's thread, counts() anywhere. Lifetime: outlives its target's
/// answers and the tasks it has posted.
class Importer {
 public:
  static constexpr size_t kWaitingBytes = 128u << 20;

  /// Where an event stands.
  struct Place {
    size_t file = 0;
    uint64_t line = 0;
    auto operator<=>(const Place&) const = default;
  };
  struct Options {
    std::vector<std::string> files;  // "-" = standard input
    size_t waiting_bytes = kWaitingBytes;
    /// One call for each event that was not accepted: "file:line", its id or "-", the reason.
    std::function<void(const std::string& place, const std::string& id, const std::string& reason)>
        on_refused;
    /// The last call. OK, or why not everything was read and answered: kCancelled after Stop().
    std::function<void(const absl::Status&)> on_done;
  };
  struct Counts {
    uint64_t read = 0;  // lines, without the empty ones
    uint64_t stored = 0, known = 0, refused = 0;
  };

  Importer(Options options, Target& target, base::Executor& executor);

  void Start();
  /// Reads no more; done when what is in flight has been answered.
  void Stop();
  [[nodiscard]] Counts counts() const;

 private:
  struct Entry {
    Place place;
    nostr::EventId id;
    nostr::Kind kind = 0;
    std::string json;    // canonical
    std::string reason;  // of its latest refusal
  };
  [[nodiscard]] static size_t CostOf(const Entry& entry);

  void Pump();
  bool SubmitOne();
  bool SubmitLine();
  bool OpenNext();
  bool BeginRound();
  void Submit(Entry entry, nostr::Event event);
  void OnAnswers(std::span<const Target::Answer> answers);
  void Settle(Entry entry, const Target::Answer& answer);
  void Wait(Entry entry);
  void Report(const Entry& entry);
  void Report(const Place& place, const std::string& id, const std::string& reason);
  void Fail(const Place& place, const absl::Status& status);
  void Finish();
  [[nodiscard]] std::string Text(const Place& place) const;

  const Options options_;
  Target& target_;
  base::Executor& executor_;

  std::optional<base::LineReader> reader_;
  Place place_;  // of the line read last
  size_t next_file_ = 0;
  uint64_t next_ticket_ = 0;
  std::map<uint64_t, Entry> in_flight_;  // by ticket

  std::deque<Entry> waiting_;
  size_t waiting_bytes_ = 0;
  std::deque<Entry> round_;       // handed in again
  uint64_t stored_at_round_ = 0;  // how many were stored when the latest round began

  bool pumping_ = false, done_ = false;
  absl::Status status_;
  std::optional<Place> failed_at_;  // the first that the target could not take

  std::atomic<uint64_t> read_{0}, stored_{0}, known_{0}, refused_{0};
};

}  // namespace graspd::transfer
