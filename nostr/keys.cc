#include "nostr/keys.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <secp256k1.h>
#include <secp256k1_extrakeys.h>
#include <secp256k1_schnorrsig.h>

#include <cstdlib>
#include <cstring>
#include <optional>
#include <utility>

#include "base/hex.h"
#include "base/random.h"

namespace graspd::nostr {
namespace {

// Only for what cannot fail but by lack of memory or a broken library: there is no way to go on.
void Require(bool ok) {
  if (!ok) std::abort();
}

// Fetching an algorithm costs more than hashing an event: once per process.
const EVP_MD* Sha256Algorithm() {
  static const EVP_MD* const algorithm = [] {
    const EVP_MD* const fetched = EVP_MD_fetch(nullptr, "SHA256", nullptr);
    Require(fetched != nullptr);
    return fetched;
  }();
  return algorithm;
}

struct HashContext {
  HashContext() : context(EVP_MD_CTX_new()) { Require(context != nullptr); }
  ~HashContext() { EVP_MD_CTX_free(context); }
  HashContext(const HashContext&) = delete;
  HashContext& operator=(const HashContext&) = delete;
  EVP_MD_CTX* const context;
};

// Blinded against side channels; read-only after that, hence shared by all threads, for ever.
const secp256k1_context* SigningContext() {
  static const secp256k1_context* const context = [] {
    secp256k1_context* const made = secp256k1_context_create(SECP256K1_CONTEXT_NONE);
    Require(made != nullptr);
    std::array<uint8_t, 32> seed;
    base::SystemRandom::Fill(seed);
    Require(secp256k1_context_randomize(made, seed.data()) == 1);
    OPENSSL_cleanse(seed.data(), seed.size());
    return made;
  }();
  return context;
}

std::optional<secp256k1_xonly_pubkey> Parse(const PublicKey& key) {
  secp256k1_xonly_pubkey parsed;
  if (secp256k1_xonly_pubkey_parse(secp256k1_context_static, &parsed, key.bytes.data()) != 1) {
    return std::nullopt;
  }
  return parsed;
}

bool VerifyParsed(const secp256k1_xonly_pubkey& key, std::span<const uint8_t, 32> message,
                  const Signature& sig) {
  return secp256k1_schnorrsig_verify(secp256k1_context_static, sig.bytes.data(), message.data(),
                                     message.size(), &key) == 1;
}

}  // namespace

Digest Sha256(std::string_view data) { return Sha256({data}); }

Digest Sha256(std::initializer_list<std::string_view> parts) {
  thread_local const HashContext hash;
  Digest digest;
  Require(EVP_DigestInit_ex2(hash.context, Sha256Algorithm(), nullptr) == 1);
  for (const std::string_view part : parts) {
    Require(EVP_DigestUpdate(hash.context, part.data(), part.size()) == 1);
  }
  Require(EVP_DigestFinal_ex(hash.context, digest.data(), nullptr) == 1);
  return digest;
}

bool VerifySchnorr(const PublicKey& key, std::span<const uint8_t, 32> message,
                   const Signature& sig) {
  const auto parsed = Parse(key);
  return parsed && VerifyParsed(*parsed, message, sig);
}

bool VerifySignature(const Event& event) {
  return VerifySchnorr(event.pubkey, event.id.bytes, event.sig);
}

std::string_view ForgeryOf(const Event& event) {
  if (ComputeId(event) != event.id) return kWrongIdMessage;
  return VerifySignature(event) ? "" : kBadSignatureMessage;
}

struct SignatureVerifier::Slot {
  PublicKey key;
  std::optional<secp256k1_xonly_pubkey> parsed;  // of `key`; nothing: never used
};

SignatureVerifier::SignatureVerifier() : slots_(4096) {}
SignatureVerifier::~SignatureVerifier() = default;

bool SignatureVerifier::Verify(const Event& event) {
  uint16_t place;
  std::memcpy(&place, event.pubkey.bytes.data() + PublicKey::kSize - sizeof place, sizeof place);
  Slot& slot = slots_[place % slots_.size()];
  if (!slot.parsed || slot.key != event.pubkey) {
    const auto parsed = Parse(event.pubkey);
    if (!parsed) return false;
    slot = {event.pubkey, parsed};
  }
  return VerifyParsed(*slot.parsed, event.id.bytes, event.sig);
}

struct SecretKey::Impl {
  // `bytes` outside [1, group order) is no key; valid() then is false.
  explicit Impl(const std::array<uint8_t, 32>& bytes)
      : valid(secp256k1_keypair_create(SigningContext(), &pair, bytes.data()) == 1) {}
  ~Impl() { OPENSSL_cleanse(&pair, sizeof(pair)); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  secp256k1_keypair pair;
  const bool valid;
};

SecretKey::SecretKey(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {
  secp256k1_xonly_pubkey point;
  Require(secp256k1_keypair_xonly_pub(SigningContext(), &point, nullptr, &impl_->pair) == 1 &&
          secp256k1_xonly_pubkey_serialize(SigningContext(), public_key_.bytes.data(), &point) ==
              1);
}
SecretKey::SecretKey(SecretKey&&) noexcept = default;
SecretKey& SecretKey::operator=(SecretKey&&) noexcept = default;
SecretKey::~SecretKey() = default;

SecretKey SecretKey::Generate() {
  for (;;) {  // a second turn has a chance of 2^-128
    std::array<uint8_t, 32> bytes;
    base::SystemRandom::Fill(bytes);
    auto impl = std::make_unique<Impl>(bytes);
    OPENSSL_cleanse(bytes.data(), bytes.size());
    if (impl->valid) return SecretKey(std::move(impl));
  }
}

SecretKey SecretKey::FromSeed(std::string_view seed) {
  auto impl = std::make_unique<Impl>(Sha256(seed));
  Require(impl->valid);  // a seed that fails has a chance of 2^-128
  return SecretKey(std::move(impl));
}

absl::StatusOr<SecretKey> SecretKey::FromHex(std::string_view hex) {
  std::array<uint8_t, 32> bytes;
  if (!base::HexDecode(hex, bytes)) {
    OPENSSL_cleanse(bytes.data(), bytes.size());
    return absl::InvalidArgumentError("a secret key is 64 lower-case hex digits");
  }
  auto impl = std::make_unique<Impl>(bytes);
  OPENSSL_cleanse(bytes.data(), bytes.size());
  if (!impl->valid) return absl::InvalidArgumentError("not a secret key of secp256k1");
  return SecretKey(std::move(impl));
}

Signature SecretKey::Sign(std::span<const uint8_t, 32> message) const {
  Signature sig;
  Require(secp256k1_schnorrsig_sign32(SigningContext(), sig.bytes.data(), message.data(),
                                      &impl_->pair, nullptr) == 1);
  return sig;
}

}  // namespace graspd::nostr
