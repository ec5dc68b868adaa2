#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "base/mutex.h"
#include "net/test_support.h"
#include "nostr/event.h"
#include "nostr/message.h"
#include "sync/testing/fake_relay.h"

namespace graspd {

/// A relay on a loopback port that does what a test's script says, and where the script says
/// nothing answers honestly from what it has stored: REQ, live deliveries aside, and NIP-77, by way
/// of FakeRelay. Each connection has a thread of its own, which may block as it likes.
/// Threading: Store and events_sent from any thread; the script's functions are called on the
/// connections' threads. Lifetime: ends every connection when it goes.
class HostileRelay {
 public:
  /// One connection that has been accepted.
  class Peer {
   public:
    explicit Peer(int fd) : fd_(fd) {}
    /// False once the other side has gone.
    bool Say(std::string_view text) { return SendBytes(net::ServerFrame(0x81, text)); }
    bool SendBytes(std::string_view bytes) { return net::WriteAll(fd_, bytes); }
    /// Reads and drops until the other side ends the connection.
    void WaitForEnd();

   private:
    const int fd_;
  };

  /// Empty functions are honest. What they refer to outlives the relay.
  struct Script {
    /// In place of reading the request that a connection begins with.
    std::function<void(Peer&)> instead_of_upgrade;
    /// When the upgrade is done; whatever comes is read afterwards.
    std::function<void(Peer&)> on_open;
    /// Told each message first. True: it has been dealt with.
    std::function<bool(Peer&, const nostr::ClientMessage&)> on_message;
    /// The JSON to serve for a stored event.
    std::function<std::string(const nostr::Event&)> served;
    sync::testing::FakeRelay::Behaviour behaviour;
    std::string information = "{}";  // NIP-11
  };

  HostileRelay() : HostileRelay(Script()) {}
  explicit HostileRelay(Script script);
  ~HostileRelay();

  void Store(const nostr::Event& event);
  [[nodiscard]] std::string url() const { return "ws://" + server_->address().ToString(); }
  /// Connections that asked for a WebSocket.
  [[nodiscard]] int upgrades() const { return upgrades_; }

 private:
  void Serve(int fd);
  void Begin(Peer& peer, int fd);
  void Talk(Peer& peer, int fd);
  // False: the connection is over.
  bool Answer(Peer& peer, sync::testing::FakeRelay::Session& session, std::string_view text);
  bool Challenge(Peer& peer, sync::testing::FakeRelay::Session& session);
  bool Send(Peer& peer, const sync::testing::FakeRelay::Replies& replies);

  const Script script_;
  base::Mutex mutex_;
  sync::testing::FakeRelay relay_ ABSL_GUARDED_BY(mutex_);
  std::set<int> connections_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::atomic<int> upgrades_{0};
  std::unique_ptr<net::RawServer> server_;  // last: its threads use the rest
};

}  // namespace graspd
