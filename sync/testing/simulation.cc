#include "sync/testing/simulation.h"

#include <algorithm>
#include <utility>

#include "base/keyed_hash.h"
#include "base/overloaded.h"
#include "nostr/message.h"

namespace graspd::sync::testing {
namespace {

constexpr auto kComputing = std::chrono::milliseconds(2);
constexpr uint64_t kEpoch = 1'700'000'000;

// A seed gives the same run again.
[[maybe_unused]] const bool kRepeatable = (base::FixHashKeyForTest(), true);

}  // namespace

Simulation::Simulation(EngineOptions options, uint64_t seed)
    : random_(seed), engine(options, random_), authenticates_(options.authenticates) {}

Instant Simulation::now() const {
  const auto since_start = now_ - base::SteadyTime(std::chrono::hours(1000));
  return {now_,
          kEpoch + static_cast<uint64_t>(
                       std::chrono::duration_cast<std::chrono::seconds>(since_start).count())};
}

Simulation::Site& Simulation::At(std::string_view url) {
  auto& site = sites_[Url(url).ToString()];
  if (!site) site = std::make_unique<Site>();
  return *site;
}

void Simulation::After(base::Duration delay, std::function<void()> what) {
  agenda_.emplace(now_ + delay, std::move(what));
}

void Simulation::RunFor(base::Duration duration) {
  Settle();
  const auto end = now_ + duration;
  for (;;) {
    const auto deadline = engine.NextDeadline();
    const auto planned = agenda_.empty() ? base::SteadyTime::max() : agenda_.begin()->first;
    const auto next = std::min(planned, deadline.value_or(base::SteadyTime::max()));
    if (next > end) break;
    now_ = std::max(now_, next);
    if (planned <= now_) {
      auto what = std::move(agenda_.begin()->second);
      agenda_.erase(agenda_.begin());
      what();
    } else {
      engine.OnTimer(now());
    }
    Settle();
  }
  now_ = end;
}

void Simulation::Settle() {
  for (auto& action : engine.TakeActions()) Carry(action);
}

// ---- the network -----------------------------------------------------------------------------

void Simulation::Carry(Action& action) {
  std::visit(
      base::Overloaded{
          [this](Dial& a) {
            auto& site = At(a.remote.ToString());
            site.dials.push_back(now_);
            dialling_at_most_ = std::max(dialling_at_most_, ++dialling_);
            links_.emplace(a.connection,
                           Link{a.remote.ToString(), FakeRelay::Session(site.relay), false, {}});
            After(site.dial_time, [this, id = a.connection] { FinishDial(id); });
          },
          [this](HangUp& a) {
            const auto found = links_.find(a.connection);
            if (found == links_.end()) return;
            if (found->second.open) --At(found->second.url).connections;
            if (!found->second.open) --dialling_;
            links_.erase(found);
          },
          [this](Subscribe& a) {
            if (const auto found = links_.find(a.connection); found != links_.end()) {
              found->second.sources[a.subscription] = a.source;
            }
            Send(a.connection,
                 [a](FakeRelay::Session& s) { return s.Req(a.subscription, a.filters); });
          },
          [this](Unsubscribe& a) {
            Send(a.connection, [a](FakeRelay::Session& s) { return s.Close(a.subscription); });
          },
          [this](NegOpen& a) {
            const auto text = nostr::NegOpenMessage(a.subscription, a.filter, a.bytes);
            if (HangsUpOn(a.connection, text)) return;
            Send(a.connection, [a](FakeRelay::Session& s) {
              return s.NegOpen(a.subscription, a.filter, a.bytes);
            });
          },
          [this](NegMsg& a) {
            if (HangsUpOn(a.connection, nostr::NegMsgMessage(a.subscription, a.bytes))) return;
            Send(a.connection,
                 [a](FakeRelay::Session& s) { return s.NegMsg(a.subscription, a.bytes); });
          },
          [this](NegClose& a) {
            Send(a.connection, [a](FakeRelay::Session& s) {
              s.NegClose(a.subscription);
              return FakeRelay::Replies();
            });
          },
          [this](FetchInformation& a) {
            const Site& site = At(a.remote.ToString());
            const auto& information = site.relay.behaviour.information;
            if (!information) return;
            After(site.information_takes, [this, id = a.connection, information = *information,
                                           instance = site.relay.behaviour.document_instance] {
              engine.OnInformation(now(), id, information, instance);
            });
          },
          [this](ReconcileStart& a) {
            std::vector<negentropy::Item> items;
            for (const auto& [id, event] : store_) {
              if (nostr::Matches(a.filter, event)) items.push_back({event.created_at, id});
            }
            reconciliations_[a.job] = std::make_shared<negentropy::Initiator>(
                std::make_shared<negentropy::SealedSet>(std::move(items)),
                negentropy::ReconcileLimits{.frame_bytes = a.frame_bytes});
            jobs_at_most_ = std::max(jobs_at_most_, reconciliations_.size());
            Reconcile(a.job, reconciliations_[a.job], "");
          },
          [this](ReconcileContinue& a) {
            Reconcile(a.job, reconciliations_.at(a.job), std::move(a.reply));
          },
          [this](ReconcileDrop& a) { reconciliations_.erase(a.job); },
      },
      action);
}

void Simulation::FinishDial(ConnectionId id) {
  const auto found = links_.find(id);
  if (found == links_.end()) return;  // hung up meanwhile
  auto& site = At(found->second.url);
  if (site.blocked) return Drop(id, {net::DialError::kBlocked});
  if (site.fails_with) return Drop(id, *site.fails_with);
  if (!site.up) return Drop(id, {net::DialError::kTcp});
  --dialling_;
  found->second.open = true;
  site.connections_at_most = std::max(site.connections_at_most, ++site.connections);
  if (site.drops_after) {
    After(*site.drops_after, [this, id, code = site.close_code] {
      Drop(id, {.error = net::DialError::kRemoteClosed, .close_code = code});
    });
  }
  net::DialSuccess success;
  success.instance = site.relay.behaviour.instance;
  success.address.ip = *net::IpAddress::Parse(site.address);
  engine.OnConnected(now(), id, success);
  if (!site.greeting.empty()) Deliver(id, {Notice{site.greeting}});
  AnswerChallenge(id);
}

void Simulation::Drop(ConnectionId id, net::DialFailure failure) {
  const auto found = links_.find(id);
  if (found == links_.end()) return;
  if (found->second.open) {
    --At(found->second.url).connections;
  } else {
    --dialling_;
  }
  links_.erase(found);
  failure.detail = "simulated";
  engine.OnDisconnected(now(), id, failure);
}

bool Simulation::HangsUpOn(ConnectionId id, std::string_view message) {
  const auto found = links_.find(id);
  if (found == links_.end() || message.size() <= At(found->second.url).hangs_up_beyond)
    return false;
  After(kLatency, [this, id] { Drop(id, {net::DialError::kRemoteClosed}); });
  return true;
}

void Simulation::GoDown(std::string_view url, base::Duration silence) {
  At(url).up = false;
  std::vector<ConnectionId> ends;
  for (const auto& [id, link] : links_) {
    if (link.url == Url(url).ToString() && link.open) ends.push_back(id);
  }
  for (const auto id : ends) Drop(id, {.error = net::DialError::kRemoteClosed, .silence = silence});
  Settle();
}

void Simulation::Send(ConnectionId id, Reply reply) {
  const auto found = links_.find(id);
  if (found == links_.end()) return;
  ++At(found->second.url).messages;
  After(kLatency, [this, id, reply = std::move(reply)] {
    const auto link = links_.find(id);
    if (link == links_.end()) return;
    Deliver(id, reply(link->second.session));
    AnswerChallenge(id);
  });
}

void Simulation::AnswerChallenge(ConnectionId id) {
  if (!links_.at(id).session.TakeChallenge() || !authenticates_) return;
  After(2 * kLatency, [this, id] {
    const auto link = links_.find(id);
    if (link != links_.end()) Deliver(id, {link->second.session.Authenticate()});
  });
}

void Simulation::Say(std::string_view url, RemoteNote note) {
  for (auto& [id, link] : links_) {
    if (link.url == Url(url).ToString() && link.open) Deliver(id, {note});
  }
}

size_t Simulation::SubscriptionsAt(std::string_view url) const {
  size_t open = 0;
  for (const auto& [id, link] : links_) open += link.url == url ? link.session.open().size() : 0;
  return open;
}

size_t Simulation::open_connections() const {
  return static_cast<size_t>(std::count_if(links_.begin(), links_.end(),
                                           [](const auto& link) { return link.second.open; }));
}

// ---- what arrives ----------------------------------------------------------------------------

void Simulation::Deliver(ConnectionId id, FakeRelay::Replies replies) {
  if (replies.empty()) return;
  auto& link = links_.at(id);
  const auto& site = At(link.url);
  const auto step = site.drip + site.message_takes;
  if (step == base::Duration::zero()) {
    After(kLatency,
          [this, id, replies = std::move(replies)]() mutable { Arrive(id, std::move(replies)); });
    return;
  }
  auto at = site.message_takes == base::Duration::zero() ? now_ : std::max(now_, link.free_at);
  for (auto& reply : replies) {
    After(at - now_ + kLatency,
          [this, id, reply = std::move(reply)]() mutable { Arrive(id, {std::move(reply)}); });
    at += step;
  }
  link.free_at = at;
}

void Simulation::Arrive(ConnectionId id, FakeRelay::Replies replies) {
  const auto link = links_.find(id);
  if (link == links_.end()) return;
  for (auto& note : replies) {
    if (link->second.heard++ >= At(link->second.url).silent_after) break;
    const auto* event = std::get_if<Delivered>(&note);
    const auto* reply = std::get_if<NegReply>(&note);
    if ((event && At(link->second.url).too_long.contains(event->id)) ||
        (reply && reply->bytes.size() >= At(link->second.url).neg_too_long)) {
      After({},
            [this, id] { Drop(id, {.error = net::DialError::kWebSocket, .close_code = 1009}); });
      break;
    }
    link->second.unread.push_back(std::move(note));
  }
  Read(id);
}

void Simulation::Read(ConnectionId id) {
  std::vector<Judged> judged;
  for (;;) {
    const auto link = links_.find(id);
    if (link == links_.end()) return;
    if (link->second.unread.empty() || link->second.unjudged + judged.size() >= credits) break;
    auto note = std::move(link->second.unread.front());
    link->second.unread.pop_front();
    Hear(id, note, judged);
  }
  if (judged.empty()) return;
  links_.at(id).unjudged += judged.size();
  After(judging_takes, [this, id, judged = std::move(judged)] {
    engine.OnJudged(now(), id, judged);
    if (const auto link = links_.find(id); link != links_.end()) {
      link->second.unjudged -= judged.size();
    }
    Read(id);
  });
}

void Simulation::Hear(ConnectionId id, RemoteNote& note, std::vector<Judged>& judged) {
  std::visit(
      base::Overloaded{
          [&](Delivered& n) {
            const auto& link = links_.at(id);
            const auto* event = link.session.relay().Find(n.id);
            const auto source = link.sources.at(n.subscription);
            engine.OnDelivered(now(), id, {&n, 1});
            std::vector<storage::Change> changes;
            const bool forged = link.session.relay().behaviour.forged.contains(n.id);
            const auto code = forged ? ingest::Code::kInvalid : Put(*event, source, changes);
            judged.push_back({source, code, n.id, n.created_at, forged});
            Feed(std::move(changes));
          },
          [&](Unreadable& n) {
            engine.OnUnreadable(now(), id, n.subscription, n.id, n.created_at);
          },
          [&](Eose& n) { engine.OnEose(now(), id, n.subscription); },
          [&](Closed& n) { engine.OnClosed(now(), id, n.subscription, n.reason); },
          [&](Notice& n) { engine.OnNotice(now(), id, n.text); },
          [&](NegReply& n) { engine.OnNegMsg(now(), id, n.subscription, std::move(n.bytes)); },
          [&](NegRefusal& n) { engine.OnNegErr(now(), id, n.subscription, n.reason); },
          [&](Authenticated& n) { engine.OnAuthenticated(now(), id, n.accepted, n.message); },
          [&](BadMessage& n) { engine.OnBadMessages(now(), id, 1, n.stray); },
      },
      note);
}

void Simulation::Reconcile(uint64_t job, std::shared_ptr<negentropy::Initiator> session,
                           std::string reply) {
  After(kComputing, [this, job, session, reply = std::move(reply)] {
    const auto found = reconciliations_.find(job);
    if (found == reconciliations_.end() || found->second != session) return;
    ReconcileStep step;
    if (reply.empty()) {
      step.message = session->Start();
    } else {
      auto next = session->Continue(reply);
      if (!next.ok()) {
        engine.OnReconcileStep(now(), job, next.status());
        return;
      }
      step.message = std::move(next->message);
      step.have = next->have.size();
      step.need = next->need.size();
      step.wanted = std::move(next->need);
    }
    step.items = session->items();
    engine.OnReconcileStep(now(), job, std::move(step));
  });
}

// ---- the store -------------------------------------------------------------------------------

ingest::Code Simulation::Put(const nostr::Event& event, storage::Source source,
                             std::vector<storage::Change>& changes) {
  if (store_.contains(event.id)) return ingest::Code::kDuplicate;
  if (judge) {
    if (const auto code = judge(event); code != ingest::Code::kStored) return code;
  }
  if (const auto address = nostr::AddressOf(event)) {
    const auto old = addresses_.find(*address);
    if (old != addresses_.end()) {
      if (nostr::Supersedes(store_.at(old->second).created_at, old->second, event.created_at,
                            event.id)) {
        return ingest::Code::kOlder;
      }
      storage::Change removed;
      removed.type = storage::Change::Type::kRemoved;
      removed.id = old->second;
      changes.push_back(removed);
      store_.erase(old->second);
    }
    addresses_[*address] = event.id;
  }
  store_.emplace(event.id, event);
  storage::Change added;
  added.event = nostr::MakeRecord(event);
  added.source = source;
  added.id = event.id;
  added.created_at = event.created_at;
  added.kind = event.kind;
  changes.push_back(std::move(added));
  return ingest::Code::kStored;
}

void Simulation::Feed(std::vector<storage::Change> changes) {
  if (changes.empty()) return;
  After(std::chrono::milliseconds(1),
        [this, changes = std::move(changes)] { engine.OnChanges(now(), changes); });
}

void Simulation::PublishHere(const nostr::Event& event) {
  std::vector<storage::Change> changes;
  Put(event, storage::Source::kDirect, changes);
  Feed(std::move(changes));
}

void Simulation::StoredBefore(const nostr::Event& event) {
  std::vector<storage::Change> changes;
  Put(event, storage::Source::kDirect, changes);
  engine.Load(event);
}

void Simulation::DeleteHere(const nostr::EventId& id) {
  store_.erase(id);
  std::erase_if(addresses_, [&](const auto& entry) { return entry.second == id; });
  storage::Change removed;
  removed.type = storage::Change::Type::kRemoved;
  removed.id = id;
  removed.reason = storage::Removal::kDeleted;
  Feed({removed});
}

void Simulation::Publish(std::string_view url, const nostr::Event& event) {
  At(url).relay.Store(event);
  for (auto& [id, link] : links_) {
    if (link.url == Url(url).ToString() && link.open) Deliver(id, link.session.Live(event));
  }
}

void Simulation::Start() {
  engine.Start(now());
  Settle();
}

// ---- questions -------------------------------------------------------------------------------

bool Simulation::HasAllOf(std::string_view url) {
  const auto& events = At(url).relay.events();
  return std::all_of(events.begin(), events.end(),
                     [this](const auto& entry) { return Has(entry.first); });
}

std::optional<RemoteSnapshot> Simulation::Remote(std::string_view url) const {
  for (auto& remote : engine.Remotes()) {
    if (remote.url == Url(url)) return remote;
  }
  return std::nullopt;
}

RemoteState Simulation::State(std::string_view url) const {
  const auto remote = Remote(url);
  return remote ? remote->state : RemoteState::kDiscovered;
}

std::optional<CandidateSnapshot> Simulation::Candidate(std::string_view url) const {
  for (auto& candidate : engine.Candidates()) {
    if (candidate.url == url) return candidate;
  }
  return std::nullopt;
}

}  // namespace graspd::sync::testing
