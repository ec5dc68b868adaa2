#include "bench/load/remote_relay.h"

#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <map>
#include <set>
#include <string_view>
#include <utility>
#include <variant>

#include "base/metrics.h"
#include "base/mutex.h"
#include "base/overloaded.h"
#include "base/status_macros.h"
#include "bench/load/remote_set.h"
#include "net/websocket_server.h"
#include "nostr/message.h"
#include "nostr/negentropy/item_set.h"
#include "nostr/negentropy/reconciler.h"

namespace graspd::bench {
namespace {

constexpr size_t kSubscriptions = 200, kRows = 5000;
constexpr size_t kMessageBytes = 4u << 20, kOutboundBytes = 64u << 20;

constexpr std::string_view kInformation =
    R"({"name":"graspd-bench","supported_nips":[1,11,77],"limitation":{"max_subscriptions":200,)"
    R"("max_filters":50,"max_limit":5000,"max_message_length":4194304}})";

uint64_t FrameBytes(uint64_t payload, bool masked) {
  return payload + (payload < 126 ? 2 : payload < 65536 ? 4 : 10) + (masked ? 4 : 0);
}

}  // namespace

// What the connections share.
struct RemoteRelay::Core {
  explicit Core(const base::Clock& c) : clock(c) {}

  const base::Clock& clock;
  mutable base::Mutex mutex;
  RemoteSet set ABSL_GUARDED_BY(mutex);
  Stats stats ABSL_GUARDED_BY(mutex);
  std::vector<bool> sent ABSL_GUARDED_BY(mutex);  // by row
  std::vector<nostr::EventId> first_sent ABSL_GUARDED_BY(mutex);
  std::set<Session*> sessions;  // on the relay's thread only

  void Contact() {
    base::MutexLock lock(mutex);
    if (!stats.first_contact) stats.first_contact = clock.Now();
  }
  void Traffic(uint64_t in, uint64_t out) {
    base::MutexLock lock(mutex);
    stats.bytes_in += in;
    stats.bytes_out += out;
    stats.last_traffic = clock.Now();
  }
  void Filter(const nostr::Filter& filter) {
    const size_t bytes = nostr::FilterJson(filter).size();
    base::MutexLock lock(mutex);
    stats.filter_bytes += bytes;
  }
  void Change(size_t Stats::*field, ptrdiff_t by) {
    base::MutexLock lock(mutex);
    stats.*field += static_cast<size_t>(by);
  }
  void Sent(uint32_t row) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    ++stats.sent;
    sent.resize(set.size());
    if (sent[row]) return;
    sent[row] = true;
    first_sent.push_back(set.item(row).id);
    ++stats.delivered;
  }
};

class RemoteRelay::Session final : public net::WebSocketSession {
 public:
  Session(Core& core, std::shared_ptr<net::WebSocketConnection> connection)
      : core_(core), connection_(std::move(connection)) {
    core_.Contact();
    core_.Change(&Stats::connections, 1);
    core_.sessions.insert(this);
  }
  ~Session() override {
    core_.sessions.erase(this);
    core_.Change(&Stats::connections, -1);
    core_.Change(&Stats::subscriptions, -static_cast<ptrdiff_t>(subscriptions_.size()));
    core_.Change(&Stats::neg_running, -static_cast<ptrdiff_t>(negs_.size()));
  }

  void OnText(std::string_view text) override {
    core_.Traffic(FrameBytes(text.size(), true), 0);
    auto message = nostr::ParseClientMessage(text);
    std::visit(base::Overloaded{
                   [this](nostr::ClientReq& m) { OnReq(m); },
                   [this](nostr::ClientClose& m) { Forget(m.subscription); },
                   [this](nostr::ClientNegOpen& m) { OnNegOpen(m); },
                   [this](nostr::ClientNegMsg& m) { AnswerNeg(m.subscription, m.message); },
                   [this](nostr::ClientNegClose& m) { EndNeg(m.subscription); },
                   [this](auto&) { Send(nostr::NoticeMessage("this relay does not do that")); },
               },
               message);
  }
  void OnBinary(size_t) override {}
  void OnClosed() override {}

  [[nodiscard]] size_t Listeners(const nostr::Event& event) const {
    return static_cast<size_t>(
        std::count_if(subscriptions_.begin(), subscriptions_.end(),
                      [&](const auto& s) { return nostr::MatchesAny(s.second, event); }));
  }
  void HangUp() { connection_->Close(1001, "restarting"); }
  void Deliver(const nostr::Event& event, std::string_view json) {
    for (const auto& [name, filters] : subscriptions_) {
      if (nostr::MatchesAny(filters, event)) Send(nostr::EventMessagePrefix(name), json);
    }
  }

 private:
  void Send(std::string_view prefix, std::string_view event_json = {}) {
    const std::string body = event_json.empty() ? "" : fmt::format("{}]", event_json);
    core_.Traffic(0, FrameBytes(prefix.size() + body.size(), false));
    connection_->SendText(prefix, body);
  }

  void OnReq(nostr::ClientReq& req) {
    Forget(req.subscription);
    if (subscriptions_.size() >= kSubscriptions) {
      Send(nostr::ClosedMessage(req.subscription, "blocked: too many subscriptions"));
      return;
    }
    for (const auto& filter : req.filters) core_.Filter(filter);
    std::vector<std::string_view> stored;
    {
      base::MutexLock lock(core_.mutex);
      std::set<uint32_t> rows;  // several filters may select one
      for (auto filter : req.filters) {
        filter.limit = std::min<uint64_t>(filter.limit.value_or(kRows), kRows);
        for (const auto row : core_.set.Select(filter)) {
          if (!rows.insert(row).second) continue;
          stored.push_back(core_.set.json(row));
          core_.Sent(row);
        }
      }
    }
    const std::string prefix = nostr::EventMessagePrefix(req.subscription);
    for (const auto json : stored) Send(prefix, json);
    Send(nostr::EoseMessage(req.subscription));
    subscriptions_[req.subscription] = std::move(req.filters);
    core_.Change(&Stats::subscriptions, 1);
  }

  void Forget(const std::string& subscription) {
    if (subscriptions_.erase(subscription) > 0) core_.Change(&Stats::subscriptions, -1);
  }

  void OnNegOpen(nostr::ClientNegOpen& open) {
    EndNeg(open.subscription);
    if (negs_.size() >= kSubscriptions) {
      Send(nostr::NegErrMessage(open.subscription, "blocked: too many sessions"));
      return;
    }
    core_.Filter(open.filter);
    std::vector<negentropy::Item> items;
    {
      base::MutexLock lock(core_.mutex);
      ++core_.stats.neg_opens;
      ++core_.stats.neg_running;
      for (const auto row : core_.set.Select(open.filter)) items.push_back(core_.set.item(row));
    }
    negs_.emplace(
        open.subscription,
        negentropy::Responder(std::make_shared<const negentropy::SealedSet>(std::move(items)),
                              {.frame_bytes = 500'000}));
    AnswerNeg(open.subscription, open.message);
  }

  void AnswerNeg(const std::string& subscription, std::string_view message) {
    const auto neg = negs_.find(subscription);
    if (neg == negs_.end()) {
      return Send(nostr::NegErrMessage(subscription, "closed: no such session"));
    }
    const auto answer = neg->second.Answer(message);
    if (!answer.ok()) return Send(nostr::NegErrMessage(subscription, "invalid: malformed message"));
    Send(nostr::NegMsgMessage(subscription, *answer));
  }

  void EndNeg(const std::string& subscription) {
    if (negs_.erase(subscription) > 0) core_.Change(&Stats::neg_running, -1);
  }

  Core& core_;
  const std::shared_ptr<net::WebSocketConnection> connection_;
  std::map<std::string, std::vector<nostr::Filter>> subscriptions_;
  std::map<std::string, negentropy::Responder> negs_;
};

class RemoteRelay::Server {
 public:
  Server(net::IoPool& pool, const base::Clock& clock) : thread_(pool.thread(0)), core_(clock) {}

  absl::Status Start(net::IoPool& pool, size_t ports) {
    net::WebSocketServerOptions options;
    net::ListenAddress any;
    GRASPD_ASSIGN_OR_RETURN(any.tcp.ip, net::IpAddress::Parse("127.0.0.1"));
    options.listen.assign(ports, any);
    options.message_bytes = kMessageBytes;
    options.outbound_bytes = options.outbound_total_bytes = kOutboundBytes;
    options.connections_per_address = options.connections;
    const auto on_http = [this](const net::HttpRequest&) {
      core_.Contact();
      net::HttpResponse response;
      response.content_type = "application/nostr+json";
      response.body = kInformation;
      return response;
    };
    GRASPD_ASSIGN_OR_RETURN(server_,
                            net::WebSocketServer::Start(
                                pool, std::move(options), on_http,
                                [this](std::shared_ptr<net::WebSocketConnection> connection) {
                                  return std::make_unique<Session>(core_, std::move(connection));
                                },
                                metrics_));
    return absl::OkStatus();
  }

  template <typename F>
  auto OnThread(F task) {
    std::packaged_task<decltype(task())()> packaged(std::move(task));
    auto result = packaged.get_future();
    thread_.Post([&packaged] { packaged(); });
    return result.get();
  }

  net::IoThread& thread_;
  Core core_;
  base::Metrics metrics_;
  std::unique_ptr<net::WebSocketServer> server_;  // last: its sessions use the rest
};

absl::StatusOr<std::unique_ptr<RemoteRelay>> RemoteRelay::Start(net::IoPool& pool,
                                                                const base::Clock& clock,
                                                                size_t ports) {
  auto server = std::make_unique<Server>(pool, clock);
  GRASPD_RETURN_IF_ERROR(server->Start(pool, ports));
  return std::unique_ptr<RemoteRelay>(new RemoteRelay(std::move(server)));
}

RemoteRelay::RemoteRelay(std::unique_ptr<Server> server) : server_(std::move(server)) {}
RemoteRelay::~RemoteRelay() = default;

uint16_t RemoteRelay::port(size_t i) const { return server_->server_->addresses()[i].tcp.port; }
std::string RemoteRelay::url(size_t i) const { return fmt::format("ws://127.0.0.1:{}", port(i)); }

absl::Status RemoteRelay::Add(std::string_view json) {
  base::MutexLock lock(server_->core_.mutex);
  return server_->core_.set.Add(json);
}

void RemoteRelay::Publish(nostr::Event event) {
  server_->OnThread([&core = server_->core_, &event] {
    const std::string json = nostr::EventJson(event);
    for (auto* session : core.sessions) session->Deliver(event, json);
  });
}

void RemoteRelay::HangUp() {
  server_->OnThread([&core = server_->core_] {
    for (auto* session : core.sessions) session->HangUp();
  });
}

size_t RemoteRelay::Listeners(const nostr::Event& event) const {
  return server_->OnThread([&core = server_->core_, &event] {
    size_t count = 0;
    for (const auto* session : core.sessions) count += session->Listeners(event);
    return count;
  });
}

RemoteRelay::Stats RemoteRelay::stats() const {
  base::MutexLock lock(server_->core_.mutex);
  return server_->core_.stats;
}

std::vector<nostr::EventId> RemoteRelay::LastDelivered(size_t most) const {
  base::MutexLock lock(server_->core_.mutex);
  const auto& all = server_->core_.first_sent;
  return {all.end() - static_cast<ptrdiff_t>(std::min(most, all.size())), all.end()};
}

}  // namespace graspd::bench
