#include "sync/remote_connection.h"

#include <algorithm>
#include <utility>

#include "nostr/filter.h"

namespace graspd::sync {
namespace {

template <typename... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <typename... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

constexpr size_t kTextBytes = 256;  // kept of what a remote says

}  // namespace

RemoteConnection::RemoteConnection(ConnectionId id, net::IoThread& thread,
                                   base::Executor& sync_thread,
                                   std::weak_ptr<RemoteListener> listener)
    : id_(id), thread_(thread), sync_thread_(sync_thread), listener_(std::move(listener)) {}

void RemoteConnection::Start(net::Dialer& dialer, ingest::EventSink& sink,
                             net::DialOptions options) {
  thread_.Post([self = shared_from_this(), &dialer, &sink, options = std::move(options)]() mutable {
    std::weak_ptr<RemoteConnection> weak = self;
    self->submitter_ = sink.Open(ingest::EventSink::Lane::kSync, self->thread_,
                                 [weak](std::span<const ingest::Result> results) {
                                   if (auto alive = weak.lock()) alive->OnResults(results);
                                 });
    self->connection_ = dialer.Dial(std::move(options), self, self->thread_);
  });
}

void RemoteConnection::Send(Action action) {
  thread_.Post(
      [self = shared_from_this(), action = std::move(action)]() mutable { self->Carry(action); });
}

void RemoteConnection::HangUp() {
  thread_.Post([self = shared_from_this()] {
    if (self->connection_) self->connection_->Close();
  });
}

void RemoteConnection::Carry(Action& action) {
  if (!connection_) return;
  std::visit(
      Overloaded{
          [this](Subscribe& a) {
            connection_->SendText(nostr::ReqMessage(a.subscription, a.filters));
            subscriptions_[std::move(a.subscription)] = {std::move(a.filters), a.source};
          },
          [this](Unsubscribe& a) {
            connection_->SendText(nostr::CloseMessage(a.subscription));
            subscriptions_.erase(a.subscription);
            recently_closed_.push_back(std::move(a.subscription));
            if (recently_closed_.size() > kRecentlyClosed) recently_closed_.pop_front();
          },
          [this](NegOpen& a) {
            connection_->SendText(nostr::NegOpenMessage(a.subscription, a.filter, a.bytes));
          },
          [this](NegMsg& a) {
            connection_->SendText(nostr::NegMsgMessage(a.subscription, a.bytes));
          },
          [this](NegClose& a) { connection_->SendText(nostr::NegCloseMessage(a.subscription)); },
          [](auto&) {},  // not for connections
      },
      action);
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
  std::visit(Overloaded{
                 [this](nostr::RelayEvent& m) { OnEvent(m); },
                 [this](nostr::RelayEose& m) { Note(Eose{std::move(m.subscription)}); },
                 [this](nostr::RelayClosed& m) {
                   subscriptions_.erase(m.subscription);
                   Note(Closed{std::move(m.subscription), m.message.substr(0, kTextBytes)});
                 },
                 [this](nostr::RelayNotice& m) { Note(Notice{m.message.substr(0, kTextBytes)}); },
                 [this](nostr::RelayNegMsg& m) {
                   Note(NegReply{std::move(m.subscription), std::move(m.message)});
                 },
                 [this](nostr::RelayNegErr& m) {
                   Note(NegRefusal{std::move(m.subscription), m.reason.substr(0, kTextBytes)});
                 },
                 [](nostr::RelayOk&) {},    // we publish nothing
                 [](nostr::RelayAuth&) {},  // answered only where an operator gives us a key
                 [](nostr::RelayCount&) {},
                 [this](nostr::RelayMalformed&) { Strike(); },
             },
             parsed);
}

void RemoteConnection::OnEvent(nostr::RelayEvent& message) {
  const auto found = subscriptions_.find(message.subscription);
  if (found == subscriptions_.end() || !nostr::MatchesAny(found->second.filters, message.event)) {
    // What was on its way when we closed the subscription is dropped without blame.
    if (std::find(recently_closed_.begin(), recently_closed_.end(), message.subscription) ==
        recently_closed_.end()) {
      Strike();
    }
    return;
  }
  Note(Delivered{std::move(message.subscription), message.event.id, message.event.created_at});
  in_flight_.push_back(found->second.source);
  submitter_->Submit(std::move(message.event), found->second.source);
  if (submitter_->credits() == 0 && !reading_paused_) {
    reading_paused_ = true;
    connection_->PauseReading();
  }
}

void RemoteConnection::OnResults(std::span<const ingest::Result> results) {
  std::vector<Judged> judged;
  judged.reserve(results.size());
  for (const auto& result : results) {
    judged.push_back({in_flight_.front(), result.code});
    in_flight_.pop_front();
  }
  Tell([id = id_, judged = std::move(judged)](RemoteListener& listener) mutable {
    listener.OnRemoteJudged(id, std::move(judged));
  });
  if (reading_paused_ && connection_ && submitter_->credits() > 0) {
    reading_paused_ = false;
    connection_->ResumeReading();
  }
}

void RemoteConnection::Strike() {
  Note(BadMessage{});
  if (++strikes_ == kStrikes && connection_) connection_->Close();
}

void RemoteConnection::Note(RemoteNote note) {
  notes_.push_back(std::move(note));
  if (notes_.size() > 1) return;
  thread_.Post([weak = weak_from_this()] {
    if (auto self = weak.lock()) self->Flush();
  });
}

void RemoteConnection::Flush() {
  if (notes_.empty()) return;
  Tell([id = id_, notes = std::exchange(notes_, {})](RemoteListener& listener) mutable {
    listener.OnRemoteNotes(id, std::move(notes));
  });
}

void RemoteConnection::Tell(std::function<void(RemoteListener&)> what) {
  sync_thread_.Post([listener = listener_, what = std::move(what)] {
    if (auto alive = listener.lock()) what(*alive);
  });
}

}  // namespace graspd::sync
