#include "sync/filter_service.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "nostr/json_writer.h"
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
std::vector<Filter> FiltersFor(const std::vector<Value>& values) {
  if constexpr (std::is_same_v<Value, nostr::Address>) {
    return RepoFilters(values);
  } else {
    return RootFilters(values);
  }
}

// What a value takes in a REQ: in a list for each letter, with a comma.
size_t BytesOfValue(const nostr::Address& repo) {
  std::string json;
  nostr::AppendJsonString(json, repo.ToString());
  const size_t address = json.size();
  nostr::AppendJsonString(json, repo.identifier);
  return 3 * (address + 1) + (json.size() - address + 1);
}
size_t BytesOfValue(const nostr::EventId& /*root*/) { return 3 * (2 * 32 + 3); }

// The filters of `values`, at most so many values and bytes in each.
template <typename Value>
void AppendInChunks(const std::vector<Value>& values, size_t most, size_t most_bytes,
                    std::vector<Filter>& out) {
  for (auto begin = values.begin(); begin != values.end();) {
    auto end = begin;
    size_t bytes = 0;
    do bytes += BytesOfValue(*end++);
    while (end != values.end() && end - begin < static_cast<ptrdiff_t>(most) &&
           bytes + BytesOfValue(*end) <= most_bytes);
    for (auto& filter : FiltersFor(std::vector<Value>(begin, end)))
      out.push_back(std::move(filter));
    begin = end;
  }
}

// As the live subscription asks it: nothing stored, only what is new.
void AppendLive(std::vector<Filter> filters, std::vector<Filter>& out) {
  for (auto& filter : filters) {
    filter.limit = 0;
    out.push_back(std::move(filter));
  }
}

constexpr size_t kReqBytes = 200;    // of a REQ besides its groups; with layer 1 if it has that
constexpr size_t kGroupBytes = 150;  // of a group besides its values

constexpr std::string_view kReqName = "live-";
std::string ReqName(uint32_t name) { return std::string(kReqName) + std::to_string(name); }

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

SubscriptionPlan::Shape SubscriptionPlan::ShapeOf(LayerId layer) {
  return layer == LayerId::kRepos ? Shape{4, 400} : Shape{3, 205};
}

// Layer 1 is a filter of the first one and no group.
SubscriptionPlan::Req SubscriptionPlan::NewReq(size_t filters) {
  return {{}, filters, kReqBytes, next_name_++};
}

size_t SubscriptionPlan::GroupValues(LayerId layer) const {
  const size_t room =
      limits_.message_bytes - std::min(limits_.message_bytes, kReqBytes + kGroupBytes);
  return std::clamp<size_t>(room / ShapeOf(layer).value_bytes, 1, kValuesPerGroup);
}

size_t SubscriptionPlan::GroupBytes(LayerId layer) const {
  return GroupValues(layer) * ShapeOf(layer).value_bytes;
}

// The newest group has most room. Who is longer than usual may not fit where others do.
template <typename Value>
SubscriptionPlan::GroupId SubscriptionPlan::GroupWithRoom(Layer<Value>& layer, LayerId id,
                                                          size_t bytes) {
  if (!layer.with_room.empty()) {
    for (const GroupId group : {*layer.with_room.begin(), *layer.with_room.rbegin()}) {
      if (layer.groups.at(group).bytes + bytes <= GroupBytes(id)) return group;
    }
  }
  const GroupId group{id, next_group_++};
  layer.groups[group];
  PlaceGroup(group, bytes);
  return group;
}

template <typename Value>
void SubscriptionPlan::NoteRoom(Layer<Value>& layer, GroupId id) const {
  const auto& group = layer.groups.at(id);
  if (group.values.size() < GroupValues(id.layer) &&
      group.bytes + ShapeOf(id.layer).value_bytes <= GroupBytes(id.layer)) {
    layer.with_room.insert(id);
  } else {
    layer.with_room.erase(id);
  }
}

// Returns the values that are new. A group that has become empty goes.
template <typename Value>
std::vector<Value> SubscriptionPlan::Adapt(Layer<Value>& layer, LayerId id,
                                           const std::map<Value, bool>& delta, Touched& touched) {
  std::vector<Value> added;
  std::set<GroupId> changed;
  for (const auto& [value, wanted] : delta) {
    const auto known = layer.group_of.find(value);
    if (wanted == (known != layer.group_of.end())) continue;
    const size_t bytes = BytesOfValue(value);
    const GroupId group_id = wanted ? GroupWithRoom(layer, id, bytes) : known->second;
    auto& group = layer.groups.at(group_id);
    changed.insert(group_id);
    if (wanted) {
      group.values.insert(value);
      group.bytes += bytes;
      layer.bytes += bytes;
      const size_t before = std::exchange(group.most, std::max(group.most, group.bytes));
      layer.most += group.most - before;
      layer.group_of[value] = group_id;
      added.push_back(value);
    } else {
      group.values.erase(value);
      group.bytes -= bytes;
      layer.bytes -= bytes;
      layer.group_of.erase(known);
    }
    NoteRoom(layer, group_id);
  }
  for (const GroupId group : changed) {
    if (const auto at = place_of_.find(group); at != place_of_.end())
      touched.insert(at->second.req);
    if (!layer.groups.at(group).values.empty()) continue;
    Displace(group);
    layer.most -= layer.groups.at(group).most;
    layer.groups.erase(group);
    layer.with_room.erase(group);
  }
  return added;
}

size_t SubscriptionPlan::BytesOf(GroupId group) const {
  return group.layer == LayerId::kRepos ? repos_.groups.at(group).bytes
                                        : roots_.groups.at(group).bytes;
}

// A REQ of its own while there may be more of them; else into the one with the fewest filters. Room
// is kept for what may join, and for `bytes` if that is more.
void SubscriptionPlan::PlaceGroup(GroupId group, size_t bytes) {
  const size_t filters = ShapeOf(group.layer).filters;
  bytes = std::max(bytes, GroupBytes(group.layer)) + kGroupBytes;
  auto chosen = reqs_.end();
  if (filters > limits_.filters_per_req || kReqBytes + bytes > limits_.message_bytes) {
    // too much even for a REQ of its own
  } else if (reqs_.size() < limits_.subscriptions) {
    chosen = reqs_.emplace(reqs_.rbegin()->first + 1, NewReq(0)).first;
  } else {
    for (auto req = reqs_.begin(); req != reqs_.end(); ++req) {
      if (req->second.filters + filters > limits_.filters_per_req ||
          req->second.bytes + bytes > limits_.message_bytes) {
        continue;
      }
      if (chosen == reqs_.end() || req->second.filters < chosen->second.filters) chosen = req;
    }
  }
  if (chosen == reqs_.end()) {
    left_out_.insert(group);
    return;
  }
  chosen->second.groups.insert(group);
  chosen->second.filters += filters;
  chosen->second.bytes += bytes;
  place_of_[group] = {chosen->first, bytes};
}

void SubscriptionPlan::Displace(GroupId group) {
  if (left_out_.erase(group) > 0) return;
  const auto at = place_of_.find(group);
  Req& req = reqs_.at(at->second.req);
  req.groups.erase(group);
  req.filters -= ShapeOf(group.layer).filters;
  req.bytes -= at->second.bytes;
  place_of_.erase(at);
}

// What came while they had no place has not been heard of.
void SubscriptionPlan::PlaceLeftOut(Touched& touched, std::vector<Filter>& catch_up) {
  for (const GroupId group : std::exchange(left_out_, {})) {
    PlaceGroup(group, BytesOf(group));
    const auto at = place_of_.find(group);
    if (at == place_of_.end()) continue;
    touched.insert(at->second.req);
    AppendFiltersOf(group, catch_up);
  }
}

// By what the groups have held, not by what they could: values may not fit better than they do.
bool SubscriptionPlan::IsSparse() const {
  return filter_count() > kConsolidateAbove &&
         2 * (repos_.bytes + roots_.bytes) < repos_.most + roots_.most;
}

void SubscriptionPlan::PackAnew() {
  const auto repos = std::exchange(repos_, {});
  const auto roots = std::exchange(roots_, {});
  reqs_.clear();
  place_of_.clear();
  left_out_.clear();
  reqs_[0] = NewReq(1);
  Touched all;
  std::map<nostr::Address, bool> wanted_repos;
  for (const auto& [repo, group] : repos.group_of) wanted_repos[repo] = true;
  Adapt(repos_, LayerId::kRepos, wanted_repos, all);
  std::map<nostr::EventId, bool> wanted_roots;
  for (const auto& [root, group] : roots.group_of) wanted_roots[root] = true;
  Adapt(roots_, LayerId::kRoots, wanted_roots, all);
}

void SubscriptionPlan::SetLimits(const PlanLimits& limits) {
  if (limits == limits_) return;
  limits_ = limits;
  if (!reqs_.empty()) PackAnew();
}

SubscriptionPlan::Diff SubscriptionPlan::Update(const RemoteScope& scope) {
  ScopeDelta delta;
  for (const auto& [repo, group] : repos_.group_of) delta.repos[repo] = false;
  for (const auto& [root, group] : roots_.group_of) delta.roots[root] = false;
  for (const auto& repo : scope.repos) delta.repos[repo] = true;
  for (const auto& root : scope.roots) delta.roots[root] = true;
  return Apply(delta);
}

SubscriptionPlan::Diff SubscriptionPlan::Apply(const ScopeDelta& delta) {
  Diff diff;
  Touched touched;
  const uint32_t first_new = next_name_;
  if (reqs_.empty()) {
    reqs_[0] = NewReq(1);
    touched.insert(0);
    diff.catch_up.push_back(AnnouncementFilter());
  }
  const auto new_repos = Adapt(repos_, LayerId::kRepos, delta.repos, touched);
  const auto new_roots = Adapt(roots_, LayerId::kRoots, delta.roots, touched);
  AppendInChunks(new_repos, GroupValues(LayerId::kRepos), GroupBytes(LayerId::kRepos),
                 diff.catch_up);
  AppendInChunks(new_roots, GroupValues(LayerId::kRoots), GroupBytes(LayerId::kRoots),
                 diff.catch_up);
  if (!touched.empty()) PlaceLeftOut(touched, diff.catch_up);
  if (IsSparse()) {
    for (const auto& [id, req] : reqs_) {
      if (req.name < first_new) diff.close.push_back(ReqName(req.name));
    }
    PackAnew();
    touched.clear();
    for (const auto& [id, req] : reqs_) touched.insert(id);
    diff.catch_up_all = true;  // for the moments between two REQs
  }
  for (const ReqId id : touched) {
    const auto req = reqs_.find(id);
    if (id == 0 || !req->second.groups.empty()) {
      diff.open.push_back(OpenReq(id));
      continue;
    }
    diff.close.push_back(ReqName(req->second.name));
    reqs_.erase(req);
  }
  return diff;
}

std::vector<std::string> SubscriptionPlan::Names() const {
  std::vector<std::string> names;
  for (const auto& [id, req] : reqs_) names.push_back(ReqName(req.name));
  return names;
}

std::vector<SubscriptionPlan::Diff::Open> SubscriptionPlan::OpenAll() const {
  std::vector<Diff::Open> open;
  for (const auto& [id, req] : reqs_) open.push_back(OpenReq(id));
  return open;
}

void SubscriptionPlan::RenameAll() {
  for (auto& [id, req] : reqs_) req.name = next_name_++;
}

std::optional<SubscriptionPlan::Diff::Open> SubscriptionPlan::Reopen(
    std::string_view subscription) {
  const auto id = Find(subscription);
  if (!id) return std::nullopt;
  reqs_.at(*id).name = next_name_++;
  return OpenReq(*id);
}

void SubscriptionPlan::BeginRound(Round& round) const {
  round.first_ = round.next_ = Find(round.next_);
  round.layer_1_due_ = true;
  round.back_at_start_ = round.done_ = false;
  round.filters_left_ = 1 + repos_.groups.size() * ShapeOf(LayerId::kRepos).filters +
                        roots_.groups.size() * ShapeOf(LayerId::kRoots).filters;
}

std::vector<SubscriptionPlan::RoundStep> SubscriptionPlan::Next(Round& round, size_t most) const {
  std::vector<RoundStep> steps;
  if (round.done_) return steps;
  if (std::exchange(round.layer_1_due_, false)) steps.push_back({AnnouncementFilter(), {}});
  Round::Position& next = round.next_;
  while (!round.done_ && steps.size() < most) {
    const auto group = GroupFrom(next.group);
    if (!group && !round.back_at_start_) {
      round.back_at_start_ = true;
      next = {};
      continue;
    }
    if (group && group != next.group) next = BeginOf(*group);
    size_t end = SIZE_MAX;
    if (round.back_at_start_ && group && *group >= round.first_.group) {
      end = group == round.first_.group ? round.first_.filter : 0;
    }
    if (!group || end <= next.filter) {
      round.done_ = true;
      break;
    }
    auto filters = FiltersOf(*group);
    for (end = std::min(end, filters.size()); next.filter < end; ++next.filter) {
      steps.push_back({std::move(filters[next.filter]), next});
    }
    if (const auto behind = GroupFrom({group->layer, group->number + 1})) {
      next = BeginOf(*behind);
    } else {
      next = {};
      round.done_ = std::exchange(round.back_at_start_, true);
    }
  }
  round.filters_left_ -= std::min(round.filters_left_, steps.size());
  return steps;
}

// The first at or behind `id`.
std::optional<SubscriptionPlan::GroupId> SubscriptionPlan::GroupFrom(GroupId id) const {
  if (const auto at = repos_.groups.lower_bound(id); at != repos_.groups.end()) return at->first;
  if (const auto at = roots_.groups.lower_bound(id); at != roots_.groups.end()) return at->first;
  return std::nullopt;
}

SubscriptionPlan::Round::Position SubscriptionPlan::BeginOf(GroupId group) const {
  Round::Position begin{.group = group, .repo = {}, .root = {}};
  if (group.layer == LayerId::kRepos) {
    begin.repo = *repos_.groups.at(group).values.begin();
  } else {
    begin.root = *roots_.groups.at(group).values.begin();
  }
  return begin;
}

// Where that is by now. Groups that have been packed anew follow one another as their values do.
SubscriptionPlan::Round::Position SubscriptionPlan::Find(Round::Position position) const {
  GroupId& group = position.group;
  if (repos_.groups.contains(group) || roots_.groups.contains(group)) return position;
  if (group.layer == LayerId::kRepos) {
    const auto at = repos_.group_of.lower_bound(position.repo);
    if (at != repos_.group_of.end()) {
      group = at->second;
      return position;
    }
    position = {};
  }
  const auto at = roots_.group_of.lower_bound(position.root);
  if (at == roots_.group_of.end()) return {};
  group = at->second;
  return position;
}

void SubscriptionPlan::AppendFiltersOf(GroupId group, std::vector<Filter>& out) const {
  for (auto& filter : FiltersOf(group)) out.push_back(std::move(filter));
}

std::vector<Filter> SubscriptionPlan::FiltersOf(GroupId group) const {
  return group.layer == LayerId::kRepos ? RepoFilters(ToVector(repos_.groups.at(group).values))
                                        : RootFilters(ToVector(roots_.groups.at(group).values));
}

SubscriptionPlan::Diff::Open SubscriptionPlan::OpenReq(ReqId id) const {
  const Req& req = reqs_.at(id);
  Diff::Open open{ReqName(req.name), {}};
  if (id == 0) AppendLive({AnnouncementFilter()}, open.filters);
  for (const GroupId group : req.groups) AppendLive(FiltersOf(group), open.filters);
  return open;
}

bool SubscriptionPlan::IsOpen(std::string_view subscription) const {
  return Find(subscription).has_value();
}

std::optional<SubscriptionPlan::ReqId> SubscriptionPlan::Find(std::string_view subscription) const {
  if (!subscription.starts_with(kReqName)) return std::nullopt;
  subscription.remove_prefix(kReqName.size());
  const char* const behind = subscription.data() + subscription.size();
  uint32_t name = 0;
  const auto [end, error] = std::from_chars(subscription.data(), behind, name);
  if (error != std::errc() || end != behind) return std::nullopt;
  const auto found = std::find_if(reqs_.begin(), reqs_.end(),
                                  [&](const auto& req) { return req.second.name == name; });
  return found == reqs_.end() ? std::nullopt : std::optional(found->first);
}

size_t SubscriptionPlan::filter_count() const {
  size_t filters = 0;
  for (const auto& [id, req] : reqs_) filters += req.filters;
  return filters;
}

}  // namespace graspd::sync
