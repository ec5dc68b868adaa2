#include "net/websocket_handshake.h"

#include <openssl/evp.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <string>
#include <string_view>

#include "base/random.h"

namespace graspd::net {
namespace {

constexpr int kSwitchingProtocols = 101, kBadRequest = 400, kUpgradeRequired = 426;
constexpr char kGuid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";  // RFC 6455, 1.3
constexpr char kVersion[] = "13";
constexpr size_t kKeyChars = 24;  // 16 bytes in base64

using Headers = std::vector<std::pair<std::string, std::string>>;

bool SameWord(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::tolower(x) == std::tolower(y);
  });
}

std::string_view Trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// Whether a header that holds a list, on one line or several, has this token.
bool Lists(const Headers& headers, std::string_view header, std::string_view token) {
  for (const auto& [name, value] : headers) {
    if (name != header) continue;
    for (std::string_view rest = value; !rest.empty();) {
      const size_t comma = std::min(rest.find(','), rest.size());
      if (SameWord(Trim(rest.substr(0, comma)), token)) return true;
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
  }
  return false;
}

/// The one value of a header; "" if it is absent or there are several.
std::string_view OnlyValue(const Headers& headers, std::string_view header) {
  std::string_view found;
  for (const auto& [name, value] : headers) {
    if (name != header) continue;
    if (!found.empty()) return {};
    found = Trim(value);
  }
  return found;
}

/// 16 bytes in base64.
bool IsKey(std::string_view key) {
  if (key.size() != kKeyChars || !key.ends_with("==")) return false;
  std::array<unsigned char, kKeyChars> decoded;
  return EVP_DecodeBlock(decoded.data(), reinterpret_cast<const unsigned char*>(key.data()),
                         kKeyChars) >= 0;
}

std::string AcceptKey(std::string_view key) {
  const std::string text = std::string(key) + kGuid;
  std::array<unsigned char, SHA_DIGEST_LENGTH> digest;
  SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  std::array<unsigned char, 4 * ((SHA_DIGEST_LENGTH + 2) / 3) + 1> base64;  // and its final NUL
  EVP_EncodeBlock(base64.data(), digest.data(), digest.size());
  return reinterpret_cast<const char*>(base64.data());
}

HttpResponse Refuse(int status, std::string why) {
  HttpResponse response;
  response.status = status;
  response.body = std::move(why);
  if (status == kUpgradeRequired) {
    response.headers = {{"Sec-WebSocket-Version", kVersion}, {"Upgrade", "websocket"}};
  }
  return response;
}

}  // namespace

bool WantsWebSocket(const HttpRequest& request) {
  return request.http_1_1 && Lists(request.headers, "connection", "upgrade") &&
         Lists(request.headers, "upgrade", "websocket");
}

HttpResponse AnswerHandshake(const HttpRequest& request) {
  if (request.method != "GET") return Refuse(kBadRequest, "An upgrade is a GET.\n");
  if (request.more_input) return Refuse(kBadRequest, "Frames before the handshake is over.\n");
  if (OnlyValue(request.headers, "sec-websocket-version") != kVersion) {
    return Refuse(kUpgradeRequired, "This server speaks version 13 of WebSocket.\n");
  }
  const std::string_view key = OnlyValue(request.headers, "sec-websocket-key");
  if (!IsKey(key)) return Refuse(kBadRequest, "Sec-WebSocket-Key is not a key.\n");
  HttpResponse response;
  response.status = kSwitchingProtocols;
  response.headers = {{"Upgrade", "websocket"},
                      {"Connection", "Upgrade"},
                      {"Server", "graspd"},
                      {"Sec-WebSocket-Accept", AcceptKey(key)}};
  return response;
}

std::string NewHandshakeKey() {
  std::array<uint8_t, 16> nonce;
  base::SystemRandom::Fill(nonce);
  std::array<unsigned char, kKeyChars + 1> base64;  // and its final NUL
  EVP_EncodeBlock(base64.data(), nonce.data(), nonce.size());
  return reinterpret_cast<const char*>(base64.data());
}

std::string_view WrongInAnswer(const Headers& headers, std::string_view key) {
  if (!Lists(headers, "upgrade", "websocket")) return "the answer does not upgrade to WebSocket";
  if (!Lists(headers, "connection", "upgrade")) return "the answer does not upgrade";
  if (OnlyValue(headers, "sec-websocket-accept") != AcceptKey(key)) {
    return "the answer is not to our key";
  }
  for (const auto& [name, value] : headers) {
    if (name == "sec-websocket-extensions" || name == "sec-websocket-protocol") {
      return "the answer takes up what was not offered";
    }
  }
  return {};
}

}  // namespace graspd::net
