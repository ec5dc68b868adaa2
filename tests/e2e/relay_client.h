#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "net/dialer.h"
#include "nostr/event.h"
#include "nostr/filter.h"
#include "nostr/message.h"

namespace graspd::e2e {

/// A Nostr client that remembers all it hears, with an I/O thread of its own.
///
/// Errors: what a test cannot go on without throws std::runtime_error; waits take at most
/// kPatience. Threading: used from the test's thread.
class RelayClient {
 public:
  /// What was heard so far.
  struct Heard {
    bool open = false;
    std::map<nostr::EventId, nostr::RelayOk> oks;
    std::map<std::string, std::set<nostr::EventId>> events;  // by subscription
    std::set<std::string> eose;
    std::map<std::string, std::string> closed;  // subscription -> reason
    std::optional<net::DialFailure> end;        // of the connection
  };

  /// Returns once the connection is open.
  explicit RelayClient(const std::string& url);
  ~RelayClient();
  RelayClient(const RelayClient&) = delete;
  RelayClient& operator=(const RelayClient&) = delete;

  /// Sends without waiting for the answers.
  void Send(const std::vector<nostr::Event>& events);
  /// Sends, and returns when each event was accepted. Throws the first refusal.
  void Publish(const std::vector<nostr::Event>& events);
  /// Returns at EOSE.
  void Subscribe(const std::string& subscription, const std::vector<nostr::Filter>& filters);
  /// Ids of the stored events that match, at most the relay's limit for one filter.
  std::set<nostr::EventId> Fetch(nostr::Filter filter);

  /// Waits until `condition` holds; false if it did not in time.
  [[nodiscard]] bool Await(const std::function<bool(const Heard&)>& condition);
  [[nodiscard]] bool AwaitEvent(const std::string& subscription, const nostr::EventId& id);
  [[nodiscard]] Heard heard() const;

 private:
  class Ear;
  struct Network;
  void SendText(std::string text);

  std::shared_ptr<Ear> ear_;
  std::unique_ptr<Network> network_;
  int fetches_ = 0;
};

/// True if the relay at `url` has the event stored now.
[[nodiscard]] bool HasStored(const std::string& url, const nostr::EventId& id);
/// Every event that the relay has stored, up to its limit for one filter.
[[nodiscard]] std::set<nostr::EventId> AllStored(const std::string& url);
[[nodiscard]] std::set<nostr::EventId> IdsOf(const std::vector<nostr::Event>& events);

}  // namespace graspd::e2e
