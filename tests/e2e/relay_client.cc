#include "tests/e2e/relay_client.h"

#include <algorithm>
#include <stdexcept>
#include <utility>
#include <variant>

#include "net/address_guard.h"
#include "net/io_pool.h"
#include "net/resolver.h"
#include "tests/e2e/support.h"

namespace graspd::e2e {

// Told on the I/O thread, asked on the test's.
class RelayClient::Ear final : public net::DialHandler {
 public:
  void OnOpen(const net::DialSuccess&) override {
    Note([](Heard& heard) { heard.open = true; });
  }
  void OnClosed(const net::DialFailure& failure) override {
    Note([&](Heard& heard) { heard.end = failure; });
  }
  void OnText(std::string_view text) override {
    auto message = nostr::ParseRelayMessage(text);
    Note([&](Heard& heard) {
      if (auto* ok = std::get_if<nostr::RelayOk>(&message)) {
        heard.oks.emplace(ok->id, *ok);
      } else if (const auto* event = std::get_if<nostr::RelayEvent>(&message)) {
        heard.events[event->subscription].insert(event->event.id);
      } else if (const auto* eose = std::get_if<nostr::RelayEose>(&message)) {
        heard.eose.insert(eose->subscription);
      } else if (const auto* closed = std::get_if<nostr::RelayClosed>(&message)) {
        heard.closed.emplace(closed->subscription, closed->message);
      }
    });
  }

  bool Await(const std::function<bool(const Heard&)>& condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return condition(heard_); });
  }
  Heard heard() const {
    const std::lock_guard lock(mutex_);
    return heard_;
  }

 private:
  template <typename Change>
  void Note(Change change) {
    {
      const std::lock_guard lock(mutex_);
      change(heard_);
    }
    changed_.notify_all();
  }
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Heard heard_;
};

struct RelayClient::Network {
  net::AddressGuard guard{{.allow = {*net::Cidr::Parse("127.0.0.0/8")}}};
  net::IoPool io{1};
  net::SystemResolver resolver;
  std::unique_ptr<net::Dialer> dialer = net::MakeDialer(guard, resolver, {});
  std::shared_ptr<net::DialledConnection> connection;
};

RelayClient::RelayClient(const std::string& url)
    : ear_(std::make_shared<Ear>()), network_(std::make_unique<Network>()) {
  net::DialOptions options(Value(nostr::RelayUrl::Parse(url)));
  options.outbound_bytes = 64u << 20;  // whole sets of events are sent at once
  network_->connection = network_->dialer->Dial(std::move(options), ear_, network_->io.thread(0));
  (void)Await([](const Heard& heard) { return heard.open || heard.end; });
  if (!heard().open) throw std::runtime_error("cannot connect to " + url);
}

RelayClient::~RelayClient() {
  auto& connection = network_->connection;
  network_->io.thread(0).Post([connection] { connection->Close(); });
  (void)Await([](const Heard& heard) { return heard.end.has_value(); });
}

void RelayClient::SendText(std::string text) {
  network_->io.thread(0).Post(
      [connection = network_->connection, text = std::move(text)] { connection->SendText(text); });
}

void RelayClient::Send(const std::vector<nostr::Event>& events) {
  for (const auto& event : events) SendText(nostr::ClientEventMessage(nostr::EventJson(event)));
}

void RelayClient::Publish(const std::vector<nostr::Event>& events) {
  Send(events);
  const bool answered = Await([&](const Heard& heard) {
    return heard.end || std::all_of(events.begin(), events.end(), [&](const auto& event) {
             return heard.oks.contains(event.id);
           });
  });
  if (!answered) throw std::runtime_error("not every event was answered");
  const Heard now = heard();
  for (const auto& event : events) {
    const auto ok = now.oks.find(event.id);
    if (ok == now.oks.end()) throw std::runtime_error("the connection ended: " + now.end->detail);
    if (!ok->second.accepted) throw std::runtime_error("refused: " + ok->second.message);
  }
}

void RelayClient::Subscribe(const std::string& subscription,
                            const std::vector<nostr::Filter>& filters) {
  SendText(nostr::ReqMessage(subscription, filters));
  const bool answered = Await([&](const Heard& heard) {
    return heard.eose.contains(subscription) || heard.closed.contains(subscription) || heard.end;
  });
  if (!answered || !heard().eose.contains(subscription)) {
    throw std::runtime_error("no EOSE for " + subscription);
  }
}

std::set<nostr::EventId> RelayClient::Fetch(nostr::Filter filter) {
  filter.limit = 1'000'000;  // more than there are; a relay cuts it to its own limit
  const std::string subscription = "fetch-" + std::to_string(fetches_++);
  Subscribe(subscription, {filter});
  SendText(nostr::CloseMessage(subscription));
  return heard().events[subscription];
}

bool RelayClient::Await(const std::function<bool(const Heard&)>& condition) {
  return ear_->Await(condition);
}

bool RelayClient::AwaitEvent(const std::string& subscription, const nostr::EventId& id) {
  return Await([&](const Heard& heard) {
    const auto found = heard.events.find(subscription);
    return found != heard.events.end() && found->second.contains(id);
  });
}

RelayClient::Heard RelayClient::heard() const { return ear_->heard(); }

bool HasStored(const std::string& url, const nostr::EventId& id) {
  nostr::Filter filter;
  filter.ids = {id};
  return !RelayClient(url).Fetch(filter).empty();
}

std::set<nostr::EventId> AllStored(const std::string& url) { return RelayClient(url).Fetch({}); }

std::set<nostr::EventId> IdsOf(const std::vector<nostr::Event>& events) {
  std::set<nostr::EventId> ids;
  for (const auto& event : events) ids.insert(event.id);
  return ids;
}

}  // namespace graspd::e2e
