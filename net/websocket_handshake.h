// The opening handshake of RFC 6455 (section 4.2), the server's half.
#pragma once

#include "net/http.h"

namespace graspd::net {

/// Whether the client asks to leave HTTP for WebSocket. `Connection` may list several tokens.
[[nodiscard]] bool WantsWebSocket(const HttpRequest& request);

/// The answer to a request that does: 101 with what completes the handshake, or the refusal of a
/// malformed one (400; 426 for another version than 13). Extensions and subprotocols are never
/// taken up.
[[nodiscard]] HttpResponse AnswerHandshake(const HttpRequest& request);

}  // namespace graspd::net
