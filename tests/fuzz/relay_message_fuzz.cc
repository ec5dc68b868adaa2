// Messages of relays, as the sync engine reads them: what is understood means the same when it is
// written again.
#include <string>

#include "base/overloaded.h"
#include "nostr/message.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/reference_json.h"

namespace graspd::fuzz {
namespace {

using namespace nostr;  // NOLINT: a dozen types of it

template <typename Message>
Message Reparse(const std::string& text) {
  FUZZ_CHECK(ReferenceParse(text));
  RelayMessage again = ParseRelayMessage(text);
  FUZZ_CHECK(std::holds_alternative<Message>(again));
  return std::get<Message>(std::move(again));
}

}  // namespace

FUZZ_TARGET(relay_message) {
  std::visit(
      base::Overloaded{
          [](const RelayEvent& m) {
            const auto again =
                Reparse<RelayEvent>(EventMessagePrefix(m.subscription) + EventJson(m.event) + "]");
            FUZZ_CHECK(again.subscription == m.subscription && again.event == m.event);
          },
          [](const RelayOk& m) {
            const auto again = Reparse<RelayOk>(OkMessage(m.id.ToHex(), m.accepted, m.message));
            FUZZ_CHECK(again.id == m.id && again.accepted == m.accepted &&
                       again.message == m.message);
          },
          [](const RelayEose& m) {
            FUZZ_CHECK(Reparse<RelayEose>(EoseMessage(m.subscription)).subscription ==
                       m.subscription);
          },
          [](const RelayClosed& m) {
            const auto again = Reparse<RelayClosed>(ClosedMessage(m.subscription, m.message));
            FUZZ_CHECK(again.subscription == m.subscription && again.message == m.message);
          },
          [](const RelayNotice& m) {
            FUZZ_CHECK(Reparse<RelayNotice>(NoticeMessage(m.message)).message == m.message);
          },
          [](const RelayAuth& m) {
            FUZZ_CHECK(Reparse<RelayAuth>(AuthChallengeMessage(m.challenge)).challenge ==
                       m.challenge);
          },
          [](const RelayCount& m) {
            const auto again = Reparse<RelayCount>(CountMessage(m.subscription, m.count));
            FUZZ_CHECK(again.subscription == m.subscription && again.count == m.count);
          },
          [](const RelayNegMsg& m) {
            const auto again = Reparse<RelayNegMsg>(NegMsgMessage(m.subscription, m.message));
            FUZZ_CHECK(again.subscription == m.subscription && again.message == m.message);
          },
          [](const RelayNegErr& m) {
            const auto again = Reparse<RelayNegErr>(NegErrMessage(m.subscription, m.reason));
            FUZZ_CHECK(again.subscription == m.subscription && again.reason == m.reason);
          },
          [](const RelayUnreadable&) {},
          [](const RelayMalformed& m) { FUZZ_CHECK(!m.reason.empty()); },
      },
      ParseRelayMessage(bytes));
}

}  // namespace graspd::fuzz
