// SHA-256 and BIP-340 signatures: the only place that calls libsecp256k1 and OpenSSL's hashes.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "nostr/event.h"
#include "nostr/fixed_bytes.h"

namespace graspd::nostr {

using Digest = std::array<uint8_t, 32>;
/// SHA-256. Thread-safe; keeps one context per thread.
[[nodiscard]] Digest Sha256(std::string_view data);
/// The same of texts that follow each other.
[[nodiscard]] Digest Sha256(std::initializer_list<std::string_view> parts);

/// True if `sig` is a BIP-340 signature of `message` by `key`. Thread-safe; about 50 us of CPU.
[[nodiscard]] bool VerifySchnorr(const PublicKey& key, std::span<const uint8_t, 32> message,
                                 const Signature& sig);
/// VerifySchnorr of the event's id. Does not check the id itself: compare ComputeId() first.
[[nodiscard]] bool VerifySignature(const Event& event);

/// What is said of an event whose id or signature is wrong.
inline constexpr char kWrongIdMessage[] = "invalid: id is not the hash of the event";
inline constexpr char kBadSignatureMessage[] = "invalid: bad signature";
/// The one of these that is true of `event`, "" if it is genuine. About 50 us of CPU.
[[nodiscard]] std::string_view ForgeryOf(const Event& event);

/// VerifySignature for whoever verifies many events: remembers the keys of authors in the form in
/// which they are used, which saves a square root, a tenth of the work, when an author comes again.
///
/// 4,096 keys, 400 kB, each in the one slot that its bytes name; a newer key takes the place of an
/// older. Who chooses keys that share a slot only loses what it saves. Threading: one thread.
class SignatureVerifier {
 public:
  SignatureVerifier();
  ~SignatureVerifier();
  [[nodiscard]] bool Verify(const Event& event);

 private:
  struct Slot;
  std::vector<Slot> slots_;
};

/// A key that signs: for the sync identity (NIP-42), tests and the demo. Thread-safe.
class SecretKey {
 public:
  /// Fresh, from the kernel's generator.
  static SecretKey Generate();
  /// Deterministic: SHA-256 of `seed`. For tests and demo data only.
  static SecretKey FromSeed(std::string_view seed);
  static absl::StatusOr<SecretKey> FromHex(std::string_view hex);

  SecretKey(SecretKey&&) noexcept;
  SecretKey& operator=(SecretKey&&) noexcept;
  ~SecretKey();  // wipes

  [[nodiscard]] const PublicKey& public_key() const { return public_key_; }
  /// BIP-340 with zero auxiliary randomness, so that signatures repeat.
  [[nodiscard]] Signature Sign(std::span<const uint8_t, 32> message) const;

 private:
  struct Impl;
  explicit SecretKey(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
  PublicKey public_key_;
};

}  // namespace graspd::nostr
