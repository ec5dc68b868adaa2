#include "services/transfer/pipeline_target.h"

#include <utility>
#include <vector>

namespace graspd::transfer {
namespace {

Target::Verdict VerdictOf(ingest::Code code) {
  switch (code) {
    case ingest::Code::kStored:
      return Target::Verdict::kStored;
    case ingest::Code::kDuplicate:
    case ingest::Code::kOlder:
      return Target::Verdict::kKnown;
    case ingest::Code::kDeleted:
    case ingest::Code::kExpired:
    case ingest::Code::kInvalid:
    case ingest::Code::kRefused:
    case ingest::Code::kParked:
      return Target::Verdict::kRefused;
    case ingest::Code::kError:
      return Target::Verdict::kFailed;
  }
  return Target::Verdict::kFailed;
}

}  // namespace

PipelineTarget::PipelineTarget(ingest::EventSink& sink, base::Executor& executor)
    : submitter_(
          sink.Open(ingest::EventSink::Lane::kSync, executor,
                    [this](std::span<const ingest::Result> results) { OnResults(results); })) {}

void PipelineTarget::Submit(uint64_t ticket, nostr::Event event, const std::string&) {
  tickets_.push_back(ticket);
  submitter_->Submit(std::move(event), storage::Source::kImport);
}

void PipelineTarget::OnResults(std::span<const ingest::Result> results) {
  std::vector<Answer> answers;
  answers.reserve(results.size());
  for (const ingest::Result& result : results) {
    answers.push_back({tickets_.front(), VerdictOf(result.code), result.message});
    tickets_.pop_front();
  }
  on_answers_(answers);
}

}  // namespace graspd::transfer
