#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "ingest/parking_lot.h"
#include "ingest/policy/policy.h"
#include "nostr/event.h"
#include "nostr/negentropy/reconciler.h"
#include "storage/event_store.h"
#include "sync/engine.h"

namespace graspd::sync::testing {

/// Several graspd in virtual time that sync from each other: real engines, the real acceptance
/// policy and parking lot, real stores (in memory), clocks that differ by up to 15 minutes; a
/// network between them with partitions and crashes, and a latency for each connection, so that
/// dials and messages of different connections overtake each other. With an odd seed the nodes are
/// odd relays to each other: they allow few subscriptions, some do not reconcile, and until Heal()
/// they now and then refuse a request or drop it without a word. What a node has stored survives
/// a crash, nothing else does. Nothing happens but in RunFor; a run is the same each time for the
/// same seed. Thread-compatible.
class Fleet {
 public:
  Fleet(size_t nodes, uint64_t seed);
  ~Fleet();

  [[nodiscard]] size_t size() const { return nodes_.size(); }
  /// By which the others know node `i`.
  [[nodiscard]] static std::string Url(size_t i);

  /// A client's EVENT. What the node answered; nothing if it is down.
  std::optional<storage::Outcome> Publish(size_t node, const nostr::Event& event);
  /// Cuts the link between two nodes, or mends it. Connections across it end.
  void Cut(size_t a, size_t b, bool cut);
  void Crash(size_t node);
  void Restart(size_t node);
  [[nodiscard]] bool is_up(size_t node) const;
  /// Ends all cuts, refusals and losses, and starts whatever is down.
  void Heal();
  void RunFor(base::Duration duration);

  [[nodiscard]] uint64_t unix_now() const;
  /// Ids of the stored events that match any of the filters.
  [[nodiscard]] std::set<nostr::EventId> Stored(size_t node,
                                                const std::vector<nostr::Filter>& filters) const;
  /// Everything that any node has ever stored, and which did.
  struct Ever {
    nostr::EventPtr event;
    std::set<size_t> nodes;
  };
  [[nodiscard]] const std::map<nostr::EventId, Ever>& ever_stored() const { return ever_stored_; }
  [[nodiscard]] const SyncEngine& engine(size_t node) const;
  /// Messages that have travelled between nodes.
  [[nodiscard]] size_t messages() const { return messages_; }
  /// One line for each thing that happened, for a seed that fails.
  [[nodiscard]] const std::vector<std::string>& trace() const { return trace_; }

 private:
  struct Node;
  struct Link;
  using LinkPtr = std::shared_ptr<Link>;

  void After(base::Duration delay, std::function<void()> what);
  void Note(std::string line);
  [[nodiscard]] Instant NowAt(const Node& node) const;
  [[nodiscard]] bool Reachable(size_t a, size_t b) const;

  [[nodiscard]] size_t NodeOf(const nostr::RelayUrl& url) const;  // size() if there is none
  void StartEngine(size_t node);
  void Settle(Node& node);
  void Carry(Node& node, Action& action);
  void FinishDial(const LinkPtr& link);
  void End(const LinkPtr& link, net::DialError error);
  void Send(Node& node, ConnectionId connection, std::function<void(const LinkPtr&)> at_server);
  void Reply(const LinkPtr& link, std::function<void(Node&)> at_client);
  void Deliver(const LinkPtr& link, const std::string& subscription, nostr::EventPtr event);
  void Request(const LinkPtr& link, const std::string& subscription,
               const std::vector<nostr::Filter>& filters);
  void Close(const LinkPtr& link, const std::string& subscription, std::string reason);
  void AnswerReconciliation(const LinkPtr& link, const std::string& subscription,
                            const std::string& message);
  void Reconcile(Node& node, uint64_t job, std::string reply);
  storage::Outcome Store(Node& node, nostr::EventPtr event, storage::Source source);
  void OnCommit(Node& node, const storage::Commit& commit);

  base::SeededRandom random_;
  base::SteadyTime now_{std::chrono::hours(1000)};
  std::multimap<base::SteadyTime, std::function<void()>> agenda_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::set<std::pair<size_t, size_t>> cuts_;
  bool moody_;
  std::map<nostr::EventId, Ever> ever_stored_;
  size_t messages_ = 0;
  std::vector<std::string> trace_;
};

}  // namespace graspd::sync::testing
