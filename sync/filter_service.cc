#include "sync/filter_service.h"

#include <algorithm>
#include <utility>

#include "nostr/nip34.h"

namespace graspd::sync {
namespace {

using nostr::Filter;

std::vector<Filter> TaggedBy(const char (&letters)[4], const std::vector<std::string>& values) {
  std::vector<Filter> filters;
  for (const char letter : std::string_view(letters)) {
    Filter filter;
    filter.tags[letter] = values;
    filter.Normalize();
    filters.push_back(std::move(filter));
  }
  return filters;
}

template <typename Value>
std::vector<Filter> FiltersOf(const std::vector<Value>& values) {
  if constexpr (std::is_same_v<Value, nostr::Address>) {
    return RepoFilters(values);
  } else {
    return RootFilters(values);
  }
}

// The filters of `values`, a hundred values at a time.
template <typename Value>
void AppendInChunks(const std::vector<Value>& values, std::vector<Filter>& out) {
  constexpr size_t kStep = SubscriptionPlan::kValuesPerGroup;
  for (size_t i = 0; i < values.size(); i += kStep) {
    const size_t end = std::min(values.size(), i + kStep);
    for (auto& filter : FiltersOf(std::vector<Value>(values.begin() + i, values.begin() + end))) {
      out.push_back(std::move(filter));
    }
  }
}

// As the live subscription asks it: nothing stored, only what is new.
std::vector<Filter> Live(std::vector<Filter> filters) {
  for (auto& filter : filters) filter.limit = 0;
  return filters;
}

constexpr char kLayer1[] = "announcements";
std::string RepoGroup(size_t group) { return "repos-" + std::to_string(group); }
std::string RootGroup(size_t group) { return "roots-" + std::to_string(group); }

template <typename Value>
std::vector<Value> ToVector(const std::set<Value>& values) {
  return {values.begin(), values.end()};
}

}  // namespace

Filter AnnouncementFilter() {
  Filter filter;
  filter.kinds = {nostr::kUserGraspList, nostr::kRepositoryAnnouncement};
  filter.Normalize();
  return filter;
}

std::vector<Filter> RepoFilters(const std::vector<nostr::Address>& repos) {
  std::vector<std::string> addresses, identifiers;
  for (const auto& repo : repos) {
    addresses.push_back(repo.ToString());
    identifiers.push_back(repo.identifier);
  }
  auto filters = TaggedBy("aAq", addresses);
  Filter states;
  states.kinds = {nostr::kRepositoryState};
  states.tags['d'] = std::move(identifiers);
  states.Normalize();
  filters.push_back(std::move(states));
  return filters;
}

std::vector<Filter> RootFilters(const std::vector<nostr::EventId>& roots) {
  std::vector<std::string> ids;
  ids.reserve(roots.size());
  for (const auto& root : roots) ids.push_back(root.ToHex());
  return TaggedBy("eEq", ids);
}

// Returns the groups whose values have changed; a group that has become empty is gone from the
// layer.
template <typename Value>
std::set<size_t> SubscriptionPlan::Adapt(Layer<Value>& layer, const std::vector<Value>& desired,
                                         std::vector<Value>& added) {
  std::set<size_t> touched;
  const std::set<Value> wanted(desired.begin(), desired.end());
  for (auto it = layer.group_of.begin(); it != layer.group_of.end();) {
    const auto& [value, group] = *it;
    if (wanted.contains(value)) {
      ++it;
      continue;
    }
    touched.insert(group);
    layer.groups[group].erase(value);
    if (layer.groups[group].empty()) layer.groups.erase(group);
    it = layer.group_of.erase(it);
  }
  auto room = layer.groups.begin();
  for (const auto& value : wanted) {
    if (layer.group_of.contains(value)) continue;
    while (room != layer.groups.end() && room->second.size() >= kValuesPerGroup) ++room;
    if (room == layer.groups.end()) {
      room = layer.groups.emplace_hint(layer.groups.end(), layer.next_group++, std::set<Value>());
    }
    room->second.insert(value);
    layer.group_of[value] = room->first;
    touched.insert(room->first);
    added.push_back(value);
  }
  return touched;
}

SubscriptionPlan::Diff SubscriptionPlan::Update(const RemoteScope& scope) {
  Diff diff;
  if (!layer1_open_) {
    layer1_open_ = true;
    diff.open.push_back({kLayer1, Live({AnnouncementFilter()})});
    diff.catch_up.push_back(AnnouncementFilter());
  }
  std::vector<nostr::Address> new_repos;
  for (const size_t group : Adapt(repos_, scope.repos, new_repos)) {
    const auto found = repos_.groups.find(group);
    if (found == repos_.groups.end()) {
      diff.close.push_back(RepoGroup(group));
    } else {
      diff.open.push_back({RepoGroup(group), Live(RepoFilters(ToVector(found->second)))});
    }
  }
  std::vector<nostr::EventId> new_roots;
  for (const size_t group : Adapt(roots_, scope.roots, new_roots)) {
    const auto found = roots_.groups.find(group);
    if (found == roots_.groups.end()) {
      diff.close.push_back(RootGroup(group));
    } else {
      diff.open.push_back({RootGroup(group), Live(RootFilters(ToVector(found->second)))});
    }
  }
  AppendInChunks(new_repos, diff.catch_up);
  AppendInChunks(new_roots, diff.catch_up);
  return diff;
}

SubscriptionPlan::Diff SubscriptionPlan::OpenAll() const {
  Diff diff;
  diff.open.push_back({kLayer1, Live({AnnouncementFilter()})});
  diff.catch_up.push_back(AnnouncementFilter());
  for (const auto& [group, values] : repos_.groups) {
    auto filters = RepoFilters(ToVector(values));
    diff.catch_up.insert(diff.catch_up.end(), filters.begin(), filters.end());
    diff.open.push_back({RepoGroup(group), Live(std::move(filters))});
  }
  for (const auto& [group, values] : roots_.groups) {
    auto filters = RootFilters(ToVector(values));
    diff.catch_up.insert(diff.catch_up.end(), filters.begin(), filters.end());
    diff.open.push_back({RootGroup(group), Live(std::move(filters))});
  }
  return diff;
}

bool SubscriptionPlan::IsOpen(std::string_view subscription) const {
  if (subscription == kLayer1) return layer1_open_;
  const auto is_group = [subscription](const auto& groups, std::string (*name)(size_t)) {
    return std::any_of(groups.begin(), groups.end(),
                       [&](const auto& group) { return name(group.first) == subscription; });
  };
  return is_group(repos_.groups, RepoGroup) || is_group(roots_.groups, RootGroup);
}

size_t SubscriptionPlan::subscription_count() const {
  return (layer1_open_ ? 1 : 0) + repos_.groups.size() + roots_.groups.size();
}

size_t SubscriptionPlan::filter_count() const {
  return (layer1_open_ ? 1 : 0) + 4 * repos_.groups.size() + 3 * roots_.groups.size();
}

}  // namespace graspd::sync
