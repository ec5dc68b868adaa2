#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/mutex.h"
#include "storage/event_store.h"

namespace graspd::storage {

using CommitPtr = std::shared_ptr<const Commit>;

/// Tells everyone in this process what has just been committed, in commit order, each commit once.
///
/// Publish() is called by the writer after the commit is durable. Readers are called on the
/// writer's thread and only hand the commit on to their own (base::Executor::Post), or note what
/// they need of it; they never block it. Who was away reads EventStore::ReadFeed from its last
/// position instead. Threading: Subscribe and the handle from any thread; Publish from one at a
/// time.
class CommitFeed {
 public:
  using Reader = std::function<void(const CommitPtr&)>;

  /// Ends the subscription when destroyed; on return no call is running or will come.
  class Subscription {
   public:
    Subscription(CommitFeed& feed, uint64_t key) : feed_(feed), key_(key) {}
    ~Subscription();
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;

   private:
    CommitFeed& feed_;
    uint64_t key_;
  };
  [[nodiscard]] std::unique_ptr<Subscription> Subscribe(Reader reader);

  void Publish(CommitPtr commit);

 private:
  struct Entry {
    uint64_t key;
    Reader reader;
  };
  base::Mutex mutex_;
  std::vector<Entry> readers_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_key_ ABSL_GUARDED_BY(mutex_) = 1;
};

}  // namespace graspd::storage
