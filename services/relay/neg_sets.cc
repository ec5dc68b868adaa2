#include "services/relay/neg_sets.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/status_macros.h"

namespace graspd::relay {
namespace {

constexpr size_t kBytesPerItem = sizeof(negentropy::Item) + 32 / negentropy::SealedSet::kBlock;
constexpr size_t kMaxCached = 64;
// A set may have lost events by expiry since it was made: not older than this.
constexpr uint64_t kMaxAgeSeconds = 5;

absl::Status NoRoom() { return absl::UnavailableError("too many reconciliations at once"); }

}  // namespace

absl::StatusOr<NegSets::SetPtr> NegSets::Get(nostr::Filter filter, uint64_t unix_now) {
  filter.limit.reset();
  const std::string key = nostr::FilterJson(filter);
  // Taken before reading: what is committed in between makes the set newer than its label, never
  // older.
  const storage::FeedPosition position = store_.Position();
  if (SetPtr set = Find(key, position, unix_now)) return set;

  const size_t used = bytes();
  const size_t room = (max_bytes_ - std::min(used, max_bytes_)) / kBytesPerItem;
  auto items = store_.ListItems(filter, unix_now, std::min(max_items_, room));
  if (!items.ok()) {
    const bool too_many = absl::IsResourceExhausted(items.status());
    return too_many && room < max_items_ ? NoRoom() : items.status();
  }
  SetPtr set = Seal(*std::move(items));
  if (bytes() > max_bytes_) return NoRoom();  // another has taken the room meanwhile
  Remember(key, {set, position, unix_now});
  return set;
}

NegSets::SetPtr NegSets::Seal(std::vector<negentropy::Item> items) {
  const auto* set = new negentropy::SealedSet(std::move(items));
  const size_t size = set->memory_bytes();
  bytes_->fetch_add(size);
  return SetPtr(set, [total = bytes_, size](const negentropy::SealedSet* dead) {
    delete dead;
    total->fetch_sub(size);
  });
}

NegSets::SetPtr NegSets::Find(const std::string& key, storage::FeedPosition position,
                              uint64_t unix_now) {
  base::MutexLock lock(mutex_);
  const auto it = cache_.find(key);
  if (it == cache_.end() || it->second.position != position) return nullptr;
  if (unix_now - it->second.unix_now > kMaxAgeSeconds) return nullptr;
  return it->second.set.lock();
}

void NegSets::Remember(const std::string& key, Cached cached) {
  base::MutexLock lock(mutex_);
  std::erase_if(cache_, [](const auto& entry) { return entry.second.set.expired(); });
  if (cache_.size() >= kMaxCached) cache_.erase(cache_.begin());
  cache_.insert_or_assign(key, std::move(cached));
}

}  // namespace graspd::relay
