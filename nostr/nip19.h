#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "nostr/fixed_bytes.h"
#include "nostr/keys.h"

namespace graspd::nostr {

/// The public key as people and clone URLs write it: `npub1...` (NIP-19, bech32).
std::string EncodeNpub(const PublicKey& key);

/// Reads an `npub1...`. As bech32 says, all lower case or all upper case, never mixed.
/// Errors: kInvalidArgument.
absl::StatusOr<PublicKey> DecodeNpub(std::string_view text);

/// Reads an `nsec1...`, likewise.
absl::StatusOr<SecretKey> DecodeNsec(std::string_view text);

}  // namespace graspd::nostr
