#include "bench/load/remote_set.h"

#include <algorithm>
#include <numeric>

#include "base/status_macros.h"
#include "nostr/event.h"

namespace graspd::bench {
namespace {

std::string TagKey(char letter, std::string_view value) { return std::string(1, letter) += value; }

template <typename Map, typename Key>
void Append(const Map& map, const Key& key, std::vector<uint32_t>& out) {
  const auto found = map.find(key);
  if (found != map.end()) out.insert(out.end(), found->second.begin(), found->second.end());
}

}  // namespace

absl::Status RemoteSet::Add(std::string_view json) {
  GRASPD_ASSIGN_OR_RETURN(const auto event, nostr::ParseEvent(json));
  const auto row = static_cast<uint32_t>(rows_.size());
  rows_.push_back({json, {event.created_at, event.id}, event.kind});
  by_id_.emplace(std::string(event.id.view()), row);
  by_kind_[event.kind].push_back(row);
  for (const auto tag : event.tags) {
    if (tag.name().size() == 1) by_tag_[TagKey(tag.name()[0], tag.value())].push_back(row);
  }
  return absl::OkStatus();
}

RemoteSet::Rows RemoteSet::Candidates(const nostr::Filter& filter) const {
  Rows rows;
  if (filter.ids) {
    for (const auto& id : *filter.ids) {
      const auto found = by_id_.find(std::string(id.view()));
      if (found != by_id_.end()) rows.push_back(found->second);
    }
  } else if (!filter.tags.empty()) {
    const auto& [letter, values] = *filter.tags.begin();
    for (const auto& value : values) Append(by_tag_, TagKey(letter, value), rows);
  } else if (filter.kinds) {
    for (const auto kind : *filter.kinds) Append(by_kind_, kind, rows);
  } else {
    rows.resize(rows_.size());
    std::iota(rows.begin(), rows.end(), 0U);
  }
  return rows;
}

bool RemoteSet::Selects(const nostr::Filter& filter, const Row& row) const {
  // Candidates have the ids or the first tag already. Reading a million events takes seconds.
  const bool need_event = filter.authors || filter.tags.size() + (filter.ids ? 1 : 0) > 1;
  if (need_event) {
    const auto event = nostr::ParseEvent(row.json);
    return event.ok() && nostr::Matches(filter, *event);
  }
  const auto& kinds = filter.kinds;
  return (!kinds || std::binary_search(kinds->begin(), kinds->end(), row.kind)) &&
         row.item.created_at >= filter.since.value_or(0) &&
         row.item.created_at <= filter.until.value_or(UINT64_MAX);
}

std::vector<uint32_t> RemoteSet::Select(const nostr::Filter& filter) const {
  if (filter.limit == 0) return {};
  Rows rows = Candidates(filter);
  std::erase_if(rows, [&](uint32_t row) { return !Selects(filter, rows_[row]); });
  std::sort(rows.begin(), rows.end(), [&](uint32_t a, uint32_t b) {
    return nostr::ServedBefore(item(a).created_at, item(a).id, item(b).created_at, item(b).id);
  });
  // One that two of the values select is there twice.
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  if (filter.limit && rows.size() > *filter.limit) rows.resize(*filter.limit);
  return rows;
}

}  // namespace graspd::bench
