#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "nostr/negentropy/reconciler.h"
#include "sync/engine.h"
#include "sync/testing/events.h"
#include "sync/testing/fake_relay.h"

namespace graspd::sync::testing {

/// One SyncEngine in a world of its own: relays in memory, a network with latency, a store and
/// virtual time. Nothing happens but in RunFor; a run is the same each time for the same seed. Does
/// what RemoteConnection, NegentropyPool, ingest and the feed do around the real engine.
/// Thread-compatible.
class Simulation {
 public:
  static constexpr base::Duration kLatency = std::chrono::milliseconds(5);

  /// A relay and the way to it.
  struct Site {
    FakeRelay relay;
    bool up = true;
    bool blocked = false;  // AddressGuard refuses
    std::optional<net::DialFailure> fails_with;
    uint16_t close_code = 0;  // that it ends connections with
    std::string greeting;     // a NOTICE, on each connection
    base::Duration dial_time = 2 * kLatency;
    std::string address = "192.0.2.1";
    std::optional<base::Duration> drops_after;  // each connection
    base::Duration drip{};                      // between two messages of one answer
    base::Duration message_takes{};             // to send, one after the other
    size_t silent_after = SIZE_MAX;             // messages on a connection, which stays open
    size_t hangs_up_beyond = SIZE_MAX;          // bytes, of a message of NIP-77
    std::set<nostr::EventId> too_long;          // longer than what we take
    size_t neg_too_long = SIZE_MAX;             // bytes, of a NEG-MSG: the same
    base::Duration information_takes = kLatency;
    std::vector<base::SteadyTime> dials;
    size_t messages = 0;  // we have sent
    size_t connections = 0, connections_at_most = 0;
  };

  explicit Simulation(EngineOptions options = {}, uint64_t seed = 1);

  Site& At(std::string_view url);
  /// Stores at the relay and tells its subscribers.
  void Publish(std::string_view url, const nostr::Event& event);
  /// Our own relay takes an event from a client, or has it since before the start.
  void PublishHere(const nostr::Event& event);
  void StoredBefore(const nostr::Event& event);
  void DeleteHere(const nostr::EventId& id);
  /// The relay ends its connections and answers no more; or comes back.
  void GoDown(std::string_view url, base::Duration silence = {});
  void ComeUp(std::string_view url) { At(url).up = true; }
  void Say(std::string_view url, RemoteNote note);  // on every open connection

  void Start();
  void RunFor(base::Duration duration);

  [[nodiscard]] bool Has(const nostr::EventId& id) const { return store_.contains(id); }
  [[nodiscard]] bool HasAllOf(std::string_view url);
  [[nodiscard]] size_t stored_count() const { return store_.size(); }
  [[nodiscard]] std::optional<RemoteSnapshot> Remote(std::string_view url) const;
  [[nodiscard]] RemoteState State(std::string_view url) const;
  [[nodiscard]] std::optional<CandidateSnapshot> Candidate(std::string_view url) const;
  [[nodiscard]] Instant now() const;
  [[nodiscard]] size_t dialling_at_most() const { return dialling_at_most_; }
  [[nodiscard]] size_t jobs_at_most() const { return jobs_at_most_; }
  [[nodiscard]] size_t open_connections() const;
  /// What a relay has open of ours.
  [[nodiscard]] size_t SubscriptionsAt(std::string_view url) const;
  /// Carries out what the engine has decided in a call made by the test itself.
  void Settle();

 private:
  base::SeededRandom random_;  // the engine keeps a reference

 public:
  SyncEngine engine;
  /// What ingest makes of an event that is new here.
  std::function<ingest::Code(const nostr::Event&)> judge;
  base::Duration judging_takes = std::chrono::milliseconds(2);
  /// So many events of a connection may wait for that; then it is not read.
  size_t credits = SIZE_MAX;

 private:
  struct Link {
    std::string url;
    FakeRelay::Session session;
    bool open = false;
    std::map<std::string, storage::Source> sources;
    base::SteadyTime free_at{};  // has sent all that it had to
    size_t heard = 0, unjudged = 0;
    std::deque<RemoteNote> unread;
  };
  using Reply = std::function<FakeRelay::Replies(FakeRelay::Session&)>;

  void After(base::Duration delay, std::function<void()> what);
  void Carry(Action& action);
  void FinishDial(ConnectionId id);
  void Drop(ConnectionId id, net::DialFailure failure);
  bool HangsUpOn(ConnectionId id, std::string_view message);
  void Send(ConnectionId id, Reply reply);
  void Deliver(ConnectionId id, FakeRelay::Replies replies);
  void Arrive(ConnectionId id, FakeRelay::Replies replies);
  void Read(ConnectionId id);
  void AnswerChallenge(ConnectionId id);
  void Hear(ConnectionId id, RemoteNote& note, std::vector<Judged>& judged);
  ingest::Code Put(const nostr::Event& event, storage::Source source,
                   std::vector<storage::Change>& changes);
  void Feed(std::vector<storage::Change> changes);
  void Reconcile(uint64_t job, std::shared_ptr<negentropy::Initiator> session, std::string reply);

  const bool authenticates_;
  base::SteadyTime now_{std::chrono::hours(1000)};
  std::multimap<base::SteadyTime, std::function<void()>> agenda_;
  std::map<std::string, std::unique_ptr<Site>> sites_;
  std::map<ConnectionId, Link> links_;
  std::map<nostr::EventId, nostr::Event> store_;
  std::map<nostr::Address, nostr::EventId> addresses_;
  std::map<uint64_t, std::shared_ptr<negentropy::Initiator>> reconciliations_;
  size_t dialling_ = 0, dialling_at_most_ = 0, jobs_at_most_ = 0;
};

}  // namespace graspd::sync::testing
