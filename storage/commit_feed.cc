#include "storage/commit_feed.h"

#include <algorithm>
#include <utility>

namespace graspd::storage {

std::unique_ptr<CommitFeed::Subscription> CommitFeed::Subscribe(Reader reader) {
  base::MutexLock lock(mutex_);
  const uint64_t key = next_key_++;
  readers_.push_back({key, std::move(reader)});
  return std::make_unique<Subscription>(*this, key);
}

CommitFeed::Subscription::~Subscription() {
  base::MutexLock lock(feed_.mutex_);
  std::erase_if(feed_.readers_, [this](const Entry& entry) { return entry.key == key_; });
}

// Holds the lock while calling: readers only post, and an ending subscription must wait for its
// call.
void CommitFeed::Publish(CommitPtr commit) {
  base::MutexLock lock(mutex_);
  for (const auto& entry : readers_) entry.reader(commit);
}

}  // namespace graspd::storage
