#include "sync/fair_limit.h"

#include <algorithm>

namespace graspd::sync {
namespace {

template <typename Map, typename Key>
size_t CountOf(const Map& counts, const Key& key) {
  const auto found = counts.find(key);
  return found == counts.end() ? 0 : found->second;
}

template <typename Map, typename Key>
void Decrement(Map& counts, const Key& key) {
  const auto found = counts.find(key);
  if (--found->second == 0) counts.erase(found);
}

}  // namespace

std::string SiteOf(const nostr::RelayUrl& url) {
  return url.host_is_ip() ? "(addresses)" : std::string(nostr::SiteOf(url.host()));
}

bool FairLimit::MayTake(const nostr::PublicKey& author) const {
  return MoreIsLeftThan(CountOf(by_author_, author));
}

bool FairLimit::MayTake(const std::string& site) const {
  return MoreIsLeftThan(CountOf(by_site_, site));
}

size_t FairLimit::UsedBy(const DialAccount& account) const {
  const size_t author = account.author ? CountOf(by_author_, *account.author) : 0;
  return std::max(author, CountOf(by_site_, account.site));
}

void FairLimit::Take(const DialAccount& account) {
  ++used_;
  if (account.author) ++by_author_[*account.author];
  if (!account.site.empty()) ++by_site_[account.site];
}

void FairLimit::Return(const DialAccount& account) {
  --used_;
  ReturnForgiven(account);
}

void FairLimit::ReturnForgiven(const DialAccount& account) {
  if (account.author) Decrement(by_author_, *account.author);
  if (!account.site.empty()) Decrement(by_site_, account.site);
}

}  // namespace graspd::sync
