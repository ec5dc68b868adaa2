// A network of our own in which every address leads somewhere, and the kernel counts what graspd
// sends to those that it must leave alone.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "net/test_support.h"
#include "tests/e2e/support.h"
#include "tests/netns/name_server.h"

namespace graspd::netns {

// All addresses exist, on the loopback device. 25.0.0.0/8 is public and routed nowhere; parts of it
// stand for the Internet:
inline constexpr char kNameServer[] = "25.1.0.53";
inline constexpr char kHonest[] = "25.2.0.1";  // all of 25.2.0.0/24, port 80: an honest relay
inline constexpr char kBlackHole[] = "25.3.";  // 25.3.0.0/16: packets vanish
inline constexpr char kOurselves[] =
    "25.4.0.1";                                 // 25.4.0.0/24: our own relay, as by a load balancer
inline constexpr char kCrowded[] = "25.5.0.1";  // the same honest relay, by another address
inline constexpr char kNameless[] = "25.7.0.1";    // port 80: a relay that does not say which it is
inline constexpr char kRedirecting[] = "25.6.0.";  // 25.6.0.{1,2,7,8}: redirects with 30{1,2,7,8}

/// The network namespace, its firewall, name server and servers. One a process: the thread that
/// makes it, and what it starts afterwards, stay inside.
class Canary {
 public:
  /// nullptr, with the reason in `why_not`, where namespaces may not be made.
  static std::unique_ptr<Canary> Make(std::string& why_not);
  ~Canary();

  /// What the name server answers besides the corpus; NXDOMAIN is the rest.
  void SetName(const std::string& name, std::vector<NameAnswer> in_turn);
  [[nodiscard]] size_t Asked(const std::string& name) const;

  /// Of a graspd made by StartGraspd, packets that open a connection (TCP) or any other packets, by
  /// where they went: "forbidden", "honest", "black_hole", "crowded", "redirecting", "ourselves".
  [[nodiscard]] size_t Packets(const std::string& where) const;
  void ResetPackets() const;
  /// Destinations of the connections that were led to the canary, "10.0.0.5:80".
  [[nodiscard]] std::vector<std::string> Caught() const;
  void ForgetCaught();

  /// In grasp mode, as ws://relay.test at 127.0.0.1:7334; no address is allowed by hand. May dial
  /// ws:// anywhere, because the honest relay has no certificate.
  /// Logs into `dir`.
  std::unique_ptr<e2e::Graspd> StartGraspd(const e2e::TempDir& dir, std::vector<std::string> flags);
  /// WebSockets that the nameless relay has open, and the most that it had.
  [[nodiscard]] int nameless_open() const { return nameless_open_; }
  [[nodiscard]] int nameless_at_most() const { return nameless_at_most_; }
  /// The honest relay: an open graspd.
  [[nodiscard]] e2e::Graspd& honest() { return *honest_; }

 private:
  Canary();
  NameAnswer Resolve(const std::string& name, uint16_t type);
  void Catch();
  void ServeNameless(int fd);

  const e2e::TempDir dir_;
  mutable base::Mutex mutex_;
  std::map<std::string, std::vector<NameAnswer>> names_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, size_t> asked_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> caught_ ABSL_GUARDED_BY(mutex_);
  int trap_ = -1;
  std::thread trap_thread_;
  std::unique_ptr<NameServer> name_server_;
  std::vector<std::unique_ptr<net::RawServer>> redirectors_;
  std::atomic<int> nameless_open_{0}, nameless_at_most_{0};
  std::unique_ptr<net::RawServer> nameless_;
  std::unique_ptr<e2e::Graspd> honest_;
};

}  // namespace graspd::netns
