#include "services/transfer/importer.h"

#include <algorithm>
#include <utility>

#include "nostr/nip34.h"

namespace graspd::transfer {
namespace {

constexpr char kStdin[] = "/dev/stdin";
// Lines handled before others on the thread get their turn.
constexpr int kLinesPerTurn = 500;

// Refusals that an event further on in the file may lift: the policy's, whose only one that does
// not say so by its prefix is of a state without an announcement.
bool MayBeLifted(nostr::Kind kind, std::string_view reason) {
  return reason.starts_with("restricted:") ||
         (kind == nostr::kRepositoryState && reason.starts_with("invalid:"));
}

}  // namespace

Importer::Importer(Options options, Target& target, base::Executor& executor)
    : options_(std::move(options)), target_(target), executor_(executor) {
  target_.SetOnAnswers([this](std::span<const Target::Answer> answers) { OnAnswers(answers); });
}

size_t Importer::CostOf(const Entry& entry) { return sizeof entry + entry.json.size(); }

Importer::Counts Importer::counts() const {
  return {read_.load(), stored_.load(), known_.load(), refused_.load()};
}

void Importer::Start() {
  executor_.Post([this] { Pump(); });
}

void Importer::Stop() {
  if (done_) return;
  if (status_.ok()) status_ = absl::CancelledError("interrupted");
  target_.Hurry();
  Pump();
}

// Hands in events while the target has room.
void Importer::Pump() {
  if (pumping_ || done_) return;
  for (int lines = 0; status_.ok() && target_.HasRoom(); ++lines) {
    if (lines == kLinesPerTurn) {
      pumping_ = true;
      return executor_.Post([this] {
        pumping_ = false;
        Pump();
      });
    }
    if (!SubmitOne()) break;
  }
  if (!in_flight_.empty() || (status_.ok() && BeginRound())) return;
  Finish();
}

// False if there is nothing to hand in now.
bool Importer::SubmitOne() {
  if (!round_.empty()) {
    Entry entry = std::move(round_.front());
    round_.pop_front();
    auto event = nostr::ParseEvent(entry.json);
    if (event.ok()) Submit(std::move(entry), *std::move(event));
    return true;
  }
  return SubmitLine();
}

bool Importer::SubmitLine() {
  std::optional<std::string_view> line;
  while (!reader_ || !(line = reader_->Next())) {
    if (reader_ && !reader_->status().ok()) {
      Fail({place_.file, place_.line + 1}, reader_->status());
      return false;
    }
    if (!OpenNext()) return false;
  }
  ++place_.line;
  if (line->find_first_not_of(" \t\r") == std::string_view::npos) return true;
  ++read_;
  auto event = nostr::ParseEvent(*line);
  if (!event.ok()) {
    Report(place_, "-", "invalid: " + std::string(event.status().message()));
    return true;
  }
  Entry entry{place_, event->id, event->kind, nostr::EventJson(*event), ""};
  Submit(std::move(entry), *std::move(event));
  return true;
}

bool Importer::OpenNext() {
  reader_.reset();
  if (next_file_ == options_.files.size()) return false;
  place_ = {next_file_++, 0};
  const std::string& path = options_.files[place_.file];
  auto reader = base::LineReader::Open(path == "-" ? kStdin : path);
  if (!reader.ok()) {
    Fail({place_.file, 0}, reader.status());
    return false;
  }
  reader_ = *std::move(reader);
  return true;
}

void Importer::Submit(Entry entry, nostr::Event event) {
  const uint64_t ticket = next_ticket_++;
  const auto [at, added] = in_flight_.emplace(ticket, std::move(entry));
  target_.Submit(ticket, std::move(event), at->second.json);
}

void Importer::OnAnswers(std::span<const Target::Answer> answers) {
  for (const Target::Answer& answer : answers) {
    auto entry = in_flight_.extract(answer.ticket);
    if (!entry.empty()) Settle(std::move(entry.mapped()), answer);
  }
  Pump();
}

void Importer::Settle(Entry entry, const Target::Answer& answer) {
  switch (answer.verdict) {
    case Target::Verdict::kStored:
      ++stored_;
      return;
    case Target::Verdict::kKnown:
      ++known_;
      return;
    case Target::Verdict::kRefused:
      entry.reason = answer.message;
      if (MayBeLifted(entry.kind, entry.reason)) return Wait(std::move(entry));
      return Report(entry);
    case Target::Verdict::kFailed:
      return Fail(entry.place, absl::UnavailableError(answer.message));
  }
}

void Importer::Wait(Entry entry) {
  waiting_bytes_ += CostOf(entry);
  waiting_.push_back(std::move(entry));
  while (waiting_bytes_ > options_.waiting_bytes) {
    waiting_bytes_ -= CostOf(waiting_.front());
    Report(waiting_.front());
    waiting_.pop_front();
  }
}

// After the last line, with nothing in flight. False if another round would change nothing.
bool Importer::BeginRound() {
  const uint64_t stored = stored_.load();
  if (waiting_.empty() || stored == stored_at_round_) return false;
  stored_at_round_ = stored;
  round_ = std::exchange(waiting_, {});
  waiting_bytes_ = 0;
  Start();
  return true;
}

void Importer::Report(const Entry& entry) { Report(entry.place, entry.id.ToHex(), entry.reason); }

void Importer::Report(const Place& place, const std::string& id, const std::string& reason) {
  ++refused_;
  if (options_.on_refused) options_.on_refused(Text(place), id, reason);
}

void Importer::Fail(const Place& place, const absl::Status& status) {
  if (!failed_at_ || place < *failed_at_) failed_at_ = place;
  if (status_.ok()) status_ = status;
}

void Importer::Finish() {
  done_ = true;
  for (const auto* refused : {&round_, &waiting_}) {
    for (const Entry& entry : *refused) Report(entry);
  }
  if (failed_at_) {
    status_ =
        absl::Status(status_.code(), Text(*failed_at_) + ": " + std::string(status_.message()));
  }
  options_.on_done(status_);
}

std::string Importer::Text(const Place& place) const {
  const std::string& path = options_.files[place.file];
  const std::string name = path == "-" ? "standard input" : path;
  return place.line == 0 ? name : name + ":" + std::to_string(place.line);
}

}  // namespace graspd::transfer
