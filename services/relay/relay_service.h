#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/blocking_pool.h"
#include "base/clock.h"
#include "base/cpu_pool.h"
#include "base/metrics.h"
#include "ingest/event_sink.h"
#include "net/io_pool.h"
#include "net/socket_address.h"
#include "nostr/limits.h"
#include "nostr/relay_url.h"
#include "services/relay/relay_info.h"
#include "storage/commit_feed.h"
#include "storage/event_store.h"
#include "storage/neg_sets.h"

namespace graspd::relay {

/// The relay port: WebSocket (NIP-01, 42, 45, 77), NIP-11 and a landing page.
///
/// Events go into the EventSink; stored ones come from the EventStore, read on the `reads` pool;
/// new ones from the CommitFeed, delivered on the I/O thread of each connection. Threading:
/// thread-safe, but Drain and the destructor block and are not called on an I/O thread. Lifetime:
/// everything in Dependencies outlives it. Before the I/O threads are destroyed, the reads and CPU
/// pools must be: their tasks post there.
class RelayService {
 public:
  struct Options {
    RelayInfo info;
    nostr::Limits limits;
    std::vector<net::ListenAddress> listen;
    /// What the `relay` tag of an AUTH event may name (NIP-42).
    std::vector<nostr::HostPort> own_hosts;
    std::vector<net::Cidr> trusted_proxies;
    /// For the store, dials, the other ports and logs.
    size_t reserved_descriptors = 64;
    /// Memory of the process near which the relay sheds load; 0 = without a bound.
    size_t memory_budget_bytes = 0;
    /// This process's nonce, sent with every response as `Graspd-Instance`, by which graspd
    /// recognises that it has dialled itself.
    std::string instance;
    /// Header and value that mark the connection of our own SelfSubscriber. Empty = none.
    std::pair<std::string, std::string> secret_header;
  };
  struct Dependencies {
    ingest::EventSink& sink;
    storage::EventStore& store;
    storage::CommitFeed& feed;
    std::shared_ptr<storage::NegSets> neg_sets;  // which it tends
    net::IoPool& io;
    base::BlockingPool& reads;  // of pages, each of which is short
    base::BlockingPool& scans;  // of all that a filter selects
    base::CpuPool& cpu;
    const base::Clock& clock;
    base::Metrics& metrics;
  };

  /// Listens. Errors: the server's (kUnavailable: address in use, ...).
  static absl::StatusOr<std::unique_ptr<RelayService>> Start(Options options,
                                                             Dependencies dependencies);
  /// Cuts every connection.
  ~RelayService();
  RelayService(const RelayService&) = delete;
  RelayService& operator=(const RelayService&) = delete;

  /// What is really listened on: port 0 has become a port.
  [[nodiscard]] std::vector<net::ListenAddress> addresses() const;
  [[nodiscard]] size_t connection_count() const;

  /// Replaces Options::own_hosts: for a port that is known only once it is listened on.
  /// Thread-safe.
  void SetOwnHosts(std::vector<nostr::HostPort> hosts);

  /// No new connections; existing ones go on.
  void StopAccepting();
  /// Tells every subscription CLOSED and closes every connection with 1001; cuts those that are
  /// still there after `deadline`.
  void Drain(base::Duration deadline);

 private:
  struct Impl;
  explicit RelayService(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace graspd::relay
