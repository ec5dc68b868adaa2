#include "ingest/rejected_index.h"

namespace graspd::ingest {

void RejectedIndex::Add(const nostr::EventId& id) {
  base::MutexLock lock(mutex_);
  Expire();
  if (!refused_.insert(id).second) return;
  by_age_.emplace_back(clock_.Now(), id);
  if (refused_.size() > limits_.ids) DropOldest();
}

void RejectedIndex::Hold(const nostr::EventId& id) {
  base::MutexLock lock(mutex_);
  waiting_.insert(id);
}

void RejectedIndex::Release(const nostr::EventId& id) {
  base::MutexLock lock(mutex_);
  waiting_.erase(id);
}

void RejectedIndex::Clear() {
  base::MutexLock lock(mutex_);
  refused_.clear();
  by_age_.clear();
}

std::vector<bool> RejectedIndex::InVain(std::span<const nostr::EventId> ids) {
  std::vector<bool> out;
  out.reserve(ids.size());
  base::MutexLock lock(mutex_);
  Expire();
  for (const nostr::EventId& id : ids) {
    out.push_back(refused_.contains(id) || waiting_.contains(id));
    hits_ += out.back() ? 1 : 0;
  }
  return out;
}

size_t RejectedIndex::size() const {
  base::MutexLock lock(mutex_);
  return refused_.size();
}

uint64_t RejectedIndex::hits() const {
  base::MutexLock lock(mutex_);
  return hits_;
}

void RejectedIndex::Expire() {
  const auto now = clock_.Now();
  while (!by_age_.empty() && now - by_age_.front().first >= limits_.keep) DropOldest();
}

void RejectedIndex::DropOldest() {
  refused_.erase(by_age_.front().second);
  by_age_.pop_front();
}

}  // namespace graspd::ingest
