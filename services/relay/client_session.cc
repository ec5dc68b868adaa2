#include "services/relay/client_session.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/utf8.h"
#include "nostr/rules.h"

namespace graspd::relay {
namespace {

constexpr size_t kFilterBytes = 16u << 20;  // of one connection's subscriptions
// Scans of one connection under way: with a page of each, the output stays below its limit.
constexpr size_t kScans = 2;

constexpr char kBusy[] = "error: the relay is busy, try again later";
constexpr char kOverloaded[] = "rate-limited: the relay is overloaded, try again later";
constexpr char kSlowDown[] = "rate-limited: slow down";
constexpr char kAuthRequired[] =
    "auth-required: only its authenticated author may publish a protected event";
constexpr char kNotTheAuthor[] = "restricted: only its author may publish a protected event";
constexpr uint16_t kPolicyViolation = 1008, kTooBig = 1009, kUnsupportedData = 1003;

double Seconds(base::Duration duration) { return std::chrono::duration<double>(duration).count(); }

// Our own connection, the SelfSubscriber's, has none.
std::shared_ptr<AddressBudgets::Budget> AddressBudget(const SessionContext& context,
                                                      const net::WebSocketConnection::Peer& peer) {
  if (peer.secret_header) return nullptr;
  return context.addresses.Get(peer.address, context.clock.Now());
}

bool WantsStored(const nostr::Filter& filter) { return filter.limit != 0u; }

// What is to be read from the store for a REQ: limits put in, filters that ask for nothing left
// out.
std::vector<nostr::Filter> StoredPart(const std::vector<nostr::Filter>& filters,
                                      const nostr::Limits& limits) {
  std::vector<nostr::Filter> out;
  for (nostr::Filter filter : filters) {
    filter.limit =
        std::min<uint64_t>(filter.limit.value_or(limits.limit_default), limits.limit_max);
    if (*filter.limit > 0 && !filter.MatchesNothing()) out.push_back(std::move(filter));
  }
  return out;
}

Meters::Verb VerbOf(const nostr::ClientMessage& message) {
  struct Name {
    Meters::Verb operator()(const nostr::ClientEvent&) { return Meters::Verb::kEvent; }
    Meters::Verb operator()(const nostr::ClientAuth&) { return Meters::Verb::kAuth; }
    Meters::Verb operator()(const nostr::ClientReq&) { return Meters::Verb::kReq; }
    Meters::Verb operator()(const nostr::ClientCount&) { return Meters::Verb::kCount; }
    Meters::Verb operator()(const nostr::ClientClose&) { return Meters::Verb::kClose; }
    Meters::Verb operator()(const nostr::ClientNegOpen&) { return Meters::Verb::kNegOpen; }
    Meters::Verb operator()(const nostr::ClientNegMsg&) { return Meters::Verb::kNegMsg; }
    Meters::Verb operator()(const nostr::ClientNegClose&) { return Meters::Verb::kNegClose; }
    Meters::Verb operator()(const nostr::ClientRefused&) { return Meters::Verb::kMalformed; }
  };
  return std::visit(Name(), message);
}

}  // namespace

/// One open REQ. Until its stored scan is over, new events wait in a buffer.
class ClientSession::Subscription final : public LiveSubscription,
                                          public std::enable_shared_from_this<Subscription> {
 public:
  Subscription(ClientSession& session, std::string id, std::vector<nostr::Filter> wanted,
               FilterCharge charge)
      : LiveSubscription(std::move(wanted)),
        id_(std::move(id)),
        prefix_(nostr::EventMessagePrefix(id_)),
        charge_(std::move(charge)),
        session_(session) {}

  void OnEvent(const nostr::EventPtr& event, std::string_view delivery) override {
    if (live) {
      session_.SendEvent(*this, delivery);
      session_.context_.meters.SentLive(1);
    } else if (!overflowed) {
      Buffer(event);
    }
  }

  [[nodiscard]] const std::string& id() const { return id_; }
  [[nodiscard]] const std::string& prefix() const { return prefix_; }
  [[nodiscard]] size_t filter_bytes() const { return charge_.bytes(); }

  /// Takes out the new events that have waited.
  std::vector<nostr::EventPtr> TakeBuffer() {
    session_.context_.meters.live_buffer_bytes -=
        static_cast<int64_t>(std::exchange(buffered_bytes_, 0));
    return std::exchange(buffer_, {});
  }

  bool closed = false;
  bool live = false;
  bool overflowed = false;             // more came during the scan than the buffer may hold
  std::shared_ptr<StoredQuery> query;  // used by one task at a time
  base::SteadyTime opened_at;

 private:
  // Does not end the subscription itself: the index is being searched.
  void Buffer(const nostr::EventPtr& event) {
    const nostr::Limits& limits = session_.context_.limits;
    const size_t bytes = event->json.size();
    if (buffer_.size() >= limits.live_buffer_events ||
        buffered_bytes_ + bytes > limits.live_buffer_bytes) {
      overflowed = true;
      TakeBuffer();
    } else {
      buffered_bytes_ += bytes;
      session_.context_.meters.live_buffer_bytes += static_cast<int64_t>(bytes);
      buffer_.push_back(event);
    }
  }

  const std::string id_, prefix_;
  const FilterCharge charge_;
  ClientSession& session_;  // outlives it as long as it is indexed
  std::vector<nostr::EventPtr> buffer_;
  size_t buffered_bytes_ = 0;
};

std::shared_ptr<ClientSession> ClientSession::Start(
    const SessionContext& context, LiveHub& hub,
    std::shared_ptr<net::WebSocketConnection> connection) {
  std::shared_ptr<ClientSession> session(new ClientSession(context, hub, std::move(connection)));
  hub.Join(*session);
  return session;
}

ClientSession::ClientSession(const SessionContext& context, LiveHub& hub,
                             std::shared_ptr<net::WebSocketConnection> connection)
    : context_(context),
      hub_(hub),
      connection_(std::move(connection)),
      own_(connection_->peer().secret_header),
      budgets_(context.limits, AddressBudget(context, connection_->peer()), context.meters,
               context.clock.Now()),
      submitter_(context.sink.Open(
          ingest::EventSink::Lane::kClient, hub.executor(),
          [this](std::span<const ingest::Result> results) { OnResults(results); })),
      auth_(context_, *connection_, hub.executor(),
            [this](const nostr::EventId& id, std::string_view refusal) {
              OnAuthenticated(id, refusal);
            }),
      reads_(context.reads, hub.executor(), context.meters.reads_waiting),
      neg_(context_, *connection_, hub.executor(), reads_) {}

ClientSession::~ClientSession() { OnClosed(); }

void ClientSession::OnClosed() {
  if (std::exchange(closed_, true)) return;
  hub_.Leave(*this);
  while (!subscriptions_.empty()) EndSubscription(std::string(subscriptions_.begin()->first));
  auth_.Close();
  reads_.Close();
  submitter_.reset();
}

void ClientSession::OnShutdown() {
  constexpr char kReason[] = "closed: the relay is shutting down";
  while (!subscriptions_.empty()) {
    SendClosed(std::string(subscriptions_.begin()->first), kReason);
  }
  neg_.EndAll(kReason);
}

void ClientSession::OnText(std::string_view text) {
  if (closed_) return;
  // The connection lets reconciliation's larger messages through.
  if (text.size() > context_.limits.message_bytes && !text.starts_with("[\"NEG-")) {
    context_.meters.ClosedFor(Meters::Unfit::kTooLong);
    return connection_->Close(kTooBig, "message too long");
  }
  nostr::ClientMessage message = nostr::ParseClientMessage(text);
  context_.meters.Received(VerbOf(message));
  std::visit([this](auto& m) { Handle(std::move(m)); }, message);
}

bool ClientSession::IsIdle() const {
  return subscriptions_.empty() && unanswered_ == 0 && neg_.empty();
}

void ClientSession::OnBinary() {
  context_.meters.ClosedFor(Meters::Unfit::kBinary);
  connection_->Close(kUnsupportedData, "text messages only");
}

// ---- events ----------------------------------------------------------------------------------

void ClientSession::Handle(nostr::ClientEvent message) {
  if (!budgets_.TakeEvent(context_.clock.Now())) {
    return SendOk(message.event.id.ToHex(), false, kSlowDown);
  }
  if (nostr::IsProtected(message.event) && !auth_.state().Has(message.event.pubkey)) {
    return RefuseProtected(message.event);
  }
  ++unanswered_;
  submitter_->Submit(std::move(message.event), storage::Source::kDirect);
  UpdateReading();
}

void ClientSession::RefuseProtected(const nostr::Event& event) {
  auth_.SendChallenge();
  const bool anybody = !auth_.state().empty();
  SendOk(event.id.ToHex(), false, anybody ? kNotTheAuthor : kAuthRequired);
}

void ClientSession::OnResults(std::span<const ingest::Result> results) {
  unanswered_ -= results.size();
  for (const ingest::Result& result : results) {
    SendOk(result.id.ToHex(), result.accepted(), result.message);
    if (result.code != ingest::Code::kInvalid) continue;
    budgets_.ChargeInvalidEvent(context_.clock.Now());
    Strike();
  }
  UpdateReading();
}

void ClientSession::UpdateReading() {
  const bool wait = submitter_->credits() == 0 || auth_.busy();
  if (wait == paused_) return;
  paused_ = wait;
  if (wait) {
    connection_->PauseReading();
  } else {
    connection_->ResumeReading();
  }
}

void ClientSession::SendOk(std::string_view id, bool accepted, std::string_view message) {
  if (!accepted) context_.meters.Refused(message);
  connection_->SendText(nostr::OkMessage(id, accepted, message));
}

void ClientSession::Strike() {
  if (struck_out_ || budgets_.TakeStrike(context_.clock.Now())) return;
  struck_out_ = true;
  context_.meters.StruckOut();
  connection_->Close(kPolicyViolation, "too many invalid messages");
}

void ClientSession::Handle(nostr::ClientAuth message) {
  if (!budgets_.TakeEvent(context_.clock.Now())) {
    return SendOk(message.event.id.ToHex(), false, kSlowDown);
  }
  auth_.Authenticate(std::move(message.event));
  UpdateReading();
}

void ClientSession::OnAuthenticated(const nostr::EventId& id, std::string_view refusal) {
  SendOk(id.ToHex(), refusal.empty(), refusal);
  if (refusal.starts_with("invalid:")) {
    budgets_.ChargeInvalidEvent(context_.clock.Now());
    Strike();
  }
  UpdateReading();
}

void ClientSession::Handle(nostr::ClientRefused message) {
  using Answer = nostr::ClientRefused::Answer;
  switch (message.answer) {
    case Answer::kNotice:
      context_.meters.Refused(message.reason);
      connection_->SendText(nostr::NoticeMessage(message.reason));
      break;
    case Answer::kOk:
      SendOk(message.subject, false, message.reason);
      break;
    case Answer::kClosed:
      SendClosed(message.subject, message.reason);
      break;
    case Answer::kCountClosed:
      RefuseCount(message.subject, message.reason);
      break;
    case Answer::kNegError:
      neg_.Refuse(message.subject, message.reason);
      break;
  }
  // Asking for what is not supported is no offence.
  if (message.reason.starts_with("invalid:")) Strike();
}

// ---- subscriptions ---------------------------------------------------------------------------

std::optional<std::string> ClientSession::RefuseQuery(const std::string& id,
                                                      const std::vector<nostr::Filter>& filters) {
  if (!budgets_.TakeQuery(context_.clock.Now())) return kSlowDown;
  if (base::Utf8Characters(id) > context_.limits.subscription_id_chars) {
    return "invalid: subscription id longer than " +
           std::to_string(context_.limits.subscription_id_chars);
  }
  if (filters.size() > context_.limits.filters_per_req) {
    return "invalid: more than " + std::to_string(context_.limits.filters_per_req) + " filters";
  }
  for (const nostr::Filter& filter : filters) {
    const absl::Status status = nostr::CheckFilterLimits(filter, context_.limits);
    if (!status.ok()) return std::string(status.message());
  }
  const bool stored = std::any_of(filters.begin(), filters.end(), WantsStored);
  if (!own_ && stored && context_.overload.sheds_reads()) return kOverloaded;
  return std::nullopt;
}

void ClientSession::Handle(nostr::ClientReq message) {
  EndSubscription(message.subscription);  // a REQ replaces; a refused one ends what was there
  auto refusal = RefuseQuery(message.subscription, message.filters);
  if (!refusal && subscriptions_.size() >= context_.limits.subscriptions) {
    refusal = "rate-limited: too many open subscriptions";
  }
  const size_t bytes = MemoryOf(message.filters);
  if (!refusal && filter_bytes_ + bytes > kFilterBytes) {
    refusal = "rate-limited: too much in the filters of open subscriptions";
  }
  if (refusal) return SendClosed(message.subscription, *refusal);
  auto charge = ChargeFilters(bytes);
  if (!charge) return SendClosed(message.subscription, kOverloaded);
  Open(std::move(message), *std::move(charge));
}

std::optional<FilterCharge> ClientSession::ChargeFilters(size_t bytes) {
  const size_t limit = own_ ? size_t{INT64_MAX} : context_.limits.filter_total_bytes;
  return FilterCharge::Take(context_.meters.filter_bytes, limit, bytes);
}

// Indexed first, then read as of the hub's position: no commit falls between, none counts twice.
void ClientSession::Open(nostr::ClientReq message, FilterCharge charge) {
  const auto subscription = std::make_shared<Subscription>(
      *this, std::move(message.subscription), std::move(message.filters), std::move(charge));
  subscription->opened_at = context_.clock.Now();
  subscriptions_.emplace(subscription->id(), subscription);
  filter_bytes_ += subscription->filter_bytes();
  ++context_.meters.subscriptions;
  hub_.index().Add(*subscription);

  auto stored = StoredPart(subscription->filters, context_.limits);
  if (stored.empty()) return GoLive(*subscription);
  subscription->query =
      std::make_shared<StoredQuery>(context_.store, std::move(stored), hub_.position());
  scans_.push_back(subscription);
  PumpScans();
}

// In turn, page by page, and only while the client reads what they bring.
void ClientSession::PumpScans() {
  while (scans_under_way_ < kScans && !scans_.empty()) {
    if (connection_->pending_bytes() > connection_->soft_limit()) return AwaitDrain();
    const SubscriptionPtr next = std::move(scans_.front());
    scans_.pop_front();
    Scan(*next);
  }
}

void ClientSession::AwaitDrain() {
  if (std::exchange(awaits_drain_, true)) return;
  connection_->WhenDrained([weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    self->awaits_drain_ = false;
    self->PumpScans();
  });
}

void ClientSession::Scan(Subscription& subscription) {
  ++scans_under_way_;
  // Weak: a subscription refers to its session, and must not be kept by a task that outlives it.
  const std::weak_ptr<Subscription> weak = subscription.weak_from_this();
  const auto end = [this, weak](const auto& then) {
    --scans_under_way_;
    const auto alive = weak.lock();
    if (alive && !alive->closed) then(alive);
    PumpScans();
  };
  const auto read = [this, end, &clock = context_.clock,
                     scan = std::weak_ptr(subscription.query)]() -> SessionReads::Then {
    const auto query = scan.lock();
    if (!query) return [end] { end([](const auto&) {}); };  // ended before its turn
    auto page = query->Next(clock.UnixNow());
    if (page.ok()) {
      for (storage::Row& row : page->rows) row.json.push_back(']');
    }
    return [this, end, page = std::make_shared<PageOrError>(std::move(page))] {
      end([&](const SubscriptionPtr& alive) { OnPage(alive, *page); });
    };
  };
  reads_.Run(read, [this, end] {
    end([&](const SubscriptionPtr& alive) { SendClosed(alive->id(), kBusy); });
  });
}

void ClientSession::OnPage(const SubscriptionPtr& subscription, const PageOrError& page) {
  if (!page.ok()) return SendClosed(subscription->id(), "error: could not read stored events");
  if (subscription->overflowed) {
    return SendClosed(subscription->id(), "error: too many new events during the stored ones");
  }
  for (const storage::Row& row : page->rows) SendEvent(*subscription, row.json);
  context_.meters.SentStored(page->rows.size());
  if (page->done) {
    GoLive(*subscription);
  } else {
    scans_.push_back(subscription);
  }
}

void ClientSession::GoLive(Subscription& subscription) {
  subscription.query = nullptr;
  connection_->SendText(nostr::EoseMessage(subscription.id()));
  context_.meters.EoseAfter(Seconds(context_.clock.Now() - subscription.opened_at));
  const uint64_t now = context_.clock.UnixNow();
  for (const nostr::EventPtr& event : subscription.TakeBuffer()) {
    if (nostr::IsExpired(event->event, now)) continue;
    SendEvent(subscription, event->json + "]");
    context_.meters.SentLive(1);
  }
  subscription.live = true;
}

void ClientSession::SendEvent(Subscription& subscription, std::string_view delivery) {
  connection_->SendText(subscription.prefix(), delivery);
}

void ClientSession::Handle(nostr::ClientClose message) { EndSubscription(message.subscription); }

void ClientSession::EndSubscription(const std::string& id) {
  const auto it = subscriptions_.find(id);
  if (it == subscriptions_.end()) return;
  Subscription& subscription = *it->second;
  subscription.closed = true;
  scans_.remove(it->second);
  subscription.TakeBuffer();
  hub_.index().Remove(subscription);
  filter_bytes_ -= subscription.filter_bytes();
  --context_.meters.subscriptions;
  subscriptions_.erase(it);
}

void ClientSession::SendClosed(const std::string& id, std::string_view reason) {
  context_.meters.Refused(reason);
  connection_->SendText(nostr::ClosedMessage(id, reason));
  EndSubscription(std::string(id));  // a copy: `id` may be the subscription's own
}

void ClientSession::Handle(nostr::ClientCount message) {
  const std::string id = std::move(message.subscription);
  if (const auto refusal = RefuseQuery(id, message.filters)) return RefuseCount(id, *refusal);
  auto charge = ChargeFilters(MemoryOf(message.filters));
  if (!charge) return RefuseCount(id, kOverloaded);
  reads_.Run(
      [this, &store = context_.store, &clock = context_.clock, id,
       charge = std::make_shared<FilterCharge>(*std::move(charge)),
       filters = std::move(message.filters)]() -> SessionReads::Then {
        return [this, id, count = store.Count(filters, clock.UnixNow())] {
          if (!count.ok()) return RefuseCount(id, "error: could not count stored events");
          connection_->SendText(nostr::CountMessage(id, *count));
        };
      },
      [this, id] { RefuseCount(id, kBusy); });
}

void ClientSession::RefuseCount(const std::string& id, std::string_view reason) {
  context_.meters.Refused(reason);
  connection_->SendText(nostr::ClosedMessage(id, reason));
}

// ---- reconciliation --------------------------------------------------------------------------

void ClientSession::Handle(nostr::ClientNegOpen message) {
  if (const auto refusal = RefuseQuery(message.subscription, {message.filter})) {
    return neg_.Refuse(message.subscription, *refusal);
  }
  neg_.Open(std::move(message));
}

void ClientSession::Handle(nostr::ClientNegMsg message) {
  if (!neg_.Message(std::move(message))) Strike();
}

void ClientSession::Handle(nostr::ClientNegClose message) { neg_.Close(message.subscription); }

// ---- the server's handle ---------------------------------------------------------------------

namespace {

class SessionHandle final : public net::WebSocketSession {
 public:
  SessionHandle(const SessionContext& context, std::shared_ptr<LiveHub> hub,
                std::shared_ptr<net::WebSocketConnection> connection)
      : hub_(std::move(hub)),
        session_(ClientSession::Start(context, *hub_, std::move(connection))) {}
  void OnText(std::string_view message) override { session_->OnText(message); }
  void OnBinary(size_t) override { session_->OnBinary(); }
  void OnClosed() override { session_->OnClosed(); }
  bool IsIdle() const override { return session_->IsIdle(); }

 private:
  const std::shared_ptr<LiveHub> hub_;
  const std::shared_ptr<ClientSession> session_;
};

}  // namespace

std::unique_ptr<net::WebSocketSession> MakeSession(
    const SessionContext& context, std::shared_ptr<LiveHub> hub,
    std::shared_ptr<net::WebSocketConnection> connection) {
  return std::make_unique<SessionHandle>(context, std::move(hub), std::move(connection));
}

}  // namespace graspd::relay
