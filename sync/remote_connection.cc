#include "sync/remote_connection.h"

#include <algorithm>
#include <utility>

#include "base/overloaded.h"
#include "nostr/event_builder.h"
#include "nostr/filter.h"
#include "nostr/rules.h"

namespace graspd::sync {
namespace {

constexpr size_t kTextBytes = 256;  // kept of what a remote says

// How many events may come for filters that ask for what is stored, and be looked at. Twice for
// ids: some relays repeat themselves. Where a limit is not kept, CatchUpJob decides how far to go
// along.
size_t MayBring(const std::vector<nostr::Filter>& filters) {
  size_t events = 0;
  for (const auto& filter : filters) {
    events += filter.ids ? 2 * filter.ids->size() : CatchUpJob::kPageOverrun + 1;
  }
  return events;
}

}  // namespace

RemoteConnection::RemoteConnection(ConnectionId id, net::IoThread& thread,
                                   base::Executor& sync_thread,
                                   std::weak_ptr<RemoteListener> listener, const base::Clock& clock,
                                   std::shared_ptr<const nostr::SecretKey> key)
    : id_(id),
      thread_(thread),
      sync_thread_(sync_thread),
      listener_(std::move(listener)),
      clock_(clock),
      key_(std::move(key)) {}

void RemoteConnection::Start(net::Dialer& dialer, ingest::EventSink& sink,
                             net::DialOptions options) {
  thread_.Post([self = shared_from_this(), &dialer, &sink, options = std::move(options)]() mutable {
    std::weak_ptr<RemoteConnection> weak = self;
    self->submitter_ = sink.Open(ingest::EventSink::Lane::kSync, self->thread_,
                                 [weak](std::span<const ingest::Result> results) {
                                   if (auto alive = weak.lock()) alive->OnResults(results);
                                 });
    self->url_ = options.url.ToString();
    self->connection_ = dialer.Dial(std::move(options), self, self->thread_);
  });
}

void RemoteConnection::Send(Action action) {
  thread_.Post(
      [self = shared_from_this(), action = std::move(action)]() mutable { self->Carry(action); });
}

void RemoteConnection::HangUp() {
  thread_.Post([self = shared_from_this()] {
    // Let go of: each holds the other, and if its thread ends first, nobody reports the end.
    if (const auto connection = std::exchange(self->connection_, nullptr)) connection->Close();
  });
}

void RemoteConnection::Carry(Action& action) {
  if (!connection_) return;
  std::visit(base::Overloaded{
                 [this](FetchInformation&) { FetchDocument(); },
                 [this](Subscribe& a) {
                   connection_->SendText(nostr::ReqMessage(a.subscription, a.filters));
                   const bool live = a.source == storage::Source::kLive;
                   const size_t may_bring = live ? SIZE_MAX : MayBring(a.filters);
                   auto& subscription = subscriptions_[std::move(a.subscription)];
                   const uint64_t eoses_due =
                       subscription.filters.empty() ? 1 : subscription.eoses_due + 1;
                   subscription = {std::move(a.filters), a.source, may_bring};
                   subscription.eoses_due = eoses_due;
                 },
                 [this](Unsubscribe& a) {
                   connection_->SendText(nostr::CloseMessage(a.subscription));
                   Forget(std::move(a.subscription));
                 },
                 [this](NegOpen& a) {
                   connection_->SendText(nostr::NegOpenMessage(a.subscription, a.filter, a.bytes));
                   // No filters: a session brings no events.
                   auto& session = subscriptions_[std::move(a.subscription)];
                   session = {{}, storage::Source::kManual};
                   session.awaits_neg_msg = true;
                 },
                 [this](NegMsg& a) {
                   const auto session = subscriptions_.find(a.subscription);
                   if (session == subscriptions_.end()) return;  // the remote has just ended it
                   connection_->SendText(nostr::NegMsgMessage(a.subscription, a.bytes));
                   session->second.awaits_neg_msg = true;
                 },
                 [this](NegClose& a) {
                   connection_->SendText(nostr::NegCloseMessage(a.subscription));
                   Forget(std::move(a.subscription));
                 },
                 [](auto&) {},  // not for connections
             },
             action);
}

void RemoteConnection::FetchDocument() {
  auto report = [weak = weak_from_this()](const absl::StatusOr<net::RelayDocument>& document) {
    const auto self = weak.lock();
    if (!self) return;
    auto information = document.ok() ? nostr::ParseRelayInformation(document->text)
                                     : absl::StatusOr<nostr::RelayInformation>(document.status());
    self->Tell([id = self->id_, information = std::move(information),
                instance = document.ok() ? document->instance : ""](RemoteListener& listener) {
      listener.OnRemoteInformation(id, information, instance);
    });
  };
  connection_->FetchDocument(std::move(report));
}

void RemoteConnection::OnOpen(const net::DialSuccess& success) {
  Tell([id = id_, success](RemoteListener& listener) { listener.OnRemoteOpen(id, success); });
}

void RemoteConnection::OnClosed(const net::DialFailure& failure) {
  Flush();
  Tell([id = id_, failure](RemoteListener& listener) { listener.OnRemoteClosed(id, failure); });
  submitter_.reset();
  connection_.reset();
}

void RemoteConnection::OnText(std::string_view message) {
  auto parsed = nostr::ParseRelayMessage(message);
  std::visit(base::Overloaded{
                 [this](nostr::RelayEvent& m) { OnEvent(m); },
                 [this](nostr::RelayEose& m) { OnEose(m.subscription); },
                 [this](nostr::RelayClosed& m) {
                   OnEndedByRemote(m.subscription,
                                   Closed{m.subscription, m.message.substr(0, kTextBytes)});
                 },
                 [this](nostr::RelayNotice& m) {
                   Note(Notice{m.message.substr(0, kTextBytes)});
                   Chatter();
                 },
                 [this](nostr::RelayNegMsg& m) { OnNegMsg(m); },
                 [this](nostr::RelayNegErr& m) {
                   OnEndedByRemote(m.subscription,
                                   NegRefusal{m.subscription, m.reason.substr(0, kTextBytes)});
                 },
                 [this](nostr::RelayOk& m) { OnOk(m); },
                 [this](nostr::RelayAuth& m) { OnChallenge(m.challenge); },
                 [this](nostr::RelayCount&) { Chatter(); },
                 [this](nostr::RelayUnreadable& m) { OnUnreadable(m); },
                 [this](nostr::RelayMalformed&) { Strike(); },
             },
             parsed);
}

void RemoteConnection::OnChallenge(const std::string& challenge) {
  if (!key_ || auth_event_ || challenge.size() > kChallengeBytes) {
    Chatter();
    return;
  }
  const auto event = nostr::EventBuilder(nostr::kAuthKind, clock_.UnixNow())
                         .Tag({"relay", url_})
                         .Tag({"challenge", challenge})
                         .Sign(*key_);
  auth_event_ = event.id;
  connection_->SendText(nostr::ClientAuthMessage(nostr::EventJson(event)));
}

void RemoteConnection::OnOk(const nostr::RelayOk& message) {
  if (!auth_event_ || message.id != *auth_event_ || std::exchange(auth_answered_, true)) {
    Chatter();  // we publish nothing
    return;
  }
  Note(Authenticated{message.accepted, message.message.substr(0, kTextBytes)});
}

RemoteConnection::Subscription* RemoteConnection::FindClosed(std::string_view subscription) {
  const auto found = std::find_if(recently_closed_.begin(), recently_closed_.end(),
                                  [&](const auto& closed) { return closed.first == subscription; });
  return found == recently_closed_.end() ? nullptr : &found->second;
}

void RemoteConnection::Forget(std::string subscription, bool still_wanted) {
  auto node = subscriptions_.extract(subscription);
  Subscription closed;
  if (!node.empty()) {
    closed = std::move(node.mapped());
  } else if (Subscription* before = FindClosed(subscription)) {
    closed = std::move(*before);
  }
  const bool live = closed.source == storage::Source::kLive;
  if (live && !still_wanted) closed.may_bring = std::min(closed.may_bring, kLateLive);
  std::erase_if(recently_closed_, [&](const auto& other) { return other.first == subscription; });
  recently_closed_.emplace_back(std::move(subscription), std::move(closed));
  if (recently_closed_.size() > kRecentlyClosed) recently_closed_.pop_front();
  if (recently_closed_.size() > kFiltersKept) {
    recently_closed_[recently_closed_.size() - kFiltersKept - 1].second.filters.clear();
  }
}

void RemoteConnection::OnEndedByRemote(const std::string& subscription, RemoteNote note) {
  NoteOf(subscription, std::move(note));
  if (subscriptions_.contains(subscription)) Forget(subscription, /*still_wanted=*/true);
}

void RemoteConnection::NoteOf(const std::string& subscription, RemoteNote note) {
  if (!subscriptions_.contains(subscription)) {
    if (!FindClosed(subscription)) return Strike();
    OnUnwanted();
  }
  Note(std::move(note));
}

// One for each of ours: thus none waits unbounded for the sync thread.
void RemoteConnection::OnNegMsg(nostr::RelayNegMsg& message) {
  const auto session = subscriptions_.find(message.subscription);
  if (session == subscriptions_.end() && FindClosed(message.subscription)) {
    OnUnwanted();
  } else if (session == subscriptions_.end() ||
             !std::exchange(session->second.awaits_neg_msg, false)) {
    Strike();
  } else {
    Note(NegReply{std::move(message.subscription), std::move(message.message)});
  }
}

void RemoteConnection::Chatter() {
  if (++chatter_ > kChatter) Strike();
}

void RemoteConnection::OnEvent(nostr::RelayEvent& message) {
  const auto found = subscriptions_.find(message.subscription);
  if (found == subscriptions_.end()) {
    Subscription* closed = FindClosed(message.subscription);
    if (!closed) return Strike();
    const bool wanted = closed->may_bring > 0 && nostr::MatchesAny(closed->filters, message.event);
    return wanted ? Take(message, *closed) : OnUnwanted();
  }
  Subscription& subscription = found->second;
  if (subscription.filters.empty()) return Strike();
  if (!nostr::MatchesAny(subscription.filters, message.event)) {
    return OnStray(message.subscription);
  }
  if (subscription.may_bring == 0) return Strike();
  Take(message, subscription);
}

void RemoteConnection::Take(nostr::RelayEvent& message, Subscription& subscription) {
  if (subscription.may_bring != SIZE_MAX) --subscription.may_bring;
  Note(Delivered{std::move(message.subscription), message.event.id, message.event.created_at});
  in_flight_.push_back({subscription.source, message.event.created_at});
  // Who asks by id has looked which ids are wanting (NegentropyPool).
  const bool looked_up = subscription.filters[0].ids.has_value();
  submitter_->Submit(std::move(message.event), subscription.source,
                     looked_up ? ingest::Lookup::kDone : ingest::Lookup::kNeeded);
  UpdateReading();
}

// Counts like one that was taken, so that no more may come than was asked for.
void RemoteConnection::OnUnreadable(nostr::RelayUnreadable& message) {
  const auto found = subscriptions_.find(message.subscription);
  if (found == subscriptions_.end() && FindClosed(message.subscription)) return OnUnwanted();
  if (found == subscriptions_.end() || found->second.filters.empty()) return Strike();
  size_t& may_bring = found->second.may_bring;
  if (may_bring == 0) return Strike();
  if (may_bring != SIZE_MAX) {
    --may_bring;
  } else {
    OnUnwanted();
  }
  Note(Unreadable{std::move(message.subscription), message.id, message.created_at});
}

void RemoteConnection::OnEose(const std::string& subscription) {
  const auto found = subscriptions_.find(subscription);
  if (found != subscriptions_.end()) {
    if (found->second.eoses_due == 0) return Chatter();
    --found->second.eoses_due;
  }
  NoteOf(subscription, Eose{subscription});
}

void RemoteConnection::OnStray(const std::string& subscription) {
  Note(BadMessage{.stray = true});
  OnUnwanted();
  if (++subscriptions_[subscription].strays < kStrays || !connection_) return;
  connection_->SendText(nostr::CloseMessage(subscription));
  Note(Closed{subscription, "it brings events that nobody asked for"});
  Forget(subscription);
}

void RemoteConnection::OnUnwanted() {
  if (++unwanted_ > kUnwanted) Strike();
}

void RemoteConnection::OnResults(std::span<const ingest::Result> results) {
  // A delivery is always reported before its verdict, which may overtake the posted Flush().
  Flush();
  std::vector<Judged> judged;
  judged.reserve(results.size());
  for (const auto& result : results) {
    const auto& event = in_flight_.front();
    judged.push_back({event.source, result.code, result.id, event.created_at, result.forged});
    in_flight_.pop_front();
  }
  Tell([id = id_, judged = std::move(judged)](RemoteListener& listener) mutable {
    listener.OnRemoteJudged(id, std::move(judged));
  });
  UpdateReading();
}

void RemoteConnection::UpdateReading() {
  if (!connection_) return;
  const bool pause =
      submitter_->credits() == 0 || notes_in_flight_ + notes_.size() >= kNotesInFlight;
  if (pause == reading_paused_) return;
  reading_paused_ = pause;
  if (pause) {
    connection_->PauseReading();
  } else {
    connection_->ResumeReading();
  }
}

void RemoteConnection::Strike() { Note(BadMessage{}); }

// What was delivered is told together with its verdicts, or many at a time; the rest at once.
void RemoteConnection::Note(RemoteNote note) {
  const bool can_wait = std::holds_alternative<Delivered>(note);
  notes_.push_back(std::move(note));
  if ((can_wait && notes_.size() < kNotesAtOnce) || std::exchange(flush_posted_, true)) return;
  thread_.Post([weak = weak_from_this()] {
    if (auto self = weak.lock()) self->Flush();
  });
}

void RemoteConnection::Flush() {
  flush_posted_ = false;
  if (notes_.empty()) return;
  notes_in_flight_ += notes_.size();
  UpdateReading();
  sync_thread_.Post([weak = weak_from_this(), &thread = thread_, listener = listener_, id = id_,
                     notes = std::exchange(notes_, {})]() mutable {
    const size_t count = notes.size();
    if (auto alive = listener.lock()) alive->OnRemoteNotes(id, std::move(notes));
    thread.Post([weak = std::move(weak), count] {
      auto self = weak.lock();
      if (!self) return;
      self->notes_in_flight_ -= count;
      self->UpdateReading();
    });
  });
}

void RemoteConnection::Tell(std::function<void(RemoteListener&)> what) {
  sync_thread_.Post([listener = listener_, what = std::move(what)] {
    if (auto alive = listener.lock()) what(*alive);
  });
}

}  // namespace graspd::sync
