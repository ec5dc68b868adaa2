#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "net/dialer.h"
#include "nostr/message.h"
#include "nostr/relay_url.h"
#include "services/transfer/target.h"

namespace graspd::transfer {

/// Imports through a relay's port, as a client that sends EVENT and waits for OK.
///
/// What is forged is refused here. Up to 200 events or 4 MiB are on their way at a time, fewer
/// after each `rate-limited:`, which is obeyed with a pause that doubles from 1 s to 16 s. A lost
/// or silent connection (30 s) is made anew and what was not answered sent again; so is what got
/// `error:`. After 6 failures in a row, with no event judged in between, or if the first dial
/// fails, everything is answered kFailed, and so is what comes later. Threading: the thread it is
/// given. Lifetime: Close() before destruction; dialer and thread outlive it.
class RelayTarget final : public Target {
 public:
  RelayTarget(nostr::RelayUrl url, net::Dialer& dialer, net::IoThread& thread);
  ~RelayTarget() override;

  void SetOnAnswers(OnAnswers on_answers) override { on_answers_ = std::move(on_answers); }
  void Submit(uint64_t ticket, nostr::Event event, const std::string& json) override;
  bool HasRoom() const override;
  /// Answers kFailed what the relay has not answered; it may store that all the same.
  void Hurry() override { Fail("interrupted"); }

  /// Ends the connection; `closed` comes once nothing is left of it.
  void Close(std::function<void()> closed);

 private:
  class Handler;
  struct Pending {
    nostr::EventId id;
    std::string message;  // ["EVENT",{...}]
  };

  void Dial();
  void OnOpen();
  void OnMessage(std::string_view text);
  void OnOk(const nostr::RelayOk& ok);
  void OnClosed(const net::DialFailure& failure);
  void Settle(uint64_t ticket, Verdict verdict, std::string message);
  void SendSome();
  void SendAgain(uint64_t ticket);
  void Pause(base::Duration pause);
  void Fail(const std::string& reason);
  void Watch();

  const nostr::RelayUrl url_;
  net::Dialer& dialer_;
  net::IoThread& thread_;
  OnAnswers on_answers_;
  std::function<void()> closed_;

  std::map<uint64_t, Pending> pending_;  // by ticket
  size_t pending_bytes_ = 0;
  std::multimap<nostr::EventId, uint64_t> sent_;  // by id: two of one id are answered in order
  std::deque<uint64_t> to_send_;
  size_t window_;

  std::shared_ptr<net::DialledConnection> connection_;  // null while none is dialled
  bool open_ = false, ever_open_ = false;
  bool heard_ = true;  // since the latest look of the watch
  int failures_ = 0;   // in a row
  base::Duration pause_;
  std::string notice_;  // the relay's latest: often says why it hangs up
  std::string failed_;  // not empty: why nothing is sent any more
  std::unique_ptr<net::IoThread::Timer> resume_, watch_;
};

}  // namespace graspd::transfer
