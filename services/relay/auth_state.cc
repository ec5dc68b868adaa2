#include "services/relay/auth_state.h"

#include <algorithm>

#include "base/random.h"
#include "nostr/rules.h"

namespace graspd::relay {
namespace {

constexpr size_t kChallengeBytes = 16;

uint64_t Distance(uint64_t a, uint64_t b) { return a > b ? a - b : b - a; }

}  // namespace

const std::string& AuthState::Challenge() {
  if (challenge_.empty()) challenge_ = base::SystemRandom::HexToken(kChallengeBytes);
  return challenge_;
}

std::optional<std::string> AuthState::Refuse(const nostr::Event& event, const OwnHosts& own,
                                             uint64_t unix_now) const {
  if (event.kind != nostr::kAuthKind) return "invalid: an AUTH event has kind 22242";
  // As long as there is none, an empty tag must not pass for it.
  if (challenge_.empty() || event.tags.FirstValue("challenge") != challenge_) {
    return "invalid: not the challenge of this connection";
  }
  if (!own.Names(event.tags.FirstValue("relay"))) {
    return "invalid: the relay tag does not name this relay";
  }
  if (Distance(event.created_at, unix_now) > kMaxSkewSeconds) {
    return "invalid: created_at is more than 10 minutes away from now";
  }
  if (keys_.size() >= kMaxKeys && !Has(event.pubkey)) {
    return "restricted: too many keys on this connection";
  }
  return std::nullopt;
}

void AuthState::Add(const nostr::PublicKey& key) {
  if (!Has(key)) keys_.push_back(key);
}

bool AuthState::Has(const nostr::PublicKey& key) const {
  return std::find(keys_.begin(), keys_.end(), key) != keys_.end();
}

}  // namespace graspd::relay
