#pragma once

#include <deque>
#include <memory>

#include "base/executor.h"
#include "ingest/event_sink.h"
#include "services/transfer/target.h"

namespace graspd::transfer {

/// Imports into a store of our own, by the way that every event takes. Lifetime: sink and executor
/// outlive it.
class PipelineTarget final : public Target {
 public:
  PipelineTarget(ingest::EventSink& sink, base::Executor& executor);

  void SetOnAnswers(OnAnswers on_answers) override { on_answers_ = std::move(on_answers); }
  void Submit(uint64_t ticket, nostr::Event event, const std::string& json) override;
  bool HasRoom() const override { return submitter_->credits() > 0; }

 private:
  void OnResults(std::span<const ingest::Result> results);

  OnAnswers on_answers_;
  std::deque<uint64_t> tickets_;  // in flight; results come in this order
  std::unique_ptr<ingest::Submitter> submitter_;
};

}  // namespace graspd::transfer
