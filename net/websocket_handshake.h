// The opening handshake of RFC 6455 (section 4).
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/http.h"

namespace graspd::net {

/// Whether the client asks to leave HTTP for WebSocket. `Connection` may list several tokens.
[[nodiscard]] bool WantsWebSocket(const HttpRequest& request);

/// The answer to a request that does: 101 with what completes the handshake, or the refusal of a
/// malformed one (400; 426 for another version than 13). Extensions and subprotocols are never
/// taken up.
[[nodiscard]] HttpResponse AnswerHandshake(const HttpRequest& request);

/// What a client sends as Sec-WebSocket-Key: new and unpredictable.
[[nodiscard]] std::string NewHandshakeKey();

/// What is wrong with the headers of a 101 (names in lower case) that answers a client which sent
/// `key` and offered neither extensions nor subprotocols; "" if they complete the handshake.
[[nodiscard]] std::string_view WrongInAnswer(
    const std::vector<std::pair<std::string, std::string>>& headers, std::string_view key);

}  // namespace graspd::net
