#include "services/relay/req_endpoint.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <utility>
#include <vector>

#include "nostr/rules.h"

namespace graspd::relay {
namespace {

constexpr size_t kFilterBytes = 16u << 20;  // of one connection's subscriptions
// Scans of one connection under way: with a page of each, the output stays below its limit.
constexpr size_t kScans = 2;

constexpr std::string_view kTooManyNew = "error: too many new events during the stored ones";

double Seconds(base::Duration duration) { return std::chrono::duration<double>(duration).count(); }

// What is to be read from the store for a REQ: limits put in, filters that ask for nothing left
// out.
std::vector<nostr::Filter> StoredPart(const std::vector<nostr::Filter>& filters,
                                      const nostr::Limits& limits) {
  std::vector<nostr::Filter> out;
  for (nostr::Filter filter : filters) {
    filter.limit =
        std::min<uint64_t>(filter.limit.value_or(limits.limit_default), limits.limit_max);
    if (*filter.limit > 0 && !filter.MatchesNothing()) out.push_back(std::move(filter));
  }
  return out;
}

}  // namespace

/// One open REQ. Until its stored scan is over, new events wait in a buffer.
class ReqEndpoint::Subscription final : public LiveSubscription,
                                        public std::enable_shared_from_this<Subscription> {
 public:
  Subscription(ReqEndpoint& endpoint, std::string id, std::vector<nostr::Filter> wanted,
               FilterCharge charge)
      : LiveSubscription(std::move(wanted)),
        id_(std::move(id)),
        prefix_(nostr::EventMessagePrefix(id_)),
        charge_(std::move(charge)),
        endpoint_(endpoint) {}

  void OnEvent(const nostr::EventPtr& event, std::string_view delivery) override {
    if (live) {
      Send(delivery);
      endpoint_.context_.meters.SentLive(1);
    } else if (!overflowed) {
      Buffer(event);
    }
  }

  [[nodiscard]] const std::string& id() const { return id_; }
  /// `delivery` is an event and the bracket that ends the message.
  void Send(std::string_view delivery) { endpoint_.connection_.SendText(prefix_, delivery); }
  [[nodiscard]] size_t filter_bytes() const { return charge_.bytes(); }

  [[nodiscard]] bool has_waiting() const { return !buffer_.empty(); }
  /// Takes out the first of the new events that have waited. Requires has_waiting().
  nostr::EventPtr TakeWaiting() {
    nostr::EventPtr event = std::move(buffer_.front());
    buffer_.pop_front();
    Count(-static_cast<int64_t>(event->json.size()));
    return event;
  }
  void DropWaiting() {
    buffer_.clear();
    Count(-static_cast<int64_t>(buffered_bytes_));
  }

  bool closed = false;
  bool live = false;
  bool overflowed = false;             // more came before it was live than the buffer may hold
  std::shared_ptr<StoredQuery> query;  // used by one task at a time
  base::SteadyTime opened_at;

 private:
  // Does not end the subscription itself: the index is being searched.
  void Buffer(const nostr::EventPtr& event) {
    const nostr::Limits& limits = endpoint_.context_.limits;
    const size_t bytes = event->json.size();
    if (buffer_.size() >= limits.live_buffer_events ||
        buffered_bytes_ + bytes > limits.live_buffer_bytes) {
      overflowed = true;
      DropWaiting();
    } else {
      Count(static_cast<int64_t>(bytes));
      buffer_.push_back(event);
    }
  }
  void Count(int64_t bytes) {
    buffered_bytes_ += static_cast<size_t>(bytes);
    endpoint_.context_.meters.live_buffer_bytes += bytes;
  }

  const std::string id_, prefix_;
  const FilterCharge charge_;
  ReqEndpoint& endpoint_;  // outlives it as long as it is indexed
  std::deque<nostr::EventPtr> buffer_;
  size_t buffered_bytes_ = 0;
};

ReqEndpoint::ReqEndpoint(const SessionContext& context, LiveHub& hub,
                         net::WebSocketConnection& connection, bool own)
    : context_(context),
      hub_(hub),
      connection_(connection),
      own_(own),
      reads_(context.reads, kScans, hub.executor(), context.meters),
      alive_(std::make_shared<char>()) {}

void ReqEndpoint::Close() {
  if (alive_ == nullptr) return;
  alive_.reset();
  while (!subscriptions_.empty()) End(std::string(subscriptions_.begin()->first));
  reads_.Close();
}

void ReqEndpoint::Open(nostr::ClientReq message) {
  End(message.subscription);
  if (subscriptions_.size() >= context_.limits.subscriptions) {
    return Refuse(message.subscription, "rate-limited: too many open subscriptions");
  }
  const size_t bytes = MemoryOf(message.filters);
  if (!own_ && filter_bytes_ + bytes > kFilterBytes) {
    return Refuse(message.subscription,
                  "rate-limited: too much in the filters of open subscriptions");
  }
  auto charge = ChargeFilters(bytes);
  if (!charge) return Refuse(message.subscription, kOverloaded);
  Subscribe(std::move(message), *std::move(charge));
}

std::optional<FilterCharge> ReqEndpoint::ChargeFilters(size_t bytes) const {
  const size_t limit = own_ ? size_t{INT64_MAX} : context_.limits.filter_total_bytes;
  return FilterCharge::Take(context_.meters.filter_bytes, limit, bytes);
}

// Indexed first, then read as of the hub's position: no commit falls between, none counts twice.
void ReqEndpoint::Subscribe(nostr::ClientReq message, FilterCharge charge) {
  const auto subscription = std::make_shared<Subscription>(
      *this, std::move(message.subscription), std::move(message.filters), std::move(charge));
  subscription->opened_at = context_.clock.Now();
  subscriptions_.emplace(subscription->id(), subscription);
  filter_bytes_ += subscription->filter_bytes();
  ++context_.meters.subscriptions;
  hub_.index().Add(*subscription);

  auto stored = StoredPart(subscription->filters, context_.limits);
  if (stored.empty()) return GoLive(subscription);
  subscription->query =
      std::make_shared<StoredQuery>(context_.store, std::move(stored), hub_.position());
  scans_.push_back(subscription);
  Pump();
}

// In turn, page by page, and only while the client reads what they bring.
void ReqEndpoint::Pump() {
  while (!catching_up_.empty()) {
    if (!SendWaiting(catching_up_.front())) return AwaitDrain();
  }
  while (scans_under_way_ < kScans && !scans_.empty()) {
    if (connection_.pending_bytes() > connection_.soft_limit()) return AwaitDrain();
    const SubscriptionPtr next = std::move(scans_.front());
    scans_.pop_front();
    Scan(*next);
  }
}

void ReqEndpoint::AwaitDrain() {
  if (std::exchange(awaits_drain_, true)) return;
  connection_.WhenDrained([this, weak = std::weak_ptr(alive_)] {
    if (weak.expired()) return;
    awaits_drain_ = false;
    Pump();
  });
}

void ReqEndpoint::Scan(Subscription& subscription) {
  ++scans_under_way_;
  // Weak: a subscription refers to its endpoint, and must not be kept by a task that outlives it.
  const std::weak_ptr<Subscription> weak = subscription.weak_from_this();
  const auto end = [this, weak](const auto& then) {
    --scans_under_way_;
    const auto alive = weak.lock();
    if (alive && !alive->closed) then(alive);
    Pump();
  };
  const auto read = [this, end, &clock = context_.clock, scan = std::weak_ptr(subscription.query)](
                        const SessionReads::Ended&) -> SessionReads::Then {
    const auto query = scan.lock();
    if (!query) return [end] { end([](const auto&) {}); };  // ended before its turn
    auto page = query->Next(clock.UnixNow());
    if (page.ok()) {
      for (storage::Row& row : page->rows) row.json.push_back(']');
    }
    return [this, end, page = std::make_shared<PageOrError>(std::move(page))] {
      end([&](const SubscriptionPtr& alive) { OnPage(alive, *page); });
    };
  };
  reads_.Run(read, [this, end](std::string_view reason) {
    end([&](const SubscriptionPtr& alive) { Refuse(alive->id(), reason); });
  });
}

void ReqEndpoint::OnPage(const SubscriptionPtr& subscription, const PageOrError& page) {
  if (!page.ok()) return Refuse(subscription->id(), "error: could not read stored events");
  if (subscription->overflowed) {
    return Refuse(subscription->id(), kTooManyNew);
  }
  for (const storage::Row& row : page->rows) subscription->Send(row.json);
  context_.meters.SentStored(page->rows.size());
  if (page->done) {
    GoLive(subscription);
  } else {
    scans_.push_back(subscription);
  }
}

void ReqEndpoint::GoLive(const SubscriptionPtr& subscription) {
  subscription->query = nullptr;
  connection_.SendText(nostr::EoseMessage(subscription->id()));
  context_.meters.EoseAfter(Seconds(context_.clock.Now() - subscription->opened_at));
  catching_up_.push_back(subscription);
  Pump();
}

// False if the client has to read first. Else the subscription is live, or has been ended.
bool ReqEndpoint::SendWaiting(const SubscriptionPtr& subscription) {
  const SubscriptionPtr kept = subscription;  // the list may let go of it
  const uint64_t now = context_.clock.UnixNow();
  while (kept->has_waiting()) {
    if (connection_.pending_bytes() > connection_.soft_limit()) return false;
    const nostr::EventPtr event = kept->TakeWaiting();
    if (nostr::IsExpired(event->event, now)) continue;
    kept->Send(event->json + "]");
    context_.meters.SentLive(1);
  }
  if (kept->overflowed) {
    Refuse(kept->id(), kTooManyNew);
  } else {
    catching_up_.remove(kept);
    kept->live = true;
  }
  return true;
}

void ReqEndpoint::End(const std::string& id) {
  const auto it = subscriptions_.find(id);
  if (it == subscriptions_.end()) return;
  Subscription& subscription = *it->second;
  subscription.closed = true;
  scans_.remove(it->second);
  catching_up_.remove(it->second);
  subscription.DropWaiting();
  hub_.index().Remove(subscription);
  filter_bytes_ -= subscription.filter_bytes();
  --context_.meters.subscriptions;
  subscriptions_.erase(it);
}

void ReqEndpoint::Refuse(const std::string& id, std::string_view reason) {
  context_.meters.Refused(reason);
  connection_.SendText(nostr::ClosedMessage(id, reason));
  End(std::string(id));  // a copy: `id` may be the subscription's own
}

void ReqEndpoint::RefuseAll(std::string_view reason) {
  while (!subscriptions_.empty()) Refuse(std::string(subscriptions_.begin()->first), reason);
}

}  // namespace graspd::relay
