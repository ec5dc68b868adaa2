// What to ask of a remote: from what we know of its repositories to subscriptions, in three layers
// (docs/architecture.md, section 6). Pure functions and plain values.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "nostr/filter.h"
#include "nostr/fixed_bytes.h"
#include "nostr/rules.h"

namespace graspd::sync {

/// What a remote carries that concerns us.
struct RemoteScope {
  std::vector<nostr::Address> repos;
  std::vector<nostr::EventId> roots;
};

/// The subscriptions of one remote, kept so that a change in scope touches few of them: a value
/// stays in the group it was given, a new one joins a group with room. A group is one live REQ.
///
///   layer 1  one group: announcements and user grasp lists
///   layer 2  up to 100 repositories: events that tag them (#a #A #q), and their states (30618 by
///   #d) layer 3  up to 100 roots: events that tag them (#e #E #q)
class SubscriptionPlan {
 public:
  static constexpr size_t kValuesPerGroup = 100;

  /// What to do for the plan to become the desired one.
  struct Diff {
    struct Open {
      std::string subscription;  // opening an open one replaces it
      std::vector<nostr::Filter> filters;
    };
    std::vector<Open> open;
    std::vector<std::string> close;
    /// What has to be caught up: the filters of what is new here, at most 100 values each.
    std::vector<nostr::Filter> catch_up;
    [[nodiscard]] bool empty() const { return open.empty() && close.empty(); }
  };

  /// Adapts the plan to `scope`.
  Diff Update(const RemoteScope& scope);
  /// Everything, as after a reconnect: all groups opened, all filters caught up.
  [[nodiscard]] Diff OpenAll() const;

  /// True if `subscription` is one of the plan's.
  [[nodiscard]] bool IsOpen(std::string_view subscription) const;
  [[nodiscard]] size_t subscription_count() const;
  [[nodiscard]] size_t filter_count() const;

 private:
  template <typename Value>
  struct Layer {
    std::map<Value, size_t> group_of;
    std::map<size_t, std::set<Value>> groups;
    size_t next_group = 0;
  };
  template <typename Value>
  static std::set<size_t> Adapt(Layer<Value>& layer, const std::vector<Value>& desired,
                                std::vector<Value>& added);

  bool layer1_open_ = false;
  Layer<nostr::Address> repos_;
  Layer<nostr::EventId> roots_;
};

/// The filters of each layer, without limit or window.
nostr::Filter AnnouncementFilter();
std::vector<nostr::Filter> RepoFilters(const std::vector<nostr::Address>& repos);
std::vector<nostr::Filter> RootFilters(const std::vector<nostr::EventId>& roots);

}  // namespace graspd::sync
