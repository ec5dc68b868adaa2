#include "tests/netns/name_server.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <stdexcept>
#include <utility>

#include "net/sockaddr.h"

namespace graspd::netns {
namespace {

constexpr uint16_t kA = 1, kCname = 5, kAaaa = 28, kInternet = 1;
constexpr size_t kHeader = 12;

int Listen(int type, const net::SocketAddress& address) {
  const int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
  const net::Sockaddr local = net::ToSockaddr(address);
  if (fd < 0 || bind(fd, local.get(), local.length) != 0 ||
      (type == SOCK_STREAM && listen(fd, SOMAXCONN) != 0)) {
    throw std::runtime_error("cannot serve names at " + address.ToString());
  }
  return fd;
}

void Put16(std::string& out, size_t value) {
  out.push_back(static_cast<char>(value >> 8));
  out.push_back(static_cast<char>(value));
}

void PutName(std::string& out, const std::string& name) {
  for (size_t begin = 0; begin < name.size();) {
    const size_t end = std::min(name.find('.', begin), name.size());
    out.push_back(static_cast<char>(end - begin));
    out.append(name, begin, end - begin);
    begin = end + 1;
  }
  out.push_back('\0');
}

void PutRecord(std::string& out, const std::string& name, uint16_t type, const std::string& data) {
  PutName(out, name);
  Put16(out, type);
  Put16(out, kInternet);
  out.append(4, '\0');  // TTL
  Put16(out, data.size());
  out += data;
}

// The name in a question, in lower case, and where it ends.
std::pair<std::string, size_t> ReadName(std::string_view query) {
  std::string name;
  size_t at = kHeader;
  while (at < query.size() && query[at] != '\0') {
    const size_t length = static_cast<uint8_t>(query[at]);
    if (!name.empty()) name.push_back('.');
    for (const char c : query.substr(at + 1, length)) {
      name.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
    }
    at += 1 + length;
  }
  return {name, at + 1};
}

}  // namespace

NameServer::NameServer(const net::SocketAddress& address, Zone zone)
    : zone_(std::move(zone)),
      udp_(Listen(SOCK_DGRAM, address)),
      tcp_(Listen(SOCK_STREAM, address)),
      udp_thread_([this] { ServeUdp(); }),
      tcp_thread_([this] { ServeTcp(); }) {}

NameServer::~NameServer() {
  shutdown(udp_, SHUT_RDWR);
  shutdown(tcp_, SHUT_RDWR);
  udp_thread_.join();
  tcp_thread_.join();
  close(udp_);
  close(tcp_);
}

std::string NameServer::Answer(std::string_view query, bool udp) const {
  const auto [name, end] = ReadName(query);
  if (query.size() < end + 4) return "";
  const auto type = static_cast<uint16_t>(static_cast<uint8_t>(query[end]) << 8 |
                                          static_cast<uint8_t>(query[end + 1]));
  const NameAnswer answer = zone_(name, type);
  if (answer.silent) return "";
  const bool cut = udp && answer.truncated;

  std::string records;
  size_t count = 0;
  const std::string& owner = answer.alias.empty() ? name : answer.alias;
  if (!answer.alias.empty() && !cut) {
    std::string target;
    PutName(target, answer.alias);
    PutRecord(records, name, kCname, target);
    ++count;
  }
  for (const auto& text : cut ? std::vector<std::string>() : answer.addresses) {
    const net::IpAddress ip = net::IpAddress::Parse(text).value();
    if (type != (ip.v6 ? kAaaa : kA)) continue;
    PutRecord(records, owner, type,
              {reinterpret_cast<const char*>(ip.bytes.data()), ip.v6 ? 16u : 4u});
    ++count;
  }
  std::string out(query.substr(0, 2));
  out.push_back(cut ? '\x87' : '\x85');  // an authoritative answer, truncated or not
  out.push_back(static_cast<char>(0x80 | answer.code));
  Put16(out, 1);
  Put16(out, count);
  out.append(4, '\0');
  out += query.substr(kHeader, end + 4 - kHeader);
  return out + records;
}

void NameServer::ServeUdp() {
  for (;;) {
    char query[1024];
    sockaddr_storage from{};
    socklen_t length = sizeof from;
    const ssize_t n =
        recvfrom(udp_, query, sizeof query, 0, reinterpret_cast<sockaddr*>(&from), &length);
    if (n <= 0) return;
    const std::string answer = Answer({query, static_cast<size_t>(n)}, true);
    if (answer.empty()) continue;
    sendto(udp_, answer.data(), answer.size(), 0, reinterpret_cast<sockaddr*>(&from), length);
  }
}

void NameServer::ServeTcp() {
  for (;;) {
    const int fd = accept(tcp_, nullptr, nullptr);
    if (fd < 0) return;
    const timeval patience{.tv_sec = 2, .tv_usec = 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    // A client may ask for several names on one connection.
    for (;;) {
      uint8_t size[2];
      if (recv(fd, size, 2, MSG_WAITALL) != 2) break;
      std::string query(static_cast<size_t>(size[0] << 8 | size[1]), '\0');
      if (recv(fd, query.data(), query.size(), MSG_WAITALL) != static_cast<ssize_t>(query.size())) {
        break;
      }
      const std::string answer = Answer(query, false);
      std::string message;
      Put16(message, answer.size());
      message += answer;
      if (send(fd, message.data(), message.size(), MSG_NOSIGNAL) <= 0) break;
    }
    close(fd);
  }
}

}  // namespace graspd::netns
