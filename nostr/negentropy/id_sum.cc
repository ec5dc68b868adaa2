#include "nostr/negentropy/id_sum.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>

#include "nostr/keys.h"
#include "nostr/negentropy/wire.h"

namespace graspd::negentropy {

// Ids are added as little-endian numbers straight from and to memory.
static_assert(std::endian::native == std::endian::little);

IdSum::IdSum(const nostr::EventId& id) {
  std::memcpy(limbs_.data(), id.bytes.data(), sizeof limbs_);
}

Fingerprint IdSum::ToFingerprint(size_t count) const {
  std::string input(reinterpret_cast<const char*>(limbs_.data()), sizeof limbs_);
  AppendVarint(input, count);
  const nostr::Digest digest = nostr::Sha256(input);
  Fingerprint out;
  std::copy_n(digest.begin(), out.size(), out.begin());
  return out;
}

}  // namespace graspd::negentropy
