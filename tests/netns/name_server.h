#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "net/socket_address.h"

namespace graspd::netns {

/// What is answered for a name.
struct NameAnswer {
  std::vector<std::string> addresses;  // of either family; those asked for are given
  std::string alias;                   // a CNAME that stands before them
  int code = 0;                        // RCODE: 2 = SERVFAIL, 3 = NXDOMAIN
  bool silent = false;                 // no answer at all
  bool truncated = false;              // over UDP only "ask by TCP"
};

/// A small DNS server, UDP and TCP, that lies as it is told to. TTLs are 0.
class NameServer {
 public:
  /// Called on the server's threads, with a name in lower case and the type (1 = A, 28 = AAAA).
  using Zone = std::function<NameAnswer(const std::string& name, uint16_t type)>;
  NameServer(const net::SocketAddress& address, Zone zone);
  ~NameServer();
  NameServer(const NameServer&) = delete;
  NameServer& operator=(const NameServer&) = delete;

 private:
  void ServeUdp();
  void ServeTcp();
  [[nodiscard]] std::string Answer(std::string_view query, bool udp) const;

  const Zone zone_;
  int udp_, tcp_;
  std::thread udp_thread_, tcp_thread_;
};

}  // namespace graspd::netns
