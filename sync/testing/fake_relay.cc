#include "sync/testing/fake_relay.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "nostr/keys.h"

namespace graspd::sync::testing {

using Replies = FakeRelay::Replies;

namespace {

// 20,000 ids in one second of the year 1970, and a difference in all that follows.
std::string InventIds(uint8_t second) {
  std::string message = "\x61";
  if (second > 0) message.append({static_cast<char>(second + 1), 0, 0});  // nothing before it
  message.append({static_cast<char>(second > 0 ? 2 : second + 2), 0, 2});
  message.append("\x81\x9c\x20");
  for (int i = 0; i < 20'000; ++i) {
    const auto id = nostr::Sha256(std::to_string(second) + "/" + std::to_string(i));
    message.append(id.begin(), id.end());
  }
  return message + std::string("\x00\x00\x01", 3) + "sixteen of false";
}

// No ids up to that time, and a difference in all that follows.
std::string ListNothingUntil(uint64_t time) {
  std::string varint;
  for (uint64_t rest = time + 1; rest > 0; rest >>= 7) {
    varint.insert(varint.begin(), static_cast<char>((rest & 0x7f) | (varint.empty() ? 0 : 0x80)));
  }
  return "\x61" + varint + std::string("\x00\x02\x00\x00\x00\x01", 6) + "sixteen of false";
}

}  // namespace

void FakeRelay::Store(nostr::Event event) {
  const auto id = event.id;
  events_.emplace(id, std::move(event));
}

const nostr::Event* FakeRelay::Find(const nostr::EventId& id) const {
  const auto found = events_.find(id);
  return found == events_.end() ? nullptr : &found->second;
}

std::vector<const nostr::Event*> FakeRelay::Query(const nostr::Filter& filter) const {
  std::vector<const nostr::Event*> rows;
  const auto consider = [&](const nostr::Event& event) {
    if (!nostr::Matches(filter, event) || behaviour.ghosts.contains(event.id)) return;
    rows.push_back(&event);
  };
  if (filter.ids) {
    for (const auto& id : *filter.ids) {
      if (const auto* event = Find(id)) consider(*event);
    }
  } else {
    for (const auto& [id, event] : events_) consider(event);
  }
  std::sort(rows.begin(), rows.end(), [](const nostr::Event* a, const nostr::Event* b) {
    return nostr::ServedBefore(a->created_at, a->id, b->created_at, b->id);
  });
  const size_t limit =
      std::min<uint64_t>(filter.limit.value_or(UINT64_MAX), behaviour.serves_at_most);
  if (rows.size() > limit) rows.resize(limit);
  size_t bytes = 0;
  const auto too_much = std::find_if(rows.begin(), rows.end(), [&](const nostr::Event* event) {
    return (bytes += event->content.size()) > behaviour.serves_bytes;
  });
  if (too_much != rows.end())
    rows.erase(too_much == rows.begin() ? too_much + 1 : too_much, rows.end());
  if (!behaviour.newest_first) {
    std::sort(rows.begin(), rows.end(),
              [](const nostr::Event* a, const nostr::Event* b) { return a->id < b->id; });
  }
  return rows;
}

bool FakeRelay::Session::Refuses() {
  const bool refuses = relay_.behaviour.auth != Behaviour::Auth::kNone && !authenticated_;
  refused_ |= refuses;
  return refuses;
}

bool FakeRelay::Session::TakeChallenge() {
  using Auth = Behaviour::Auth;
  const auto auth = relay_.behaviour.auth;
  if (challenged_ || !(auth == Auth::kAtOnce || (auth == Auth::kOnRefusal && refused_))) {
    return false;
  }
  challenged_ = true;
  return true;
}

Authenticated FakeRelay::Session::Authenticate() {
  ++relay_.authentications_;
  authenticated_ = relay_.behaviour.accepts_auth;
  return {authenticated_, authenticated_ ? "" : relay_.behaviour.refuses_auth};
}

Replies FakeRelay::Session::Req(const std::string& subscription,
                                const std::vector<nostr::Filter>& filters) {
  if (Refuses()) return {Closed{subscription, "auth-required: members only"}};
  if (relay_.behaviour.blocks && relay_.behaviour.blocks(filters)) {
    return {Closed{subscription, "blocked: we do not serve you"}};
  }
  const bool live = std::all_of(filters.begin(), filters.end(),
                                [](const nostr::Filter& filter) { return filter.limit == 0u; });
  if (!live) ++relay_.stored_requests_;
  if (!live && relay_.behaviour.rate_limited_requests > 0) {
    --relay_.behaviour.rate_limited_requests;
    return {Closed{subscription, "rate-limited: slow down"}};
  }
  if (live && relay_.behaviour.live_dropped > 0) {
    --relay_.behaviour.live_dropped;
    if (relay_.behaviour.says_of_dropped.empty()) return {};
    return {Notice{relay_.behaviour.says_of_dropped}};
  }
  if (!open_.contains(subscription) && open_.size() >= relay_.behaviour.subscriptions) {
    return {Closed{subscription, "error: too many concurrent REQs"}};
  }
  if (!relay_.behaviour.replaces && open_.contains(subscription)) {
    return {Closed{subscription, "duplicate: " + subscription + " already opened"}};
  }
  open_[subscription] = filters;
  if (!relay_.behaviour.answers_requests) return {};
  Replies replies;
  std::set<nostr::EventId> sent;
  for (const auto& filter : filters) {
    for (const auto* event : relay_.Query(filter)) {
      if (!sent.insert(event->id).second) continue;
      if (relay_.behaviour.unreadable.contains(event->id)) {
        Unreadable unreadable{subscription, event->id, event->created_at};
        if (relay_.behaviour.unreadable_times) unreadable.created_at.reset();
        replies.push_back(std::move(unreadable));
      } else {
        replies.push_back(Delivered{subscription, event->id, event->created_at});
      }
    }
  }
  relay_.events_served_ += sent.size();
  if (live && relay_.behaviour.eoses_left_out > 0) {
    --relay_.behaviour.eoses_left_out;
    return replies;
  }
  replies.push_back(Eose{subscription});
  return replies;
}

Replies FakeRelay::Session::Close(const std::string& subscription) {
  open_.erase(subscription);
  return {};
}

Replies FakeRelay::Session::NegOpen(const std::string& subscription, const nostr::Filter& filter,
                                    std::string_view bytes) {
  if (Refuses()) return {NegRefusal{subscription, "auth-required: members only"}};
  switch (relay_.behaviour.negentropy) {
    case Negentropy::kSpoken:
      break;
    case Negentropy::kEndless:
    case Negentropy::kListsNothing:
    case Negentropy::kInventsIds:
      return NegMsg(subscription, bytes);
    case Negentropy::kCreeps: {
      auto& times = creep_[subscription];
      for (const auto& [id, event] : relay_.events_) {
        if (nostr::Matches(filter, event)) times.push_back(event.created_at + 1);
      }
      std::sort(times.begin(), times.end(), std::greater<>());
      return NegMsg(subscription, bytes);
    }
    case Negentropy::kNegError:
      return {NegRefusal{subscription, "blocked: this query is too big"}};
    case Negentropy::kClosed:
      return {Closed{subscription, "unsupported: no NIP-77 here"}};
    case Negentropy::kNotice:
      return {Notice{relay_.behaviour.unknown_message}};
    case Negentropy::kSilent:
      return {};
  }
  std::vector<negentropy::Item> items;
  for (const auto& [id, event] : relay_.events_) {
    if (nostr::Matches(filter, event)) items.push_back({event.created_at, id});
  }
  negentropy::ReconcileLimits limits;
  limits.frame_bytes = relay_.behaviour.neg_frame_bytes;
  reconciliations_.insert_or_assign(
      subscription,
      negentropy::Responder(std::make_shared<negentropy::SealedSet>(std::move(items)), limits));
  auto replies = NegMsg(subscription, bytes);
  if (!relay_.behaviour.greeting.empty()) {
    replies.insert(replies.begin(), Notice{relay_.behaviour.greeting});
  }
  return replies;
}

Replies FakeRelay::Session::NegMsg(const std::string& subscription, std::string_view bytes) {
  // Version, one range up to the end, and what it holds: a fingerprint or a list of no ids.
  constexpr std::string_view kEverything("\x61\x00\x00", 3);
  if (relay_.behaviour.negentropy == Negentropy::kEndless) {
    const auto fingerprint = nostr::Sha256(bytes);  // different each time
    std::string reply = std::string(kEverything) + '\x01';
    reply.append(reinterpret_cast<const char*>(fingerprint.data()), 16);
    return {NegReply{subscription, reply}};
  }
  if (relay_.behaviour.negentropy == Negentropy::kListsNothing) {
    return {NegReply{subscription, std::string(kEverything) + std::string("\x02\x00", 2)}};
  }
  if (relay_.behaviour.negentropy == Negentropy::kInventsIds) {
    return {NegReply{subscription, InventIds(inventions_[subscription]++ % 120)}};
  }
  if (relay_.behaviour.negentropy == Negentropy::kCreeps) {
    auto& times = creep_[subscription];
    if (times.empty()) return {NegReply{subscription, "\x61"}};
    const uint64_t time = times.back();
    times.pop_back();
    return {NegReply{subscription, ListNothingUntil(time)}};
  }
  const auto found = reconciliations_.find(subscription);
  if (found == reconciliations_.end()) return {NegRefusal{subscription, "closed: no session"}};
  auto answer = found->second.Answer(bytes);
  if (!answer.ok()) return {NegRefusal{subscription, "error: malformed"}};
  return {NegReply{subscription, *std::move(answer)}};
}

void FakeRelay::Session::NegClose(const std::string& subscription) {
  reconciliations_.erase(subscription);
}

Replies FakeRelay::Session::Live(const nostr::Event& event) const {
  Replies replies;
  for (const auto& [subscription, filters] : open_) {
    if (nostr::MatchesAny(filters, event)) {
      replies.push_back(Delivered{subscription, event.id, event.created_at});
    }
  }
  return replies;
}

}  // namespace graspd::sync::testing
