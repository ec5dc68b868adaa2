#include "bench/load/remote.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>

#include "base/overloaded.h"
#include "base/status_macros.h"
#include "nostr/filter.h"
#include "nostr/message.h"
#include "nostr/negentropy/item_set.h"
#include "nostr/negentropy/reconciler.h"
#include "nostr/rules.h"

namespace graspd::bench {
namespace {

constexpr size_t kFrameBytes = 200'000;  // of a NEG-MSG, before hex
constexpr char kInformation[] =
    R"({"name":"graspd-bench","software":"graspd-bench","supported_nips":[1,11,77],"limitation":{"max_subscriptions":200,"max_filters":20}})";

int64_t Nanos(base::SteadyTime time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

// RFC 6455: what frames add to a message.
size_t FrameHead(size_t bytes, bool masked) {
  return (bytes < 126 ? 2 : bytes < 65536 ? 4 : 10) + (masked ? 4 : 0);
}

/// The events, and where they are found.
class Shelf {
 public:
  explicit Shelf(std::vector<nostr::Event> events) : events_(std::move(events)) {
    for (uint32_t i = 0; i < events_.size(); ++i) {
      const nostr::Event& event = events_[i];
      json_.push_back(nostr::EventJson(event) + "]");
      by_id_.emplace(event.id, i);
      for (const auto tag : event.tags) {
        if (tag.size() < 2 || tag[0].size() != 1) continue;
        by_tag_[std::string(tag[0]) + std::string(tag[1])].push_back(i);
      }
    }
  }

  /// Indices of what matches, ascending; a limit plays no part.
  [[nodiscard]] std::vector<uint32_t> Find(const nostr::Filter& filter) const {
    std::vector<uint32_t> found;
    if (filter.ids) {
      for (const auto& id : *filter.ids) {
        if (const auto it = by_id_.find(id); it != by_id_.end()) found.push_back(it->second);
      }
    } else if (!filter.tags.empty()) {
      const auto& [letter, values] = *filter.tags.begin();
      for (const auto& value : values) {
        const auto it = by_tag_.find(letter + value);
        if (it != by_tag_.end()) found.insert(found.end(), it->second.begin(), it->second.end());
      }
    } else {
      for (uint32_t i = 0; i < events_.size(); ++i) found.push_back(i);
    }
    std::sort(found.begin(), found.end());
    found.erase(std::unique(found.begin(), found.end()), found.end());
    std::erase_if(found, [&](uint32_t i) { return !nostr::Matches(filter, events_[i]); });
    return found;
  }
  [[nodiscard]] const nostr::Event& event(uint32_t i) const { return events_[i]; }
  /// With the bracket that ends an EVENT message.
  [[nodiscard]] const std::string& delivery(uint32_t i) const { return json_[i]; }

 private:
  std::vector<nostr::Event> events_;
  std::vector<std::string> json_;
  std::unordered_map<nostr::EventId, uint32_t> by_id_;
  std::unordered_map<std::string, std::vector<uint32_t>> by_tag_;  // letter and value
};

class Session;

/// What all sessions share; used on the I/O thread, but for the counts.
struct Shared {
  explicit Shared(std::vector<nostr::Event> events) : shelf(std::move(events)) {}
  void Contact() {
    const int64_t now = Nanos(base::SystemClock::Instance().Now());
    counts.last_activity = now;
    int64_t never = 0;
    counts.first_contact.compare_exchange_strong(never, now);
  }

  const Shelf shelf;
  Remote::Counts counts;
  std::set<Session*> sessions;
};

class Session final : public net::WebSocketSession {
 public:
  Session(std::shared_ptr<Shared> shared, std::shared_ptr<net::WebSocketConnection> connection)
      : shared_(std::move(shared)), connection_(std::move(connection)) {
    shared_->Contact();
    ++shared_->counts.connections;
    ++shared_->counts.open;
    shared_->sessions.insert(this);
  }

  void OnText(std::string_view text) override {
    shared_->Contact();
    shared_->counts.bytes_in += text.size() + FrameHead(text.size(), true);
    std::visit(base::Overloaded{
                   [this](nostr::ClientReq& m) { OnReq(m); },
                   [this](nostr::ClientClose& m) { live_.erase(m.subscription); },
                   [this](nostr::ClientNegOpen& m) { OnNegOpen(m); },
                   [this](nostr::ClientNegMsg& m) { Reconcile(m.subscription, m.message); },
                   [this](nostr::ClientNegClose& m) {
                     shared_->counts.reconciliations_closed += responders_.erase(m.subscription);
                   },
                   [](auto&) {}},
               message_ = nostr::ParseClientMessage(text));
  }
  void OnBinary(size_t) override {}
  void OnClosed() override {
    --shared_->counts.open;
    shared_->sessions.erase(this);
  }

  bool Deliver(const nostr::Event& event, const std::string& delivery) {
    bool sent = false;
    for (const auto& [id, filters] : live_) {
      if (!nostr::MatchesAny(filters, event)) continue;
      Send(nostr::EventMessagePrefix(id), delivery);
      sent = true;
    }
    return sent;
  }

 private:
  void Send(std::string_view prefix, std::string_view body) {
    const size_t bytes = prefix.size() + body.size();
    shared_->counts.bytes_out += bytes + FrameHead(bytes, false);
    connection_->SendText(prefix, body);
  }

  void OnReq(nostr::ClientReq& req) {
    const std::string prefix = nostr::EventMessagePrefix(req.subscription);
    for (const auto& filter : req.filters) {
      if (filter.limit == 0u) continue;
      auto found = shared_->shelf.Find(filter);
      if (filter.limit && found.size() > *filter.limit) {
        std::sort(found.begin(), found.end(), [this](uint32_t a, uint32_t b) {
          const auto &x = shared_->shelf.event(a), &y = shared_->shelf.event(b);
          return nostr::ServedBefore(x.created_at, x.id, y.created_at, y.id);
        });
        found.resize(*filter.limit);
      }
      for (const uint32_t i : found) Send(prefix, shared_->shelf.delivery(i));
      shared_->counts.events_sent += found.size();
    }
    Send(nostr::EoseMessage(req.subscription), {});
    ++shared_->counts.live;
    live_[req.subscription] = std::move(req.filters);
  }

  void OnNegOpen(const nostr::ClientNegOpen& open) {
    std::vector<negentropy::Item> items;
    for (const uint32_t i : shared_->shelf.Find(open.filter)) {
      items.push_back({shared_->shelf.event(i).created_at, shared_->shelf.event(i).id});
    }
    ++shared_->counts.reconciliations_open;
    auto set = std::make_shared<const negentropy::SealedSet>(std::move(items));
    responders_.insert_or_assign(
        open.subscription, negentropy::Responder(std::move(set), {.frame_bytes = kFrameBytes}));
    Reconcile(open.subscription, open.message);
  }

  void Reconcile(const std::string& id, std::string_view message) {
    const auto responder = responders_.find(id);
    if (responder == responders_.end()) return;
    const auto answer = responder->second.Answer(message);
    if (answer.ok()) {
      Send(nostr::NegMsgMessage(id, *answer), {});
    } else {
      Send(nostr::NegErrMessage(id, "invalid: " + std::string(answer.status().message())), {});
    }
  }

  const std::shared_ptr<Shared> shared_;
  const std::shared_ptr<net::WebSocketConnection> connection_;
  nostr::ClientMessage message_;
  std::map<std::string, std::vector<nostr::Filter>> live_;
  std::map<std::string, negentropy::Responder> responders_;
};

}  // namespace

struct Remote::Impl {
  explicit Impl(std::vector<nostr::Event> events)
      : shared(std::make_shared<Shared>(std::move(events))) {}
  ~Impl() {
    server.reset();
    io.Stop();
  }

  base::Metrics metrics;
  std::shared_ptr<Shared> shared;
  net::IoPool io{1, "remote"};
  std::unique_ptr<net::WebSocketServer> server;
  std::vector<std::string> addresses;
};

absl::StatusOr<std::unique_ptr<Remote>> Remote::Start(std::vector<nostr::Event> events,
                                                      size_t count) {
  auto impl = std::make_unique<Impl>(std::move(events));
  net::WebSocketServerOptions options;
  options.listen.assign(count, *net::ListenAddress::Parse("127.0.0.1:0"));
  options.message_bytes = 4u << 20;
  options.outbound_bytes = options.outbound_total_bytes = 1u << 30;
  options.connections_per_address = 100'000;
  auto server = net::WebSocketServer::Start(
      impl->io, options,
      [shared = impl->shared](const net::HttpRequest&) -> net::HttpResponse {
        shared->Contact();
        return {200, "application/nostr+json", kInformation, {}};
      },
      [shared = impl->shared](std::shared_ptr<net::WebSocketConnection> connection) {
        return std::make_unique<Session>(shared, std::move(connection));
      },
      impl->metrics);
  GRASPD_RETURN_IF_ERROR(server.status());
  impl->server = *std::move(server);
  for (const auto& address : impl->server->addresses()) {
    impl->addresses.push_back(address.ToString());
  }
  return std::unique_ptr<Remote>(new Remote(std::move(impl)));
}

Remote::Remote(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Remote::~Remote() = default;

const std::vector<std::string>& Remote::addresses() const { return impl_->addresses; }
const Remote::Counts& Remote::counts() const { return impl_->shared->counts; }
void Remote::Rearm() { impl_->shared->counts.first_contact = 0; }

void Remote::Publish(const nostr::Event& event, std::function<void(base::SteadyTime)> sent_at) {
  impl_->io.thread(0).Post([shared = impl_->shared, event, sent_at = std::move(sent_at),
                            delivery = nostr::EventJson(event) + "]"] {
    const base::SteadyTime now = base::SystemClock::Instance().Now();
    bool sent = false;
    for (Session* session : shared->sessions) sent |= session->Deliver(event, delivery);
    if (sent) sent_at(now);
  });
}

}  // namespace graspd::bench
