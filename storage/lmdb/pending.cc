#include "storage/lmdb/pending.h"

#include <algorithm>
#include <iterator>
#include <tuple>
#include <utility>

#include "nostr/rules.h"

namespace graspd::storage {
namespace {

constexpr size_t kGrowth = 4;  // between the sizes of neighbouring young arrays

void SetId(IndexEntry& entry, const nostr::EventId& id) {
  entry.place.fill('\0');
  std::copy_n(id.view().data(), nostr::EventId::kSize, entry.place.data());
}

std::string_view IdIn(const IndexEntry& entry) {
  return {entry.place.data(), nostr::EventId::kSize};
}

uint32_t FirstBytes(const nostr::EventId& id) {
  return uint32_t{id.bytes[0]} << 24 | uint32_t{id.bytes[1]} << 16 | uint32_t{id.bytes[2]} << 8 |
         id.bytes[3];
}

}  // namespace

Pending::Run::Run(Entries sorted)
    : entries(std::move(sorted)),
      ids(static_cast<size_t>(
          std::partition_point(entries.begin(), entries.end(),
                               [](const IndexEntry& entry) { return entry.index == Index::kIds; }) -
          entries.begin())) {}

// Ids are hashes, spread evenly: where one belongs can be guessed from its first bytes, and the
// guess is off by about the square root of their number. Whatever they are, this takes O(log n).
const IndexEntry* Pending::Run::LowerBound(const nostr::EventId& id) const {
  const auto below = [&](size_t i) { return IdIn(entries[i]) < id.view(); };
  const double share = static_cast<double>(FirstBytes(id)) / 0x1p32;
  const auto guess = static_cast<size_t>(share * static_cast<double>(ids));
  // [low, high]: everything before `low` is below, nothing from `high` on.
  size_t low = 0, high = ids;
  if (guess < ids) {
    size_t step = 4;
    if (below(guess)) {
      for (low = guess + 1; low + step < ids && below(low + step); step *= 2) low += step + 1;
      high = std::min(ids, low + step);
    } else {
      for (high = guess; high > step && !below(high - step); step *= 2) high -= step;
      low = high > step ? high - step : 0;
    }
  }
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (below(middle)) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return entries.data() + low;
}

std::vector<IndexEntry> IndexEntriesOf(const nostr::Event& event, ChangeNumber change,
                                       const TagHasher& hasher) {
  const std::vector<uint64_t> tags = TagPrefixes(event.tags, hasher);
  std::vector<IndexEntry> entries(4 + tags.size());
  IndexEntry entry;
  entry.change = change.value();
  entry.kind = event.kind;
  entry.expires = nostr::ExpirationOf(event).has_value();
  SetId(entry, event.id);
  entries[0] = entry;
  PutTimeId(event.created_at, event.id, entry.place.data());
  const auto set = [&](size_t at, Index index, uint64_t prefix) {
    entry.index = index;
    entry.prefix = prefix;
    entries[at] = entry;
  };
  set(1, Index::kTime, 0);
  set(2, Index::kKind, event.kind);
  set(3, Index::kAuthor, AuthorPrefix(event.pubkey));
  for (size_t i = 0; i < tags.size(); ++i) set(4 + i, Index::kTag, tags[i]);  // sorted by hash
  return entries;
}

void Pending::Add(Entries entries) {
  young_entries_ += entries.size();
  young_.push_back(std::make_shared<const Run>(std::move(entries)));
  MergeLast();
}

void Pending::AddAll(Entries entries) {
  if (entries.empty()) return;
  const auto first_young = std::partition(
      entries.begin(), entries.end(),
      [&](const IndexEntry& entry) { return entry.change <= progress_.begun.value(); });
  Entries young(first_young, entries.end());
  entries.erase(first_young, entries.end());
  if (!entries.empty()) {
    std::sort(entries.begin(), entries.end());
    frozen_ = std::make_shared<const Run>(std::move(entries));
    written_ = 0;
  }
  if (young.empty()) return;
  std::sort(young.begin(), young.end());
  Add(std::move(young));
}

void Pending::MergeLast() {
  while (young_.size() > 1) {
    const Entries& a = (*std::prev(young_.end(), 2))->entries;
    const Entries& b = young_.back()->entries;
    if (a.size() >= kGrowth * b.size()) return;
    Entries merged;
    merged.reserve(a.size() + b.size());
    std::merge(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(merged));
    young_.pop_back();
    young_.back() = std::make_shared<const Run>(std::move(merged));
  }
}

void Pending::Kill(ChangeNumber change) {
  if (change.value() <= progress_.done.value()) return;
  const auto at = std::lower_bound(dead_.begin(), dead_.end(), change.value());
  if (at == dead_.end() || *at != change.value()) dead_.insert(at, change.value());
}

bool Pending::IsDead(uint64_t change) const {
  return !dead_.empty() && std::binary_search(dead_.begin(), dead_.end(), change);
}

std::optional<ChangeNumber> Pending::FindId(const nostr::EventId& id) const {
  const auto find = [&](const Run& run) -> std::optional<ChangeNumber> {
    const IndexEntry* const end = run.entries.data() + run.ids;
    for (const IndexEntry* at = run.LowerBound(id); at != end && IdIn(*at) == id.view(); ++at) {
      if (!IsDead(at->change)) return ChangeNumber(at->change);
    }
    return std::nullopt;
  };
  for (const SharedEntries& entries : young_) {
    if (const auto found = find(*entries)) return found;
  }
  return frozen_ == nullptr ? std::nullopt : find(*frozen_);
}

void Pending::FindRanges(Index index, uint64_t prefix, std::string_view from,
                         const std::function<void(Range)>& visit) const {
  const auto before = [&](const IndexEntry& entry, int) {
    return std::tie(entry.index, entry.prefix) < std::tie(index, prefix) ||
           (entry.index == index && entry.prefix == prefix && entry.place_view() < from);
  };
  const auto find = [&](const Run& run) {
    const Entries& entries = run.entries;
    const auto at = std::lower_bound(entries.begin(), entries.end(), 0, before);
    if (at == entries.end() || at->index != index || at->prefix != prefix) return;
    const IndexEntry* const end = entries.data() + entries.size();
    visit({&*at, end});
  };
  if (frozen_ != nullptr) find(*frozen_);
  for (const SharedEntries& entries : young_) find(*entries);
}

void Pending::Freeze() {
  Entries all;
  all.reserve(young_entries_);
  // From the smallest: each merge is at most of the size of the next array and what came before.
  for (; !young_.empty(); young_.pop_back()) {
    Entries merged;
    merged.reserve(all.size() + young_.back()->size());
    const Entries& next = young_.back()->entries;
    std::merge(all.begin(), all.end(), next.begin(), next.end(), std::back_inserter(merged));
    all = std::move(merged);
  }
  young_entries_ = 0;
  frozen_ = std::make_shared<const Run>(std::move(all));
  written_ = 0;
  progress_.begun = seen_;
}

const IndexEntry* Pending::NextFrozen() const {
  return frozen_entries() == 0 ? nullptr : &frozen_->entries[written_];
}

void Pending::FinishFrozen() {
  frozen_.reset();
  written_ = 0;
  progress_.done = progress_.begun;
  dead_.erase(dead_.begin(), std::upper_bound(dead_.begin(), dead_.end(), progress_.done.value()));
}

}  // namespace graspd::storage
