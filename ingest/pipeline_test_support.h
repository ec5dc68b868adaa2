// A pipeline on a store that can be held up, its submitters, and what they hear.
#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/manual_clock.h"
#include "base/test_thread.h"
#include "ingest/pipeline.h"
#include "ingest/policy/policy.h"
#include "nostr/event_builder.h"
#include "nostr/keys.h"
#include "storage/memory/memory_store.h"
#include "storage/testing/forwarding_store.h"

namespace graspd::ingest {

/// A memory store whose writes can be held up, or made to fail.
class ControlledStore final : public storage::testing::ForwardingStore {
 public:
  ControlledStore() : ControlledStore(storage::OpenMemoryStore()) {}

  absl::StatusOr<storage::BatchResult> Write(std::span<const storage::WriteRequest> batch,
                                             storage::Judge& judge, uint64_t now) override {
    std::unique_lock lock(mutex_);
    ++writes_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return !held_; });
    if (!failure_.ok() || writes_ == failing_write_) {
      return failure_.ok() ? absl::ResourceExhaustedError("disk full") : failure_;
    }
    return ForwardingStore::Write(batch, judge, now);
  }
  void Hold() {
    Set([this] { held_ = true; });
  }
  void Release() {
    Set([this] { held_ = false; });
  }
  void FailWith(absl::Status status) {
    Set([this, &status] { failure_ = status; });
  }
  // The write of this number, counted from 1, and only this one.
  void FailWrite(int number) {
    Set([this, number] { failing_write_ = number; });
  }
  void WaitForWrites(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this, count] { return writes_ >= count; });
  }
  // The check of this event does not come to its end; of none: goes on.
  void HoldLookup(const nostr::EventId& id) {
    Set([this, id] { held_lookup_ = id; });
  }
  int writes() {
    const std::lock_guard lock(mutex_);
    return writes_;
  }
  int lookups() {
    const std::lock_guard lock(mutex_);
    return lookups_;
  }

  absl::StatusOr<std::optional<nostr::Signature>> FindSignature(const nostr::EventId& id) override {
    std::unique_lock lock(mutex_);
    ++lookups_;
    changed_.wait(lock, [&] { return id != held_lookup_; });
    return ForwardingStore::FindSignature(id);
  }

 private:
  explicit ControlledStore(std::unique_ptr<storage::EventStore> store)
      : ForwardingStore(*store), owned_(std::move(store)) {}

  void Set(const std::function<void()>& change) {
    {
      const std::lock_guard lock(mutex_);
      change();
    }
    changed_.notify_all();
  }
  const std::unique_ptr<storage::EventStore> owned_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool held_ = false;
  int writes_ = 0, failing_write_ = 0, lookups_ = 0;
  nostr::EventId held_lookup_;
  absl::Status failure_;
};

class PipelineTest : public testing::Test {
 protected:
  explicit PipelineTest(size_t cpu_threads = 4) : cpu_(cpu_threads) {}
  void Start(PolicyOptions options = {PolicyMode::kOpen, {}, true},
             const nostr::Limits& limits = {}) {
    policy_ = std::make_unique<Policy>(std::move(options));
    pipeline_ = std::make_unique<Pipeline>(
        Pipeline::Dependencies{store_, feed_, *policy_, cpu_, clock_, metrics_}, limits);
    client_ = Open(EventSink::Lane::kClient, client_results_);
    sync_ = Open(EventSink::Lane::kSync, sync_results_);
  }
  void TearDown() override {
    store_.HoldLookup({});
    store_.Release();
  }

  std::unique_ptr<Submitter> Open(EventSink::Lane lane, std::vector<Result>& results) {
    return pipeline_->Open(lane, thread_, [&results](std::span<const Result> batch) {
      results.insert(results.end(), batch.begin(), batch.end());
    });
  }
  Result FromClient(const nostr::Event& event) {
    return One(*client_, client_results_, event, storage::Source::kDirect);
  }
  Result FromSync(const nostr::Event& event) {
    return One(*sync_, sync_results_, event, storage::Source::kLive);
  }
  Result One(Submitter& submitter, std::vector<Result>& results, const nostr::Event& event,
             storage::Source source) {
    submitter.Submit(event, source);
    const size_t expected = results.size() + 1;
    thread_.RunUntil([&] { return results.size() == expected; });
    EXPECT_EQ(results.back().id, event.id);
    return results.back();
  }
  nostr::Event Note(std::string_view content, nostr::Kind kind = 1) {
    return nostr::EventBuilder(kind, clock_.UnixNow()).Content(content).Sign(key_);
  }
  double Gauge(const std::string& name) {
    const std::string all = metrics_.Serialize();
    const size_t at = all.find(name + " ");
    return at == std::string::npos ? 0 : std::stod(all.substr(at + name.size()));
  }
  bool Stored(const nostr::EventId& id) { return (*store_.Known({{id}}))[0]; }

  const nostr::SecretKey key_ = nostr::SecretKey::FromSeed("author");
  base::ManualClock clock_;
  base::Metrics metrics_;
  ControlledStore store_;
  storage::CommitFeed feed_;
  base::TestThread thread_;
  std::vector<Result> client_results_, sync_results_;
  std::unique_ptr<Policy> policy_;
  base::CpuPool cpu_;
  std::unique_ptr<Pipeline> pipeline_;
  std::unique_ptr<Submitter> client_, sync_;  // last: go before the pipeline
};

}  // namespace graspd::ingest
