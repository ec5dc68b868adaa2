// What tests of sessions share: a session over a fake connection, a pipeline and a memory store,
// all driven from the test's own thread.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/manual_clock.h"
#include "base/test_thread.h"
#include "ingest/pipeline.h"
#include "ingest/policy/policy.h"
#include "nostr/event_builder.h"
#include "nostr/keys.h"
#include "services/relay/client_session.h"
#include "storage/memory/memory_store.h"
#include "storage/testing/counting_store.h"

namespace graspd::relay {

using Strings = std::vector<std::string>;

class FakeConnection final : public net::WebSocketConnection {
 public:
  using net::WebSocketConnection::SendText;
  bool SendText(std::string_view prefix, std::string_view body) override {
    sent.push_back(std::string(prefix).append(body));
    if (nobody_reads) pending += sent.back().size();
    return true;
  }
  size_t pending_bytes() const override { return pending; }
  void WhenDrained(std::function<void()> ready) override { when_drained = std::move(ready); }
  size_t soft_limit() const override { return 1000; }
  void PauseReading() override { reading = false; }
  void ResumeReading() override { reading = true; }
  void Close(uint16_t code, std::string_view) override { close_code = code; }
  const Peer& peer() const override { return peer_value; }
  net::IoThread& thread() override { std::abort(); }  // sessions know their thread by the hub

  Strings sent;
  size_t pending = 0;
  bool nobody_reads = false;  // what is sent stays pending
  std::function<void()> when_drained;
  bool reading = true;
  int close_code = 0;
  Peer peer_value;
};

inline std::string Repeated(std::string_view text, int times) {
  std::string out;
  while (times-- > 0) out += text;
  return out;
}

// Keeps the one thread of a pool busy.
class ReadsHold {
 public:
  explicit ReadsHold(base::BlockingPool& pool) {
    EXPECT_TRUE(pool.TryRun([this] {
      std::unique_lock lock(mutex_);
      running_ = true;
      changed_.notify_all();
      changed_.wait(lock, [this] { return released_; });
      done_ = true;
      changed_.notify_all();
    }));
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return running_; });
  }
  ~ReadsHold() { Release(); }
  void Release() {
    std::unique_lock lock(mutex_);
    released_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return done_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool running_ = false, released_ = false, done_ = false;
};

using storage::testing::CountingStore;

class SessionTest : public testing::Test {
 protected:
  explicit SessionTest(std::unique_ptr<storage::EventStore> store = storage::OpenMemoryStore())
      : store_(std::make_unique<CountingStore>(std::move(store))) {}
  ~SessionTest() override {
    if (session_) session_->OnClosed();
  }

  void Start(bool own = false) { Start(pipeline_, own); }
  void MakeContext(ingest::EventSink& sink) {
    if (!addresses_) addresses_.emplace(limits_);
    neg_sets_ = std::make_shared<storage::NegSets>(*store_, feed_, clock_, limits_.neg_set_items,
                                                   limits_.neg_memory_bytes);
    context_.emplace(SessionContext{limits_, sink, *store_, reads_, scans_, cpu_, clock_, meters_,
                                    neg_sets_, own_hosts_, overload_, *addresses_});
  }
  void Start(ingest::EventSink& sink, bool own) {
    MakeContext(sink);
    subscription_ = feed_.Subscribe([this](const storage::CommitPtr& commit) {
      thread_.Post([this, commit] { hub_.Deliver(*commit); });
    });
    connection_->peer_value.secret_header = own;
    session_ = ClientSession::Start(*context_, hub_, connection_);
  }

  void Send(std::string_view text) {
    const std::string padded = std::string(text) + std::string(64, ' ');
    session_->OnText(std::string_view(padded).substr(0, text.size()));
  }
  // What has been sent since the last call, once there are `count` messages.
  Strings Receive(size_t count) {
    thread_.RunUntil([&] { return connection_->sent.size() >= count; });
    return std::exchange(connection_->sent, {});
  }
  Strings Ask(std::string_view text, size_t count) {
    Send(text);
    return Receive(count);
  }
  nostr::Event Note(std::string_view content, nostr::Kind kind = 1) {
    return nostr::EventBuilder(kind, clock_.UnixNow()).Content(content).Sign(key_);
  }
  void Publish(const nostr::Event& event) {
    Send(nostr::ClientEventMessage(nostr::EventJson(event)));
  }
  // Until its OK is there and every other message has been delivered.
  void Store(const nostr::Event& event) {
    auto submitter =
        pipeline_.Open(ingest::EventSink::Lane::kSync, thread_,
                       [&](std::span<const ingest::Result> r) { stored_ += r.size(); });
    const size_t expected = stored_ + 1;
    submitter->Submit(event, storage::Source::kLive);
    thread_.RunUntil([&] { return stored_ == expected; });
    thread_.RunAll();
  }
  static std::string Delivery(std::string_view id, const nostr::Event& event) {
    return nostr::EventMessagePrefix(id) + nostr::EventJson(event) + "]";
  }
  static std::string Ok(const nostr::Event& event) {
    return nostr::OkMessage(event.id.ToHex(), true, "");
  }

  nostr::Limits limits_;
  const nostr::SecretKey key_ = nostr::SecretKey::FromSeed("author");
  base::ManualClock clock_;
  base::Metrics metrics_;
  Meters meters_{metrics_};
  const std::unique_ptr<CountingStore> store_;
  storage::CommitFeed feed_;
  base::TestThread thread_;
  LiveHub hub_{thread_};
  ingest::Policy policy_{{ingest::PolicyMode::kOpen, {}, true}};
  base::CpuPool cpu_{2};
  base::BlockingPool reads_{1, 8, "reads"}, scans_{1, 8, "scans"};
  ingest::Pipeline pipeline_{{*store_, feed_, policy_, cpu_, clock_, metrics_}, nostr::Limits{}};
  std::shared_ptr<storage::NegSets> neg_sets_;
  std::optional<AddressBudgets> addresses_;  // made by the first Start
  OwnHosts own_hosts_{{{"relay.example", 443}}};
  Overload overload_;
  std::optional<SessionContext> context_;
  std::unique_ptr<storage::CommitFeed::Subscription> subscription_;
  std::shared_ptr<FakeConnection> connection_ = std::make_shared<FakeConnection>();
  std::shared_ptr<ClientSession> session_;
  size_t stored_ = 0;
};

}  // namespace graspd::relay
