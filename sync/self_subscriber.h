#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "net/dialer.h"

namespace graspd::sync {

/// A Nostr client of our own relay port: hears of every announcement, root and deletion the moment
/// it is accepted, by whatever way it came in (GRASP-02).
///
/// What arrives is only a signal; what to act on is read from the store's feed after one's own
/// position. A lost message or connection therefore costs nothing: each connection begins with a
/// signal as well. Reconnects for ever, after 1 s doubling to 60 s. Threading: Start and Stop from
/// one thread; `signal` is called on the I/O thread. Lifetime: the dialler and the thread outlive
/// it.
class SelfSubscriber {
 public:
  struct Options {
    nostr::RelayUrl url;  // of our relay port on loopback
    net::SelfDialPermit permit;
    std::pair<std::string, std::string> secret_header;  // tells the relay that it is us
    base::Duration first_backoff = std::chrono::seconds(1);
    base::Duration max_backoff = std::chrono::seconds(60);
    /// How to wait before dialling again; by default IoThread::After. For tests.
    using Timer = std::unique_ptr<net::IoThread::Timer>;
    std::function<Timer(base::Duration delay, std::function<void()> task)> after;
  };
  SelfSubscriber(net::Dialer& dialer, net::IoThread& thread, Options options,
                 std::function<void()> signal);
  ~SelfSubscriber();

  void Start();
  void Stop();
  /// True while the subscription is open. Thread-safe.
  [[nodiscard]] bool connected() const;

 private:
  class Client;
  net::IoThread& thread_;
  std::shared_ptr<Client> client_;
};

}  // namespace graspd::sync
