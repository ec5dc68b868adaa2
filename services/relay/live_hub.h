#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "services/relay/subscription_index.h"
#include "storage/commit_feed.h"

namespace graspd::relay {

/// A subscription that wants to hear of new events.
class LiveSubscription : public IndexedSubscription {
 public:
  using IndexedSubscription::IndexedSubscription;
  virtual ~LiveSubscription() = default;
  /// `delivery` is the event's JSON and the bracket that ends an EVENT message. Must neither add
  /// nor remove subscriptions before it returns.
  virtual void OnEvent(const nostr::EventPtr& event, std::string_view delivery) = 0;
};

/// The live side of one I/O thread: its subscriptions, and up to which commit they have been
/// served.
///
/// That position is what makes the hand-over from stored to live events exact: a subscription added
/// now hears of every later commit and of none before, so its scan reads the store as of
/// position(). Threading: one I/O thread, apart from the constructor.
class LiveHub {
 public:
  /// Something of this thread that wants to know the time, and when the relay goes away.
  class Member {
   public:
    virtual ~Member() = default;
    virtual void OnTick(base::SteadyTime now) = 0;
    virtual void OnShutdown() = 0;
  };

  /// `executor` runs tasks on this hub's thread.
  explicit LiveHub(base::Executor& executor) : executor_(executor) {}

  /// Before the first subscription: commits up to `position` are for scans to find.
  void SkipTo(storage::FeedPosition position) { position_ = std::max(position_, position); }
  void Deliver(const storage::Commit& commit);

  [[nodiscard]] base::Executor& executor() { return executor_; }
  [[nodiscard]] SubscriptionIndex& index() { return index_; }
  [[nodiscard]] storage::FeedPosition position() const { return position_; }

  void Join(Member& member) { members_.insert(&member); }
  void Leave(Member& member) { members_.erase(&member); }
  void Tick(base::SteadyTime now);
  void Shutdown();

 private:
  void DeliverEvent(const nostr::EventPtr& event);

  base::Executor& executor_;
  storage::FeedPosition position_;
  SubscriptionIndex index_;
  std::unordered_set<Member*> members_;
  std::vector<IndexedSubscription*> found_;  // these two are kept for their memory
  std::string delivery_;
};

}  // namespace graspd::relay
