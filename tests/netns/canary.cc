#include "tests/netns/canary.h"

#include <netinet/in.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <regex>
#include <stdexcept>

#include "net/forbidden_urls.h"
#include "net/sockaddr.h"
#include "net/websocket_handshake.h"
#include "nostr/relay_url.h"

namespace graspd::netns {
namespace {

constexpr uint16_t kTrapPort = 7777, kHonestPort = 8001;
constexpr int kOriginalDestination = 80;  // SO_ORIGINAL_DST, of either family
constexpr char kGraspdsGroup[] = "4242";  // tells its packets from those of the test

// Counted before the destination is rewritten, hence priority -300: at 0 every counter would stay
// at 0. What graspd says to its own relay port and the name server is its business; of a TCP
// connection only the first packet counts.
constexpr char kFirewall[] = R"(
table inet canary {
  counter forbidden { }
  counter honest { }
  counter black_hole { }
  counter ourselves { }
  counter crowded { }
  counter redirecting { }
  counter self_subscriber { }

  chain count_graspd {
    meta l4proto tcp tcp flags & (syn | ack) != syn accept
    ip daddr 127.0.0.1 tcp dport 7334 counter name self_subscriber accept
    ip daddr 25.1.0.53 th dport 53 accept
    ip daddr 25.2.0.0/24 tcp dport 80 counter name honest accept
    ip daddr 25.3.0.0/16 counter name black_hole accept
    ip daddr 25.4.0.0/24 counter name ourselves accept
    ip daddr 25.5.0.0/24 counter name crowded accept
    ip daddr 25.6.0.0/24 counter name redirecting accept
    ip daddr 25.7.0.0/24 accept
    counter name forbidden
  }
  chain count {
    type filter hook output priority -300; policy accept;
    meta skgid GROUP jump count_graspd
  }

  chain lead_graspd {
    ip daddr 127.0.0.1 tcp dport 7334 accept
    ip daddr { 25.1.0.53, 25.3.0.0/16 } accept
    ip daddr { 25.2.0.0/24, 25.5.0.0/24 } tcp dport 80 redirect to :HONEST
    ip daddr 25.4.0.0/24 meta l4proto tcp redirect to :7334
    ip daddr 25.7.0.0/24 tcp dport 80 redirect to :NAMELESS
REDIRECTORS
    meta l4proto tcp redirect to :TRAP
  }
  chain lead {
    type nat hook output priority -100; policy accept;
    meta skgid GROUP jump lead_graspd
  }

  chain swallow {
    type filter hook input priority 0; policy accept;
    ip daddr 25.3.0.0/16 drop
  }
}
)";
constexpr const char* kCounters[] = {"forbidden", "honest",      "black_hole",     "ourselves",
                                     "crowded",   "redirecting", "self_subscriber"};

constexpr char kEnv[] = "/usr/bin/env";  // finds programs by PATH

void Run(std::vector<std::string> command) {
  command.insert(command.begin(), kEnv);
  const e2e::Outcome outcome = e2e::RunToEnd(command);
  if (outcome.exit_code == 0) return;
  std::string text;
  for (const auto& word : command) text += word + " ";
  throw std::runtime_error(text + "failed: " + outcome.err + outcome.out);
}

std::string Replaced(std::string text, const std::string& what, const std::string& by) {
  for (size_t at; (at = text.find(what)) != std::string::npos;) text.replace(at, what.size(), by);
  return text;
}

// Stands in the place of the file `name`, as far as this process and its children see.
void Cover(const std::string& name, const std::string& by, const std::string& text) {
  std::ofstream(by) << text;
  if (mount(by.c_str(), name.c_str(), nullptr, MS_BIND, nullptr) != 0) {
    throw std::runtime_error("cannot cover " + name + ": " + std::strerror(errno));
  }
}

std::string OriginalDestination(int fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (getsockopt(fd, IPPROTO_IP, kOriginalDestination, &address, &length) != 0) {
    length = sizeof address;
    if (getsockopt(fd, IPPROTO_IPV6, kOriginalDestination, &address, &length) != 0) return "?";
  }
  const auto destination = net::FromSockaddr(reinterpret_cast<const sockaddr*>(&address));
  return destination ? destination->ToString() : "?";
}

net::SocketAddress Address(const std::string& text) {
  return net::SocketAddress::Parse(text).value();
}

}  // namespace

std::unique_ptr<Canary> Canary::Make(std::string& why_not) {
  if (unshare(CLONE_NEWNET | CLONE_NEWNS) != 0) {
    why_not = std::string("may not make a network namespace: ") + std::strerror(errno);
    return nullptr;
  }
  for (const char* program : {"ip", "nft", "setpriv"}) {
    if (e2e::RunToEnd({kEnv, program, "-V"}).exit_code == 0) continue;
    why_not = std::string("there is no ") + program + ": tools/install_deps.sh test";
    return nullptr;
  }
  return std::unique_ptr<Canary>(new Canary());
}

Canary::Canary() {
  for (const auto& entry : net::ReadForbiddenUrls("tests/data/forbidden-urls.tsv")) {
    if (entry.answers.empty()) continue;
    auto& answers = names_[nostr::RelayUrl::Parse(entry.url)->host()];
    answers.resize(1);
    auto& addresses = answers[0].addresses;
    addresses.insert(addresses.end(), entry.answers.begin(), entry.answers.end());
  }
  if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    throw std::runtime_error("cannot make mounts private");
  }
  Cover("/etc/resolv.conf", dir_ / "resolv.conf",
        std::string("nameserver ") + kNameServer + "\nsearch .\noptions timeout:30 attempts:1\n");
  Cover("/etc/hosts", dir_ / "hosts", "");
  Cover("/etc/nsswitch.conf", dir_ / "nsswitch.conf", "hosts: files dns\n");
  Run({"ip", "link", "set", "lo", "up"});
  Run({"ip", "route", "add", "local", "default", "dev", "lo"});
  Run({"ip", "-6", "route", "add", "local", "default", "dev", "lo"});

  std::string redirectors;
  for (const int code : {1, 2, 7, 8}) {
    redirectors_.push_back(std::make_unique<net::RawServer>([code](int fd) {
      net::ReadHead(fd);
      net::WriteAll(fd, "HTTP/1.1 30" + std::to_string(code) +
                            " Elsewhere\r\nLocation: http://169.254.169.254/latest/\r\n"
                            "Content-Length: 0\r\nConnection: close\r\n\r\n");
    }));
    redirectors +=
        "    ip daddr " + std::string(kRedirecting) + std::to_string(code) +
        " tcp dport 80 redirect to :" + std::to_string(redirectors_.back()->address().port) + "\n";
  }
  nameless_ = std::make_unique<net::RawServer>([this](int fd) { ServeNameless(fd); });
  std::string rules = Replaced(kFirewall, "GROUP", kGraspdsGroup);
  rules = Replaced(rules, "REDIRECTORS\n", redirectors);
  rules = Replaced(rules, ":HONEST", ":" + std::to_string(kHonestPort));
  rules = Replaced(rules, ":TRAP", ":" + std::to_string(kTrapPort));
  rules = Replaced(rules, ":NAMELESS", ":" + std::to_string(nameless_->address().port));
  std::ofstream(dir_ / "firewall") << rules;
  Run({"nft", "-f", dir_ / "firewall"});

  trap_ = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const net::Sockaddr any = net::ToSockaddr(Address("[::]:" + std::to_string(kTrapPort)));
  if (bind(trap_, any.get(), any.length) != 0 || listen(trap_, SOMAXCONN) != 0) {
    throw std::runtime_error("cannot listen for what is forbidden");
  }
  trap_thread_ = std::thread([this] { Catch(); });
  name_server_ = std::make_unique<NameServer>(
      Address(std::string(kNameServer) + ":53"),
      [this](const std::string& name, uint16_t type) { return Resolve(name, type); });
  honest_ = std::make_unique<e2e::Graspd>(
      dir_, "honest",
      std::vector<std::string>{"--store=memory:", "--policy-mode=open",
                               "--limits-events-per-second=0",
                               "--relay-listen=127.0.0.1:" + std::to_string(kHonestPort)});
}

Canary::~Canary() {
  honest_.reset();
  name_server_.reset();
  shutdown(trap_, SHUT_RDWR);
  trap_thread_.join();
  close(trap_);
}

void Canary::Catch() {
  for (;;) {
    const int fd = accept(trap_, nullptr, nullptr);
    if (fd < 0) return;
    {
      base::MutexLock lock(mutex_);
      caught_.push_back(OriginalDestination(fd));
    }
    close(fd);
  }
}

// Has nothing to say of itself, and nothing stored.
void Canary::ServeNameless(int fd) {
  const net::HttpRequest request = net::ParseHead(net::ReadHead(fd));
  if (!net::WantsWebSocket(request)) {
    net::WriteAll(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    return;
  }
  const int open = ++nameless_open_;
  for (int most = nameless_at_most_; most < open;) {
    nameless_at_most_.compare_exchange_weak(most, open);
  }
  net::WriteAll(fd, net::HeadOf(net::AnswerHandshake(request)));
  char dropped[4096];
  while (recv(fd, dropped, sizeof dropped, 0) > 0) {
  }
  --nameless_open_;
}

void Canary::SetName(const std::string& name, std::vector<NameAnswer> in_turn) {
  base::MutexLock lock(mutex_);
  names_[name] = std::move(in_turn);
  asked_.erase(name);
}

size_t Canary::Asked(const std::string& name) const {
  base::MutexLock lock(mutex_);
  const auto found = asked_.find(name);
  return found == asked_.end() ? 0 : found->second;
}

// Questions for IPv4 addresses go through the answers in turn; those for IPv6 get the latest.
NameAnswer Canary::Resolve(const std::string& name, uint16_t type) {
  base::MutexLock lock(mutex_);
  const auto found = names_.find(name);
  if (found == names_.end()) return {.code = 3};
  size_t& asked = asked_[name];
  if (type == 1) ++asked;
  return found->second[(asked == 0 ? 0 : asked - 1) % found->second.size()];
}

size_t Canary::Packets(const std::string& where) const {
  const auto outcome = e2e::RunToEnd({kEnv, "nft", "list", "counter", "inet", "canary", where});
  std::smatch match;
  if (!std::regex_search(outcome.out, match, std::regex("packets (\\d+)"))) {
    throw std::runtime_error("no counter " + where + ": " + outcome.err);
  }
  return std::stoul(match[1]);
}

void Canary::ResetPackets() const {
  for (const char* counter : kCounters) Run({"nft", "reset", "counter", "inet", "canary", counter});
}

std::vector<std::string> Canary::Caught() const {
  base::MutexLock lock(mutex_);
  return caught_;
}

void Canary::ForgetCaught() {
  base::MutexLock lock(mutex_);
  caught_.clear();
}

std::unique_ptr<e2e::Graspd> Canary::StartGraspd(const e2e::TempDir& dir,
                                                 std::vector<std::string> flags) {
  const std::vector<std::string> always = {"--store=memory:",
                                           "--relay-urls=ws://relay.test",
                                           "--relay-listen=127.0.0.1:7334",
                                           "--policy-mode=grasp",
                                           "--policy-require-clone=false",
                                           "--sync-startup-delay=0s",
                                           "--sync-allow-plaintext=true",
                                           "--limits-events-per-second=0"};
  flags.insert(flags.end(), always.begin(), always.end());
  return std::make_unique<e2e::Graspd>(
      dir, "ours", flags,
      std::vector<std::string>{kEnv, "setpriv", "--regid", kGraspdsGroup, "--clear-groups"});
}

}  // namespace graspd::netns
