#include "services/admin/controls.h"

#include <openssl/sha.h>

#include <span>

#include "base/hex.h"

namespace graspd::admin {

std::string RemoteId(std::string_view canonical_url) {
  constexpr size_t kBytes = 8;
  uint8_t digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const uint8_t*>(canonical_url.data()), canonical_url.size(), digest);
  return "r-" + base::HexEncode(std::span(digest).first<kBytes>());
}

}  // namespace graspd::admin
