#include "services/relay/neg_endpoint.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "nostr/negentropy/reconciler.h"

namespace graspd::relay {
namespace {

// One answer: as hex it stays below the message limits that clients commonly have.
constexpr size_t kFrameBytes = 250'000;

constexpr char kBusy[] = "error: the relay is busy, try again later";

// What a whole session may be sent: every id a few times over, and room for the fingerprints.
size_t ByteCeiling(size_t items) { return (16u << 20) + items * 128; }

}  // namespace

// Held by the endpoint; tasks hold it weakly and look at it on the connection's thread only, so a
// session that can still be locked there has its endpoint.
struct NegEndpoint::Session {
  NegEndpoint* endpoint;
  std::string id;
  std::string first_message;                         // until the set is read
  std::shared_ptr<negentropy::Responder> responder;  // from then on
  bool busy = true;
  size_t sent = 0, sent_max = 0;  // bytes
  base::SteadyTime active_at;
};

NegEndpoint::~NegEndpoint() {
  context_.meters.neg_sessions -= static_cast<int64_t>(sessions_.size());
}

void NegEndpoint::Open(nostr::ClientNegOpen open) {
  Close(open.subscription);  // opening again replaces (NIP-77)
  if (sessions_.size() >= context_.limits.neg_sessions) {
    return Refuse(open.subscription, "blocked: too many reconciliations on this connection");
  }
  auto session = std::make_shared<Session>();
  session->endpoint = this;
  session->id = open.subscription;
  session->first_message = std::move(open.message);
  session->active_at = context_.clock.Now();
  sessions_.emplace(session->id, session);
  ++context_.meters.neg_sessions;
  ReadSet(session, std::move(open.filter));
}

void NegEndpoint::ReadSet(const SessionPtr& session, nostr::Filter filter) {
  const std::weak_ptr<Session> weak = session;
  reads_.Run(
      [weak, sets = context_.neg_sets, filter = std::move(filter),
       now = context_.clock.UnixNow()]() -> SessionReads::Then {
        if (weak.expired()) return nullptr;  // closed or replaced before its turn
        return [weak, set = sets->Get(filter, now)] {
          if (const auto alive = weak.lock()) alive->endpoint->OnSet(alive, set);
        };
      },
      [weak] {
        if (const auto alive = weak.lock()) alive->endpoint->Refuse(alive->id, kBusy);
      });
}

void NegEndpoint::OnSet(const SessionPtr& session, absl::StatusOr<NegSets::SetPtr> set) {
  if (absl::IsResourceExhausted(set.status())) {
    return Refuse(session->id, "blocked: this filter matches too many events",
                  context_.neg_sets->max_items());
  }
  if (!set.ok()) return Refuse(session->id, kBusy);
  session->sent_max = ByteCeiling((*set)->size());
  session->responder = std::make_shared<negentropy::Responder>(
      *std::move(set),
      negentropy::ReconcileLimits{.frame_bytes = kFrameBytes,
                                  .max_message_bytes = context_.limits.neg_message_bytes});
  Answer(session, std::exchange(session->first_message, {}));
}

void NegEndpoint::Message(nostr::ClientNegMsg message) {
  const auto it = sessions_.find(message.subscription);
  if (it == sessions_.end()) {
    return Refuse(message.subscription, "closed: no such reconciliation is open");
  }
  if (it->second->busy) {
    return Refuse(message.subscription, "invalid: wait for the answer before the next message");
  }
  Answer(it->second, std::move(message.message));
}

void NegEndpoint::Answer(const SessionPtr& session, std::string message) {
  session->busy = true;
  context_.cpu.Run(base::CpuPool::Priority::kNegentropy,
                   [weak = std::weak_ptr<Session>(session), responder = session->responder,
                    &executor = executor_, message = std::move(message)] {
                     if (weak.expired()) return;
                     auto answer = responder->Answer(message);
                     executor.Post([weak, answer = std::move(answer)]() mutable {
                       if (auto alive = weak.lock()) {
                         alive->endpoint->OnAnswer(*alive, std::move(answer));
                       }
                     });
                   });
}

void NegEndpoint::OnAnswer(Session& session, absl::StatusOr<std::string> answer) {
  if (!answer.ok()) {
    return Refuse(session.id, "invalid: " + std::string(answer.status().message()));
  }
  session.sent += answer->size();
  if (session.sent > session.sent_max) {
    return Refuse(session.id, "closed: this reconciliation does not come to an end");
  }
  session.busy = false;
  session.active_at = context_.clock.Now();
  connection_.SendText(nostr::NegMsgMessage(session.id, *answer));
}

void NegEndpoint::Refuse(const std::string& id, std::string_view reason, uint64_t maximum) {
  context_.meters.Refused(reason);
  connection_.SendText(nostr::NegErrMessage(id, reason, maximum));
  Close(std::string(id));  // a copy: `id` may be the session's own
}

void NegEndpoint::EndIdle(base::SteadyTime now) {
  std::vector<std::string> idle;
  for (const auto& [id, session] : sessions_) {
    if (!session->busy && now - session->active_at >= context_.limits.neg_idle) idle.push_back(id);
  }
  for (const std::string& id : idle) Refuse(id, "closed: idle for too long");
}

void NegEndpoint::EndAll(std::string_view reason) {
  while (!sessions_.empty()) Refuse(std::string(sessions_.begin()->first), reason);
}

void NegEndpoint::Close(const std::string& id) {
  if (sessions_.erase(id) > 0) --context_.meters.neg_sessions;
}

}  // namespace graspd::relay
