#include "nostr/keys.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <string>
#include <thread>
#include <vector>

#include "base/hex.h"
#include "base/line_reader.h"
#include "nostr/event_builder.h"

namespace graspd::nostr {
namespace {

std::vector<std::string> SplitCsv(std::string_view line) {
  std::vector<std::string> cells(1);
  for (const char c : line) {
    if (c == ',') {
      cells.emplace_back();
    } else if (c != '\r') {
      cells.back() += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
  }
  return cells;
}

TEST(Sha256, MatchesFips180) {
  EXPECT_EQ(base::HexEncode(Sha256("")),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(base::HexEncode(Sha256("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(base::HexEncode(Sha256(std::string(1'000'000, 'a'))),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(VerifySchnorr, AgreesWithBip340Vectors) {
  auto reader = base::LineReader::Open("tests/data/bip340.csv");
  ASSERT_TRUE(reader.ok()) << reader.status();
  ASSERT_TRUE(reader->Next().has_value());  // column names
  int verified = 0, signed_count = 0;
  while (const auto line = reader->Next()) {
    const auto cells = SplitCsv(*line);
    ASSERT_GE(cells.size(), 7u);
    Digest message;
    if (!base::HexDecode(cells[4], message)) continue;  // other lengths: no event id
    const auto key = PublicKey::FromHex(cells[2]);
    const auto sig = Signature::FromHex(cells[5]);
    ASSERT_TRUE(key && sig) << *line;
    EXPECT_EQ(VerifySchnorr(*key, message, *sig), cells[6] == "true") << *line;
    ++verified;

    if (cells[1].empty()) continue;
    const auto secret = SecretKey::FromHex(cells[1]);
    ASSERT_TRUE(secret.ok()) << secret.status();
    EXPECT_EQ(secret->public_key(), *key);
    if (cells[3] != std::string(64, '0')) continue;
    EXPECT_EQ(secret->Sign(message), *sig);
    ++signed_count;
  }
  EXPECT_EQ(verified, 15);
  EXPECT_EQ(signed_count, 1);
}

TEST(SecretKey, FromSeedIsTheHashOfTheSeed) {
  EXPECT_EQ(SecretKey::FromSeed("w-data test key 1").public_key().ToHex(),
            "2cdc02e64ddb3a820b76d1041165518b3f822c0243ca83ef18324639399dd775");
}

TEST(SecretKey, SignaturesVerifyRepeatAndCoverEveryByte) {
  const SecretKey key = SecretKey::Generate();
  EXPECT_NE(key.public_key(), SecretKey::Generate().public_key());
  const Digest message = Sha256("message");
  const Signature sig = key.Sign(message);
  EXPECT_EQ(key.Sign(message), sig);
  EXPECT_TRUE(VerifySchnorr(key.public_key(), message, sig));
  for (size_t i = 0; i < Signature::kSize; ++i) {
    Signature wrong = sig;
    wrong.bytes[i] ^= 1;
    EXPECT_FALSE(VerifySchnorr(key.public_key(), message, wrong)) << i;
  }
  EXPECT_FALSE(VerifySchnorr(key.public_key(), Sha256("other"), sig));
  EXPECT_FALSE(VerifySchnorr(PublicKey(), message, sig));
}

TEST(SignatureVerifier, SaysTheSameAsVerifySignatureHoweverOftenAnAuthorComes) {
  SignatureVerifier verifier;
  // More than there are slots, so that some share one.
  std::vector<SecretKey> keys;
  for (int i = 0; i < 300; ++i) keys.push_back(SecretKey::FromSeed(std::to_string(i)));
  for (int round = 0; round < 3; ++round) {
    for (const SecretKey& key : keys) {
      Event event = EventBuilder(1, 1'700'000'000).Content(std::to_string(round)).Sign(key);
      EXPECT_TRUE(verifier.Verify(event));
      event.sig.bytes[40] ^= 1;
      EXPECT_FALSE(verifier.Verify(event));
    }
  }
}

TEST(SignatureVerifier, KeysOfOneSlotAreNotTakenForEachOther) {
  SignatureVerifier verifier;
  const SecretKey key = SecretKey::FromSeed("author");
  Event event = EventBuilder(1, 1'700'000'000).Sign(key);
  EXPECT_TRUE(verifier.Verify(event));
  Event other = event;
  other.pubkey.bytes[0] ^= 1;  // the slot is told by the end of the key
  EXPECT_FALSE(verifier.Verify(other));
  EXPECT_TRUE(verifier.Verify(event));
  other.pubkey = PublicKey();  // what an unused slot holds
  EXPECT_FALSE(verifier.Verify(other));
  EXPECT_FALSE(SignatureVerifier().Verify(other));
}

TEST(Sha256, OfPartsIsThatOfTheirWhole) {
  EXPECT_EQ(Sha256({"a", "", "bc", "def"}), Sha256("abcdef"));
  EXPECT_EQ(Sha256({}), Sha256(""));
}

TEST(SecretKey, RefusesWhatIsNoKey) {
  for (const std::string& hex :
       {std::string(64, '0'), std::string(64, 'f'), std::string(63, '1'), std::string(),
        std::string("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141")}) {
    EXPECT_FALSE(SecretKey::FromHex(hex).ok()) << hex;
  }
  EXPECT_TRUE(
      SecretKey::FromHex("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140").ok());
}

TEST(Keys, WorkOnSeveralThreadsAtOnce) {
  const SecretKey key = SecretKey::FromSeed("shared");
  std::vector<int> good(4);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < good.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        const Digest message = Sha256(std::to_string(t * 1000 + i));
        if (VerifySchnorr(key.public_key(), message, key.Sign(message))) ++good[t];
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_TRUE(std::all_of(good.begin(), good.end(), [](int count) { return count == 50; }));
}

}  // namespace
}  // namespace graspd::nostr
