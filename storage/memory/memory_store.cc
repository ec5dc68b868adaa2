#include "storage/memory/memory_store.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "base/mutex.h"
#include "base/status_macros.h"
#include "storage/apply.h"

namespace graspd::storage {
namespace {

/// Served order: newest first, ties by lower id.
struct ServedOrder {
  bool operator()(const negentropy::Item& a, const negentropy::Item& b) const {
    return nostr::ServedBefore(a.created_at, a.id, b.created_at, b.id);
  }
};

struct StoredEvent {
  nostr::EventPtr record;
  Source source = Source::kDirect;
  FeedPosition position;
  uint64_t change = 0;  // key in State::feed
};

struct FeedEntry {
  FeedPosition position;
  Change change;
};

bool Served(const StoredEvent& stored, uint64_t unix_now) {
  return !nostr::IsExpired(stored.record->event, unix_now);
}

/// Everything the store knows. A plain value, guarded by the store's mutex.
struct State {
  using Order = std::set<negentropy::Item, ServedOrder>;
  std::map<nostr::EventId, StoredEvent> events;
  Order by_time;
  std::map<nostr::Address, nostr::EventId> current;
  std::set<std::pair<uint64_t, uint64_t>> expirations;  // (expiration, change)
  std::set<nostr::EventId> gone;
  std::set<std::pair<nostr::EventId, nostr::PublicKey>> id_tombstones;
  std::map<nostr::Address, uint64_t> address_tombstones;
  std::map<nostr::Address, Version> floors;
  std::map<uint64_t, FeedEntry> feed;  // by number of the change
  uint64_t next_change = 1;
  uint64_t bytes = 0;

  /// The events that match, in served order, after `after` if given. Stops when `visit` returns
  /// false, and when `stop` says so: kCancelled. Looks up ids; otherwise goes through everything:
  /// simple rather than fast.
  absl::Status Visit(const nostr::Filter& filter, uint64_t unix_now, const negentropy::Item* after,
                     const std::function<bool(const StoredEvent&)>& visit,
                     const EventStore::Stop& stop = nullptr) const {
    constexpr uint64_t kBetweenStops = 10'000;
    uint64_t looked_at = 0;
    const Order listed = filter.ids ? OrderOf(*filter.ids) : Order();
    const Order& order = filter.ids ? listed : by_time;
    for (auto it = after != nullptr ? order.upper_bound(*after) : order.begin(); it != order.end();
         ++it) {
      if (stop && ++looked_at % kBetweenStops == 0 && stop()) {
        return absl::CancelledError("nobody waits for the answer");
      }
      const StoredEvent& stored = events.at(it->id);
      if (!Served(stored, unix_now) || !nostr::Matches(filter, stored.record->event)) continue;
      if (!visit(stored)) break;
    }
    return absl::OkStatus();
  }

 private:
  Order OrderOf(const std::vector<nostr::EventId>& ids) const {
    Order order;
    for (const nostr::EventId& id : ids) {
      const auto it = events.find(id);
      if (it != events.end()) order.insert({it->second.record->event.created_at, id});
    }
    return order;
  }
};

/// Writes straight into the state and remembers how to undo it. Commit() keeps the changes;
/// otherwise the destructor takes them back.
class MemoryTransaction final : public WriteTransaction {
 public:
  MemoryTransaction(State& state, uint64_t unix_now) : state_(state), unix_now_(unix_now) {}
  ~MemoryTransaction() override {
    for (auto it = undo_.rbegin(); it != undo_.rend(); ++it) (*it)();
  }
  void Commit() { undo_.clear(); }

  absl::StatusOr<std::optional<nostr::Kind>> FindKind(const nostr::EventId& id) const override {
    const auto it = state_.events.find(id);
    if (it == state_.events.end() || !Served(it->second, unix_now_)) return std::nullopt;
    return it->second.record->event.kind;
  }
  absl::StatusOr<bool> Contains(const nostr::Address& address) const override {
    const auto it = state_.current.find(address);
    if (it == state_.current.end()) return false;
    GRASPD_ASSIGN_OR_RETURN(const auto kind, FindKind(it->second));
    return kind.has_value();
  }

  absl::StatusOr<bool> AnyTagged(char letter, const std::string& value,
                                 std::span<const nostr::Kind> other_than,
                                 size_t max_events) const override {
    nostr::Filter filter;
    filter.tags[letter] = {value};
    bool found = false;
    GRASPD_RETURN_IF_ERROR(state_.Visit(filter, 0, nullptr, [&](const StoredEvent& stored) {
      if (max_events-- == 0) return false;
      const nostr::Kind kind = stored.record->event.kind;
      found = Served(stored, unix_now_) &&
              std::find(other_than.begin(), other_than.end(), kind) == other_than.end();
      return !found;
    }));
    return found;
  }

  absl::StatusOr<bool> AnyBy(const nostr::PublicKey& author, size_t max_events) const override {
    nostr::Filter filter;
    filter.authors = {author};
    bool found = false;
    GRASPD_RETURN_IF_ERROR(state_.Visit(filter, 0, nullptr, [&](const StoredEvent& stored) {
      if (max_events-- == 0) return false;
      found = Served(stored, unix_now_);
      return !found;
    }));
    return found;
  }

  absl::Status VisitTagged(nostr::Kind kind, char letter, const std::string& value,
                           size_t max_events,
                           const std::function<bool(std::string json)>& visit) const override {
    nostr::Filter filter;
    filter.tags[letter] = {value};
    bool passing = false;  // over others
    return state_.Visit({}, 0, nullptr, [&](const StoredEvent& stored) {
      const nostr::Event& event = stored.record->event;
      const bool served = Served(stored, unix_now_);
      if (event.kind == kind && served) passing = false;
      if (!nostr::Matches(filter, event) || (passing && event.kind != kind)) return true;
      if (max_events-- == 0) return false;
      passing = event.kind != kind;
      return passing || !served || visit(stored.record->json);
    });
  }

  absl::StatusOr<std::optional<Stored>> Find(const nostr::EventId& id) const override {
    const auto it = state_.events.find(id);
    if (it == state_.events.end()) return std::nullopt;
    const nostr::Event& event = it->second.record->event;
    return Stored{event.id,
                  event.pubkey,
                  event.kind,
                  event.created_at,
                  nostr::ExpirationOf(event),
                  nostr::AddressOf(event)};
  }

  absl::StatusOr<std::optional<Stored>> FindAddress(const nostr::Address& address) const override {
    const auto it = state_.current.find(address);
    if (it == state_.current.end()) return std::nullopt;
    return Find(it->second);
  }

  absl::Status Insert(const nostr::EventRecord& record, Source source,
                      FeedPosition position) override;
  absl::Status Remove(const nostr::EventId& id, Removal reason, FeedPosition position) override;

  absl::Status MarkGone(const nostr::EventId& id) override {
    AddTo(state_.gone, id);
    return absl::OkStatus();
  }

  absl::Status AddIdTombstone(const nostr::EventId& id, const nostr::PublicKey& author) override {
    AddTo(state_.id_tombstones, std::pair(id, author));
    return absl::OkStatus();
  }

  absl::StatusOr<bool> HasIdTombstone(const nostr::EventId& id,
                                      const nostr::PublicKey& author) const override {
    return state_.id_tombstones.contains({id, author});
  }

  absl::Status AddAddressTombstone(const nostr::Address& address, uint64_t until) override {
    const auto it = state_.address_tombstones.find(address);
    if (it == state_.address_tombstones.end() || it->second < until) {
      Assign(state_.address_tombstones, address, until);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::optional<uint64_t>> AddressTombstone(
      const nostr::Address& address) const override {
    const auto it = state_.address_tombstones.find(address);
    if (it == state_.address_tombstones.end()) return std::nullopt;
    return it->second;
  }

  absl::Status RaiseAddressFloor(const nostr::Address& address, const Version& version) override {
    const auto it = state_.floors.find(address);
    if (it == state_.floors.end() ||
        nostr::Supersedes(version.created_at, version.id, it->second.created_at, it->second.id)) {
      Assign(state_.floors, address, version);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::optional<Version>> AddressFloor(
      const nostr::Address& address) const override {
    const auto it = state_.floors.find(address);
    if (it == state_.floors.end()) return std::nullopt;
    return it->second;
  }

 private:
  template <typename Set, typename Value>
  void AddTo(Set& set, const Value& value) {
    if (set.insert(value).second) undo_.push_back([&set, value] { set.erase(value); });
  }
  template <typename Set, typename Value>
  void EraseFrom(Set& set, const Value& value) {
    if (set.erase(value) != 0) undo_.push_back([&set, value] { set.insert(value); });
  }
  template <typename Map>
  void Assign(Map& map, const typename Map::key_type& key, typename Map::mapped_type value) {
    const auto [it, added] = map.try_emplace(key);
    if (added) {
      undo_.push_back([&map, key] { map.erase(key); });
    } else {
      undo_.push_back([&map, key, old = it->second] { map[key] = old; });
    }
    it->second = std::move(value);
  }
  template <typename Map>
  void EraseKey(Map& map, const typename Map::key_type& key) {
    const auto it = map.find(key);
    if (it == map.end()) return;
    undo_.push_back([&map, key, old = std::move(it->second)]() mutable {
      map.insert_or_assign(key, std::move(old));
    });
    map.erase(it);
  }
  void AddBytes(int64_t delta) {
    state_.bytes += static_cast<uint64_t>(delta);
    undo_.push_back([this, delta] { state_.bytes -= static_cast<uint64_t>(delta); });
  }

  State& state_;
  const uint64_t unix_now_;
  std::vector<std::function<void()>> undo_;
};

absl::Status MemoryTransaction::Insert(const nostr::EventRecord& record, Source source,
                                       FeedPosition position) {
  const nostr::Event& event = record.event;
  const uint64_t number = state_.next_change++;
  auto copy = std::make_shared<const nostr::EventRecord>(record);
  Change change;
  change.event = copy;
  change.source = source;
  change.id = event.id;
  change.created_at = event.created_at;
  change.kind = event.kind;
  Assign(state_.events, event.id, StoredEvent{copy, source, position, number});
  Assign(state_.feed, number, FeedEntry{position, std::move(change)});
  AddTo(state_.by_time, negentropy::Item{event.created_at, event.id});
  if (const auto address = nostr::AddressOf(event)) Assign(state_.current, *address, event.id);
  if (const auto expiration = nostr::ExpirationOf(event)) {
    AddTo(state_.expirations, std::pair(*expiration, number));
  }
  AddBytes(static_cast<int64_t>(record.json.size()));
  return absl::OkStatus();
}

absl::Status MemoryTransaction::Remove(const nostr::EventId& id, Removal reason,
                                       FeedPosition position) {
  const auto it = state_.events.find(id);
  if (it == state_.events.end()) return absl::InternalError("removing an event that is not stored");
  const StoredEvent stored = it->second;
  const nostr::Event& event = stored.record->event;
  if (const auto address = nostr::AddressOf(event)) {
    const auto current = state_.current.find(*address);
    if (current != state_.current.end() && current->second == id) {
      EraseKey(state_.current, *address);
    }
  }
  if (const auto expiration = nostr::ExpirationOf(event)) {
    EraseFrom(state_.expirations, std::pair(*expiration, stored.change));
  }
  EraseFrom(state_.by_time, negentropy::Item{event.created_at, id});
  EraseKey(state_.feed, stored.change);
  EraseKey(state_.events, id);
  AddBytes(-static_cast<int64_t>(stored.record->json.size()));

  Change change;
  change.type = Change::Type::kRemoved;
  change.id = id;
  change.created_at = event.created_at;
  change.kind = event.kind;
  change.reason = reason;
  Assign(state_.feed, state_.next_change++, FeedEntry{position, std::move(change)});
  return absl::OkStatus();
}

/// One lock over everything; the judge runs under it and reads through the transaction it is given.
class MemoryStore final : public EventStore {
 public:
  absl::StatusOr<BatchResult> Write(std::span<const WriteRequest> batch, Judge& judge,
                                    uint64_t unix_now) override {
    base::MutexLock lock(mutex_);
    MemoryTransaction txn(state_, unix_now);
    GRASPD_ASSIGN_OR_RETURN(BatchResult result,
                            ApplyBatch(batch, judge, unix_now, {position_ + 1}, txn));
    txn.Commit();
    Advance(result.commit);
    return result;
  }

  absl::StatusOr<Commit> RemoveExpired(uint64_t unix_now, size_t max) override {
    base::MutexLock lock(mutex_);
    MemoryTransaction txn(state_, unix_now);
    std::vector<WriteTransaction::Stored> expired;
    for (const auto& [expiration, change] : state_.expirations) {
      if (expiration > unix_now || expired.size() == max) break;
      GRASPD_ASSIGN_OR_RETURN(const auto stored, txn.Find(state_.feed.at(change).change.id));
      if (stored) expired.push_back(*stored);
    }
    GRASPD_ASSIGN_OR_RETURN(Commit commit,
                            RemoveAll(expired, Removal::kExpired, {position_ + 1}, txn));
    txn.Commit();
    Advance(commit);
    return commit;
  }

  FeedPosition Position() const override { return {position_.load()}; }

  absl::StatusOr<QueryPage> Query(const QuerySpec& spec, const QueryCursor* resume) override;

  absl::StatusOr<uint64_t> Count(const std::vector<nostr::Filter>& filters, uint64_t unix_now,
                                 const Stop& stop) override {
    base::MutexLock lock(mutex_);
    std::set<nostr::EventId> found;
    const auto add = [&](const StoredEvent& stored) {
      return found.insert(stored.record->event.id), true;
    };
    for (const nostr::Filter& filter : filters) {
      GRASPD_RETURN_IF_ERROR(state_.Visit(filter, unix_now, nullptr, add, stop));
    }
    return found.size();
  }

  absl::Status VisitItems(const nostr::Filter& filter, uint64_t unix_now, const ItemVisitor& visit,
                          const Stop& stop) override {
    base::MutexLock lock(mutex_);
    absl::Status status;
    const auto tell = [&](const StoredEvent& stored) {
      const nostr::Event& event = stored.record->event;
      status = visit({event.created_at, event.id}, nostr::ExpirationOf(event));
      return status.ok();
    };
    GRASPD_RETURN_IF_ERROR(state_.Visit(filter, unix_now, nullptr, tell, stop));
    return status;
  }

  absl::StatusOr<std::optional<nostr::Signature>> FindSignature(const nostr::EventId& id) override {
    base::MutexLock lock(mutex_);
    const auto it = state_.events.find(id);
    if (it == state_.events.end()) return std::nullopt;
    return it->second.record->event.sig;
  }

  absl::StatusOr<std::vector<bool>> Known(std::span<const nostr::EventId> ids) override {
    base::MutexLock lock(mutex_);
    std::vector<bool> known;
    known.reserve(ids.size());
    for (const auto& id : ids) {
      known.push_back(state_.events.contains(id) || state_.gone.contains(id));
    }
    return known;
  }

  absl::StatusOr<FeedPage> ReadFeed(FeedPosition after, size_t max_changes) override;

  absl::StatusOr<std::optional<KeyValue>> GetKey(std::string_view key) override {
    GRASPD_RETURN_IF_ERROR(CheckKeyValue(key, std::nullopt));
    base::MutexLock lock(mutex_);
    const auto it = keys_.find(key);
    if (it == keys_.end()) return std::nullopt;
    return it->second;
  }

  absl::StatusOr<std::vector<KeyValue>> ListKeys(std::string_view prefix) override {
    base::MutexLock lock(mutex_);
    std::vector<KeyValue> out;
    for (auto it = keys_.lower_bound(prefix); it != keys_.end(); ++it) {
      if (!it->first.starts_with(prefix)) break;
      out.push_back(it->second);
    }
    return out;
  }

  absl::StatusOr<uint64_t> CompareAndSet(std::string_view key, uint64_t expected_version,
                                         std::optional<std::string_view> value) override {
    GRASPD_RETURN_IF_ERROR(CheckKeyValue(key, value));
    base::MutexLock lock(mutex_);
    const auto it = keys_.find(key);
    const uint64_t version = it == keys_.end() ? 0 : it->second.version;
    if (version != expected_version) return absl::AbortedError("the key was changed meanwhile");
    if (!value) {
      if (it != keys_.end()) keys_.erase(it);
      return 0;
    }
    const uint64_t next = ++last_key_version_;
    keys_.insert_or_assign(std::string(key), KeyValue{std::string(key), std::string(*value), next});
    return next;
  }

  absl::StatusOr<Stats> GetStats() override {
    base::MutexLock lock(mutex_);
    return Stats{state_.events.size(), state_.bytes};
  }

  absl::Status Health() const override { return absl::OkStatus(); }

 private:
  void Advance(Commit& commit) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!commit.changes.empty()) ++position_;
    commit.position = {position_.load()};
  }

  /// Appends rows of one filter to the page; true if the filter is exhausted, false if the budget
  /// is.
  bool FillPage(const QuerySpec& spec, const nostr::Filter& filter, QueryCursor::PerFilter& at,
                QueryPage& page, size_t& bytes) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable base::Mutex mutex_;
  State state_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, KeyValue, std::less<>> keys_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_key_version_ ABSL_GUARDED_BY(mutex_) = 0;
  std::atomic<uint64_t> position_{0};  // written under mutex_
};

absl::StatusOr<QueryPage> MemoryStore::Query(const QuerySpec& spec, const QueryCursor* resume) {
  if (resume != nullptr && resume->filters.size() != spec.filters.size()) {
    return absl::InvalidArgumentError("the cursor belongs to another query");
  }
  base::MutexLock lock(mutex_);
  QueryPage page;
  if (resume != nullptr) page.cursor = *resume;
  page.cursor.filters.resize(spec.filters.size());
  size_t bytes = 0;
  for (size_t i = 0; i < spec.filters.size(); ++i) {
    QueryCursor::PerFilter& at = page.cursor.filters[i];
    if (!at.done) at.done = FillPage(spec, spec.filters[i], at, page, bytes);
    if (!at.done) return page;
  }
  page.done = true;
  return page;
}

bool MemoryStore::FillPage(const QuerySpec& spec, const nostr::Filter& filter,
                           QueryCursor::PerFilter& at, QueryPage& page, size_t& bytes) const {
  const uint64_t limit = filter.limit.value_or(UINT64_MAX);
  if (at.emitted >= limit) return true;
  const negentropy::Item last{at.created_at, at.id};
  bool exhausted = true;
  const auto add = [&](const StoredEvent& stored) {
    if (spec.as_of && stored.position > *spec.as_of) return true;
    const std::string& json = stored.record->json;
    const bool fits = page.rows.size() < spec.max_rows && bytes + json.size() <= spec.max_bytes;
    if (!fits && !page.rows.empty()) return exhausted = false;
    const nostr::Event& event = stored.record->event;
    page.rows.push_back({event.id, event.created_at, nostr::ExpirationOf(event), json});
    bytes += json.size();
    at.started = true;
    at.created_at = event.created_at;
    at.id = event.id;
    return ++at.emitted < limit;
  };
  (void)state_.Visit(filter, spec.unix_now, at.started ? &last : nullptr, add);  // nothing stops it
  return exhausted;
}

absl::StatusOr<FeedPage> MemoryStore::ReadFeed(FeedPosition after, size_t max_changes) {
  base::MutexLock lock(mutex_);
  FeedPage page;
  page.next = after;
  for (const auto& [number, entry] : state_.feed) {
    if (entry.position <= after) continue;
    if (entry.position != page.next && page.changes.size() >= std::max<size_t>(max_changes, 1)) {
      page.more = true;
      return page;
    }
    page.next = entry.position;
    page.changes.push_back(entry.change);
  }
  page.next = std::max(after, FeedPosition{position_.load()});
  return page;
}

}  // namespace

std::unique_ptr<EventStore> OpenMemoryStore() { return std::make_unique<MemoryStore>(); }

}  // namespace graspd::storage
