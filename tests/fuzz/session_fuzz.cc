// A client's session with any messages, one a line, before a real pipeline and a store in memory:
// each question gets the one answer that belongs to it, and everything sent is well-formed.
#include <memory>
#include <string>
#include <string_view>

#include "base/overloaded.h"
#include "nostr/message.h"
#include "services/relay/session_test_support.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/session_answers.h"

namespace graspd::fuzz {
namespace {

using relay::Strings;

// The messages that end the answer to a question; none if it has no answer.
Strings EndsOf(const nostr::ClientMessage& question) {
  using nostr::ClientRefused;
  return std::visit(base::Overloaded{
                        [](const nostr::ClientEvent&) { return Strings{"OK"}; },
                        [](const nostr::ClientAuth&) { return Strings{"OK"}; },
                        [](const nostr::ClientReq&) {
                          return Strings{"EOSE", "CLOSED"};
                        },
                        [](const nostr::ClientCount&) {
                          return Strings{"COUNT", "CLOSED"};
                        },
                        [](const nostr::ClientClose&) { return Strings{}; },
                        [](const nostr::ClientNegOpen&) {
                          return Strings{"NEG-MSG", "NEG-ERR"};
                        },
                        [](const nostr::ClientNegMsg&) {
                          return Strings{"NEG-MSG", "NEG-ERR"};
                        },
                        [](const nostr::ClientNegClose&) { return Strings{}; },
                        [](const ClientRefused& refused) {
                          switch (refused.answer) {
                            case ClientRefused::Answer::kNotice:
                              return Strings{"NOTICE"};
                            case ClientRefused::Answer::kOk:
                              return Strings{"OK"};
                            case ClientRefused::Answer::kClosed:
                            case ClientRefused::Answer::kCountClosed:
                              return Strings{"CLOSED"};
                            case ClientRefused::Answer::kNegError:
                              break;
                          }
                          return Strings{"NEG-ERR"};
                        },
                    },
                    question);
}

class Session final : public relay::SessionTest {
 public:
  Session() {
    limits_.message_bytes = limits_.event_bytes = 64 * 1024;
    Start();
    for (int i = 0; i < 3; ++i) Store(Note(std::to_string(i), static_cast<nostr::Kind>(i)));
    connection_->sent.clear();
  }
  void TestBody() override {}

  // False once the connection is closed.
  bool Ask(std::string_view text) {
    const Strings ends = EndsOf(nostr::ParseClientMessage(text));
    Send(text);
    thread_.RunUntil([&] { return connection_->close_code != 0 || ends.empty() || Ended(ends); });
    for (const std::string& sent : connection_->sent) CheckAnswer(sent);
    connection_->sent.clear();
    return connection_->close_code == 0;
  }

 private:
  [[nodiscard]] bool Ended(const Strings& ends) const {
    return std::any_of(connection_->sent.begin(), connection_->sent.end(), [&](const auto& sent) {
      return std::find(ends.begin(), ends.end(), TypeOf(sent)) != ends.end();
    });
  }
};

}  // namespace

FUZZ_TARGET(session) {
  Session session;
  Input input(bytes);
  for (int messages = 0; messages < 20 && !input.empty(); ++messages) {
    if (!session.Ask(input.Line())) return;
  }
}

}  // namespace graspd::fuzz
