#include "services/admin/paging.h"

#include <openssl/sha.h>

#include <algorithm>

#include "absl/strings/escaping.h"
#include "services/admin/errors.h"

namespace graspd::admin {
namespace {

constexpr size_t kDefaultPage = 50;
constexpr size_t kMaxPage = 500;
constexpr size_t kMarkBytes = 8;  // of the filters' hash
constexpr char kVersion = 1;      // of the token's layout: version, mark, key

std::string FilterMark(std::string_view filter) {
  uint8_t digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const uint8_t*>(filter.data()), filter.size(), digest);
  return {reinterpret_cast<const char*>(digest), kMarkBytes};
}

}  // namespace

absl::StatusOr<size_t> PageSize(int32_t requested) {
  if (requested < 0) return FieldError("page_size", "must not be negative");
  if (requested == 0) return kDefaultPage;
  return std::min(static_cast<size_t>(requested), kMaxPage);
}

std::string MakePageToken(std::string_view last_key, std::string_view filter) {
  std::string plain(1, kVersion);
  plain += FilterMark(filter);
  plain += last_key;
  return absl::WebSafeBase64Escape(plain);
}

absl::StatusOr<std::string> ReadPageToken(std::string_view token, std::string_view filter) {
  if (token.empty()) return std::string();
  const auto refuse = [](std::string_view why) {
    return FieldError("page_token", why, Reason::kPageTokenInvalid);
  };
  std::string plain;
  if (!absl::WebSafeBase64Unescape({token.data(), token.size()}, &plain) ||
      plain.size() <= 1 + kMarkBytes || plain[0] != kVersion) {
    return refuse("is not a token of this list; leave it empty to start at the first page");
  }
  if (plain.compare(1, kMarkBytes, FilterMark(filter)) != 0) {
    return refuse("belongs to a call with other filters; repeat those, or start without a token");
  }
  return plain.substr(1 + kMarkBytes);
}

}  // namespace graspd::admin
