// Messages of clients: what is understood means the same when it is written again; what is not gets
// an answer that is well-formed.
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
  ClientMessage again = ParseClientMessage(text);
  FUZZ_CHECK(std::holds_alternative<Message>(again));
  return std::get<Message>(std::move(again));
}

// One form to the last byte, and an id that depends on nothing else.
void CheckEvent(const Event& event) {
  const std::string json = EventJson(event);
  const auto again = ParseEvent(json);
  FUZZ_CHECK(again.ok() && *again == event);
  FUZZ_CHECK(EventJson(*again) == json);
  FUZZ_CHECK(ComputeId(*again) == ComputeId(event));
  const auto preimage = ReferenceParse(IdPreimage(event));
  FUZZ_CHECK(preimage && preimage->is_array() && preimage->get_array().size() == 6);
  const auto& content = preimage->get_array()[5].get_string();
  FUZZ_CHECK(std::string_view(content.data(), content.size()) == event.content);
}

void CheckRefusal(const ClientRefused& refused) {
  FUZZ_CHECK(refused.reason.starts_with("invalid: ") ||
             refused.reason.starts_with("unsupported: "));
  switch (refused.answer) {
    case ClientRefused::Answer::kNotice:
      FUZZ_CHECK(IsMessage(NoticeMessage(refused.reason), "NOTICE"));
      break;
    case ClientRefused::Answer::kOk:
      FUZZ_CHECK(refused.subject.size() <= 64);
      FUZZ_CHECK(IsMessage(OkMessage(refused.subject, false, refused.reason), "OK"));
      break;
    case ClientRefused::Answer::kClosed:
    case ClientRefused::Answer::kCountClosed:
      FUZZ_CHECK(IsMessage(ClosedMessage(refused.subject, refused.reason), "CLOSED"));
      break;
    case ClientRefused::Answer::kNegError:
      FUZZ_CHECK(IsMessage(NegErrMessage(refused.subject, refused.reason), "NEG-ERR"));
      break;
  }
}

}  // namespace

FUZZ_TARGET(client_message) {
  const ClientMessage message = ParseClientMessage(bytes);
  if (!std::holds_alternative<ClientRefused>(message)) {
    FUZZ_CHECK(ReferenceParse(bytes) || bytes.find_first_of("eE") != std::string_view::npos);
  }
  std::visit(
      base::Overloaded{
          [](const ClientEvent& m) {
            CheckEvent(m.event);
            FUZZ_CHECK(Reparse<ClientEvent>(ClientEventMessage(EventJson(m.event))).event ==
                       m.event);
          },
          [](const ClientAuth& m) {
            CheckEvent(m.event);
            FUZZ_CHECK(Reparse<ClientAuth>(ClientAuthMessage(EventJson(m.event))).event == m.event);
          },
          [](const ClientReq& m) {
            const auto again = Reparse<ClientReq>(ReqMessage(m.subscription, m.filters));
            FUZZ_CHECK(again.subscription == m.subscription && again.filters == m.filters);
          },
          [](const ClientCount& m) {
            const auto again = Reparse<ClientReq>(ReqMessage(m.subscription, m.filters));
            FUZZ_CHECK(again.subscription == m.subscription && again.filters == m.filters);
          },
          [](const ClientClose& m) {
            FUZZ_CHECK(Reparse<ClientClose>(CloseMessage(m.subscription)).subscription ==
                       m.subscription);
          },
          [](const ClientNegOpen& m) {
            const auto again =
                Reparse<ClientNegOpen>(NegOpenMessage(m.subscription, m.filter, m.message));
            FUZZ_CHECK(again.subscription == m.subscription && again.filter == m.filter &&
                       again.message == m.message);
          },
          [](const ClientNegMsg& m) {
            const auto again = Reparse<ClientNegMsg>(NegMsgMessage(m.subscription, m.message));
            FUZZ_CHECK(again.subscription == m.subscription && again.message == m.message);
          },
          [](const ClientNegClose& m) {
            FUZZ_CHECK(Reparse<ClientNegClose>(NegCloseMessage(m.subscription)).subscription ==
                       m.subscription);
          },
          [](const ClientRefused& m) { CheckRefusal(m); },
      },
      message);
}

}  // namespace graspd::fuzz
