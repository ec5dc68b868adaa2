#include "sync/testing/fleet.h"

#include <algorithm>

#include "base/keyed_hash.h"
#include "base/overloaded.h"
#include "nostr/nip34.h"
#include "storage/memory/memory_store.h"
#include "sync/testing/events.h"

namespace graspd::sync::testing {
namespace {

using storage::Outcome;
using storage::Source;

constexpr uint64_t kEpoch = 1'700'000'000;

// A seed gives the same run again.
[[maybe_unused]] const bool kRepeatable = (base::FixHashKeyForTest(), true);
constexpr auto kFeedDelay = std::chrono::milliseconds(1);
constexpr auto kComputing = std::chrono::milliseconds(2);
constexpr uint64_t kMostAhead = 900;  // what relays take of events dated ahead
constexpr size_t kFrame = 4096;       // so that reconciliation takes several rounds
constexpr size_t kServed = 500;       // events for one filter, whatever its limit
constexpr size_t kOfOneSecond = 20;   // no more events are dated the same

}  // namespace

/// A connection from one node to another.
struct Fleet::Link {
  size_t client, server;
  ConnectionId connection;
  base::Duration latency;
  bool open = false, ended = false;
  std::map<std::string, Source> sources;                         // the client's
  std::map<std::string, std::vector<nostr::Filter>> live;        // the server's
  std::map<std::string, negentropy::Responder> reconciliations;  // the server's
};

struct Fleet::Node {
  Node(size_t n, uint64_t seed)
      : number(n), ahead(seed % kMostAhead), random(seed), store(storage::OpenMemoryStore()) {
    const auto url = testing::Url(Url(n));
    ingest::PolicyOptions options;
    options.own_hosts = {{url.host(), url.port()}};
    options.require_clone = false;
    policy = std::make_unique<ingest::Policy>(std::move(options));
    parked = std::make_unique<ingest::ParkingLot>(ingest::ParkingLot::Limits{});
  }

  const size_t number;
  nostr::RelayInformation information;
  bool reconciles = true;
  const uint64_t ahead;       // seconds that its clock is; the fleet's own is the slowest
  base::SeededRandom random;  // the engine keeps a reference
  std::unique_ptr<storage::EventStore> store;
  std::unique_ptr<ingest::Policy> policy;
  std::unique_ptr<ingest::ParkingLot> parked;
  std::unique_ptr<SyncEngine> engine;  // null while down
  uint64_t life = 0;                   // counts starts: what an earlier life began is void
  storage::FeedPosition fed;
  bool feed_due = false;
  std::map<ConnectionId, LinkPtr> dialled;
  std::vector<LinkPtr> accepted;
  std::map<uint64_t, std::shared_ptr<negentropy::Initiator>> reconciliations;
};

Fleet::Fleet(size_t nodes, uint64_t seed) : random_(seed), moody_(seed % 2 == 1) {
  for (size_t i = 0; i < nodes; ++i) {
    nodes_.push_back(std::make_unique<Node>(i, seed * 1000 + i));
    if (moody_) {
      nodes_[i]->information.max_subscriptions = 2 + random_.Below(30);
      // Pages miss what of one second exceeds it, and times here are coarse (docs/sync.md).
      nodes_[i]->information.max_limit = kOfOneSecond + random_.Below(kServed);
      nodes_[i]->reconciles = random_.Below(4) != 0;
    }
    StartEngine(i);
  }
}
Fleet::~Fleet() = default;

std::string Fleet::Url(size_t i) { return "wss://n" + std::to_string(i) + ".example"; }

void Fleet::After(base::Duration delay, std::function<void()> what) {
  agenda_.emplace(now_ + delay, std::move(what));
}

void Fleet::Note(std::string line) {
  trace_.push_back(std::to_string(unix_now() - kEpoch) + " s: " + std::move(line));
}

Instant Fleet::NowAt(const Node& node) const { return {now_, unix_now() + node.ahead}; }

uint64_t Fleet::unix_now() const {
  const auto since = now_ - base::SteadyTime(std::chrono::hours(1000));
  return kEpoch +
         static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(since).count());
}

void Fleet::RunFor(base::Duration duration) {
  const auto end = now_ + duration;
  for (;;) {
    std::optional<base::SteadyTime> deadline;
    Node* due = nullptr;
    for (const auto& node : nodes_) {
      if (!node->engine) continue;
      const auto next = node->engine->NextDeadline();
      if (next && (!deadline || *next < *deadline)) {
        deadline = next;
        due = node.get();
      }
    }
    const bool agenda_first =
        !agenda_.empty() && (!deadline || agenda_.begin()->first <= *deadline);
    const auto next = agenda_first ? agenda_.begin()->first : deadline.value_or(end);
    if (next > end || (!agenda_first && !due)) break;
    now_ = std::max(now_, next);
    if (agenda_first) {
      const auto what = std::move(agenda_.begin()->second);
      agenda_.erase(agenda_.begin());
      what();
    } else {
      due->engine->OnTimer(NowAt(*due));
      Settle(*due);
    }
  }
  now_ = end;
}

// ---- nodes and the network between them --------------------------------------------------------

bool Fleet::is_up(size_t node) const { return nodes_[node]->engine != nullptr; }

const SyncEngine& Fleet::engine(size_t node) const { return *nodes_[node]->engine; }

bool Fleet::Reachable(size_t a, size_t b) const {
  return is_up(a) && is_up(b) && !cuts_.contains(std::minmax(a, b));
}

void Fleet::StartEngine(size_t number) {
  Node& node = *nodes_[number];
  ++node.life;
  EngineOptions options;
  const auto url = testing::Url(Url(number));
  options.own_hosts = {{url.host(), url.port()}};
  options.lists_us = [policy = node.policy.get()](const nostr::RepositoryAnnouncement& a) {
    return policy->ListsUs(a);
  };
  node.engine = std::make_unique<SyncEngine>(std::move(options), node.random);
  node.fed = node.store->Position();
  node.feed_due = false;
  for (const auto& kinds : std::vector<std::vector<nostr::Kind>>{
           {nostr::kRepositoryAnnouncement}, {nostr::kPatch, nostr::kPullRequest, nostr::kIssue}}) {
    storage::QuerySpec spec;
    spec.filters.emplace_back();
    spec.filters[0].kinds = kinds;
    spec.filters[0].Normalize();
    spec.max_rows = SIZE_MAX;
    spec.max_bytes = SIZE_MAX;
    const auto page = node.store->Query(spec, nullptr).value();
    for (const auto& row : page.rows) {
      node.engine->Load(nostr::ParseEvent(row.json).value());
    }
  }
  node.engine->Start(NowAt(node));
  Settle(node);
}

void Fleet::Crash(size_t number) {
  Node& node = *nodes_[number];
  if (!node.engine) return;
  Note("node " + std::to_string(number) + " crashes");
  node.engine.reset();
  node.reconciliations.clear();
  node.parked = std::make_unique<ingest::ParkingLot>(ingest::ParkingLot::Limits{});
  for (const auto& [id, link] : std::exchange(node.dialled, {})) link->ended = true;
  for (const auto& link : std::exchange(node.accepted, {})) {
    End(link, net::DialError::kRemoteClosed);
  }
}

void Fleet::Restart(size_t number) {
  if (is_up(number)) return;
  Note("node " + std::to_string(number) + " starts");
  StartEngine(number);
}

void Fleet::Cut(size_t a, size_t b, bool cut) {
  const auto pair = std::minmax(a, b);
  if (cut == cuts_.contains(pair)) return;
  Note((cut ? "cut " : "mend ") + std::to_string(a) + " and " + std::to_string(b));
  if (!cut) {
    cuts_.erase(pair);
    return;
  }
  cuts_.insert(pair);
  for (const auto& node : nodes_) {
    const auto links = node->dialled;
    for (const auto& [id, link] : links) {
      if (std::minmax(link->client, link->server) == pair) End(link, net::DialError::kTimeout);
    }
  }
}

void Fleet::Heal() {
  Note("heal");
  moody_ = false;
  cuts_.clear();
  for (size_t i = 0; i < nodes_.size(); ++i) Restart(i);
}

// ---- what an engine asks for -------------------------------------------------------------------

void Fleet::Settle(Node& node) {
  for (auto& action : node.engine->TakeActions()) Carry(node, action);
}

void Fleet::Carry(Node& node, Action& action) {
  std::visit(
      base::Overloaded{
          [&](Dial& a) {
            auto link = std::make_shared<Link>();
            link->client = node.number;
            link->server = NodeOf(a.remote);
            link->connection = a.connection;
            link->latency = std::chrono::milliseconds(1 + random_.Below(200));
            node.dialled.emplace(a.connection, link);
            After(2 * link->latency, [this, link] { FinishDial(link); });
          },
          [&](FetchInformation& a) {
            After(std::chrono::milliseconds(random_.Below(3000)),
                  [this, &node, life = node.life, id = a.connection, server = NodeOf(a.remote)] {
                    if (node.life != life || !node.engine || server == size()) return;
                    node.engine->OnInformation(NowAt(node), id, nodes_[server]->information, "");
                    Settle(node);
                  });
          },
          [&](HangUp& a) {
            const auto found = node.dialled.find(a.connection);
            if (found == node.dialled.end()) return;
            const auto link = found->second;
            node.dialled.erase(found);
            link->ended = true;
          },
          [&](Subscribe& a) {
            const auto found = node.dialled.find(a.connection);
            if (found == node.dialled.end()) return;
            found->second->sources[a.subscription] = a.source;
            Send(node, a.connection,
                 [this, a](const LinkPtr& link) { Request(link, a.subscription, a.filters); });
          },
          [&](Unsubscribe& a) {
            Send(node, a.connection,
                 [a](const LinkPtr& link) { link->live.erase(a.subscription); });
          },
          [&](NegOpen& a) {
            Send(node, a.connection, [this, a](const LinkPtr& link) {
              if (!nodes_[link->server]->reconciles) {
                return Close(link, a.subscription, "unsupported: no NIP-77 here");
              }
              auto items =
                  nodes_[link->server]->store->ListItems(a.filter, unix_now(), SIZE_MAX).value();
              link->reconciliations.insert_or_assign(
                  a.subscription,
                  negentropy::Responder(std::make_shared<negentropy::SealedSet>(std::move(items)),
                                        {.frame_bytes = kFrame}));
              AnswerReconciliation(link, a.subscription, a.bytes);
            });
          },
          [&](NegMsg& a) {
            Send(node, a.connection, [this, a](const LinkPtr& link) {
              AnswerReconciliation(link, a.subscription, a.bytes);
            });
          },
          [&](NegClose& a) {
            Send(node, a.connection,
                 [a](const LinkPtr& link) { link->reconciliations.erase(a.subscription); });
          },
          [&](ReconcileStart& a) {
            auto items = node.store->ListItems(a.filter, unix_now(), SIZE_MAX).value();
            node.reconciliations[a.job] = std::make_shared<negentropy::Initiator>(
                std::make_shared<negentropy::SealedSet>(std::move(items)),
                negentropy::ReconcileLimits{.frame_bytes = kFrame});
            Reconcile(node, a.job, "");
          },
          [&](ReconcileContinue& a) { Reconcile(node, a.job, std::move(a.reply)); },
          [&](ReconcileDrop& a) { node.reconciliations.erase(a.job); },
      },
      action);
}

size_t Fleet::NodeOf(const nostr::RelayUrl& url) const {
  size_t node = 0;
  while (node < size() && testing::Url(Url(node)) != url) ++node;
  return node;
}

void Fleet::FinishDial(const LinkPtr& link) {
  if (link->ended) return;
  if (link->server >= nodes_.size() || !Reachable(link->client, link->server)) {
    return End(link, net::DialError::kTcp);
  }
  link->open = true;
  nodes_[link->server]->accepted.push_back(link);
  Node& client = *nodes_[link->client];
  client.engine->OnConnected(NowAt(client), link->connection, {});
  Settle(client);
}

// The client hears of it, unless it has ended the link itself.
void Fleet::End(const LinkPtr& link, net::DialError error) {
  if (std::exchange(link->ended, true)) return;
  Node& client = *nodes_[link->client];
  client.dialled.erase(link->connection);
  if (!client.engine) return;
  net::DialFailure failure;
  failure.error = error;
  failure.detail = "simulated";
  client.engine->OnDisconnected(NowAt(client), link->connection, failure);
  Settle(client);
}

// One latency for both ways of a link and for its whole life: what is sent arrives in order.
void Fleet::Send(Node& node, ConnectionId connection,
                 std::function<void(const LinkPtr&)> at_server) {
  const auto found = node.dialled.find(connection);
  if (found == node.dialled.end()) return;
  ++messages_;
  After(found->second->latency, [link = found->second, at_server = std::move(at_server)] {
    if (!link->ended) at_server(link);
  });
}

void Fleet::Reply(const LinkPtr& link, std::function<void(Node&)> at_client) {
  ++messages_;
  After(link->latency, [this, link, at_client = std::move(at_client)] {
    Node& client = *nodes_[link->client];
    if (link->ended || !client.engine) return;
    at_client(client);
    Settle(client);
  });
}

void Fleet::Deliver(const LinkPtr& link, const std::string& subscription, nostr::EventPtr event) {
  Reply(link, [this, link, subscription, event = std::move(event)](Node& client) {
    const Source source = link->sources.at(subscription);
    const Delivered delivered{subscription, event->event.id, event->event.created_at};
    client.engine->OnDelivered(NowAt(client), link->connection, {&delivered, 1});
    const Outcome outcome = Store(client, event, source);
    ingest::Code code = ingest::Code::kParked;
    if (outcome == Outcome::kStored) code = ingest::Code::kStored;
    if (outcome == Outcome::kDuplicate) code = ingest::Code::kDuplicate;
    if (outcome == Outcome::kOlder) code = ingest::Code::kOlder;
    if (outcome == Outcome::kDeleted) code = ingest::Code::kDeleted;
    const Judged judged{source, code, event->event.id};
    client.engine->OnJudged(NowAt(client), link->connection, {&judged, 1});
  });
}

// ---- the relay side ----------------------------------------------------------------------------

void Fleet::Request(const LinkPtr& link, const std::string& subscription,
                    const std::vector<nostr::Filter>& filters) {
  if (moody_ && random_.Below(20) == 0) return;
  if (moody_ && random_.Below(20) == 0) {
    return Close(link, subscription,
                 random_.Below(3) == 0 ? "rate-limited: slow down" : "error: not now");
  }
  const auto allowed = nodes_[link->server]->information.max_subscriptions.value_or(SIZE_MAX);
  if (!link->live.contains(subscription) && link->live.size() >= allowed) {
    return Close(link, subscription, "error: too many subscriptions");
  }
  link->live[subscription] = filters;
  storage::QuerySpec spec;
  spec.filters = filters;
  const auto served = nodes_[link->server]->information.max_limit.value_or(kServed);
  for (auto& filter : spec.filters) {
    filter.limit = std::min<uint64_t>(filter.limit.value_or(served), served);
  }
  spec.unix_now = unix_now();
  spec.max_rows = SIZE_MAX;
  spec.max_bytes = SIZE_MAX;
  std::set<nostr::EventId> sent;
  const auto page = nodes_[link->server]->store->Query(spec, nullptr).value();
  for (const auto& row : page.rows) {
    if (!sent.insert(row.id).second) continue;
    Deliver(link, subscription, nostr::MakeRecord(nostr::ParseEvent(row.json).value()));
  }
  Reply(link, [this, id = link->connection, subscription](Node& client) {
    client.engine->OnEose(NowAt(client), id, subscription);
  });
}

void Fleet::Close(const LinkPtr& link, const std::string& subscription, std::string reason) {
  Reply(link, [this, id = link->connection, subscription, reason](Node& client) {
    client.engine->OnClosed(NowAt(client), id, subscription, reason);
  });
}

void Fleet::AnswerReconciliation(const LinkPtr& link, const std::string& subscription,
                                 const std::string& message) {
  const auto session = link->reconciliations.find(subscription);
  if (session == link->reconciliations.end()) return;
  auto answer = session->second.Answer(message).value();
  Reply(link, [this, id = link->connection, subscription, answer](Node& client) {
    client.engine->OnNegMsg(NowAt(client), id, subscription, answer);
  });
}

void Fleet::Reconcile(Node& node, uint64_t job, std::string reply) {
  const auto session = node.reconciliations.at(job);
  After(kComputing, [this, &node, life = node.life, job, session, reply = std::move(reply)] {
    const auto found = node.reconciliations.find(job);
    if (node.life != life || !node.engine || found == node.reconciliations.end() ||
        found->second != session) {
      return;
    }
    ReconcileStep step;
    if (reply.empty()) {
      step.message = session->Start();
    } else {
      auto next = session->Continue(reply).value();
      step.message = std::move(next.message);
      step.have = next.have.size();
      step.need = next.need.size();
      const auto known = node.store->Known(next.need).value();
      for (size_t i = 0; i < next.need.size(); ++i) {
        if (!known[i]) step.wanted.push_back(next.need[i]);
      }
    }
    step.items = session->items();
    node.engine->OnReconcileStep(NowAt(node), job, std::move(step));
    Settle(node);
  });
}

// ---- the way in --------------------------------------------------------------------------------

std::optional<Outcome> Fleet::Publish(size_t number, const nostr::Event& event) {
  Node& node = *nodes_[number];
  if (!node.engine) return std::nullopt;
  const Outcome outcome = Store(node, nostr::MakeRecord(event), Source::kDirect);
  if (outcome == Outcome::kStored) {
    Note("node " + std::to_string(number) + " takes " + nostr::MakeRecord(event)->json);
  }
  return outcome;
}

// As ingest's writer does it, an event at a time: judge, store, wake who waited for it.
Outcome Fleet::Store(Node& node, nostr::EventPtr event, Source source) {
  struct NotingJudge final : storage::Judge {
    absl::StatusOr<Verdict> Decide(const nostr::Event& judged, Source from,
                                   const storage::ReadView& view) override {
      auto verdict = policy->Decide(judged, from, view);
      waits = verdict.ok() && verdict->waits;
      return verdict;
    }
    ingest::Policy* policy = nullptr;
    bool waits = false;
  };
  std::optional<Outcome> first;
  std::vector<storage::WriteRequest> todo = {{std::move(event), source}};
  while (!todo.empty()) {
    const storage::WriteRequest request = todo.front();
    todo.erase(todo.begin());
    NotingJudge judge;
    judge.policy = node.policy.get();
    const auto written = node.store->Write({&request, 1}, judge, unix_now()).value();
    const Outcome outcome = written.results[0].outcome;
    if (!first) first = outcome;
    if (outcome == Outcome::kRefused && judge.waits && request.source != Source::kDirect) {
      node.parked->Park(request, now_);
    }
    if (written.commit.changes.empty()) continue;
    if (outcome == Outcome::kStored) {
      auto& ever = ever_stored_[request.event->event.id];
      ever.event = request.event;
      ever.nodes.insert(node.number);
      for (auto& woken : node.parked->TakeWaitingFor(request.event->event)) {
        todo.push_back(std::move(woken));
      }
    }
    OnCommit(node, written.commit);
  }
  return *first;
}

void Fleet::OnCommit(Node& node, const storage::Commit& commit) {
  for (const auto& change : commit.changes) {
    if (change.type != storage::Change::Type::kAdded) continue;
    for (const auto& link : node.accepted) {
      if (link->ended) continue;
      for (const auto& [subscription, filters] : link->live) {
        if (nostr::MatchesAny(filters, change.event->event)) {
          Deliver(link, subscription, change.event);
        }
      }
    }
  }
  std::erase_if(node.accepted, [](const LinkPtr& link) { return link->ended; });
  if (std::exchange(node.feed_due, true)) return;
  After(kFeedDelay, [this, &node, life = node.life] {
    if (node.life != life || !node.engine) return;
    node.feed_due = false;
    auto page = node.store->ReadFeed(node.fed, SIZE_MAX).value();
    node.fed = page.next;
    node.engine->OnChanges(NowAt(node), page.changes);
    Settle(node);
  });
}

std::set<nostr::EventId> Fleet::Stored(size_t node,
                                       const std::vector<nostr::Filter>& filters) const {
  std::set<nostr::EventId> ids;
  for (const auto& filter : filters) {
    const auto items = nodes_[node]->store->ListItems(filter, unix_now(), SIZE_MAX).value();
    for (const auto& item : items) {
      ids.insert(item.id);
    }
  }
  return ids;
}

}  // namespace graspd::sync::testing
