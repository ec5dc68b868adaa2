// What a load generator needs of a relay's message, found without parsing all of it.
#pragma once

#include <string_view>

#include "absl/status/status.h"

namespace graspd::bench {

/// A view into the message it was scanned from.
struct RelayText {
  enum class Verb { kEvent, kOk, kEose, kClosed, kNotice, kNegMsg, kNegErr, kOther };
  Verb verb = Verb::kOther;
  /// The second element without quotes, escapes as they are: subscription, event id, or text.
  std::string_view label;
  /// What follows the second element and its comma, up to the end of the message.
  std::string_view rest;

  /// Of an OK.
  [[nodiscard]] bool accepted() const { return rest.starts_with("true"); }
  /// Of an EVENT: 64 hex digits, or empty if there is none.
  [[nodiscard]] std::string_view event_id() const;
  /// Of a NEG-MSG: the third element.
  [[nodiscard]] std::string_view payload() const;
};

/// Never fails: what is not recognised is kOther.
[[nodiscard]] RelayText Scan(std::string_view message);

/// What to make of a message that a run does not wait for: an error for NOTICE, CLOSED and NEG-ERR
/// (kAborted, with the relay's words), OK for the rest, an AUTH challenge for one.
absl::Status Unexpected(const RelayText& text);

}  // namespace graspd::bench
