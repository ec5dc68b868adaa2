#include "services/transfer/relay_target.h"

#include <algorithm>
#include <utility>
#include <variant>
#include <vector>

#include "nostr/keys.h"

namespace graspd::transfer {
namespace {

using std::chrono::seconds;

constexpr size_t kWindow = 200, kSmallestWindow = 8;
constexpr size_t kPendingBytes = 4u << 20;
constexpr size_t kOutboundBytes = 64u << 20;  // never reached: kPendingBytes and one event
constexpr int kMostFailures = 6;
constexpr base::Duration kFirstPause = seconds(1), kLongestPause = seconds(16);
constexpr base::Duration kSilence = seconds(30);

}  // namespace

// Kept alive by the connection; the target outlives both.
class RelayTarget::Handler final : public net::DialHandler {
 public:
  explicit Handler(RelayTarget& target) : target_(target) {}
  void OnOpen(const net::DialSuccess&) override { target_.OnOpen(); }
  void OnText(std::string_view text) override { target_.OnMessage(text); }
  void OnClosed(const net::DialFailure& failure) override { target_.OnClosed(failure); }

 private:
  RelayTarget& target_;
};

RelayTarget::RelayTarget(nostr::RelayUrl url, net::Dialer& dialer, net::IoThread& thread)
    : url_(std::move(url)),
      dialer_(dialer),
      thread_(thread),
      window_(kWindow),
      pause_(kFirstPause) {}

RelayTarget::~RelayTarget() = default;

bool RelayTarget::HasRoom() const {
  return pending_.empty() || (pending_.size() < window_ && pending_bytes_ < kPendingBytes);
}

void RelayTarget::Submit(uint64_t ticket, nostr::Event event, const std::string& json) {
  // A relay hangs up on who sends it many of these.
  if (const std::string_view forgery = nostr::ForgeryOf(event); !forgery.empty()) {
    pending_.emplace(ticket, Pending{event.id, ""});
    return thread_.Post(
        [this, ticket, forgery] { Settle(ticket, Verdict::kRefused, std::string(forgery)); });
  }
  Pending pending{event.id, nostr::ClientEventMessage(json)};
  pending_bytes_ += pending.message.size();
  pending_.emplace(ticket, std::move(pending));
  to_send_.push_back(ticket);
  if (!failed_.empty()) {
    return thread_.Post([this, ticket] { Settle(ticket, Verdict::kFailed, failed_); });
  }
  if (!connection_ && !resume_) Dial();
  SendSome();
}

void RelayTarget::Dial() {
  net::DialOptions options(url_);
  options.outbound_bytes = kOutboundBytes;
  connection_ = dialer_.Dial(std::move(options), std::make_shared<Handler>(*this), thread_);
}

void RelayTarget::OnOpen() {
  open_ = ever_open_ = heard_ = true;
  Watch();
  SendSome();
}

// A relay that keeps the connection but answers nothing is left, as if it had hung up.
void RelayTarget::Watch() {
  watch_ = thread_.After(kSilence, [this] {
    if (!heard_ && !sent_.empty()) return connection_->Close();
    heard_ = false;
    Watch();
  });
}

void RelayTarget::SendSome() {
  while (open_ && !resume_ && !to_send_.empty()) {
    const uint64_t ticket = to_send_.front();
    to_send_.pop_front();
    const auto pending = pending_.find(ticket);
    if (pending == pending_.end()) continue;
    sent_.emplace(pending->second.id, ticket);
    connection_->SendText(pending->second.message);
  }
}

void RelayTarget::OnMessage(std::string_view text) {
  const auto message = nostr::ParseRelayMessage(text);
  if (const auto* ok = std::get_if<nostr::RelayOk>(&message)) OnOk(*ok);
  if (const auto* notice = std::get_if<nostr::RelayNotice>(&message)) notice_ = notice->message;
}

void RelayTarget::OnOk(const nostr::RelayOk& ok) {
  const auto sent = sent_.find(ok.id);
  if (sent == sent_.end()) return;
  heard_ = true;
  const uint64_t ticket = sent->second;
  sent_.erase(sent);
  const std::string_view message = ok.message;
  const bool judged =
      ok.accepted || !(message.starts_with("rate-limited:") || message.starts_with("error:"));
  if (judged) failures_ = 0;  // it gets on, even if it hangs up now and then
  if (ok.accepted) {
    pause_ = kFirstPause;
    window_ = std::min(window_ + 1, kWindow);
    const bool known = message.starts_with("duplicate:");
    return Settle(ticket, known ? Verdict::kKnown : Verdict::kStored, "");
  }
  if (message.starts_with("rate-limited:")) return SendAgain(ticket);
  if (message.starts_with("error:")) {
    if (!resume_ && ++failures_ >= kMostFailures) return Fail(ok.message);
    return SendAgain(ticket);
  }
  Settle(ticket, Verdict::kRefused, ok.message);
}

void RelayTarget::Settle(uint64_t ticket, Verdict verdict, std::string message) {
  const auto pending = pending_.extract(ticket);
  if (pending.empty()) return;
  pending_bytes_ -= pending.mapped().message.size();
  const Answer answer{ticket, verdict, std::move(message)};
  on_answers_({&answer, 1});
}

void RelayTarget::SendAgain(uint64_t ticket) {
  to_send_.insert(std::lower_bound(to_send_.begin(), to_send_.end(), ticket), ticket);
  if (resume_) return;  // the others of one burst
  window_ = std::max(window_ / 2, kSmallestWindow);
  Pause(pause_);
}

void RelayTarget::Pause(base::Duration pause) {
  pause_ = std::min(2 * pause, kLongestPause);
  resume_ = thread_.After(pause, [this] {
    const auto done = std::move(resume_);
    if (!connection_ && failed_.empty() && !closed_) Dial();
    SendSome();
  });
}

void RelayTarget::OnClosed(const net::DialFailure& failure) {
  connection_.reset();
  watch_.reset();
  open_ = false;
  if (closed_) return closed_();
  for (const auto& [id, ticket] : sent_) to_send_.push_back(ticket);
  std::sort(to_send_.begin(), to_send_.end());
  sent_.clear();
  if (!ever_open_ || ++failures_ >= kMostFailures) {
    std::string reason = "cannot reach " + url_.ToString() + ": " +
                         std::string(net::DialErrorName(failure.error)) + " " + failure.detail;
    if (!notice_.empty()) reason += " (it said: " + notice_ + ")";
    return Fail(reason);
  }
  resume_.reset();
  Pause(pause_);
}

void RelayTarget::Fail(const std::string& reason) {
  failed_ = reason;
  to_send_.clear();
  sent_.clear();
  std::vector<Answer> answers;
  for (const auto& [ticket, pending] : pending_) {
    answers.push_back({ticket, Verdict::kFailed, reason});
  }
  pending_.clear();
  pending_bytes_ = 0;
  on_answers_(answers);
}

void RelayTarget::Close(std::function<void()> closed) {
  resume_.reset();
  closed_ = std::move(closed);
  if (connection_) return connection_->Close();
  thread_.Post(closed_);
}

}  // namespace graspd::transfer
