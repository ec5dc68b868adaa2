#include "nostr/nip19.h"

#include <gtest/gtest.h>

#include <cctype>
#include <string>

namespace graspd::nostr {
namespace {

// The example of NIP-19.
constexpr std::string_view kHex =
    "7e7e9c42a91bfef19fa929e5fda1b72e0ebc1a4c1141673e2794234d86addf4e";
constexpr std::string_view kNpub =
    "npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg";

TEST(Nip19, EncodesTheExampleOfTheSpecification) {
  EXPECT_EQ(EncodeNpub(*PublicKey::FromHex(kHex)), kNpub);
}

TEST(Nip19, DecodesTheExampleInEitherCase) {
  std::string upper(kNpub);
  for (char& c : upper) c = static_cast<char>(std::toupper(c));
  for (const std::string& text : {std::string(kNpub), upper}) {
    const auto key = DecodeNpub(text);
    ASSERT_TRUE(key.ok()) << key.status();
    EXPECT_EQ(key->ToHex(), kHex);
  }
}

TEST(Nip19, EveryChangedCharacterIsRefused) {
  for (size_t i = 0; i < kNpub.size(); ++i) {
    std::string changed(kNpub);
    changed[i] = changed[i] == 'q' ? 'p' : 'q';
    EXPECT_FALSE(DecodeNpub(changed).ok()) << changed;
  }
}

TEST(Nip19, MixedCaseOtherLengthAndOtherPrefixAreRefused) {
  std::string mixed(kNpub);
  mixed[0] = 'N';
  EXPECT_FALSE(DecodeNpub(mixed).ok());
  EXPECT_FALSE(DecodeNpub("").ok());
  EXPECT_FALSE(DecodeNpub(kNpub.substr(0, kNpub.size() - 1)).ok());
  EXPECT_FALSE(DecodeNpub(std::string(kNpub) + "q").ok());
  EXPECT_FALSE(DecodeNpub("nsec" + std::string(kNpub.substr(4))).ok());
}

TEST(Nip19, ReadsTheSecretKeyOfTheSpecification) {
  const auto key = DecodeNsec("nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5");
  ASSERT_TRUE(key.ok()) << key.status();
  const auto same =
      SecretKey::FromHex("67dea2ed018072d675f5415ecfaed7d2597555e202d85b3d65ea4e58d2d92ffa");
  EXPECT_EQ(key->public_key(), same->public_key());
  EXPECT_FALSE(DecodeNsec(kNpub).ok());
}

}  // namespace
}  // namespace graspd::nostr
