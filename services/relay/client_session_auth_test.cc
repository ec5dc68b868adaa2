// NIP-42 and NIP-70 through a session.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "services/relay/session_test_support.h"

namespace graspd::relay {
namespace {

using nostr::Event;
using nostr::EventBuilder;
using nostr::SecretKey;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::StartsWith;

class AuthTest : public SessionTest {
 protected:
  Event Protected(std::string_view content) { return Protected(content, key_); }
  Event Protected(std::string_view content, const SecretKey& key) {
    return EventBuilder(1, clock_.UnixNow()).Tag({"-"}).Content(content).Sign(key);
  }
  Event Answer(const SecretKey& key, std::string_view relay = "wss://relay.example/") {
    return EventBuilder(22242, clock_.UnixNow())
        .Tag({"relay", relay})
        .Tag({"challenge", challenge_})
        .Sign(key);
  }
  static std::string Refused(const Event& event, std::string_view prefix) {
    return "[\"OK\",\"" + event.id.ToHex() + "\",false,\"" + std::string(prefix);
  }
  // Sends a protected event, for which nobody has authenticated yet.
  void BeChallenged() {
    const Event event = Protected("first");
    Publish(event);
    const Strings answers = Receive(2);
    auto message = nostr::ParseRelayMessage(answers.at(0));
    ASSERT_TRUE(std::holds_alternative<nostr::RelayAuth>(message)) << answers[0];
    challenge_ = std::get<nostr::RelayAuth>(message).challenge;
    EXPECT_THAT(answers.at(1), StartsWith(Refused(event, "auth-required: ")));
  }
  void Authenticate(const Event& event) { Send(nostr::ClientAuthMessage(nostr::EventJson(event))); }

  const SecretKey other_ = SecretKey::FromSeed("other");
  std::string challenge_;
};

TEST_F(AuthTest, NobodyIsChallengedBeforeItIsNeeded) {
  Start();
  const Event note = Note("x");
  Publish(note);
  EXPECT_THAT(Receive(1), ElementsAre(Ok(note)));
  Ask(R"(["REQ","s",{"limit":0}])", 1);
  EXPECT_THAT(connection_->sent, IsEmpty());
}

TEST_F(AuthTest, TheAuthenticatedAuthorMayPublishAProtectedEvent) {
  Start();
  BeChallenged();
  const Event answer = Answer(key_), event = Protected("mine");
  Authenticate(answer);
  EXPECT_THAT(Receive(1), ElementsAre(Ok(answer)));
  Publish(event);
  EXPECT_THAT(Receive(1), ElementsAre(Ok(event)));
  EXPECT_EQ((*store_->GetStats()).events, 1u);
}

TEST_F(AuthTest, AnotherKeyIsRestrictedUntilItHasAuthenticatedToo) {
  Start();
  BeChallenged();
  const Event first = Answer(other_), second = Answer(key_), event = Protected("mine");
  Authenticate(first);
  EXPECT_THAT(Receive(1), ElementsAre(Ok(first)));
  Publish(event);
  EXPECT_THAT(Receive(1), ElementsAre(StartsWith(Refused(event, "restricted: "))));
  Authenticate(second);
  EXPECT_THAT(Receive(1), ElementsAre(Ok(second)));
  const Event by_other = Protected("theirs", other_);
  Publish(event);
  Publish(by_other);
  EXPECT_THAT(Receive(2), ElementsAre(Ok(event), Ok(by_other)));
}

TEST_F(AuthTest, WhatIsSentBehindAnAuthIsJudgedAfterIt) {
  Start();
  BeChallenged();
  const Event answer = Answer(key_);
  Authenticate(answer);
  EXPECT_FALSE(connection_->reading);
  EXPECT_THAT(Receive(1), ElementsAre(Ok(answer)));
  EXPECT_TRUE(connection_->reading);
}

TEST_F(AuthTest, AWrongAnswerAuthenticatesNobody) {
  Start();
  BeChallenged();
  Event forged = Answer(other_);
  forged.pubkey = key_.public_key();
  Event wrong_id = Answer(key_), wrong_signature = Answer(key_);
  wrong_id.content = "x";
  wrong_signature.sig.bytes[0] ^= 1;
  for (const Event& answer :
       {forged, wrong_id, wrong_signature, Note("kind 1"), Answer(key_, "wss://other.example")}) {
    Authenticate(answer);
    EXPECT_THAT(Receive(1), ElementsAre(StartsWith(Refused(answer, "invalid: "))));
  }
  const Event event = Protected("mine");
  Publish(event);
  EXPECT_THAT(Receive(1), ElementsAre(StartsWith(Refused(event, "auth-required: "))));
}

TEST_F(AuthTest, WhoAnswersUnaskedIsGivenTheChallenge) {
  Start();
  const Event answer = Answer(key_);  // to the empty challenge
  Authenticate(answer);
  EXPECT_THAT(Receive(2),
              ElementsAre(StartsWith(R"(["AUTH",")"), StartsWith(Refused(answer, "invalid: "))));
}

TEST_F(AuthTest, WrongAnswersAreCountedAndCutOff) {
  limits_.events_per_second = 0;
  Start();
  const Event answer = Answer(key_);
  for (int i = 0; i < 100; ++i) Authenticate(answer);
  EXPECT_EQ(connection_->close_code, 0);
  Authenticate(answer);
  EXPECT_EQ(connection_->close_code, 1008);
}

TEST_F(AuthTest, AuthenticatingTakesFromTheBudgetOfEvents) {
  limits_.events_burst = 1;
  Start();
  Authenticate(Answer(key_));
  connection_->sent.clear();
  Authenticate(Answer(key_));
  EXPECT_THAT(connection_->sent, ElementsAre(StartsWith(Refused(Answer(key_), "rate-limited: "))));
}

TEST_F(AuthTest, AnAuthEventIsNeverTakenAsAnEvent) {
  Start();
  BeChallenged();
  Ask(R"(["REQ","s",{"limit":0}])", 1);
  const Event answer = Answer(key_);
  Authenticate(answer);
  EXPECT_THAT(Receive(1), ElementsAre(Ok(answer)));
  Publish(answer);
  EXPECT_THAT(Receive(1), ElementsAre(StartsWith(Refused(answer, "invalid: "))));
  Ask(R"(["COUNT","c",{}])", 1);
  EXPECT_THAT(connection_->sent, IsEmpty());
  EXPECT_EQ((*store_->GetStats()).events, 0u);
}

TEST_F(AuthTest, ARepostThatHoldsAProtectedEventIsRefusedFromEverybody) {
  Start();
  BeChallenged();
  Authenticate(Answer(key_));
  Receive(1);
  for (const nostr::Kind kind : {6, 16}) {
    const Event repost = Note(nostr::EventJson(Protected("mine")), kind);
    Publish(repost);
    EXPECT_THAT(Receive(1), ElementsAre(StartsWith(Refused(repost, "blocked: "))));
    const Event plain = Note("", kind);
    Publish(plain);
    EXPECT_THAT(Receive(1), ElementsAre(Ok(plain)));
  }
}

TEST_F(AuthTest, AConnectionThatEndsDuringItsAuthHearsNothing) {
  Start();
  BeChallenged();
  Authenticate(Answer(key_));
  session_->OnClosed();
  session_.reset();
  cpu_.Stop();
  thread_.RunAll();
  EXPECT_THAT(connection_->sent, IsEmpty());
}

}  // namespace
}  // namespace graspd::relay
