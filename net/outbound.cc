#include "net/outbound.h"

#include <openssl/x509v3.h>

#include <boost/asio/ip/tcp.hpp>

#include "net/sockaddr.h"

namespace graspd::net {
namespace {

constexpr size_t kMaxAddresses = 8;  // tried of one name
constexpr size_t kMaxDetail = 256;

constexpr std::string_view kPlaintext = "plaintext";

base::SteadyTime Now() { return base::SystemClock::Instance().Now(); }

}  // namespace

std::set<std::string_view> BlockReasons() {
  auto reasons = DenialReasons();
  reasons.insert(kPlaintext);
  return reasons;
}

std::string Printable(std::string_view text) {
  std::string out(text.substr(0, kMaxDetail));
  std::replace_if(
      out.begin(), out.end(), [](unsigned char c) { return c < 0x20 || c >= 0x7f; }, '?');
  return out;
}

Outbound::Outbound(std::shared_ptr<DialerCore> core, DialOptions options, IoThread& thread)
    : core_(std::move(core)),
      options_(std::move(options)),
      thread_(thread),
      wake_(thread.impl().io.get_executor(), SteadyTimer::time_point::max()),
      deadline_(thread.impl().io.get_executor()),
      dial_ends_(Now() + options_.dial_timeout) {}

Awaitable<std::optional<DialFailure>> Outbound::Establish() {
  Addresses addresses;
  if (auto failure = co_await Resolve(addresses)) co_return failure;
  co_return co_await EstablishAt(std::move(addresses));
}

Awaitable<std::optional<DialFailure>> Outbound::EstablishAt(Addresses addresses) {
  if (auto failure = CheckAddresses(addresses)) co_return failure;
  if (auto failure = co_await Connect(addresses)) co_return failure;
  OnConnected();
  if (!options_.url.secure()) co_return std::nullopt;
  co_return co_await SecureWithTls();
}

DialFailure Outbound::Failed(DialError error, std::string_view detail) const {
  if (closed_by_us_) return {};
  if (timed_out_) return {.error = DialError::kTimeout, .detail = "no progress"};
  return {.error = error, .detail = Printable(detail)};
}

void Outbound::SetDeadline(base::Duration timeout) {
  deadline_.expires_after(timeout);
  deadline_.async_wait([self = shared_from_this()](ErrorCode cancelled) {
    // One that fired just before it was set anew is not meant any more.
    if (!cancelled && self->deadline_.expiry() <= Now()) self->OnDeadline();
  });
}

void Outbound::SetPhaseDeadline(base::Duration timeout) {
  SetDeadline(std::min(timeout, dial_ends_ - Now()));
}

void Outbound::OnDeadline() {
  timed_out_ = true;
  CloseSocket();
}

void Outbound::CloseSocket() {
  ErrorCode ignored;
  socket().close(ignored);
  slot_.reset();
  wake_.cancel();
}

Awaitable<std::optional<DialFailure>> Outbound::Resolve(Addresses& addresses) {
  if (options_.self_permit) {
    addresses = {options_.self_permit->target()};
    co_return std::nullopt;
  }
  SetPhaseDeadline(options_.dns_timeout);
  look_up_ = core_->resolver.Resolve(options_.url.host(), thread_, [this](Resolver::Answer answer) {
    answer_ = std::move(answer);
    wake_.cancel();
  });
  while (!answer_ && !timed_out_ && !closed_by_us_) co_await wake_.async_wait(kNoThrow);
  look_up_.reset();
  if (!answer_ || timed_out_ || closed_by_us_) co_return Failed(DialError::kDns, "");
  if (!answer_->ok()) {
    const auto message = answer_->status().message();
    co_return Failed(DialError::kDns, {message.data(), message.size()});
  }
  for (const IpAddress& ip : **answer_) addresses.push_back({ip, options_.url.port()});
  co_return std::nullopt;
}

std::optional<DialFailure> Outbound::CheckAddresses(const Addresses& addresses) const {
  if (options_.self_permit) return std::nullopt;
  if (addresses.empty()) return Failed(DialError::kDns, "no address");
  bool by_operator = true;
  for (const SocketAddress& address : addresses) {
    // One forbidden answer refuses the name: mixed answers are how rebinding probes for a way in.
    const AddressGuard::Verdict verdict = core_->guard.Check(address);
    if (!verdict.allowed) return Failed(DialError::kBlocked, verdict.reason);
    by_operator &= verdict.by_operator;
  }
  if (options_.url.secure() || by_operator || core_->options.allow_plaintext) return std::nullopt;
  return Failed(DialError::kBlocked, kPlaintext);
}

Awaitable<std::optional<DialFailure>> Outbound::Connect(const Addresses& addresses) {
  const base::SteadyTime end = std::min(Now() + options_.connect_timeout, dial_ends_);
  const size_t tries = std::min(addresses.size(), kMaxAddresses);
  std::optional<DialFailure> failure;
  for (size_t i = 0; i < tries && !closed_by_us_; ++i) {
    address_ = addresses[i];
    timed_out_ = false;
    if (failure = TakeSlot(); failure) continue;
    failure = co_await ConnectTo((end - Now()) / static_cast<long>(tries - i));  // a fair share
    if (!failure) co_return std::nullopt;
    slot_.reset();
  }
  co_return failure ? failure : Failed(DialError::kTcp, "");
}

// A place among the connections to address_, which was checked.
std::optional<DialFailure> Outbound::TakeSlot() {
  if (options_.self_permit || core_->guard.Check(address_).by_operator) return std::nullopt;
  if (auto slot = core_->slots.TryTake(address_.ip, options_.url.ToString())) {
    slot_.emplace(*std::move(slot));
    return std::nullopt;
  }
  return Failed(DialError::kCrowded, "too many connections to " + address_.ip.ToString());
}

Awaitable<std::optional<DialFailure>> Outbound::ConnectTo(base::Duration timeout) {
  SetDeadline(timeout);
  const Sockaddr target = ToSockaddr(address_);
  const asio::generic::stream_protocol::endpoint endpoint(target.get(), target.length, IPPROTO_TCP);
  auto [error] = co_await socket().async_connect(endpoint, kNoThrow);
  ErrorCode ignored;
  if (!error && !timed_out_ && !closed_by_us_) {
    socket().set_option(asio::ip::tcp::no_delay(true), ignored);
    co_return std::nullopt;
  }
  auto failure = Failed(DialError::kTcp, address_.ToString() + ": " + error.message());
  socket().close(ignored);
  co_return failure;
}

Awaitable<std::optional<DialFailure>> Outbound::SecureWithTls() {
  SetPhaseDeadline(options_.tls_timeout);
  stream().EnableTls(core_->tls);
  SSL* tls = stream().tls().native_handle();
  const std::string& host = options_.url.host();
  const bool named = options_.url.host_is_ip()
                         ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls), host.c_str()) == 1
                         : SSL_set1_host(tls, host.c_str()) == 1 &&
                               SSL_set_tlsext_host_name(tls, host.c_str()) == 1;
  if (!named) co_return Failed(DialError::kTls, "host name not usable");
  auto [error] = co_await stream().tls().async_handshake(asio::ssl::stream_base::client, kNoThrow);
  if (!error) co_return std::nullopt;
  const long verdict = SSL_get_verify_result(tls);
  co_return Failed(DialError::kTls,
                   verdict == X509_V_OK ? error.message() : X509_verify_cert_error_string(verdict));
}

}  // namespace graspd::net
