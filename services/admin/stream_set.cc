#include "services/admin/stream_set.h"

#include <utility>

namespace graspd::admin {

bool StreamSet::Add(std::shared_ptr<OpenStream> stream) {
  base::MutexLock lock(mutex_);
  if (stopped_ || streams_.size() >= capacity_) return false;
  streams_.insert(std::move(stream));
  return true;
}

void StreamSet::Remove(const std::shared_ptr<OpenStream>& stream) {
  base::MutexLock lock(mutex_);
  streams_.erase(stream);
}

void StreamSet::PokeAll() {
  for (const auto& stream : Snapshot()) stream->Poke();
}

void StreamSet::StopAll() {
  {
    base::MutexLock lock(mutex_);
    stopped_ = true;
  }
  for (const auto& stream : Snapshot()) stream->Stop();
}

size_t StreamSet::size() const {
  base::MutexLock lock(mutex_);
  return streams_.size();
}

std::vector<std::shared_ptr<OpenStream>> StreamSet::Snapshot() const {
  base::MutexLock lock(mutex_);
  return {streams_.begin(), streams_.end()};
}

}  // namespace graspd::admin
