#include "nostr/negentropy/reconciler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <optional>

#include "base/random.h"
#include "nostr/negentropy/test_session.h"
#include "nostr/negentropy/wire.h"

namespace graspd::negentropy {
namespace {

using Reply = std::function<std::string(const std::string&)>;

std::shared_ptr<const SealedSet> Range(uint64_t from, uint64_t to) {
  std::vector<Item> items;
  for (uint64_t i = from; i < to; ++i) items.push_back(MakeItem(1'700'000'000 + i, i));
  return Seal(std::move(items));
}

Fingerprint RandomFingerprint(base::Random& random) {
  Fingerprint out;
  for (auto& byte : out) byte = static_cast<uint8_t>(random.Next());
  return out;
}

// Made-up items, with a seed that no other set uses, as ids alone.
SealedSet FreshItems(uint64_t& seed, size_t count) {
  std::vector<Item> items;
  for (size_t i = 0; i < count; ++i) items.push_back(MakeItem(1, ++seed));
  return SealedSet(std::move(items));
}

// Lets `reply` answer until the session ends; the status it ended with, and the rounds.
std::pair<absl::Status, int> RunAgainst(Initiator& initiator, const Reply& reply) {
  std::string message = initiator.Start();
  for (int round = 1; round <= 10'000; ++round) {
    auto step = initiator.Continue(reply(message));
    if (!step.ok()) return {step.status(), round};
    if (step->message.empty()) return {absl::OkStatus(), round};
    message = step->message;
  }
  return {absl::DeadlineExceededError("endless"), 10'000};
}

// ---- agreement with plain set difference

struct Pair {
  std::vector<Item> client, server;
  std::set<nostr::EventId> have, need;
};

Pair RandomPair(base::Random& random) {
  const uint64_t total = random.Below(random.Below(3) == 0 ? 3000 : 200);
  const uint64_t times = 1 + random.Below(random.Below(2) == 0 ? 3 : 100'000);
  const uint64_t differing = random.Below(101);
  Pair pair;
  for (uint64_t i = 0; i < total; ++i) {
    const Item item = MakeItem(random.Below(times), i);
    const bool one_sided = random.Below(100) < differing;
    const bool ours = random.Below(2) == 0;
    if (!one_sided || ours) pair.client.push_back(item);
    if (!one_sided || !ours) pair.server.push_back(item);
    if (one_sided) (ours ? pair.have : pair.need).insert(item.id);
  }
  return pair;
}

// Every range says what `set` holds within its bounds, also the one that stands for all that did
// not fit: otherwise a peer could take a range for equal that is not.
void ExpectTruthful(const std::string& message, const SealedSet& set) {
  RangeReader reader(std::string_view(message).substr(1));
  size_t from = 0;
  while (!reader.done()) {
    const auto range = reader.Next();
    ASSERT_TRUE(range.ok()) << range.status();
    const size_t to = set.LowerBound(from, range->upper.item);
    if (range->mode == Mode::kFingerprint) {
      EXPECT_EQ(range->fingerprint, set.FingerprintOf(from, to)) << from << ".." << to;
    } else if (range->mode == Mode::kIdList) {
      std::string ids;
      for (size_t i = from; i < to; ++i) ids += set.At(i).id.view();
      EXPECT_EQ(range->ids, ids) << from << ".." << to;
    }
    from = to;
  }
}

TEST(ReconcilerTest, FindsTheSetDifferenceWhateverTheSetsAndFrames) {
  base::SeededRandom random(7);
  constexpr size_t kFrames[] = {0, 1, 4096, 5000, 60'000};
  for (int round = 0; round < 300; ++round) {
    SCOPED_TRACE(round);
    const Pair pair = RandomPair(random);
    const ReconcileLimits client{.frame_bytes = kFrames[random.Below(std::size(kFrames))]};
    const ReconcileLimits server{.frame_bytes = kFrames[random.Below(std::size(kFrames))]};
    const auto ours = Seal(pair.client), theirs = Seal(pair.server);
    const auto got = RunSession(ours, theirs, client, server);
    ASSERT_TRUE(got.status.ok()) << got.status;
    EXPECT_EQ(got.have, pair.have);
    EXPECT_EQ(got.need, pair.need);
    EXPECT_EQ(got.reported, pair.have.size() + pair.need.size()) << "each id once";
    for (size_t i = 0; i < got.messages.size(); ++i) {
      ExpectTruthful(got.messages[i], i % 2 == 0 ? *ours : *theirs);
      const size_t frame = (i % 2 == 0 ? client : server).frame_bytes;
      if (frame == 0) continue;
      EXPECT_LE(got.messages[i].size(), std::max<size_t>(frame, 4096));
    }
  }
}

// Half, a tenth or nearly all of the items at one side alone, at either or both.
TEST(ReconcilerTest, HonestSessionsStayFarBelowTheCaps) {
  base::SeededRandom random(8);
  constexpr uint64_t kItems = 20'000;
  constexpr std::pair<uint64_t, uint64_t> kShares[] = {{50, 100}, {100, 50}, {5, 100}, {60, 60},
                                                       {90, 90},  {97, 97},  {1, 100}};
  constexpr std::pair<size_t, size_t> kFrames[] = {
      {4096, 4096}, {60'000, 4096}, {4096, 500'000}, {60'000, 500'000}, {60'000, 0}};
  for (const auto& [ours, theirs] : kShares) {
    Pair pair;
    for (uint64_t i = 0; i < kItems; ++i) {
      const Item item = MakeItem(1 + random.Below(kItems), i);
      if (random.Below(100) < ours) pair.client.push_back(item);
      if (random.Below(100) < theirs) pair.server.push_back(item);
    }
    for (const auto& [up, down] : kFrames) {
      const auto got = RunSession(Seal(pair.client), Seal(pair.server), {.frame_bytes = up},
                                  {.frame_bytes = down});
      ASSERT_TRUE(got.status.ok()) << got.status;
      const size_t items = pair.client.size() + got.need.size();
      EXPECT_LE(3 * got.work / 2, Initiator::MaxWork(items)) << ours << "/" << theirs;
      size_t bytes = 0;
      for (size_t i = 1; i < got.messages.size(); i += 2) bytes += got.messages[i].size();
      EXPECT_LE(3 * got.messages.size() / 2, Initiator::MaxRounds(items)) << ours << "/" << theirs;
      EXPECT_LE(3 * bytes, Initiator::MaxReplyBytes(items)) << ours << "/" << theirs;
    }
  }
}

// What it does not answer was made and sent in vain.
TEST(ReconcilerTest, MessagesAreNotMuchLongerThanAPeerWithShortFramesAnswers) {
  std::vector<Item> ours, theirs;
  for (uint64_t i = 0; i < 20'000; ++i) {
    theirs.push_back(MakeItem(i, i));
    if (i % 2 == 0) ours.push_back(theirs.back());
  }
  const auto got = RunSession(Seal(std::move(ours)), Seal(std::move(theirs)),
                              {.frame_bytes = 60'000}, {.frame_bytes = 4096});
  ASSERT_TRUE(got.status.ok()) << got.status;
  size_t sent = 0, answered = 0;
  for (size_t i = 0; i < got.messages.size(); ++i) {
    (i % 2 == 0 ? sent : answered) += got.messages[i].size();
  }
  EXPECT_LE(sent, 3 * answered);
}

TEST(ReconcilerTest, EqualSetsNeedOneRoundAndAlmostNoBytes) {
  const auto got = RunSession(Range(0, 20'000), Range(0, 20'000), {}, {});
  ASSERT_TRUE(got.status.ok());
  ASSERT_EQ(got.messages.size(), 2U);
  EXPECT_LT(got.messages[0].size(), 500U);
  EXPECT_EQ(got.messages[1], "a");
}

// ---- hostile and broken peers

// Of no items, few (sent as a list) and many (sent as fingerprints).
constexpr uint64_t kSizes[] = {0, 10, 5000};

TEST(InitiatorTest, PeerThatAlwaysDiffersIsCutOffForLackOfProgress) {
  base::SeededRandom random(11);
  for (const uint64_t size : kSizes) {
    Initiator initiator(Range(0, size), {});
    const auto [status, rounds] = RunAgainst(initiator, [&](const std::string&) {
      RangeWriter reply;
      reply.AddFingerprint(Bound::Infinity(), RandomFingerprint(random));
      return std::move(reply).Take();
    });
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << size << ": " << status;
    EXPECT_LE(rounds, Initiator::kMaxIdleRounds + 2);
  }
}

TEST(InitiatorTest, PeerThatEchoesEveryRangeWithAnotherFingerprintIsCutOff) {
  base::SeededRandom random(12);
  Initiator initiator(Range(0, 5000), {});
  const auto [status, rounds] = RunAgainst(initiator, [&](const std::string& message) {
    RangeReader reader(std::string_view(message).substr(1));
    RangeWriter reply;
    while (!reader.done()) {
      const auto range = reader.Next();
      reply.AddFingerprint(range->upper, RandomFingerprint(random));
    }
    return std::move(reply).Take();
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_LE(rounds, 20);
}

TEST(InitiatorTest, PeerThatCreepsThroughEmptyTimeIsCutOff) {
  base::SeededRandom random(13);
  for (const uint64_t size : kSizes) {
    uint64_t time = 0;
    Initiator initiator(Range(0, size), {});
    const auto [status, rounds] = RunAgainst(initiator, [&](const std::string&) {
      RangeWriter reply;
      reply.Skip({{++time, {}}, 0});
      reply.AddFingerprint(Bound::Infinity(), RandomFingerprint(random));
      return std::move(reply).Take();
    });
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << size << ": " << status;
    EXPECT_LE(rounds, Initiator::kMaxIdleRounds + 2);
  }
}

// A reply is short also where little differs.
TEST(InitiatorTest, FewDifferencesInManyItemsTakeNoMoreRoundsThanTheyNeed) {
  constexpr uint64_t kItems = 1'000'000, kMissing = 20;
  std::vector<Item> ours, theirs;
  for (uint64_t i = 0; i < kItems; ++i) {
    theirs.push_back(MakeItem(1'700'000'000 + i, i));
    if (i % (kItems / kMissing) != 1) ours.push_back(theirs.back());
  }
  const auto outcome =
      RunSession(Seal(std::move(ours)), Seal(std::move(theirs)), {60'000}, {500'000});
  EXPECT_EQ(outcome.need.size(), kMissing);
  EXPECT_LE(outcome.messages.size(), 6u);
}

TEST(InitiatorTest, PeerThatGoesBackAndForthIsCutOff) {
  base::SeededRandom random(16);
  Initiator initiator(Range(0, 5000), {});
  bool forth = false;
  const auto [status, rounds] = RunAgainst(initiator, [&](const std::string&) {
    RangeWriter reply;
    forth = !forth;
    if (forth) reply.Skip({{1'700'002'500, {}}, 0});
    reply.AddFingerprint(Bound::Infinity(), RandomFingerprint(random));
    return std::move(reply).Take();
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_LE(rounds, Initiator::kMaxIdleRounds + 2);
}

TEST(InitiatorTest, FloodOfNewIdsEndsAtTheCap) {
  base::SeededRandom random(14);
  uint64_t seed = 1'000'000;
  Initiator initiator(Range(0, 100), {}, 5000);
  const auto [status, rounds] = RunAgainst(initiator, [&](const std::string&) {
    RangeWriter reply;
    reply.AddIdList({{1, {}}, 0}, FreshItems(seed, 1000), 0, 1000);
    reply.AddFingerprint(Bound::Infinity(), RandomFingerprint(random));
    return std::move(reply).Take();
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_EQ(rounds, 6);
}

// Each round is progress: an item of ours is missing there, and then all that follows differs.
std::string Creep(const SealedSet& ours, size_t item, base::Random& random,
                  const SealedSet& padding = SealedSet({})) {
  RangeWriter reply;
  for (size_t i = 0; i < 5 * padding.size(); ++i) {
    reply.AddIdList({{0, {}}, 0}, padding, 0, padding.size());
  }
  reply.AddIdList(Bound::At(ours.At(item)), padding, 0, 0);
  reply.AddFingerprint(Bound::Infinity(), RandomFingerprint(random));
  return std::move(reply).Take();
}

TEST(InitiatorTest, PeerThatCreepsFromItemToItemIsCutOffByItsRounds) {
  base::SeededRandom random(16);
  for (const uint64_t size : {1000u, 20'000u}) {
    const auto ours = Range(0, size);
    Initiator initiator(ours, {});
    size_t item = 0;
    const auto [status, rounds] =
        RunAgainst(initiator, [&](const std::string&) { return Creep(*ours, ++item, random); });
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << size << ": " << status;
    EXPECT_EQ(static_cast<size_t>(rounds), Initiator::MaxRounds(size) + 1);
  }
}

// The same, but what it lists anew each time is nearly all there is.
TEST(InitiatorTest, PeerThatCreepsFromTheFarEndIsCutOffByTheWorkItMakes) {
  base::SeededRandom random(20);
  constexpr size_t kItems = 100'000, kListing = 2 * kItems;
  const auto ours = Range(0, kItems);
  Initiator initiator(ours, {.frame_bytes = 60'000});
  size_t item = kItems - 10'000;
  const auto [status, rounds] =
      RunAgainst(initiator, [&](const std::string&) { return Creep(*ours, ++item, random); });
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_LE(initiator.work(), Initiator::MaxWork(kItems) + kListing);
  EXPECT_LE(static_cast<size_t>(rounds), Initiator::MaxRounds(kItems) / 10);
}

TEST(InitiatorTest, PeerThatPadsItsRepliesIsCutOffByTheirBytes) {
  base::SeededRandom random(17);
  uint64_t seed = 1'000'000;
  const SealedSet padding = FreshItems(seed, 50);
  const auto ours = Range(0, 2000);
  Initiator initiator(ours, {});
  size_t item = 0, bytes = 0, largest = 0;
  const auto [status, rounds] = RunAgainst(initiator, [&](const std::string&) {
    auto reply = Creep(*ours, ++item, random, padding);
    bytes += reply.size();
    largest = std::max(largest, reply.size());
    return reply;
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_GT(bytes, Initiator::MaxReplyBytes(2050));
  EXPECT_LE(bytes, Initiator::MaxReplyBytes(2050) + largest);
}

// A peer that names ids earns no more than these would take.
TEST(InitiatorTest, PeerThatInventsAnIdARoundIsCutOffAllTheSame) {
  base::SeededRandom random(18);
  uint64_t seed = 2'000'000;
  Initiator initiator(Range(0, 100), {});
  const auto [status, rounds] = RunAgainst(initiator, [&](const std::string&) {
    RangeWriter reply;
    reply.AddIdList({{1, {}}, 0}, FreshItems(seed, 1), 0, 1);
    reply.AddFingerprint(Bound::Infinity(), RandomFingerprint(random));
    return std::move(reply).Take();
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_LE(rounds, 100);
}

TEST(InitiatorTest, IdsRepeatedForEverAreReportedOnceAndAreNoProgress) {
  base::SeededRandom random(15);
  uint64_t seed = 1'000'000;
  const SealedSet fake = FreshItems(seed, 50);
  Initiator initiator(Range(0, 100), {});
  initiator.Start();
  size_t reported = 0;
  absl::Status status;
  for (int round = 0; round < 100 && status.ok(); ++round) {
    RangeWriter reply;
    reply.AddIdList({{1, {}}, 0}, fake, 0, 50);
    reply.AddIdList({{2, {}}, 0}, fake, 0, 50);
    reply.AddFingerprint(Bound::Infinity(), RandomFingerprint(random));
    const auto step = initiator.Continue(std::move(reply).Take());
    status = step.status();
    if (step.ok()) reported += step->need.size();
  }
  EXPECT_EQ(reported, 50U);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
}

TEST(InitiatorTest, EmptyListOverEverythingNamesAtMostTheCap) {
  const std::string nothing_here("\x61\x00\x00\x02\x00", 5);
  Initiator generous(Range(0, 1000), {}, 1000);
  generous.Start();
  const auto step = generous.Continue(nothing_here);
  ASSERT_TRUE(step.ok()) << step.status();
  EXPECT_EQ(step->have.size(), 1000U);
  EXPECT_TRUE(step->message.empty());

  Initiator strict(Range(0, 1000), {}, 999);
  strict.Start();
  EXPECT_EQ(strict.Continue(nothing_here).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(InitiatorTest, OtherVersionIsUnimplementedAndEndsTheSession) {
  for (const char version : {'\x60', '\x62', '\x6f'}) {
    Initiator initiator(Range(0, 100), {});
    initiator.Start();
    EXPECT_EQ(initiator.Continue(std::string(1, version)).status().code(),
              absl::StatusCode::kUnimplemented);
    EXPECT_EQ(initiator.Continue("a").status().code(), absl::StatusCode::kFailedPrecondition);
  }
}

TEST(InitiatorTest, MalformedOrOversizedRepliesAreInvalid) {
  const std::string replies[] = {"", "{\"", std::string("\x61\x00", 2), std::string(101, 'a')};
  for (const auto& reply : replies) {
    Initiator initiator(Range(0, 100), {.max_message_bytes = 100});
    initiator.Start();
    EXPECT_EQ(initiator.Continue(reply).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(InitiatorTest, NothingFollowsTheEndOfASession) {
  Initiator initiator(Range(0, 100), {});
  EXPECT_EQ(initiator.Continue("a").status().code(), absl::StatusCode::kFailedPrecondition);
  initiator.Start();
  ASSERT_TRUE(initiator.Continue("a").ok());
  EXPECT_EQ(initiator.Continue("a").status().code(), absl::StatusCode::kFailedPrecondition);
}

// ---- the answering side

TEST(ResponderTest, AnswersOrRefusesAnyBytesWithinItsFrame) {
  base::SeededRandom random(21);
  const Responder responder(Range(0, 3000), {.frame_bytes = 4096});
  Initiator initiator(Range(1000, 3500), {.frame_bytes = 4096});
  std::vector<std::string> valid = {initiator.Start()};
  while (valid.size() < 6) {
    const auto step = initiator.Continue(*responder.Answer(valid.back()));
    valid.push_back(step->message);
  }
  int refused = 0;
  for (int round = 0; round < 10'000; ++round) {
    std::string message = valid[random.Below(valid.size())];
    switch (random.Below(3)) {
      case 0:
        message.resize(random.Below(message.size() + 1));
        break;
      case 1:
        for (int i = 0; i < 3; ++i) {
          message[random.Below(message.size())] = static_cast<char>(random.Next());
        }
        break;
      default:
        message.assign(1 + random.Below(60), '\x61');
        for (size_t i = 1; i < message.size(); ++i) {
          message[i] = static_cast<char>(random.Below(2) ? random.Below(4) : random.Next());
        }
    }
    const auto answer = responder.Answer(message);
    if (!answer.ok()) {
      ++refused;
      ASSERT_EQ(answer.status().code(), absl::StatusCode::kInvalidArgument);
    } else {
      ASSERT_LE(answer->size(), 4096U);
    }
  }
  EXPECT_GT(refused, 2500);
  EXPECT_LT(refused, 9500) << "the test has lost its grip on valid messages";
}

TEST(ResponderTest, MalformedTailIsRefusedEvenBehindAFullFrame) {
  const Responder responder(Range(0, 3000), {.frame_bytes = 4096});
  const std::string list_all("\x61\x00\x00\x02\x00", 5);
  const std::string skip("\0\0\0", 3);
  ASSERT_TRUE(responder.Answer(list_all + skip).ok());
  EXPECT_EQ(responder.Answer(list_all + skip + "\x03").status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(ResponderTest, MessageOverTheLimitIsRefused) {
  const Responder responder(Range(0, 10), {.max_message_bytes = 5});
  EXPECT_TRUE(responder.Answer(std::string("\x61\x00\x00\x02\x00", 5)).ok());
  EXPECT_FALSE(responder.Answer(std::string("\x61\x00\x00\x02\x00\x00", 6)).ok());
}

// The longest run of idle rounds of a whole session, as the responder counts them.
int LongestIdleRun(const std::shared_ptr<const SealedSet>& client,
                   const std::shared_ptr<const SealedSet>& server, ReconcileLimits up,
                   ReconcileLimits down) {
  Initiator initiator(client, up);
  const Responder responder(server, down);
  AskerProgress progress;
  int idle = 0, longest = 0;
  std::optional<Round::Open> best;
  for (std::string message = initiator.Start(); !message.empty();) {
    Round round;
    const auto reply = responder.Answer(message, &round);
    EXPECT_TRUE(reply.ok()) << reply.status();
    EXPECT_TRUE(progress.Continues(round));
    const bool moved = round.open && (!best || round.open->lower > best->lower ||
                                      round.open->count < best->count || round.open->listed);
    if (moved) best = round.open;
    idle = moved ? 0 : idle + 1;
    longest = std::max(longest, idle);
    auto step = initiator.Continue(*reply);
    EXPECT_TRUE(step.ok()) << step.status();
    if (!step.ok()) break;
    message = std::move(step->message);
  }
  return longest;
}

TEST(AskerProgressTest, HonestSessionsGetOnWhateverTheSetsAndFrames) {
  base::SeededRandom random(31);
  for (int session = 0; session < 60; ++session) {
    // Times that gather in few seconds, and sides that gather in different ones.
    const uint64_t times = 1 + random.Below(session % 2 == 0 ? 5 : 5000);
    const size_t size = random.Below(4000);
    std::vector<Item> client, server;
    for (size_t i = 0; i < size; ++i) {
      const Item item = MakeItem(random.Below(times), i);
      const uint64_t whose = random.Below(100);
      const bool early = item.created_at < times / 3;
      if (whose < (early ? 99u : 40u)) client.push_back(item);
      if (whose >= (early ? 60u : 5u)) server.push_back(item);
    }
    const auto frame = [&] { return random.Below(2) == 0 ? size_t{0} : size_t{4096}; };
    EXPECT_LE(LongestIdleRun(Seal(client), Seal(server), {.frame_bytes = frame()},
                             {.frame_bytes = frame()}),
              3);
  }
}

TEST(AskerProgressTest, RepeatedAndSteppedBackRoundsAreIdle) {
  const auto round = [](uint64_t at, size_t count, bool listed) {
    return Round{.open = Round::Open{{at, {}}, count, listed}};
  };
  AskerProgress progress;
  EXPECT_TRUE(progress.Continues(round(5, 100, false)));
  const Round idle[] = {round(5, 100, false), round(4, 1, true), round(5, 51, false), Round{}};
  for (int i = 0; i < AskerProgress::kMaxIdleRounds; ++i) {
    EXPECT_TRUE(progress.Continues(idle[i % 4]));
  }
  AskerProgress rescued = progress;
  EXPECT_FALSE(progress.Continues(idle[0]));
  EXPECT_TRUE(rescued.Continues(round(5, 50, false)));
  EXPECT_TRUE(rescued.Continues(round(5, 50, true)));
  EXPECT_TRUE(rescued.Continues(round(6, 500, false)));
}

// Every message of an honest session, both ways, cut after every byte.
TEST(HostileBytesTest, EveryTruncationIsRefusedOrEndsBetweenTwoRanges) {
  const auto ours = Range(0, 400), theirs = Range(100, 450);
  const auto messages = RunSession(ours, theirs, {}, {}).messages;
  ASSERT_GE(messages.size(), 4u);
  for (size_t turn = 0; turn < messages.size(); ++turn) {
    const std::string& whole = messages[turn];
    size_t refused = 0;
    for (size_t size = 0; size < whole.size(); ++size) {
      const std::string cut = whole.substr(0, size);
      absl::Status status;
      if (turn % 2 == 0) {
        status = Responder(theirs, {}).Answer(cut).status();
      } else {
        Initiator initiator(ours, {});
        initiator.Start();
        status = initiator.Continue(cut).status();
      }
      EXPECT_TRUE(status.ok() || absl::IsInvalidArgument(status)) << status;
      refused += status.ok() ? 0 : 1;
    }
    size_t ranges = 0;
    for (RangeReader reader(std::string_view(whole).substr(1)); !reader.done(); ++ranges) {
      ASSERT_TRUE(reader.Next().ok());
    }
    EXPECT_EQ(whole.size() - refused, ranges) << "only a cut between two ranges is well-formed";
  }
}

TEST(HostileBytesTest, ImpossibleNumbersAreRefusedByBothSides) {
  const std::string huge = std::string(9, '\xff') + "\x7f";           // 70 bits
  const std::string most = "\x81" + std::string(8, '\xff') + "\x7f";  // 2^64-1
  const std::string zero(1, '\0'),
      bad[] = {
          "a" + huge + zero + zero,                                      // a timestamp too large
          "a" + std::string(20, '\x80'),                                 // a number without an end
          "a" + zero + "\x21" + std::string(33, 'i') + zero,             // an id prefix of 33 bytes
          "a" + zero + most + zero,                                      // one of 2^64-1 bytes
          "a" + zero + zero + "\x02" + most,                             // so many ids
          "a" + zero + zero + "\x02\x82" + zero + std::string(32, 'i'),  // 256 ids, one sent
          "a" + zero + zero + "\x03",                                    // an unknown mode
          "a" + zero + zero + "\x02\x01" + std::string(31, 'i'),         // 31 bytes of an id
          "a" + zero + zero + "\x01" + std::string(15, 'f'),  // 15 bytes of a fingerprint
          "a" + zero + zero + zero + "t",                     // a trailing byte
          "a\x05" + zero + zero + "\x01\x01\x01" + zero + "\x01" + zero + zero,  // bounds descend
      };
  for (const std::string& message : bad) {
    EXPECT_EQ(Responder(Range(0, 100), {}).Answer(message).status().code(),
              absl::StatusCode::kInvalidArgument);
    Initiator initiator(Range(0, 100), {});
    initiator.Start();
    EXPECT_EQ(initiator.Continue(message).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(HostileBytesTest, BoundsPastTheEndOfTimeAndEmptyRangesAreHarmless) {
  const std::string most = "\x81" + std::string(8, '\xff') + "\x7f";
  const std::string zero(1, '\0');
  std::string message = "a";
  for (int i = 0; i < 100; ++i) message += most + zero + "\x02" + zero;  // each ends at infinity
  for (int i = 0; i < 100; ++i) message += zero + zero + "\x02" + zero;
  const auto answer = Responder(Range(0, 100), {.frame_bytes = 4096}).Answer(message);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_LE(answer->size(), 4096u);
  Initiator initiator(Range(0, 100), {});
  initiator.Start();
  const auto step = initiator.Continue(message);
  ASSERT_TRUE(step.ok()) << step.status();
  EXPECT_EQ(step->have.size(), 100u) << "each once";
}

/// Counts what an answer asks of its set.
class CountingView final : public ItemView {
 public:
  explicit CountingView(std::shared_ptr<const ItemView> set) : set_(std::move(set)) {}
  size_t size() const override { return set_->size(); }
  Item At(size_t position) const override { return ++calls, set_->At(position); }
  size_t LowerBound(size_t from, const Item& bound) const override {
    return ++calls, set_->LowerBound(from, bound);
  }
  Fingerprint FingerprintOf(size_t from, size_t to) const override {
    return ++calls, set_->FingerprintOf(from, to);
  }
  void AppendIds(size_t from, size_t to, std::string& out) const override {
    calls += to - from;
    set_->AppendIds(from, to, out);
  }
  mutable size_t calls = 0;

 private:
  std::shared_ptr<const ItemView> set_;
};

TEST(ResponderTest, WorkIsProportionalToTheBytesReceivedAndSent) {
  base::SeededRandom random(22);
  constexpr uint64_t kRanges = 5000;
  for (const Mode mode : {Mode::kSkip, Mode::kFingerprint, Mode::kIdList}) {
    for (const uint64_t stride : {0, 1, 10, 40}) {
      RangeWriter writer;
      const SealedSet none({});
      for (uint64_t i = 0; i < kRanges; ++i) {
        const Bound upper{{1'700'000'000 + i * stride, {}}, 0};
        if (mode == Mode::kSkip) writer.Skip(upper);
        if (mode == Mode::kFingerprint) writer.AddFingerprint(upper, RandomFingerprint(random));
        if (mode == Mode::kIdList) writer.AddIdList(upper, none, 0, 0);
      }
      const std::string message = std::move(writer).Take();
      const auto view = std::make_shared<CountingView>(Range(0, 50'000));
      const auto answer = Responder(view, {.frame_bytes = 60'000}).Answer(message);
      ASSERT_TRUE(answer.ok()) << answer.status();
      EXPECT_LE(view->calls, 2 * kRanges + answer->size() / 8 + 100)
          << "mode " << static_cast<int>(mode) << ", " << stride << " items a range";
    }
  }
}

}  // namespace
}  // namespace graspd::negentropy
