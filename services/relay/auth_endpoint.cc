#include "services/relay/auth_endpoint.h"

#include <utility>

#include "nostr/keys.h"

namespace graspd::relay {
// Looked at by the task as well, hence immutable.
struct AuthEndpoint::Check {
  AuthEndpoint* const endpoint;
  const nostr::Event event;
};

AuthEndpoint::AuthEndpoint(const SessionContext& context, net::WebSocketConnection& connection,
                           base::Executor& executor, Answer answer)
    : context_(context), connection_(connection), executor_(executor), answer_(std::move(answer)) {}

void AuthEndpoint::SendChallenge() {
  if (state_.challenged()) return;
  connection_.SendText(nostr::AuthChallengeMessage(state_.Challenge()));
}

void AuthEndpoint::Authenticate(nostr::Event event) {
  SendChallenge();  // who guessed that there is one gets it now
  if (const auto refusal = state_.Refuse(event, context_.own_hosts, context_.clock.UnixNow())) {
    return answer_(event.id, *refusal);
  }
  check_ = std::make_shared<Check>(Check{this, std::move(event)});
  context_.cpu.Run(base::CpuPool::Priority::kClientVerify,
                   [weak = std::weak_ptr<const Check>(check_), &executor = executor_] {
                     const auto check = weak.lock();
                     if (!check) return;
                     executor.Post([weak, refusal = nostr::ForgeryOf(check->event)] {
                       if (const auto alive = weak.lock()) alive->endpoint->OnChecked(refusal);
                     });
                   });
}

void AuthEndpoint::OnChecked(std::string_view refusal) {
  const auto check = std::exchange(check_, nullptr);
  if (refusal.empty()) state_.Add(check->event.pubkey);
  answer_(check->event.id, refusal);
}

}  // namespace graspd::relay
