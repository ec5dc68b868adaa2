// Threats C30: real threads commit through the pipeline while REQs open and close. Each REQ that
// stays open must get each event exactly once, as a stored or as a live one.
#include <gtest/gtest.h>

#include <charconv>
#include <cstdlib>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/temp_directory.h"
#include "services/relay/session_test_support.h"
#include "storage/lmdb/lmdb_store.h"

namespace graspd::relay {
namespace {

constexpr size_t kEvents = 2000, kThreads = 2, kReqs = 375;  // REQs of one thread
constexpr size_t kStaying = 250;
static_assert(kThreads * kStaying * kEvents >= 1'000'000);

// Every third REQ is closed again when the next one is sent.
bool IsClosed(size_t req) { return req % 3 == 2; }

using EventIndex = std::unordered_map<std::string, size_t>;  // hex id -> place

// Counts what comes, per subscription and event. Subscription ids are numbers.
class CountingConnection final : public net::WebSocketConnection {
 public:
  explicit CountingConnection(const EventIndex& events)
      : seen(kReqs, std::vector<uint8_t>(events.size())), events_(events) {}

  bool SendText(std::string_view prefix, std::string_view body) override {
    constexpr std::string_view kEvent = R"(["EVENT",")", kEose = R"(["EOSE",")",
                               kObject = R"({"id":")";
    if (prefix.starts_with(kEvent) && body.starts_with(kObject)) {
      const auto event = events_.find(std::string(body.substr(kObject.size(), 64)));
      if (event != events_.end()) {
        ++seen.at(Number(prefix.substr(kEvent.size()))).at(event->second);
        return true;
      }
    }
    if (prefix.starts_with(kEose)) {
      eoses += !IsClosed(Number(prefix.substr(kEose.size())));
    } else {
      others.emplace_back(prefix);
    }
    return true;
  }
  size_t pending_bytes() const override { return 0; }
  void WhenDrained(std::function<void()>) override {}
  size_t soft_limit() const override { return 1; }
  void PauseReading() override {}
  void ResumeReading() override {}
  void Close(uint16_t, std::string_view) override { others.emplace_back("closed"); }
  const Peer& peer() const override { return peer_; }
  net::IoThread& thread() override { std::abort(); }

  std::vector<std::vector<uint8_t>> seen;
  size_t eoses = 0;  // of REQs that stay open
  Strings others;

 private:
  static size_t Number(std::string_view text) {
    size_t number = 0;
    std::from_chars(text.data(), text.data() + text.size(), number);
    return number;
  }
  const EventIndex& events_;
  Peer peer_;
};

// A connection and the thread that serves it.
struct Reader {
  explicit Reader(const EventIndex& events)
      : connection(std::make_shared<CountingConnection>(events)) {}

  void Send(const std::string& text) {
    const std::string padded = text + std::string(64, ' ');
    session->OnText(std::string_view(padded).substr(0, text.size()));
  }
  // Opens REQs at the pace of the commits, so that some come before, during and after each.
  void Run() {
    for (size_t req = 0; req < kReqs; ++req) {
      thread.RunUntil([&] { return committed * kReqs >= req * kEvents; });
      Send("[\"REQ\",\"" + std::to_string(req) + "\",{\"limit\":5000}]");
      if (req > 0 && IsClosed(req - 1)) Send("[\"CLOSE\",\"" + std::to_string(req - 1) + "\"]");
    }
    Send("[\"CLOSE\",\"" + std::to_string(kReqs - 1) + "\"]");
    thread.RunUntil([&] { return committed == kEvents && connection->eoses == kStaying; });
  }

  base::TestThread thread;
  LiveHub hub{thread};
  size_t committed = 0;  // events that this thread has heard of
  std::shared_ptr<CountingConnection> connection;
  std::shared_ptr<ClientSession> session;
};

struct Backend {
  std::string name;
  std::function<std::unique_ptr<storage::EventStore>(const std::string& directory)> open;
};
void PrintTo(const Backend& backend, std::ostream* out) { *out << backend.name; }

const Backend kMemory{"memory", [](const std::string&) { return storage::OpenMemoryStore(); }};
const Backend kLmdb{
    "lmdb", [](const std::string& directory) {
      // Index entries go to their tables meanwhile.
      return *storage::OpenLmdbStore(
          {.directory = directory, .map_bytes = size_t{1} << 30, .pending_entries = 500});
    }};

// The directory of the store is made before it, and removed after it.
class HandoverRace : private base::TempDirectory,
                     public SessionTest,
                     public testing::WithParamInterface<Backend> {
 protected:
  HandoverRace() : SessionTest(GetParam().open(path())) {
    limits_.subscriptions = kReqs;
    limits_.reqs_per_second = 0;
    limits_.live_buffer_events = kEvents;
    for (size_t i = 0; i < kEvents; ++i) {
      events_.push_back(Note(std::to_string(i)));
      index_.emplace(events_.back().id.ToHex(), i);
    }
  }
  void PublishAll() {
    size_t answered = 0;
    const auto submitter = pipeline_.Open(ingest::EventSink::Lane::kClient, thread_,
                                          [&](std::span<const ingest::Result> results) {
                                            for (const auto& result : results)
                                              EXPECT_TRUE(result.accepted());
                                            answered += results.size();
                                          });
    for (const nostr::Event& event : events_) {
      thread_.RunUntil([&] { return submitter->credits() > 0; });
      submitter->Submit(event, storage::Source::kDirect);
    }
    thread_.RunUntil([&] { return answered == kEvents; });
  }

  std::vector<nostr::Event> events_;
  EventIndex index_;
};

TEST_P(HandoverRace, EachEventComesExactlyOnceToEachSubscription) {
  MakeContext(pipeline_);
  std::vector<std::unique_ptr<Reader>> readers;
  std::vector<std::unique_ptr<storage::CommitFeed::Subscription>> feeds;
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kThreads; ++i) {
    Reader& reader = *readers.emplace_back(std::make_unique<Reader>(index_));
    reader.session = ClientSession::Start(*context_, reader.hub, reader.connection);
    feeds.push_back(feed_.Subscribe([&reader](const storage::CommitPtr& commit) {
      reader.thread.Post([&reader, commit] {
        reader.hub.Deliver(*commit);
        reader.committed += commit->changes.size();
      });
    }));
  }
  for (auto& reader : readers) threads.emplace_back([&] { reader->Run(); });
  PublishAll();
  for (std::thread& thread : threads) thread.join();
  feeds.clear();

  size_t checks = 0, wrong = 0;
  for (const auto& reader : readers) {
    reader->session->OnClosed();
    EXPECT_EQ(reader->connection->others, Strings());
    for (size_t req = 0; req < kReqs; ++req) {
      for (const uint8_t times : reader->connection->seen[req]) {
        wrong += IsClosed(req) ? times > 1 : times != 1;
        checks += !IsClosed(req);
      }
    }
  }
  EXPECT_EQ(wrong, 0u);
  EXPECT_EQ(checks, kThreads * kStaying * kEvents);
  reads_.Stop();
}

INSTANTIATE_TEST_SUITE_P(Stores, HandoverRace, testing::Values(kMemory, kLmdb),
                         [](const auto& backend) { return backend.param.name; });

}  // namespace
}  // namespace graspd::relay
