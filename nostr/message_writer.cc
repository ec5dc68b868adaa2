#include <span>
#include <utility>

#include "nostr/json_writer.h"
#include "nostr/message.h"

namespace graspd::nostr {
namespace {

// `["TYPE","subject"` : the caller goes on with elements and `]`.
std::string Begin(std::string_view type, std::string_view subject, size_t reserve = 0) {
  std::string out;
  out.reserve(type.size() + subject.size() + reserve + 16);
  out += "[\"";
  out += type;
  out += "\",";
  AppendJsonString(out, subject);
  return out;
}

std::string WithText(std::string out, std::string_view text) {
  out += ',';
  AppendJsonString(out, text);
  out += ']';
  return out;
}

void AppendHexMessage(std::string& out, std::string_view bytes) {
  out += ',';
  AppendHexString(out, {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  out += ']';
}

std::string Ended(std::string out) {
  out += ']';
  return out;
}

// A message whose only element is ready JSON.
std::string WithEvent(std::string_view type, std::string_view event_json) {
  std::string out;
  out.reserve(type.size() + event_json.size() + 8);
  out += "[\"";
  out += type;
  out += "\",";
  out += event_json;
  out += ']';
  return out;
}

}  // namespace

std::string EventMessagePrefix(std::string_view subscription) {
  std::string out = Begin("EVENT", subscription);
  out += ',';
  return out;
}

std::string OkMessage(std::string_view id_text, bool accepted, std::string_view message) {
  std::string out = Begin("OK", id_text, message.size());
  out += accepted ? ",true" : ",false";
  return WithText(std::move(out), message);
}

std::string EoseMessage(std::string_view subscription) {
  return Ended(Begin("EOSE", subscription));
}

std::string ClosedMessage(std::string_view subscription, std::string_view reason) {
  return WithText(Begin("CLOSED", subscription, reason.size()), reason);
}

std::string NoticeMessage(std::string_view text) { return Ended(Begin("NOTICE", text)); }

std::string AuthChallengeMessage(std::string_view challenge) {
  return Ended(Begin("AUTH", challenge));
}

std::string CountMessage(std::string_view subscription, uint64_t count) {
  std::string out = Begin("COUNT", subscription);
  out += ",{\"count\":";
  AppendInteger(out, count);
  out += "}]";
  return out;
}

std::string NegMsgMessage(std::string_view subscription, std::string_view bytes) {
  std::string out = Begin("NEG-MSG", subscription, 2 * bytes.size());
  AppendHexMessage(out, bytes);
  return out;
}

std::string NegErrMessage(std::string_view subscription, std::string_view reason,
                          uint64_t maximum) {
  std::string out = Begin("NEG-ERR", subscription, reason.size());
  if (maximum == 0) return WithText(std::move(out), reason);
  out += ',';
  AppendJsonString(out, reason);
  out += ',';
  AppendInteger(out, maximum);
  out += ']';
  return out;
}

std::string ClientEventMessage(std::string_view event_json) {
  return WithEvent("EVENT", event_json);
}

std::string ClientAuthMessage(std::string_view event_json) { return WithEvent("AUTH", event_json); }

std::string ReqMessage(std::string_view subscription, const std::vector<Filter>& filters) {
  std::string out = Begin("REQ", subscription);
  for (const Filter& filter : filters) {
    out += ',';
    out += FilterJson(filter);
  }
  out += ']';
  return out;
}

std::string CloseMessage(std::string_view subscription) {
  return Ended(Begin("CLOSE", subscription));
}

std::string NegOpenMessage(std::string_view subscription, const Filter& filter,
                           std::string_view bytes) {
  std::string out = Begin("NEG-OPEN", subscription, 2 * bytes.size());
  out += ',';
  out += FilterJson(filter);
  AppendHexMessage(out, bytes);
  return out;
}

std::string NegCloseMessage(std::string_view subscription) {
  return Ended(Begin("NEG-CLOSE", subscription));
}

}  // namespace graspd::nostr
