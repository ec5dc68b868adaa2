#include "storage/kept_set.h"

#include <algorithm>
#include <utility>

#include "nostr/rules.h"

namespace graspd::storage {
namespace {

bool Later(const KeptSet::Expiring& a, const KeptSet::Expiring& b) {
  return a.expiration > b.expiration;
}

}  // namespace

KeptSet::KeptSet(const std::vector<negentropy::Item>& items, std::vector<Expiring> expiring,
                 negentropy::ItemTree::ByteCount bytes)
    : tree_(items, bytes), expiring_(std::move(expiring)), bytes_(std::move(bytes)) {
  std::make_heap(expiring_.begin(), expiring_.end(), Later);
  CountExpiring();
}

KeptSet::~KeptSet() { bytes_->fetch_sub(counted_); }

std::optional<SetChange> KeptSet::ChangeFor(const nostr::Filter& filter, const Change& change,
                                            const nostr::TagValues& tags) {
  if (change.ephemeral) return std::nullopt;
  if (filter.kinds &&
      !std::binary_search(filter.kinds->begin(), filter.kinds->end(), change.kind)) {
    return std::nullopt;
  }
  SetChange out{change.type == Change::Type::kAdded, {change.created_at, change.id}, std::nullopt};
  // Of what is removed too little is told to match it; if it is not in the set, nothing happens.
  if (!out.added) return out;
  if (!nostr::Matches(filter, change.event->event, tags)) return std::nullopt;
  out.expiration = nostr::ExpirationOf(change.event->event);
  return out;
}

void KeptSet::Apply(const SetChange& change) {
  if (!change.added) {
    tree_.Erase(change.item);
  } else if (tree_.Insert(change.item) && change.expiration) {
    expiring_.push_back({*change.expiration, change.item});
    std::push_heap(expiring_.begin(), expiring_.end(), Later);
    CountExpiring();
  }
}

void KeptSet::DropExpired(uint64_t unix_now) {
  while (!expiring_.empty() && expiring_.front().expiration <= unix_now) {
    tree_.Erase(expiring_.front().item);
    std::pop_heap(expiring_.begin(), expiring_.end(), Later);
    expiring_.pop_back();
  }
}

bool KeptSet::worn() const { return expiring_.size() > 2 * tree_.size() + 1000; }

void KeptSet::CountExpiring() {
  const size_t now = expiring_.capacity() * sizeof(Expiring);
  if (now == counted_) return;
  bytes_->fetch_add(now - counted_);  // it only grows
  counted_ = now;
}

}  // namespace graspd::storage
