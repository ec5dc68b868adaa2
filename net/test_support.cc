#include "net/test_support.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <cctype>
#include <cerrno>
#include <cstring>
#include <utility>

#include "net/sockaddr.h"
#include "net/websocket_handshake.h"

namespace graspd::net {
namespace {

constexpr int kLoopbackBacklog = 64;

void ConnectTo(int fd, const Sockaddr& target) {
  if (::connect(fd, target.get(), target.length) != 0) {
    ADD_FAILURE() << "connect: " << std::strerror(errno);
  }
  const timeval patience{.tv_sec = kTestPatience.count(), .tv_usec = 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
}

class TestSession final : public WebSocketSession {
 public:
  using OnTextFunction = std::function<void(WebSocketConnection&, std::string_view)>;
  TestSession(std::shared_ptr<WebSocketConnection> connection, OnTextFunction on_text,
              std::atomic<int>& alive, std::atomic<int>& closed, std::atomic<size_t>& binary)
      : connection_(std::move(connection)),
        on_text_(std::move(on_text)),
        alive_(alive),
        closed_(closed),
        binary_(binary) {
    ++alive_;
  }
  ~TestSession() override {
    EXPECT_TRUE(connection_->thread().IsCurrent());
    --alive_;
  }
  void OnText(std::string_view message) override {
    EXPECT_TRUE(connection_->thread().IsCurrent());
    idle_ = false;
    if (on_text_) {
      on_text_(*connection_, message);
    } else {
      connection_->SendText(message);
    }
  }
  void OnBinary(size_t bytes) override { binary_ += bytes; }
  void OnClosed() override { ++closed_; }
  bool IsIdle() const override { return idle_; }  // until the first message

 private:
  std::shared_ptr<WebSocketConnection> connection_;
  OnTextFunction on_text_;
  bool idle_ = true;
  std::atomic<int>&alive_, &closed_;
  std::atomic<size_t>& binary_;
};

}  // namespace

// ---- RawClient ----

RawClient::RawClient(const SocketAddress& server, int receive_buffer)
    : fd_(::socket(server.ip.v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  if (receive_buffer != 0) {
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
  }
  ConnectTo(fd_.get(), ToSockaddr(server));
}

RawClient::RawClient(const std::string& unix_path)
    : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  ConnectTo(fd_.get(), ToSockaddr(ListenAddress{.unix_path = unix_path}));
}

void RawClient::Send(std::string_view bytes) { WriteAll(fd_.get(), bytes); }

std::string RawClient::Upgrade(std::string_view extra_headers) {
  Send(
      "GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
      std::string(extra_headers) + "\r\n");
  return ReadUntil("\r\n\r\n");
}

bool RawClient::Fill() {
  char piece[16384];
  const ssize_t got = ::recv(fd_.get(), piece, sizeof(piece), 0);
  if (got > 0) unread_.append(piece, static_cast<size_t>(got));
  if (got < 0 && errno == EAGAIN) ADD_FAILURE() << "timed out reading";
  return got > 0;
}

std::string RawClient::ReadUntil(std::string_view end) {
  size_t at;
  while ((at = unread_.find(end)) == std::string::npos) {
    if (!Fill()) return std::exchange(unread_, {});
  }
  std::string head = unread_.substr(0, at + end.size());
  unread_.erase(0, at + end.size());
  return head;
}

std::string RawClient::ReadExactly(size_t bytes) {
  while (unread_.size() < bytes && Fill()) {
  }
  std::string out = unread_.substr(0, bytes);
  unread_.erase(0, out.size());
  return out;
}

std::string RawClient::ReadToEnd() {
  while (Fill()) {
  }
  return std::exchange(unread_, {});
}

bool RawClient::Ended() {
  char scratch[16384];
  ssize_t got;
  while ((got = ::recv(fd_.get(), scratch, sizeof(scratch), 0)) > 0) {
  }
  return got == 0 || errno != EAGAIN;
}

std::string RawClient::ClientFrame(uint8_t first, std::string_view payload) {
  std::string frame(1, static_cast<char>(first));
  constexpr uint8_t kMasked = 0x80;
  if (payload.size() < 126) {
    frame += static_cast<char>(kMasked | payload.size());
  } else {
    const bool short_form = payload.size() < 65536;
    frame += static_cast<char>(kMasked | (short_form ? 126 : 127));
    for (int shift = short_form ? 8 : 56; shift >= 0; shift -= 8) {
      frame += static_cast<char>(static_cast<uint64_t>(payload.size()) >> shift);
    }
  }
  frame.append(4, '\0');  // a mask of zeros
  return frame.append(payload);
}

uint16_t RawClient::Frame::close_code() const {
  if (payload.size() < 2) return 0;
  return static_cast<uint16_t>(static_cast<uint8_t>(payload[0]) << 8 |
                               static_cast<uint8_t>(payload[1]));
}

RawClient::Frame RawClient::ReadFrame() {
  const std::string head = ReadExactly(2);
  if (head.size() < 2) return {};
  uint64_t length = static_cast<uint8_t>(head[1]);
  EXPECT_LT(length, 128u) << "server frames are not masked";
  if (length >= 126) {
    const std::string extended = ReadExactly(length == 126 ? 2 : 8);
    length = 0;
    for (const char c : extended) length = length << 8 | static_cast<uint8_t>(c);
  }
  return {static_cast<uint8_t>(head[0]), ReadExactly(length)};
}

// ---- RawServer ----

RawServer::RawServer(std::function<void(int fd)> serve)
    : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)),
      address_{IpAddress{.bytes = {127, 0, 0, 1}}, 0} {
  Sockaddr local = ToSockaddr(address_);
  EXPECT_EQ(::bind(fd_.get(), local.get(), local.length), 0);
  EXPECT_EQ(::listen(fd_.get(), kLoopbackBacklog), 0);
  ::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&local.storage), &local.length);
  address_ = *FromSockaddr(local.get());
  thread_ = std::thread([this, serve = std::move(serve)] {
    std::vector<std::thread> serving;
    for (;;) {
      const int fd = ::accept(fd_.get(), nullptr, nullptr);
      if (fd < 0) break;
      ++accepted_;
      serving.emplace_back([fd, serve] {
        const OwnedFd owned(fd);
        if (serve) serve(fd);
      });
    }
    for (auto& thread : serving) thread.join();
  });
}

RawServer::~RawServer() {
  ::shutdown(fd_.get(), SHUT_RDWR);
  thread_.join();
}

std::string ReadHead(int fd) {
  std::string head;
  char c;
  while (!head.ends_with("\r\n\r\n") && ::recv(fd, &c, 1, 0) == 1) head += c;
  return head;
}

HttpRequest ParseHead(std::string_view head) {
  HttpRequest request;
  size_t at = head.find("\r\n");
  request.method = head.substr(0, head.find(' '));
  while (at != std::string_view::npos && at + 2 < head.size()) {
    const size_t begin = at + 2;
    at = head.find("\r\n", begin);
    const std::string_view line = head.substr(begin, at - begin);
    const size_t colon = line.find(": ");
    if (colon == std::string_view::npos) continue;
    std::string name(line.substr(0, colon));
    for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    request.headers.emplace_back(std::move(name), line.substr(colon + 2));
  }
  return request;
}

std::string HeadOf(const HttpResponse& response) {
  std::string head = "HTTP/1.1 " + std::to_string(response.status) + " -\r\n";
  for (const auto& [name, value] : response.headers) {
    head.append(name).append(": ").append(value).append("\r\n");
  }
  return head.append("\r\n");
}

void AcceptUpgrade(int fd) { WriteAll(fd, HeadOf(AnswerHandshake(ParseHead(ReadHead(fd))))); }

bool WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

std::string ServerFrameHead(uint8_t first, uint64_t length) {
  std::string head(1, static_cast<char>(first));
  if (length < 126) return head += static_cast<char>(length);
  const bool short_form = length < 65536;
  head += static_cast<char>(short_form ? 126 : 127);
  for (int shift = short_form ? 8 : 56; shift >= 0; shift -= 8) {
    head += static_cast<char>(length >> shift);
  }
  return head;
}

// ---- FakeResolver and NetTest ----

std::unique_ptr<Resolver::LookUp> FakeResolver::Resolve(std::string host, base::Executor& executor,
                                                        Callback done) {
  struct Awaited final : LookUp {
    Awaited(std::atomic<int>& c, Callback d)
        : count(c), done(std::make_shared<Callback>(std::move(d))) {
      ++count;
    }
    ~Awaited() override { --count; }
    std::atomic<int>& count;
    const std::shared_ptr<Callback> done;
  };
  ++asked;
  auto look_up = std::make_unique<Awaited>(awaited, std::move(done));
  if (silent) return look_up;
  const auto found = names.find(host);
  Answer answer = absl::NotFoundError("no such name");
  if (found != names.end() || IpAddress::Parse(host).ok()) {
    answer.emplace();
    for (const auto& text : found == names.end() ? std::vector{host} : found->second) {
      answer->push_back(IpAddress::Parse(text).value());
    }
  }
  executor.Post([answer = std::move(answer), weak = std::weak_ptr(look_up->done)]() mutable {
    if (const auto waiting = weak.lock()) (*waiting)(std::move(answer));
  });
  return look_up;
}

NetTest::NetTest()
    : guard({.allow = {Cidr::Parse("127.0.0.0/8").value()}},
            [] { return std::vector<IpAddress>(); }) {
  options.listen = {ListenAddress::Parse("127.0.0.1:0").value()};
}

NetTest::~NetTest() {
  dialer.reset();
  while (connections.size() > 0) (void)connections.Pop();
  server.reset();
  pool.Stop();
}

void NetTest::StartServer(OnText on_text) {
  auto http = [](const HttpRequest& request) {
    HttpResponse response;
    if (request.path() != "/") response.status = 404;
    response.body = request.method + " " + request.target + " from " + request.peer.ToString();
    return response;
  };
  auto make_session = [this, on_text](std::shared_ptr<WebSocketConnection> connection) {
    (void)connections.TryPush(std::shared_ptr(connection));
    return std::make_unique<TestSession>(connection, on_text, sessions_alive, sessions_closed,
                                         binary_bytes);
  };
  auto started = WebSocketServer::Start(pool, options, http, make_session, metrics);
  ASSERT_TRUE(started.ok()) << started.status();
  server = std::move(*started);
}

DialOptions NetTest::Options(std::string_view path) const {
  return DialOptions(
      nostr::RelayUrl::Parse("ws://" + address().ToString() + std::string(path)).value());
}

std::shared_ptr<DialledConnection> NetTest::Dial(DialOptions dial,
                                                 std::shared_ptr<RecordingHandler> handler) {
  if (!dialer) dialer = MakeDialer(guard, resolver, dialer_options);
  return dialer->Dial(std::move(dial), std::move(handler), pool.Next());
}

}  // namespace graspd::net
