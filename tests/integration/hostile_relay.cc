#include "tests/integration/hostile_relay.h"

#include <sys/socket.h>

#include <array>
#include <utility>

#include "base/overloaded.h"
#include "net/frame_parser.h"
#include "net/websocket_handshake.h"

namespace graspd {
namespace {

using sync::testing::FakeRelay;

constexpr size_t kReadBuffer = 16 * 1024;
constexpr size_t kMessageBytes = 1 << 20;  // a client of ours sends less

}  // namespace

void HostileRelay::Peer::WaitForEnd() {
  std::array<char, kReadBuffer> dropped;
  while (::recv(fd_, dropped.data(), dropped.size(), 0) > 0) {
  }
}

HostileRelay::HostileRelay(Script script) : script_(std::move(script)) {
  {
    base::MutexLock lock(mutex_);
    relay_.behaviour = script_.behaviour;
  }
  server_ = std::make_unique<net::RawServer>([this](int fd) { Serve(fd); });
}

void HostileRelay::Store(const nostr::Event& event) {
  base::MutexLock lock(mutex_);
  relay_.Store(event);
}

// Whoever does not read must not keep us.
HostileRelay::~HostileRelay() {
  base::MutexLock lock(mutex_);
  stopped_ = true;
  for (const int fd : connections_) ::shutdown(fd, SHUT_RDWR);
}

void HostileRelay::Serve(int fd) {
  {
    base::MutexLock lock(mutex_);
    if (stopped_) return;
    connections_.insert(fd);
  }
  Peer peer(fd);
  Begin(peer, fd);
  base::MutexLock lock(mutex_);
  connections_.erase(fd);
}

void HostileRelay::Begin(Peer& peer, int fd) {
  if (script_.instead_of_upgrade) {
    script_.instead_of_upgrade(peer);
    return;
  }
  const std::string head = net::ReadHead(fd);
  if (head.empty()) return;
  const auto request = net::ParseHead(head);
  if (!net::WantsWebSocket(request)) {
    peer.SendBytes("HTTP/1.1 200 OK\r\nContent-Length: " +
                   std::to_string(script_.information.size()) + "\r\n\r\n" + script_.information);
    return;
  }
  ++upgrades_;
  if (!peer.SendBytes(net::HeadOf(net::AnswerHandshake(request)))) return;
  if (script_.on_open) script_.on_open(peer);
  Talk(peer, fd);
}

void HostileRelay::Talk(Peer& peer, int fd) {
  FakeRelay::Session session(relay_);
  Challenge(peer, session);
  net::FrameParser parser(net::FrameParser::Sender::kClient, kMessageBytes);
  std::string buffer(kReadBuffer + net::FrameParser::kPadding, '\0');
  for (;;) {
    const ssize_t got = ::recv(fd, buffer.data(), kReadBuffer, 0);
    if (got <= 0) return;
    net::FrameParser::Input input{buffer.data(), buffer.data() + got};
    for (;;) {
      using Type = net::FrameParser::Type;
      const auto item = parser.Next(input);
      if (item.type == Type::kNone) break;
      if (item.type == Type::kClose || item.type == Type::kViolation) return;
      if (item.type == Type::kPing) peer.SendBytes(net::ServerFrame(0x8a, item.payload));
      if (item.type == Type::kText && !Answer(peer, session, item.payload)) return;
    }
  }
}

bool HostileRelay::Answer(Peer& peer, FakeRelay::Session& session, std::string_view text) {
  auto message = nostr::ParseClientMessage(text);
  if (script_.on_message && script_.on_message(peer, message)) return true;
  FakeRelay::Replies replies;
  {
    base::MutexLock lock(mutex_);
    std::visit(
        base::Overloaded{
            [&](nostr::ClientReq& m) { replies = session.Req(m.subscription, m.filters); },
            [&](nostr::ClientClose& m) { replies = session.Close(m.subscription); },
            [&](nostr::ClientNegOpen& m) {
              replies = session.NegOpen(m.subscription, m.filter, m.message);
            },
            [&](nostr::ClientNegMsg& m) { replies = session.NegMsg(m.subscription, m.message); },
            [&](nostr::ClientNegClose& m) { session.NegClose(m.subscription); },
            [&](nostr::ClientAuth& m) {
              replies = {session.Authenticate()};
              (void)m;
            },
            [](auto&) {},
        },
        message);
  }
  if (const auto* auth = std::get_if<nostr::ClientAuth>(&message)) {
    const auto& answer = std::get<sync::Authenticated>(replies.front());
    return peer.Say(nostr::OkMessage(auth->event.id.ToHex(), answer.accepted, answer.message));
  }
  return Send(peer, replies) && Challenge(peer, session);
}

bool HostileRelay::Challenge(Peer& peer, FakeRelay::Session& session) {
  {
    base::MutexLock lock(mutex_);
    if (!session.TakeChallenge()) return true;
  }
  return peer.Say(nostr::AuthChallengeMessage("challenge"));
}

bool HostileRelay::Send(Peer& peer, const FakeRelay::Replies& replies) {
  for (const auto& reply : replies) {
    const std::string text = std::visit(
        base::Overloaded{
            [this](const sync::Delivered& r) {
              nostr::Event event;
              {
                base::MutexLock lock(mutex_);
                event = *relay_.Find(r.id);
              }
              return nostr::EventMessagePrefix(r.subscription) +
                     (script_.served ? script_.served(event) : nostr::EventJson(event)) + "]";
            },
            [](const sync::Eose& r) { return nostr::EoseMessage(r.subscription); },
            [](const sync::Closed& r) { return nostr::ClosedMessage(r.subscription, r.reason); },
            [](const sync::Notice& r) { return nostr::NoticeMessage(r.text); },
            [](const sync::NegReply& r) { return nostr::NegMsgMessage(r.subscription, r.bytes); },
            [](const sync::NegRefusal& r) {
              return nostr::NegErrMessage(r.subscription, r.reason);
            },
            [](const sync::Authenticated&) { return std::string(); },
            [](const sync::Unreadable& r) {
              return nostr::EventMessagePrefix(r.subscription) + R"({"id":")" + r.id.ToHex() +
                     R"(","tags":[[]]}])";
            },
            [](const sync::BadMessage&) { return std::string("[]"); },
        },
        reply);
    if (!peer.Say(text)) return false;
  }
  return true;
}

}  // namespace graspd
