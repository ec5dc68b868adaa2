#include "tools/demo/publisher.h"

#include <future>
#include <memory>
#include <utility>

#include "nostr/message.h"

namespace graspd::demo {
namespace {

constexpr size_t kInFlight = 200;

class Publisher final : public net::DialHandler {
 public:
  explicit Publisher(const std::vector<nostr::Event>& events) : events_(events) {}

  std::future<absl::StatusOr<Published>> result() { return done_.get_future(); }
  // On the connection's thread.
  void Attach(std::shared_ptr<net::DialledConnection> connection) {
    connection_ = std::move(connection);
  }

  void OnOpen(const net::DialSuccess&) override { SendMore(); }

  void OnText(std::string_view text) override {
    const auto message = nostr::ParseRelayMessage(text);
    const auto* ok = std::get_if<nostr::RelayOk>(&message);
    if (!ok) return;
    ++answered_;
    if (ok->accepted) {
      ++published_.accepted;
    } else if (published_.refused++ == 0) {
      published_.first_refusal = ok->message;
    }
    SendMore();
  }

  void OnClosed(const net::DialFailure& failure) override {
    if (!finished_) {
      done_.set_value(absl::UnavailableError("connection to the relay: " + failure.detail));
    }
    connection_.reset();
  }

 private:
  void SendMore() {
    while (sent_ < events_.size() && sent_ - answered_ < kInFlight) {
      connection_->SendText(nostr::ClientEventMessage(nostr::EventJson(events_[sent_++])));
    }
    if (answered_ < events_.size() || finished_) return;
    finished_ = true;
    done_.set_value(published_);
    connection_->Close();
  }

  const std::vector<nostr::Event> events_;
  std::shared_ptr<net::DialledConnection> connection_;
  std::promise<absl::StatusOr<Published>> done_;
  Published published_;
  size_t sent_ = 0, answered_ = 0;
  bool finished_ = false;
};

}  // namespace

absl::StatusOr<Published> Publish(net::Dialer& dialer, net::IoThread& thread,
                                  const nostr::RelayUrl& relay,
                                  const std::vector<nostr::Event>& events, base::Duration timeout) {
  auto publisher = std::make_shared<Publisher>(events);
  auto result = publisher->result();
  thread.Post([&dialer, &thread, publisher, relay] {
    publisher->Attach(dialer.Dial(net::DialOptions(relay), publisher, thread));
  });
  if (result.wait_for(timeout) != std::future_status::ready) {
    return absl::DeadlineExceededError("the relay did not answer every event in time");
  }
  return result.get();
}

}  // namespace graspd::demo
