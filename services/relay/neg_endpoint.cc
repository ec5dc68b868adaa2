#include "services/relay/neg_endpoint.h"

#include <utility>
#include <vector>

namespace graspd::relay {
namespace {

using NegRefusal = Meters::NegRefusal;

// One answer: as hex it stays below the message limits that clients commonly have.
constexpr size_t kFrameBytes = 250'000;

// What a whole session may take, both ways: every id a few times over, and room for the
// fingerprints.
size_t ByteCeiling(size_t items) { return (16u << 20) + items * 128; }

}  // namespace

// Held by the endpoint; tasks hold it weakly and look at it on the connection's thread only, so a
// session that can still be locked there has its endpoint.
struct NegEndpoint::Session {
  NegEndpoint* endpoint;
  std::string id;
  std::string message;                               // that is to be answered
  ChargePtr charge;                                  // for it
  std::shared_ptr<negentropy::Responder> responder;  // once there is a set
  negentropy::AskerProgress progress;
  bool busy = true;
  size_t bytes = 0, max_bytes = 0;
  base::SteadyTime active_at;
};

struct NegEndpoint::Answered {
  absl::StatusOr<size_t> bytes;  // of the answer, if there is one
  std::string text;              // the NEG-MSG
  negentropy::Round round;
};

NegEndpoint::~NegEndpoint() {
  context_.meters.neg_sessions -= static_cast<int64_t>(sessions_.size());
  context_.meters.neg_waiting -= static_cast<int64_t>(waiting_.size());
}

void NegEndpoint::Open(nostr::ClientNegOpen open, FilterCharge charge) {
  Close(open.subscription);  // opening again replaces (NIP-77)
  if (sessions_.size() >= context_.limits.neg_sessions) {
    return End(open.subscription, NegRefusal::kSessions,
               "blocked: too many reconciliations on this connection");
  }
  auto session = std::make_shared<Session>();
  session->endpoint = this;
  session->id = open.subscription;
  session->message = std::move(open.message);
  session->active_at = context_.clock.Now();
  sessions_.emplace(session->id, session);
  ++context_.meters.neg_sessions;
  session->charge = std::make_shared<const FilterCharge>(std::move(charge));
  ReadSet(session, std::move(open.filter), session->charge);
}

void NegEndpoint::ReadSet(const SessionPtr& session, nostr::Filter filter, ChargePtr charge) {
  const std::weak_ptr<Session> weak = session;
  reads_.Run(
      [weak, sets = context_.neg_sets, &executor = executor_, filter = std::move(filter),
       charge = std::move(charge)](const SessionReads::Ended& ended) -> SessionReads::Then {
        const auto given_up = [weak, ended] { return weak.expired() || ended(); };
        const auto done = [weak, &executor](const absl::StatusOr<storage::NegSets::SetPtr>& set) {
          executor.Post([weak, set] {
            if (const auto alive = weak.lock()) alive->endpoint->OnSet(alive, set);
          });
        };
        sets->Get(filter, done, storage::NegSets::kKept, given_up);
        return nullptr;
      },
      [weak](std::string_view reason) {
        if (const auto alive = weak.lock()) {
          alive->endpoint->End(alive->id, NegRefusal::kBusy, reason);
        }
      },
      [weak] { return weak.expired(); });
}

void NegEndpoint::OnSet(const SessionPtr& session,
                        const absl::StatusOr<storage::NegSets::SetPtr>& set) {
  if (absl::IsResourceExhausted(set.status())) {
    return End(session->id, NegRefusal::kTooMany, "blocked: this filter matches too many events",
               context_.neg_sets->max_items());
  }
  if (!set.ok()) return End(session->id, NegRefusal::kBusy, kBusy);
  session->max_bytes = ByteCeiling((*set)->size());
  session->responder = std::make_shared<negentropy::Responder>(
      *set, negentropy::ReconcileLimits{.frame_bytes = kFrameBytes,
                                        .max_message_bytes = context_.limits.neg_message_bytes});
  Enqueue(session, std::move(session->message), std::move(session->charge));
}

bool NegEndpoint::Message(nostr::ClientNegMsg message, std::optional<FilterCharge> charge) {
  const auto it = sessions_.find(message.subscription);
  if (it == sessions_.end()) {
    End(message.subscription, NegRefusal::kNotOpen, "closed: no such reconciliation is open");
    return false;
  }
  if (it->second->busy) {
    End(message.subscription, NegRefusal::kOutOfTurn,
        "invalid: wait for the answer before the next message");
    return false;
  }
  if (!charge) {
    End(message.subscription, NegRefusal::kBusy, kOverloaded);
    return true;
  }
  Enqueue(it->second, std::move(message.message),
          std::make_shared<const FilterCharge>(*std::move(charge)));
  return true;
}

void NegEndpoint::Enqueue(const SessionPtr& session, std::string message, ChargePtr charge) {
  session->busy = true;
  session->message = std::move(message);
  session->charge = std::move(charge);
  waiting_.push_back(session);
  ++context_.meters.neg_waiting;
  AnswerWaiting();
}

void NegEndpoint::AnswerWaiting() {
  while (!waiting_.empty() && !work_->MustWaitFor(ClientWork::Kind::kAnswer)) {
    work_->Begin(ClientWork::Kind::kAnswer);
    const SessionPtr session = waiting_.front().lock();
    waiting_.pop_front();
    --context_.meters.neg_waiting;
    if (session) Answer(session);
  }
}

void NegEndpoint::Answer(const SessionPtr& session) {
  session->bytes += session->message.size();
  context_.cpu.Run(
      base::CpuPool::Priority::kNegentropy,
      [weak = std::weak_ptr<Session>(session), id = session->id, responder = session->responder,
       work = work_, &executor = executor_, message = std::exchange(session->message, {}),
       charge = std::exchange(session->charge, nullptr)] {
        if (weak.expired()) return;
        Answered out;
        const auto answer = responder->Answer(message, &out.round);
        if (answer.ok()) {
          out.bytes = answer->size();
          out.text = nostr::NegMsgMessage(id, *answer);
        } else {
          out.bytes = answer.status();
        }
        work->Charge(out.round.work);
        executor.Post([weak, out = std::make_shared<const Answered>(std::move(out))] {
          if (const auto alive = weak.lock()) alive->endpoint->OnAnswer(*alive, *out);
        });
      });
}

void NegEndpoint::OnAnswer(Session& session, const Answered& answered) {
  if (!answered.bytes.ok()) {
    const std::string why(answered.bytes.status().message());
    return End(session.id, NegRefusal::kRequest, "invalid: " + why);
  }
  session.bytes += *answered.bytes;
  if (session.bytes > session.max_bytes) {
    return End(session.id, NegRefusal::kTooLong,
               "closed: this reconciliation does not come to an end");
  }
  if (!session.progress.Continues(answered.round)) {
    return End(session.id, NegRefusal::kNoProgress, "closed: this reconciliation does not get on");
  }
  session.busy = false;
  session.active_at = context_.clock.Now();
  connection_.SendText(answered.text);
}

void NegEndpoint::End(const std::string& id, NegRefusal why, std::string_view reason,
                      uint64_t maximum) {
  context_.meters.NegRefused(why, reason);
  connection_.SendText(nostr::NegErrMessage(id, reason, maximum));
  Close(std::string(id));  // a copy: `id` may be the session's own
}

void NegEndpoint::OnTick(base::SteadyTime now) {
  AnswerWaiting();
  std::vector<std::string> idle;
  for (const auto& [id, session] : sessions_) {
    if (!session->busy && now - session->active_at >= context_.limits.neg_idle) idle.push_back(id);
  }
  for (const std::string& id : idle) End(id, NegRefusal::kIdle, "closed: idle for too long");
}

void NegEndpoint::EndAll(std::string_view reason) {
  while (!sessions_.empty()) {
    End(std::string(sessions_.begin()->first), NegRefusal::kShutdown, reason);
  }
}

void NegEndpoint::Close(const std::string& id) {
  if (sessions_.erase(id) == 0) return;
  --context_.meters.neg_sessions;
  context_.meters.neg_waiting -= static_cast<int64_t>(
      std::erase_if(waiting_, [](const auto& session) { return session.expired(); }));
  if (waiting_.empty()) work_->Withdraw(ClientWork::Kind::kAnswer);
}

}  // namespace graspd::relay
