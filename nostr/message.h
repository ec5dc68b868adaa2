// Messages between client and relay (NIP-01, 11, 42, 45, 77), both directions.
//
// Reading never fails: what cannot be understood becomes a value that says how to answer it.
// Writing appends ready text: the hot ones take the stored JSON as it is.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "nostr/event.h"
#include "nostr/filter.h"
#include "nostr/json_writer.h"

namespace graspd::nostr {

// ---- from a client -------------------------------------------------------------------------

struct ClientEvent {
  Event event;
};
struct ClientAuth {  // NIP-42
  Event event;
};
struct ClientReq {
  std::string subscription;
  std::vector<Filter> filters;
};
struct ClientCount {  // NIP-45
  std::string subscription;
  std::vector<Filter> filters;
};
struct ClientClose {
  std::string subscription;
};
struct ClientNegOpen {  // NIP-77
  std::string subscription;
  Filter filter;
  std::string message;  // decoded bytes
};
struct ClientNegMsg {
  std::string subscription;
  std::string message;  // decoded bytes
};
struct ClientNegClose {
  std::string subscription;
};

/// A message that cannot be acted on, with the answer it deserves.
struct ClientRefused {
  enum class Answer {
    kNotice,       // not recognisable as any message
    kOk,           // an EVENT or AUTH: ["OK", subject, false, reason]
    kClosed,       // a REQ: ["CLOSED", subject, reason]
    kCountClosed,  // a COUNT: the same words, but a REQ of that id goes on
    kNegError      // a NEG-*: ["NEG-ERR", subject, reason]
  };
  Answer answer;
  std::string subject;  // claimed event id (the printable ASCII it begins with, at most 64 bytes)
                        // or subscription id
  std::string reason;   // begins with "invalid: " or "unsupported: "
};

using ClientMessage = std::variant<ClientEvent, ClientAuth, ClientReq, ClientCount, ClientClose,
                                   ClientNegOpen, ClientNegMsg, ClientNegClose, ClientRefused>;

/// Reads one text message. Checks shape only; limits are the caller's (limits.h), except that a
/// subscription id must have 1 to 64 characters (code points) and is otherwise refused.
ClientMessage ParseClientMessage(std::string_view text);

// ---- from a relay --------------------------------------------------------------------------

struct RelayEvent {
  std::string subscription;
  Event event;
};
struct RelayOk {
  EventId id;
  bool accepted;
  std::string message;
};
struct RelayEose {
  std::string subscription;
};
struct RelayClosed {
  std::string subscription;
  std::string message;
};
struct RelayNotice {
  std::string message;
};
struct RelayAuth {  // NIP-42 challenge
  std::string challenge;
};
struct RelayCount {
  std::string subscription;
  uint64_t count;
};
struct RelayNegMsg {
  std::string subscription;
  std::string message;  // decoded bytes
};
struct RelayNegErr {
  std::string subscription;
  std::string reason;
};
/// An EVENT that belongs to a subscription but is none by our rules; what it seems to be, for
/// relays are not equally strict.
struct RelayUnreadable {
  std::string subscription;
  EventId id;
  std::optional<uint64_t> created_at;
};
/// Anything else; `reason` is for a log line and a strike.
struct RelayMalformed {
  std::string reason;
};
using RelayMessage =
    std::variant<RelayEvent, RelayOk, RelayEose, RelayClosed, RelayNotice, RelayAuth, RelayCount,
                 RelayNegMsg, RelayNegErr, RelayUnreadable, RelayMalformed>;
RelayMessage ParseRelayMessage(std::string_view text);

// ---- writing -------------------------------------------------------------------------------

/// `["EVENT","sub",` : the start of a delivery; the caller adds the event's JSON and `]`.
std::string EventMessagePrefix(std::string_view subscription);
std::string OkMessage(std::string_view id_text, bool accepted, std::string_view message);
std::string EoseMessage(std::string_view subscription);
std::string ClosedMessage(std::string_view subscription, std::string_view reason);
std::string NoticeMessage(std::string_view text);
std::string AuthChallengeMessage(std::string_view challenge);
std::string CountMessage(std::string_view subscription, uint64_t count);
std::string NegMsgMessage(std::string_view subscription,
                          std::string_view bytes);  // both directions
/// `maximum` > 0 adds it as fourth element (NIP-77: the set is larger than the relay allows).
std::string NegErrMessage(std::string_view subscription, std::string_view reason,
                          uint64_t maximum = 0);

std::string ClientEventMessage(std::string_view event_json);
std::string ClientAuthMessage(std::string_view event_json);
std::string ReqMessage(std::string_view subscription, const std::vector<Filter>& filters);
std::string CloseMessage(std::string_view subscription);
std::string NegOpenMessage(std::string_view subscription, const Filter& filter,
                           std::string_view bytes);
std::string NegCloseMessage(std::string_view subscription);

}  // namespace graspd::nostr
