#include "services/relay/client_session.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/utf8.h"
#include "nostr/rules.h"

namespace graspd::relay {
namespace {

constexpr char kSlowDown[] = "rate-limited: slow down";
constexpr char kAuthRequired[] =
    "auth-required: only its authenticated author may publish a protected event";
constexpr char kNotTheAuthor[] = "restricted: only its author may publish a protected event";
constexpr std::chrono::seconds kCountTimeout{5};
constexpr uint16_t kPolicyViolation = 1008, kTooBig = 1009, kUnsupportedData = 1003;

// Our own connection, the SelfSubscriber's, has none.
std::shared_ptr<AddressBudgets::Budget> AddressBudget(const SessionContext& context,
                                                      const net::WebSocketConnection::Peer& peer) {
  if (peer.secret_header) return nullptr;
  return context.addresses.Get(peer.address, context.clock.Now());
}

constexpr size_t kScansAtOnce = 1;  // of two threads: the other is for other clients

bool WantsStored(const nostr::Filter& filter) { return filter.limit != 0u; }

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
      address_(AddressBudget(context, connection_->peer())),
      budgets_(context.limits, address_, context.meters, context.clock.Now()),
      submitter_(context.sink.Open(
          ingest::EventSink::Lane::kClient, hub.executor(),
          [this](std::span<const ingest::Result> results) { OnResults(results); })),
      auth_(context_, *connection_, hub.executor(),
            [this](const nostr::EventId& id, std::string_view refusal) {
              OnAuthenticated(id, refusal);
            }),
      reqs_(context_, hub, *connection_, own_),
      work_(std::make_shared<ClientWork>(context.clock, address_)),
      scans_(context.scans, kScansAtOnce, hub.executor(), context.meters, work_),
      neg_(context_, *connection_, hub.executor(), scans_, work_) {}

ClientSession::~ClientSession() { OnClosed(); }

void ClientSession::OnClosed() {
  if (std::exchange(closed_, true)) return;
  hub_.Leave(*this);
  reqs_.Close();
  auth_.Close();
  scans_.Close();
  work_->Close();
  submitter_.reset();
}

void ClientSession::OnShutdown() {
  constexpr char kReason[] = "closed: the relay is shutting down";
  reqs_.RefuseAll(kReason);
  neg_.EndAll(kReason);
}

void ClientSession::OnText(std::string_view text) {
  if (closed_ || struck_out_) return;
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
  return reqs_.empty() && scans_.empty() && neg_.empty() && !auth_.busy() && unanswered_ == 0;
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
  if (!submitter_) return;  // struck out
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
  submitter_.reset();  // of forged events, what is in flight is not worth a check
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
  // Asking for what is not supported is no offence, but no cheaper than other questions.
  const bool invalid = message.reason.starts_with("invalid:");
  if (!invalid && !budgets_.TakeQuery(context_.clock.Now())) message.reason = kSlowDown;
  switch (message.answer) {
    case Answer::kNotice:
      context_.meters.Refused(message.reason);
      connection_->SendText(nostr::NoticeMessage(message.reason));
      break;
    case Answer::kOk:
      SendOk(message.subject, false, message.reason);
      break;
    case Answer::kClosed:
      reqs_.Refuse(message.subject, message.reason);
      break;
    case Answer::kCountClosed:
      RefuseCount(message.subject, message.reason);
      break;
    case Answer::kNegError:
      neg_.Refuse(message.subject, message.reason);
      break;
  }
  if (invalid) Strike();
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
  // A refused one, too, ends what was open under its id.
  if (const auto refusal = RefuseQuery(message.subscription, message.filters)) {
    return reqs_.Refuse(message.subscription, *refusal);
  }
  reqs_.Open(std::move(message));
}

void ClientSession::Handle(nostr::ClientClose message) { reqs_.End(message.subscription); }

void ClientSession::Handle(nostr::ClientCount message) {
  const std::string id = std::move(message.subscription);
  if (const auto refusal = RefuseQuery(id, message.filters)) return RefuseCount(id, *refusal);
  auto charge = reqs_.ChargeFilters(MemoryOf(message.filters));
  if (!charge) return RefuseCount(id, kOverloaded);
  scans_.Run(
      [this, &store = context_.store, &clock = context_.clock, id,
       charge = std::make_shared<FilterCharge>(*std::move(charge)),
       filters =
           std::move(message.filters)](const SessionReads::Ended& ended) -> SessionReads::Then {
        const base::SteadyTime end = clock.Now() + kCountTimeout;
        auto count =
            store.Count(filters, clock.UnixNow(), [&] { return ended() || clock.Now() >= end; });
        return [this, id, count = std::move(count)] {
          if (absl::IsCancelled(count.status())) {
            return RefuseCount(id, "error: these filters take too long to count, narrow them");
          }
          if (!count.ok()) return RefuseCount(id, "error: could not count stored events");
          connection_->SendText(nostr::CountMessage(id, *count));
        };
      },
      [this, id](std::string_view reason) { RefuseCount(id, reason); });
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
  auto charge = reqs_.ChargeFilters(MemoryOf({message.filter}) + message.message.size());
  if (!charge) return neg_.Refuse(message.subscription, kOverloaded);
  neg_.Open(std::move(message), *std::move(charge));
}

void ClientSession::Handle(nostr::ClientNegMsg message) {
  auto charge = reqs_.ChargeFilters(message.message.size());
  if (!neg_.Message(std::move(message), std::move(charge))) Strike();
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
