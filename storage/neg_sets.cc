#include "storage/neg_sets.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "base/status_macros.h"

namespace graspd::storage {
namespace {

constexpr size_t kMaxKept = 16;
constexpr size_t kLeastChanges = 1000, kMostChanges = 10'000;  // that may wait, of one set
constexpr size_t kItemsPerChange = 8;                          // read as quickly as one is applied
constexpr size_t kItemsPerReservation = 8192;

// What relays that proactively sync (GRASP-02) ask of each other again and again.
bool IsSyncFilter(const nostr::Filter& filter) {
  nostr::Filter sync;
  sync.kinds = {10317, 30617};
  return filter == sync;
}

}  // namespace

/// Somebody who has asked for a set.
struct NegSets::Waiting {
  Done done;
  EventStore::Stop stop;

  [[nodiscard]] static bool NoneOf(const std::vector<Waiting>& all) {
    return std::all_of(all.begin(), all.end(), [](const Waiting& w) { return w.stop && w.stop(); });
  }
};

/// One filter and its set. While `busy`, one thread works on the set; what it has no right to touch
/// is guarded by NegSets::mutex_.
struct NegSets::Entry {
  Entry(nostr::Filter f, std::string k)
      : filter(std::move(f)),
        key(std::move(k)),
        keep(IsSyncFilter(filter) ? kKeptForSync : base::Duration::zero()) {}

  const nostr::Filter filter;
  const std::string key;

  // Guarded.
  base::Duration keep;  // while nobody uses it
  bool busy = false;
  std::vector<Waiting> waiting;
  std::vector<SetChange> changes;  // not yet applied
  bool behind = false;             // changes were lost
  size_t items = 0;                // when the set was last handed out
  base::SteadyTime asked_at;
  [[nodiscard]] size_t max_changes() const {
    return std::clamp(items / kItemsPerChange, kLeastChanges, kMostChanges);
  }

  std::unique_ptr<KeptSet> set;  // of who is busy

  // Held by everything that has been handed out.
  const std::shared_ptr<char> in_use = std::make_shared<char>();
  [[nodiscard]] bool used() const { return in_use.use_count() > 1; }
  [[nodiscard]] SetPtr HandOut() const {
    return {set->Snapshot().get(),
            [snapshot = set->Snapshot(), holds = in_use](const negentropy::ItemView*) {}};
  }
};

/// Memory that is spoken for until this is destroyed.
class NegSets::Reservation {
 public:
  explicit Reservation(NegSets& sets) : sets_(sets) {}
  ~Reservation() { sets_.bytes_->fetch_sub(held_); }
  Reservation(const Reservation&) = delete;
  Reservation& operator=(const Reservation&) = delete;

  [[nodiscard]] bool Grow(size_t bytes) {
    if (!sets_.TryReserve(bytes)) return false;
    held_ += bytes;
    return true;
  }
  [[nodiscard]] size_t held() const { return held_; }

 private:
  NegSets& sets_;
  size_t held_ = 0;
};

NegSets::NegSets(EventStore& store, CommitFeed& feed, const base::Clock& clock, size_t max_items,
                 size_t max_bytes)
    : store_(store),
      clock_(clock),
      // More would not fit, whatever else is dropped: to come again later would not help.
      max_items_(std::min(max_items, max_bytes / KeptSet::kBytesPerItem)),
      max_bytes_(max_bytes) {
  feed_ = feed.Subscribe([this](const CommitPtr& commit) { OnCommit(*commit); });
}

NegSets::~NegSets() = default;

size_t NegSets::kept() const {
  base::MutexLock lock(mutex_);
  return entries_.size();
}

// On the writer's thread: notes what matters, so that no commit is kept for long.
void NegSets::OnCommit(const Commit& commit) {
  base::MutexLock lock(mutex_);
  if (entries_.empty()) return;
  nostr::TagValues tags;
  for (const Change& change : commit.changes) {
    if (change.type == Change::Type::kAdded) tags.Assign(change.event->event.tags);
    for (const auto& [key, entry] : entries_) {
      if (entry->behind) continue;
      if (const auto found = KeptSet::ChangeFor(entry->filter, change, tags)) {
        entry->changes.push_back(*found);
      }
      entry->behind = entry->changes.size() > entry->max_changes();
    }
  }
  for (const auto& [key, entry] : entries_) {
    if (entry->behind) entry->changes = {};
  }
}

// The entry is there before the store is read: what is committed from then on comes by the feed.
void NegSets::Get(nostr::Filter filter, Done done, base::Duration keep, EventStore::Stop stop) {
  filter.limit.reset();
  filter.Normalize();
  const std::string key = nostr::FilterJson(filter);
  EntryPtr entry, dropped;
  {
    base::MutexLock lock(mutex_);
    EntryPtr& place = entries_[key];
    if (!place) place = std::make_shared<Entry>(std::move(filter), key);
    entry = place;
    entry->asked_at = clock_.Now();
    entry->keep = std::max(entry->keep, keep);
    entry->waiting.push_back({std::move(done), std::move(stop)});
    if (entry->busy) return;  // who is busy serves this one, too
    entry->busy = true;
    if (entries_.size() > kMaxKept && (dropped = OldestLocked(false))) entries_.erase(dropped->key);
  }
  dropped.reset();  // its memory may be what the scan needs
  Serve(entry);
}

// By the thread that has made the entry busy. Who comes while it works is served in another turn,
// because a scan that has begun already may lack what that one knows to be stored.
void NegSets::Serve(const EntryPtr& entry) {
  for (bool again = true; again;) {
    std::vector<Waiting> waiting;
    std::vector<SetChange> changes;
    bool behind;
    {
      base::MutexLock lock(mutex_);
      waiting.swap(entry->waiting);
      changes.swap(entry->changes);
      behind = std::exchange(entry->behind, false);
    }
    if (behind || (entry->set && entry->set->worn())) entry->set = nullptr;
    if (entry->set || !waiting.empty()) {
      const auto nobody_waits = [&] {
        if (!Waiting::NoneOf(waiting)) return false;
        base::MutexLock lock(mutex_);
        return Waiting::NoneOf(entry->waiting);
      };
      const absl::StatusOr<SetPtr> set = Update(*entry, changes, nobody_waits);
      if (!set.ok()) {
        if (Fail(entry, std::move(waiting), set.status())) return;
        continue;
      }
      for (const Waiting& one : waiting) one.done(set);
    }
    base::MutexLock lock(mutex_);
    again = entry->busy = !entry->waiting.empty();
  }
}

// False if the entry has to be served again: somebody came when the scan was given up.
bool NegSets::Fail(const EntryPtr& entry, std::vector<Waiting> waiting,
                   const absl::Status& status) {
  bool ended = true;
  {
    base::MutexLock lock(mutex_);
    ended = !absl::IsCancelled(status) || entry->waiting.empty();
    if (ended) {
      std::move(entry->waiting.begin(), entry->waiting.end(), std::back_inserter(waiting));
      entries_.erase(entry->key);  // it is there: what is busy is not dropped
    }
  }
  entry->set = nullptr;
  for (const Waiting& one : waiting) one.done(status);
  return ended;
}

// What was published before a scan is in it.
absl::StatusOr<NegSets::SetPtr> NegSets::Update(Entry& entry, const std::vector<SetChange>& changes,
                                                const EventStore::Stop& stop) {
  if (!entry.set) {
    GRASPD_RETURN_IF_ERROR(Scan(entry, stop));
  } else {
    for (const SetChange& change : changes) entry.set->Apply(change);
  }
  entry.set->DropExpired(clock_.UnixNow());
  if (entry.set->size() > max_items_) {
    return absl::ResourceExhaustedError("the filter matches too many events");
  }
  while (bytes() > max_bytes_) {
    if (!DropOldestUnused()) return absl::UnavailableError("too many reconciliations at once");
  }
  base::MutexLock lock(mutex_);
  entry.items = entry.set->size();
  return entry.HandOut();
}

absl::Status NegSets::Scan(Entry& entry, const EventStore::Stop& stop) {
  // Counted before it is collected, where there can be too many: nobody's set is dropped in vain.
  GRASPD_ASSIGN_OR_RETURN(const auto stats, store_.GetStats());
  if (stats.events > max_items_) {
    GRASPD_ASSIGN_OR_RETURN(const uint64_t count,
                            store_.Count({entry.filter}, clock_.UnixNow(), stop));
    if (count > max_items_) {
      return absl::ResourceExhaustedError("the filter matches too many events");
    }
  }
  ++scans_;
  ++scanning_;
  Reservation reservation(*this);
  size_t room = 0;
  std::vector<negentropy::Item> items;
  std::vector<KeptSet::Expiring> expiring;
  const auto collect = [&](const negentropy::Item& item, std::optional<uint64_t> expiration) {
    if (items.size() == max_items_) {
      return absl::ResourceExhaustedError("the filter matches too many events");
    }
    if (items.size() + expiring.size() + 2 > room) {
      if (!reservation.Grow(kItemsPerReservation * KeptSet::kBytesPerItem)) {
        const bool alone = reservation.held() + kItemsPerReservation * KeptSet::kBytesPerItem >
                           max_bytes_;  // then to come again later would not help
        return alone ? absl::ResourceExhaustedError("the filter matches too many events")
                     : absl::UnavailableError("too many reconciliations at once");
      }
      room += kItemsPerReservation;
    }
    items.push_back(item);
    if (expiration) expiring.push_back({*expiration, item});
    return absl::OkStatus();
  };
  const absl::Status status = store_.VisitItems(entry.filter, clock_.UnixNow(), collect, stop);
  if (status.ok()) {
    FromServedOrder(items);
    entry.set = std::make_unique<KeptSet>(items, std::move(expiring), bytes_);
  }
  --scanning_;
  return status;
}

bool NegSets::TryReserve(size_t bytes) {
  for (;;) {
    size_t used = bytes_->load();
    while (used + bytes <= max_bytes_) {
      if (bytes_->compare_exchange_weak(used, used + bytes)) return true;
    }
    if (!DropOldestUnused()) return false;
  }
}

bool NegSets::DropOldestUnused() {
  EntryPtr dropped;  // destroyed without the lock
  base::MutexLock lock(mutex_);
  if ((dropped = OldestLocked(true))) entries_.erase(dropped->key);
  return dropped != nullptr;
}

NegSets::EntryPtr NegSets::OldestLocked(bool unused_only) {
  EntryPtr oldest;
  for (const auto& [key, entry] : entries_) {
    if (entry->busy || (unused_only && entry->used())) continue;
    if (!oldest || entry->asked_at < oldest->asked_at) oldest = entry;
  }
  return oldest;
}

void NegSets::Tend() {
  std::vector<EntryPtr> dropped, late;
  {
    base::MutexLock lock(mutex_);
    dropped = TakeUnusedLocked(clock_.Now());
    for (const auto& [key, entry] : entries_) {
      if (entry->busy || entry->changes.empty()) continue;
      entry->busy = true;
      late.push_back(entry);
    }
  }
  dropped.clear();
  for (const EntryPtr& entry : late) Serve(entry);
}

std::vector<NegSets::EntryPtr> NegSets::TakeUnusedLocked(base::SteadyTime now) {
  std::vector<EntryPtr> unused, taken;
  size_t items = 0;
  for (const auto& [key, entry] : entries_) {
    if (entry->busy || entry->used()) continue;
    unused.push_back(entry);
    items += entry->items;
  }
  std::sort(unused.begin(), unused.end(),
            [](const auto& a, const auto& b) { return a->asked_at < b->asked_at; });
  for (EntryPtr& entry : unused) {
    const bool too_much = items * negentropy::ItemTree::kMaxBytesPerItem > max_bytes_ / 2;
    if (!too_much && now - entry->asked_at < entry->keep) continue;
    items -= entry->items;
    entries_.erase(entry->key);
    taken.push_back(std::move(entry));
  }
  return taken;
}

}  // namespace graspd::storage
