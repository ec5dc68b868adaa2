// What to ask of a remote: from what we know of its repositories to subscriptions, in three layers
// (docs/architecture.md, section 6). Pure functions and plain values.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "nostr/filter.h"
#include "nostr/fixed_bytes.h"
#include "nostr/rules.h"
#include "sync/scope.h"

namespace graspd::sync {

/// How much of what we want a remote lets us follow live.
struct PlanLimits {
  size_t subscriptions = SIZE_MAX;  // at least 1
  size_t filters_per_req = 10;
  size_t message_bytes = 128 * 1024;  // of one REQ
  bool operator==(const PlanLimits&) const = default;
};

/// The live subscriptions of one remote, kept so that a change in scope touches few of them. No
/// name of one is used again for another.
///
///   layer 1  announcements and user grasp lists
///   layer 2  up to 100 repositories: events that tag them (#a #A #q), and their states (30618 by
///            #d)
///   layer 3  up to 100 roots: events that tag them (#e #E #q)
///
/// Values are kept in groups of up to 100, fewer where messages must be short or values are long. A
/// value stays in the
/// group it was given; a new one joins a group with room. Groups travel in REQs: one each while the
/// remote allows so many, then several to a REQ, as many as filters_per_req and message_bytes let
/// in. Groups that find no place are only caught up with, not followed. When removals have left the
/// groups less than half of what each has held, they are packed anew. Cost of a change: that of the
/// groups it touches.
class SubscriptionPlan {
 private:
  enum class LayerId : uint8_t { kRepos, kRoots };
  struct GroupId {
    LayerId layer = LayerId::kRepos;
    uint32_t number = 0;
    auto operator<=>(const GroupId&) const = default;
  };

 public:
  static constexpr size_t kValuesPerGroup = 100;
  /// Filters that may be open before sparse groups are packed anew.
  static constexpr size_t kConsolidateAbove = 150;

  explicit SubscriptionPlan(const PlanLimits& limits = {}) : limits_(limits) {}

  /// What to do for the plan to become the desired one.
  struct Diff {
    struct Open {
      std::string subscription;  // opening an open one replaces it
      std::vector<nostr::Filter> filters;
    };
    std::vector<Open> open;
    std::vector<std::string> close;
    /// What has to be caught up: the filters of what is new here, and of what was not followed
    /// until now; at most 100 values each.
    std::vector<nostr::Filter> catch_up;
    /// Everything has to be (a Round): it was packed anew.
    bool catch_up_all = false;
    [[nodiscard]] bool empty() const {
      return open.empty() && close.empty() && catch_up.empty() && !catch_up_all;
    }
  };

  /// A walk through all that is caught up, a portion at a time. It begins where the one before got
  /// to, so that walks which are cut short again and again get everywhere, and round to there. What
  /// joins the plan meanwhile is in a Diff instead; where that says catch_up_all, a round has to
  /// begin again.
  class Round {
   public:
    struct Position {
      GroupId group;
      size_t filter = 0;  // of the group's
      // The group's first value, which finds it when it has another number.
      nostr::Address repo;
      nostr::EventId root;
      auto operator<=>(const Position&) const = default;
    };
    [[nodiscard]] bool done() const { return done_; }
    /// About so many filters are to come.
    [[nodiscard]] size_t filters_left() const { return done_ ? 0 : filters_left_; }
    void Stop() { done_ = true; }
    /// Stops, and the next round begins there: what was named from it on did not take place.
    void StopBefore(const Position& position) {
      done_ = true;
      next_ = position;
    }

   private:
    friend class SubscriptionPlan;
    Position first_, next_;
    bool layer_1_due_ = false, back_at_start_ = false, done_ = true;
    size_t filters_left_ = 0;
  };
  struct RoundStep {
    nostr::Filter filter;
    std::optional<Round::Position> position;  // none for layer 1
  };

  /// Adapts the plan to `scope`. The first call also opens layer 1.
  Diff Update(const RemoteScope& scope);
  /// Adapts the plan to a change.
  Diff Apply(const ScopeDelta& delta);
  /// Everything that is followed, as after a reconnect.
  [[nodiscard]] std::vector<Diff::Open> OpenAll() const;
  /// Other names for all, so that what the remote still says of the old ones is told apart:
  /// OpenAll() follows, and whoever has them open closes these.
  void RenameAll();
  /// The same for one, to be opened so; nothing if it is not one of the plan's.
  std::optional<Diff::Open> Reopen(std::string_view subscription);
  void BeginRound(Round& round) const;
  /// The next filters of `round`, of about `most`; none, and the round done, behind the last.
  std::vector<RoundStep> Next(Round& round, size_t most) const;
  /// Packs everything anew within `limits`: OpenAll() follows, and whoever has something open
  /// closes what is not named any more.
  void SetLimits(const PlanLimits& limits);

  [[nodiscard]] std::vector<std::string> Names() const;
  /// True if `subscription` is one of the plan's.
  [[nodiscard]] bool IsOpen(std::string_view subscription) const;
  [[nodiscard]] size_t subscription_count() const { return reqs_.size(); }
  [[nodiscard]] size_t filter_count() const;
  /// True if something is wanted that the remote does not let us follow live.
  [[nodiscard]] bool leaves_out() const { return !left_out_.empty(); }

 private:
  template <typename Value>
  struct Group {
    std::set<Value> values;
    size_t bytes = 0;  // that they take in a REQ
    size_t most = 0;   // of these, that there have been
  };
  template <typename Value>
  struct Layer {
    std::map<Value, GroupId> group_of;
    std::map<GroupId, Group<Value>> groups;
    std::set<GroupId> with_room;
    size_t bytes = 0, most = 0;  // of all groups
  };
  struct Place {
    uint32_t req;
    size_t bytes;  // that are kept for the group
  };
  struct Req {
    std::set<GroupId> groups;
    size_t filters = 0, bytes = 0;  // with its groups full
    uint32_t name = 0;
  };
  /// How many filters a group of a layer makes, and what a usual value takes of a REQ: its text
  /// three times, once for each letter; a repository's identifier comes on top.
  struct Shape {
    size_t filters, value_bytes;
  };
  using ReqId = uint32_t;  // may be used again
  using Touched = std::set<ReqId>;

  [[nodiscard]] static Shape ShapeOf(LayerId layer);
  Req NewReq(size_t filters);
  [[nodiscard]] std::optional<ReqId> Find(std::string_view subscription) const;
  [[nodiscard]] size_t GroupValues(LayerId layer) const;
  [[nodiscard]] size_t GroupBytes(LayerId layer) const;
  template <typename Value>
  std::vector<Value> Adapt(Layer<Value>& layer, LayerId id, const std::map<Value, bool>& delta,
                           Touched& touched);
  template <typename Value>
  GroupId GroupWithRoom(Layer<Value>& layer, LayerId id, size_t bytes);
  template <typename Value>
  void NoteRoom(Layer<Value>& layer, GroupId group) const;
  [[nodiscard]] size_t BytesOf(GroupId group) const;
  void PlaceGroup(GroupId group, size_t bytes);
  void Displace(GroupId group);
  void PlaceLeftOut(Touched& touched, std::vector<nostr::Filter>& catch_up);
  [[nodiscard]] bool IsSparse() const;
  void PackAnew();
  void AppendFiltersOf(GroupId group, std::vector<nostr::Filter>& out) const;
  [[nodiscard]] std::optional<GroupId> GroupFrom(GroupId id) const;
  [[nodiscard]] Round::Position BeginOf(GroupId group) const;
  [[nodiscard]] Round::Position Find(Round::Position position) const;
  [[nodiscard]] std::vector<nostr::Filter> FiltersOf(GroupId group) const;
  [[nodiscard]] Diff::Open OpenReq(ReqId id) const;

  PlanLimits limits_;
  uint32_t next_group_ = 0, next_name_ = 0;
  Layer<nostr::Address> repos_;
  Layer<nostr::EventId> roots_;
  std::map<ReqId, Req> reqs_;  // 0, the first to be opened, has layer 1
  std::map<GroupId, Place> place_of_;
  std::set<GroupId> left_out_;
};

/// The filters of each layer, without limit or window.
nostr::Filter AnnouncementFilter();
std::vector<nostr::Filter> RepoFilters(const std::vector<nostr::Address>& repos);
std::vector<nostr::Filter> RootFilters(const std::vector<nostr::EventId>& roots);

}  // namespace graspd::sync
