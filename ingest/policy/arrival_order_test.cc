// What is stored in the end does not depend on the order in which sync brings it: the policy and
// the parking lots together, on histories whose announcements only gain maintainers and whose
// deletions take away what nothing else hangs on.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "base/manual_clock.h"
#include "base/random.h"
#include "ingest/parking_lot.h"
#include "ingest/policy/policy.h"
#include "nostr/event_builder.h"
#include "nostr/keys.h"
#include "nostr/nip34.h"
#include "storage/memory/memory_store.h"

namespace graspd::ingest {
namespace {

using nostr::Event;
using nostr::EventBuilder;
using nostr::SecretKey;

constexpr uint64_t kNow = 1'700'000'000;
constexpr size_t kAuthors = 5;
constexpr const char* kIdentifiers[] = {"tool", "a:b"};

// Asks the policy and keeps whether the refusal may be lifted, as the writer does.
class NotingJudge final : public storage::Judge {
 public:
  explicit NotingJudge(Policy& policy) : policy_(policy) {}
  absl::StatusOr<Verdict> Decide(const Event& event, storage::Source source,
                                 const storage::ReadView& view) override {
    auto verdict = policy_.Decide(event, source, view);
    if (verdict.ok()) waits = !verdict->accept && verdict->waits;
    return verdict;
  }
  bool waits = false;

 private:
  Policy& policy_;
};

// Takes one event at a time from sync.
class World {
 public:
  void Bring(const Event& event) {
    std::vector<storage::WriteRequest> todo = {{nostr::MakeRecord(event), storage::Source::kLive}};
    while (!todo.empty()) {
      const storage::WriteRequest request = todo.back();
      todo.pop_back();
      for (auto& woken : Write(request)) todo.push_back(std::move(woken));
    }
  }
  [[nodiscard]] std::set<std::string> Stored() {
    storage::QuerySpec spec;
    spec.filters.emplace_back();
    spec.unix_now = kNow;
    spec.max_rows = 10'000;
    spec.max_bytes = 64u << 20;
    const auto page = store_->Query(spec, nullptr).value();
    EXPECT_TRUE(page.done);
    std::set<std::string> out;
    for (const auto& row : page.rows) out.insert(row.json);
    return out;
  }

 private:
  std::vector<storage::WriteRequest> Write(const storage::WriteRequest& request) {
    NotingJudge judge(policy_);
    const auto written = store_->Write({{request}}, judge, kNow).value();
    if (written.results[0].outcome == storage::Outcome::kRefused && judge.waits) {
      lot_.Park(request, clock_.Now());
    }
    if (written.results[0].outcome != storage::Outcome::kStored) return {};
    return lot_.TakeWaitingFor(request.event->event);
  }

  base::ManualClock clock_;
  Policy policy_{
      {.mode = PolicyMode::kGrasp, .own_hosts = {{"relay.example", 443}}, .require_clone = false}};
  ParkingLot lot_{ParkingLot::Limits{}};
  const std::unique_ptr<storage::EventStore> store_ = storage::OpenMemoryStore();
};

class History {
 public:
  explicit History(uint64_t seed) : random_(seed) {
    for (size_t i = 0; i < kAuthors; ++i) {
      authors_.push_back(SecretKey::FromSeed("author" + std::to_string(i)));
    }
    for (const char* identifier : kIdentifiers) {
      for (const SecretKey& author : authors_) Announce(author, identifier);
    }
    for (int i = 0; i < 6; ++i) AddChild(nostr::kIssue, "a", Coordinate());
    for (int i = 0; i < 8; ++i) AddChild(nostr::kComment, "E", parents_[Below(parents_.size())]);
    for (int i = 0; i < 4; ++i) AddQuoted();
    for (int i = 0; i < 4; ++i) AddState();
    for (int i = 0; i < 5; ++i) AddDeleted();
  }
  std::vector<Event> events;

 private:
  size_t Below(size_t bound) { return random_.Below(bound); }
  const SecretKey& Anyone() { return authors_[Below(authors_.size())]; }
  std::string Coordinate() {
    return "30617:" + Anyone().public_key().ToHex() + ":" + kIdentifiers[Below(2)];
  }
  void Keep(Event event) {
    parents_.push_back(event.id.ToHex());
    events.push_back(std::move(event));
  }

  // Some never list us, some list us first and leave later; versions only gain maintainers.
  void Announce(const SecretKey& author, const char* identifier) {
    std::vector<std::string> maintainers;
    const size_t versions = Below(3), left_from = Below(4);
    const bool ever_lists_us = Below(3) == 0;
    for (size_t version = 0; version <= versions; ++version) {
      EventBuilder builder(nostr::kRepositoryAnnouncement, kNow - 100 + version);
      builder.Tag({"d", identifier});
      if (ever_lists_us && version <= left_from) builder.Tag({"relays", "wss://relay.example"});
      if (Below(2) == 0) maintainers.push_back(Anyone().public_key().ToHex());
      for (const auto& key : maintainers) builder.Tag({"maintainers", key});
      events.push_back(builder.Sign(author));
    }
  }
  void AddChild(nostr::Kind kind, std::string_view tag, const std::string& parent) {
    Keep(EventBuilder(kind, kNow - 50 + events.size()).Tag({tag, parent}).Sign(Anyone()));
  }
  // A note that only a comment's quote makes acceptable, and an article by its address.
  void AddQuoted() {
    const SecretKey& author = Anyone();
    const std::string number = std::to_string(events.size());
    const Event note = EventBuilder(1, kNow).Content(number).Sign(author);
    events.push_back(EventBuilder(30023, kNow).Tag({"d", "x:" + number}).Sign(author));
    Keep(EventBuilder(nostr::kComment, kNow)
             .Tag({"E", parents_[Below(parents_.size())]})
             .Tag({"q", note.id.ToHex()})
             .Tag({"q", "30023:" + author.public_key().ToHex() + ":x:" + number})
             .Sign(Anyone()));
    events.push_back(note);
  }
  void AddState() {
    events.push_back(EventBuilder(nostr::kRepositoryState, kNow - Below(50))
                         .Tag({"d", kIdentifiers[Below(2)]})
                         .Sign(Anyone()));
  }
  // By somebody who may have nothing else here.
  void AddDeleted() {
    const SecretKey author = SecretKey::FromSeed("stranger" + std::to_string(Below(3)));
    const Event leaf = EventBuilder(nostr::kComment, kNow)
                           .Content(std::to_string(events.size()))
                           .Tag({"E", parents_[Below(parents_.size())]})
                           .Sign(author);
    events.push_back(leaf);
    events.push_back(
        EventBuilder(nostr::kDeletionKind, kNow).Tag({"e", leaf.id.ToHex()}).Sign(author));
  }

  base::SeededRandom random_;
  std::vector<SecretKey> authors_;
  std::vector<std::string> parents_;
};

TEST(ArrivalOrder, OfWhatSyncBringsDoesNotChangeWhatIsStoredInTheEnd) {
  size_t stored = 0, brought = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    std::vector<Event> events = History(seed).events;
    World first;
    for (const Event& event : events) first.Bring(event);
    const auto expected = first.Stored();
    stored += expected.size();
    brought += events.size();
    base::SeededRandom random(1000 + seed);
    for (int permutation = 0; permutation < 10; ++permutation) {
      for (size_t i = events.size(); i > 1; --i) std::swap(events[i - 1], events[random.Below(i)]);
      World world;
      for (const Event& event : events) world.Bring(event);
      ASSERT_EQ(world.Stored(), expected) << "seed " << seed << " permutation " << permutation;
    }
  }
  // The histories have both: what is stored and what is not.
  EXPECT_GT(stored, brought / 5);
  EXPECT_LT(stored, brought * 9 / 10);
}

}  // namespace
}  // namespace graspd::ingest
