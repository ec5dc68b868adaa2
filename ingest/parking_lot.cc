#include "ingest/parking_lot.h"

#include "nostr/nip34.h"
#include "nostr/rules.h"

namespace graspd::ingest {
namespace {

constexpr size_t kKeyOverhead = 96;  // a node of the index and a string

// Index keys. The first letter says what the waiting event wants to see stored.
std::string WantsId(const nostr::EventId& id) { return "i" + std::string(id.view()); }
std::string WantsAddress(const nostr::Address& address) { return "a" + address.ToString(); }
std::string WantsReferenceToId(const nostr::EventId& id) { return "I" + std::string(id.view()); }
std::string WantsReferenceToAddress(const nostr::Address& address) {
  return "A" + address.ToString();
}
std::string WantsAuthor(const nostr::PublicKey& author) { return "p" + std::string(author.view()); }
std::string WantsNaming(const nostr::PublicKey& maintainer, std::string_view identifier) {
  return "m" + std::string(maintainer.view()) + std::string(identifier);
}

void AddRepositoryKeys(const nostr::Event& event, std::vector<std::string>& keys) {
  const std::string identifier(event.tags.FirstValue("d"));
  keys.push_back(WantsNaming(event.pubkey, identifier));
  // A state: its author's announcement. An announcement: the version that it would replace.
  keys.push_back(WantsAddress({nostr::kRepositoryAnnouncement, event.pubkey, identifier}));
}

void AddDeletionKeys(const nostr::Event& event, std::vector<std::string>& keys) {
  const auto targets = nostr::DeletionTargetsOf(event);
  for (const auto& id : targets.ids) keys.push_back(WantsId(id));
  keys.push_back(WantsAuthor(event.pubkey));  // covers its addresses: they are its author's
}

void AddReferenceKeys(const nostr::Event& event, std::vector<std::string>& keys) {
  const auto references = nostr::ReferencesOf(event);
  for (const auto& id : references.ids) keys.push_back(WantsId(id));
  for (const auto& address : references.addresses) keys.push_back(WantsAddress(address));
  keys.push_back(WantsReferenceToId(event.id));
  if (const auto own = nostr::AddressOf(event)) keys.push_back(WantsReferenceToAddress(*own));
}

/// What `event` waits for.
std::vector<std::string> WantedBy(const nostr::Event& event) {
  std::vector<std::string> keys;
  if (event.kind == nostr::kRepositoryAnnouncement || event.kind == nostr::kRepositoryState) {
    AddRepositoryKeys(event, keys);
  } else if (event.kind == nostr::kDeletionKind) {
    AddDeletionKeys(event, keys);
  } else {
    AddReferenceKeys(event, keys);
  }
  return keys;
}

/// The waits that end when `stored` is stored.
std::vector<std::string> GrantedBy(const nostr::Event& stored) {
  std::vector<std::string> keys = {WantsId(stored.id), WantsAuthor(stored.pubkey)};
  if (const auto address = nostr::AddressOf(stored)) keys.push_back(WantsAddress(*address));
  if (stored.kind == nostr::kRepositoryAnnouncement) {
    if (const auto announcement = nostr::ParseAnnouncement(stored); announcement.ok()) {
      for (const auto& maintainer : announcement->maintainers) {
        keys.push_back(WantsNaming(maintainer, announcement->address.identifier));
      }
    }
  }
  const auto references = nostr::ReferencesOf(stored);
  for (const auto& id : references.ids) keys.push_back(WantsReferenceToId(id));
  for (const auto& address : references.addresses) {
    keys.push_back(WantsReferenceToAddress(address));
  }
  return keys;
}

}  // namespace

void ParkingLot::Park(storage::WriteRequest request, base::SteadyTime now) {
  const nostr::EventId id = request.event->event.id;
  if (!by_id_.emplace(id, next_).second) return;
  Parked parked{std::move(request), now, {}, 0};
  parked.keys = WantedBy(parked.request.event->event);
  parked.bytes = sizeof parked + 2 * parked.request.event->json.size();
  for (const std::string& key : parked.keys) {
    parked.bytes += 2 * key.size() + kKeyOverhead;
    index_.emplace(key, next_);
  }
  bytes_ += parked.bytes;
  if (index_of_ids_) index_of_ids_->Hold(id);
  parked_.emplace(next_++, std::move(parked));
  while (parked_.size() > limits_.events || bytes_ > limits_.bytes) Remove(parked_.begin());
}

std::vector<storage::WriteRequest> ParkingLot::TakeWaitingFor(const nostr::Event& stored) {
  if (const auto itself = by_id_.find(stored.id); itself != by_id_.end()) {
    Remove(parked_.find(itself->second));
  }
  if (parked_.empty()) return {};
  std::set<Number> found;
  for (const std::string& key : GrantedBy(stored)) {
    for (auto it = index_.lower_bound({key, 0}); it != index_.end() && it->first == key; ++it) {
      found.insert(it->second);
    }
  }
  std::vector<storage::WriteRequest> out;
  for (const Number number : found) out.push_back(Remove(parked_.find(number)).request);
  return out;
}

std::vector<storage::WriteRequest> ParkingLot::TakeAll() {
  std::vector<storage::WriteRequest> out;
  while (!parked_.empty()) out.push_back(Remove(parked_.begin()).request);
  return out;
}

void ParkingLot::Expire(base::SteadyTime now) {
  while (!parked_.empty() && now - parked_.begin()->second.since >= limits_.keep) {
    Remove(parked_.begin());
  }
}

ParkingLot::Parked ParkingLot::Remove(std::map<Number, Parked>::iterator parked) {
  Parked out = std::move(parked->second);
  for (const std::string& key : out.keys) index_.erase({key, parked->first});
  by_id_.erase(out.request.event->event.id);
  if (index_of_ids_) index_of_ids_->Release(out.request.event->event.id);
  bytes_ -= out.bytes;
  parked_.erase(parked);
  return out;
}

}  // namespace graspd::ingest
