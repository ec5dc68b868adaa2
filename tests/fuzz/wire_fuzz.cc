// A client's bytes through the frame parser into its session, in pieces of any size, while reading
// is held up, the client takes nothing, time passes or the connection ends: what is sent is
// well-formed, and a session that is left open still answers.
#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "net/frame_parser.h"
#include "services/relay/session_test_support.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/session_answers.h"

namespace graspd::fuzz {
namespace {

using net::FrameParser;
using Type = FrameParser::Type;

// What stands between socket and session, as ServerConnection is.
class Wire final : public relay::SessionTest {
 public:
  Wire() {
    limits_.message_bytes = limits_.event_bytes = kMaxMessage / 2;
    Start();
    for (int i = 0; i < 3; ++i) Store(Note(std::to_string(i), static_cast<nostr::Kind>(i)));
  }
  void TestBody() override {}

  void Receive(std::string_view bytes) {
    if (!ended_) unread_ += bytes;
    Read();
  }
  void HoldReading() { held_ = true; }
  void GoOn() {
    held_ = false;
    Read();
  }
  void TakeNothing() { connection_->nobody_reads = true; }
  void TakeAll() {
    connection_->nobody_reads = false;
    connection_->pending = 0;
    if (connection_->when_drained) std::exchange(connection_->when_drained, nullptr)();
  }
  // What other threads have answered by now.
  void RunAll() {
    thread_.RunAll();
    Read();
  }
  void PassTime() {
    clock_.Advance(std::chrono::seconds(1));
    hub_.Tick(clock_.Now());
  }
  void End() {
    if (!std::exchange(ended_, true)) session_->OnClosed();
  }

  // Whatever came before: the session neither hangs nor leaves reading held up.
  void ExpectAnswer() {
    const std::string question = R"(["COUNT","~",{"kinds":[1]}])";
    GoOn();
    Until([this] { return unread_.empty(); });
    if (parser_.under_way()) return;
    Receive({"\x81", 1});
    Receive(std::string(1, static_cast<char>(0x80 | question.size())) + std::string(4, '\0'));
    Receive(question);
    Until([this] { return answered_; });
  }

 private:
  static constexpr size_t kMaxMessage = 32 << 10;

  template <typename Done>
  void Until(Done done) {
    const auto closed = [&] { return ended_ || connection_->close_code != 0; };
    for (Look(); !closed() && !done(); Look()) {
      TakeAll();
      Read();
      if (closed() || done() || Look()) continue;
      // Something is under way on another thread, or waits for a budget, which takes time.
      thread_.RunAll();
      PassTime();
      std::this_thread::yield();
    }
  }
  // One piece is in memory of its size, which is gone when the session has returned.
  void Read() {
    while (!unread_.empty() && !ended_ && !held_ && connection_->reading) {
      const auto memory = std::make_unique<char[]>(unread_.size() + FrameParser::kPadding);
      unread_.copy(memory.get(), unread_.size());
      FrameParser::Input input{memory.get(), memory.get() + unread_.size()};
      unread_.clear();
      while (!ended_ && connection_->reading) {
        const FrameParser::Item item = parser_.Next(input);
        if (item.type == Type::kNone) break;
        OnItem(item);
      }
      unread_.assign(input.begin, input.size());
    }
    Look();
  }
  void OnItem(const FrameParser::Item& item) {
    if (item.type == Type::kClose || item.type == Type::kViolation) return End();
    if (connection_->close_code != 0) return;  // nothing counts after our own Close
    if (item.type == Type::kText) session_->OnText(item.payload);
    if (item.type == Type::kBinary) session_->OnBinary();
  }
  bool Look() {
    for (const std::string& sent : connection_->sent) {
      CheckAnswer(sent);
      answered_ |= sent.starts_with(R"(["COUNT","~",)") || sent.starts_with(R"(["CLOSED","~",)");
    }
    return !std::exchange(connection_->sent, {}).empty();
  }

  FrameParser parser_{FrameParser::Sender::kClient, kMaxMessage};
  std::string unread_;
  bool held_ = false, ended_ = false, answered_ = false;
};

}  // namespace

FUZZ_TARGET(wire) {
  Wire wire;
  Input input(bytes);
  while (!input.empty()) {
    switch (const uint8_t what = input.Byte(); what) {
      case 0:
        wire.RunAll();
        break;
      case 1:
        wire.PassTime();
        break;
      case 2:
        wire.HoldReading();
        break;
      case 3:
        wire.GoOn();
        break;
      case 4:
        wire.TakeNothing();
        break;
      case 5:
        wire.TakeAll();
        break;
      case 6:
        wire.End();
        break;
      default:
        wire.Receive(input.Bytes(what));
    }
  }
  wire.ExpectAnswer();
}

}  // namespace graspd::fuzz
