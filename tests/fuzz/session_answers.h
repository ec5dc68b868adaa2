// What every message that a session sends must be like.
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "nostr/message.h"
#include "tests/fuzz/fuzz.h"

namespace graspd::fuzz {

inline std::string TypeOf(std::string_view message) {
  FUZZ_CHECK(message.starts_with("[\""));
  return std::string(message.substr(2, message.find('"', 2) - 2));
}

/// A relay's message, as our own reader of those knows them.
inline void CheckAnswer(const std::string& text) {
  const auto message = nostr::ParseRelayMessage(text);
  if (std::holds_alternative<nostr::RelayMalformed>(message)) {
    // To an event whose id is none of the right form.
    FUZZ_CHECK(TypeOf(text) == "OK");
  }
  FUZZ_CHECK(!std::holds_alternative<nostr::RelayUnreadable>(message));
  if (const auto* ok = std::get_if<nostr::RelayOk>(&message)) {
    FUZZ_CHECK(ok->accepted || ok->message.find(": ") != std::string::npos);
  }
  if (const auto* closed = std::get_if<nostr::RelayClosed>(&message)) {
    FUZZ_CHECK(closed->message.find(": ") != std::string::npos);
  }
}

}  // namespace graspd::fuzz
