#include "sync/self_subscriber.h"

#include <algorithm>
#include <atomic>

#include "base/log.h"
#include "nostr/message.h"
#include "nostr/nip34.h"
#include "nostr/rules.h"

namespace graspd::sync {
namespace {

constexpr char kSubscription[] = "self";

std::string Request() {
  nostr::Filter filter;
  filter.kinds = {nostr::kDeletionKind, nostr::kPatch, nostr::kPullRequest, nostr::kIssue,
                  nostr::kRepositoryAnnouncement};
  filter.limit = 0;
  filter.Normalize();
  return nostr::ReqMessage(kSubscription, {filter});
}

}  // namespace

// Lives on the I/O thread.
class SelfSubscriber::Client final : public net::DialHandler,
                                     public std::enable_shared_from_this<Client> {
 public:
  Client(net::Dialer& dialer, net::IoThread& thread, Options options, std::function<void()> signal)
      : dialer_(dialer),
        thread_(thread),
        options_(std::move(options)),
        signal_(std::move(signal)),
        backoff_(options_.first_backoff) {}

  void Connect() {
    if (stopped_) return;
    net::DialOptions dial(options_.url);
    dial.headers.push_back(options_.secret_header);
    dial.self_permit = options_.permit;
    connection_ = dialer_.Dial(std::move(dial), shared_from_this(), thread_);
  }

  void Stop() {
    stopped_ = true;
    retry_.reset();
    if (const auto connection = std::exchange(connection_, nullptr)) connection->Close();
  }

  void OnOpen(const net::DialSuccess&) override { connection_->SendText(Request()); }

  void OnText(std::string_view text) override {
    const auto message = nostr::ParseRelayMessage(text);
    if (std::holds_alternative<nostr::RelayEvent>(message)) {
      signal_();
    } else if (std::holds_alternative<nostr::RelayEose>(message)) {
      // Subscribed from here on; what was committed before is read once.
      backoff_ = options_.first_backoff;
      connected_ = true;
      signal_();
    } else if (const auto* closed = std::get_if<nostr::RelayClosed>(&message)) {
      base::LogWarn("sync", "our own relay closed the self-subscription",
                    {{"reason", closed->message}});
      connection_->Close();
    }
  }

  void OnClosed(const net::DialFailure& failure) override {
    connected_ = false;
    connection_.reset();
    if (stopped_) return;
    base::LogWarn("sync", "self-subscription lost, reconnecting",
                  {{"error", net::DialErrorName(failure.error)}, {"detail", failure.detail}});
    std::function<void()> connect = [weak = weak_from_this()] {
      if (auto self = weak.lock()) self->Connect();
    };
    retry_ = options_.after ? options_.after(backoff_, std::move(connect))
                            : thread_.After(backoff_, std::move(connect));
    backoff_ = std::min(2 * backoff_, options_.max_backoff);
  }

  [[nodiscard]] bool connected() const { return connected_; }

 private:
  net::Dialer& dialer_;
  net::IoThread& thread_;
  const Options options_;
  const std::function<void()> signal_;
  base::Duration backoff_;
  std::shared_ptr<net::DialledConnection> connection_;
  std::unique_ptr<net::IoThread::Timer> retry_;
  bool stopped_ = false;
  std::atomic<bool> connected_{false};
};

SelfSubscriber::SelfSubscriber(net::Dialer& dialer, net::IoThread& thread, Options options,
                               std::function<void()> signal)
    : thread_(thread),
      client_(std::make_shared<Client>(dialer, thread, std::move(options), std::move(signal))) {}

SelfSubscriber::~SelfSubscriber() { Stop(); }

void SelfSubscriber::Start() {
  thread_.Post([client = client_] { client->Connect(); });
}

void SelfSubscriber::Stop() {
  thread_.Post([client = client_] { client->Stop(); });
}

bool SelfSubscriber::connected() const { return client_->connected(); }

}  // namespace graspd::sync
