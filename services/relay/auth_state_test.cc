#include "services/relay/auth_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nostr/event_builder.h"
#include "nostr/keys.h"

namespace graspd::relay {
namespace {

using nostr::Event;
using nostr::EventBuilder;
using nostr::SecretKey;
using testing::Optional;
using testing::StartsWith;

constexpr uint64_t kNow = 1'800'000'000;

class AuthStateTest : public testing::Test {
 protected:
  Event Auth(const std::string& challenge, const std::string& relay = "wss://relay.example",
             uint64_t created_at = kNow, const std::string& key = "alice") {
    return EventBuilder(22242, created_at)
        .Tag({"relay", relay})
        .Tag({"challenge", challenge})
        .Sign(SecretKey::FromSeed(key));
  }
  std::optional<std::string> Refuse(const Event& event) { return state_.Refuse(event, own_, kNow); }

  const OwnHosts own_{{{"relay.example", 443}, {"127.0.0.1", 7334}}};
  AuthState state_;
};

TEST_F(AuthStateTest, AChallengeIsLongStaysTheSameAndDiffersBetweenConnections) {
  EXPECT_FALSE(state_.challenged());
  const std::string challenge = state_.Challenge();
  EXPECT_EQ(challenge.size(), 32u);
  EXPECT_EQ(state_.Challenge(), challenge);
  EXPECT_TRUE(state_.challenged());
  EXPECT_NE(AuthState().Challenge(), challenge);
}

TEST_F(AuthStateTest, TheRelayTagIsComparedByParsedHostAndPort) {
  const std::string challenge = state_.Challenge();
  for (const char* relay :
       {"wss://relay.example", "wss://relay.example/", "WSS://Relay.Example:443/path?x=1",
        "https://relay.example", "ws://127.0.0.1:7334/"}) {
    EXPECT_EQ(Refuse(Auth(challenge, relay)), std::nullopt) << relay;
  }
  for (const char* relay :
       {"", "relay.example", "wss://evil.example/?relay.example", "wss://relay.example.evil",
        "wss://relay.example:444", "ws://127.0.0.1", "wss://relay.example@evil.example"}) {
    EXPECT_THAT(Refuse(Auth(challenge, relay)), Optional(StartsWith("invalid: the relay tag")))
        << relay;
  }
}

TEST_F(AuthStateTest, TheChallengeMustBeThatOfTheConnection) {
  // Before there is one, nothing fits, an empty tag least of all.
  EXPECT_THAT(Refuse(Auth("")), Optional(StartsWith("invalid: not the challenge")));
  const std::string challenge = state_.Challenge();
  for (const std::string& other :
       {std::string(), challenge + "0", challenge.substr(1), AuthState().Challenge()}) {
    EXPECT_THAT(Refuse(Auth(other)), Optional(StartsWith("invalid: not the challenge")));
  }
  EXPECT_THAT(Refuse(EventBuilder(22242, kNow)
                         .Tag({"relay", "wss://relay.example"})
                         .Sign(SecretKey::FromSeed("alice"))),
              Optional(StartsWith("invalid: not the challenge")));
}

TEST_F(AuthStateTest, CreatedAtMustBeWithinTenMinutesEitherWay) {
  const std::string challenge = state_.Challenge();
  const auto at = [&](uint64_t time) {
    return Refuse(Auth(challenge, "wss://relay.example", time));
  };
  EXPECT_EQ(at(kNow - 600), std::nullopt);
  EXPECT_EQ(at(kNow + 600), std::nullopt);
  for (const uint64_t time : {kNow - 601, kNow + 601, uint64_t{0}, uint64_t{1} << 53}) {
    EXPECT_THAT(at(time), Optional(StartsWith("invalid: created_at"))) << time;
  }
}

TEST_F(AuthStateTest, OtherKindsDoNotAuthenticate) {
  const Event note = EventBuilder(1, kNow)
                         .Tag({"relay", "wss://relay.example"})
                         .Tag({"challenge", state_.Challenge()})
                         .Sign(SecretKey::FromSeed("alice"));
  EXPECT_THAT(Refuse(note), Optional(StartsWith("invalid: an AUTH event")));
}

TEST_F(AuthStateTest, AFewKeysMayAuthenticateOnOneConnection) {
  const std::string challenge = state_.Challenge();
  const auto by = [&](const std::string& key) {
    return Auth(challenge, "wss://relay.example", kNow, key);
  };
  EXPECT_TRUE(state_.empty());
  for (size_t i = 0; i < AuthState::kMaxKeys; ++i) {
    const Event event = by(std::to_string(i));
    EXPECT_EQ(Refuse(event), std::nullopt);
    state_.Add(event.pubkey);
    state_.Add(event.pubkey);
    EXPECT_TRUE(state_.Has(event.pubkey));
  }
  EXPECT_EQ(Refuse(by("0")), std::nullopt);
  EXPECT_THAT(Refuse(by("one more")), Optional(StartsWith("restricted:")));
  EXPECT_FALSE(state_.Has(by("one more").pubkey));
}

}  // namespace
}  // namespace graspd::relay
