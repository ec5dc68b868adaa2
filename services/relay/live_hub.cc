#include "services/relay/live_hub.h"

namespace graspd::relay {

// A commit of nothing but ephemeral events may carry the position of the one before it.
void LiveHub::Deliver(const storage::Commit& commit) {
  const bool news = commit.position > position_;
  for (const storage::Change& change : commit.changes) {
    if (change.type != storage::Change::Type::kAdded) continue;
    if (news || change.ephemeral) DeliverEvent(change.event);
  }
  if (news) position_ = commit.position;
}

void LiveHub::DeliverEvent(const nostr::EventPtr& event) {
  found_.clear();
  index_.Find(event->event, found_);
  if (found_.empty()) return;
  delivery_.assign(event->json).push_back(']');
  for (IndexedSubscription* subscription : found_) {
    static_cast<LiveSubscription*>(subscription)->OnEvent(event, delivery_);
  }
}

void LiveHub::Tick(base::SteadyTime now) {
  for (Member* member : members_) member->OnTick(now);
}

void LiveHub::Shutdown() {
  for (Member* member : members_) member->OnShutdown();
}

}  // namespace graspd::relay
