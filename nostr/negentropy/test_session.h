// What the tests of this folder share: made-up items and a whole session between two sets.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "nostr/keys.h"
#include "nostr/negentropy/item_set.h"
#include "nostr/negentropy/reconciler.h"

namespace graspd::negentropy {

inline Item MakeItem(uint64_t created_at, uint64_t seed) {
  return {created_at, {nostr::Sha256("item " + std::to_string(seed))}};
}

inline std::shared_ptr<const SealedSet> Seal(std::vector<Item> items) {
  return std::make_shared<const SealedSet>(std::move(items));
}

/// All that a session between an Initiator and a Responder gave.
struct SessionOutcome {
  absl::Status status;
  std::vector<std::string> messages;  // alternating, the initiator's first
  std::set<nostr::EventId> have, need;
  size_t reported = 0;  // ids in all steps: more than in the sets if any came twice
  size_t work = 0;      // of the initiator
};

inline SessionOutcome RunSession(std::shared_ptr<const ItemView> client_set,
                                 std::shared_ptr<const ItemView> server_set, ReconcileLimits client,
                                 ReconcileLimits server) {
  SessionOutcome out;
  Initiator initiator(std::move(client_set), client);
  const Responder responder(std::move(server_set), server);
  for (std::string message = initiator.Start(); !message.empty();) {
    out.messages.push_back(message);
    auto reply = responder.Answer(message);
    if (!(out.status = reply.status()).ok()) return out;
    out.messages.push_back(*reply);
    auto step = initiator.Continue(*reply);
    out.work = initiator.work();
    if (!(out.status = step.status()).ok()) return out;
    out.have.insert(step->have.begin(), step->have.end());
    out.need.insert(step->need.begin(), step->need.end());
    out.reported += step->have.size() + step->need.size();
    message = std::move(step->message);
  }
  return out;
}

}  // namespace graspd::negentropy
