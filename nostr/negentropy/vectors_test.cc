// Replays sessions recorded from the protocol's reference implementation (tests/data/negentropy).
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <optional>

#include "base/hex.h"
#include "base/line_reader.h"
#include "nostr/keys.h"
#include "nostr/negentropy/test_session.h"

namespace graspd::negentropy {
namespace {

namespace json = boost::json;

std::string HexOf(std::string_view bytes) {
  return base::HexEncode({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
}

std::string FromHex(std::string_view hex) {
  std::string out(hex.size() / 2, '\0');
  EXPECT_TRUE(base::HexDecode(hex, {reinterpret_cast<uint8_t*>(out.data()), out.size()}));
  return out;
}

// Numbers above 2^53 are written as strings.
uint64_t Number(const json::value& value) {
  return value.is_string() ? std::stoull(std::string(value.as_string().c_str()))
                           : value.to_number<uint64_t>();
}

std::string Text(const json::value& value) { return std::string(value.as_string().c_str()); }

template <typename Visit>
size_t ForEachLine(const std::string& path, Visit visit) {
  auto reader = base::LineReader::Open(path);
  EXPECT_TRUE(reader.ok()) << reader.status();
  if (!reader.ok()) return 0;
  size_t lines = 0;
  while (const auto line = reader->Next()) {
    const json::value test = json::parse({line->data(), line->size()});
    SCOPED_TRACE(Text(test.at("name")));
    visit(test);
    ++lines;
  }
  EXPECT_TRUE(reader->status().ok()) << reader->status();
  return lines;
}

// ---- the generator of the recorded sets, described in tests/data/negentropy/README.md

uint64_t Draw(const std::string& seed, char what, uint64_t i) {
  const auto hash = nostr::Sha256(seed + ":" + what + ":" + std::to_string(i));
  return uint64_t{hash[0]} << 24 | uint64_t{hash[1]} << 16 | uint64_t{hash[2]} << 8 | hash[3];
}

uint64_t TimeOf(const json::value& rule, const std::string& seed, uint64_t i) {
  const std::string kind = Text(rule.at("kind"));
  if (kind == "linear") return Number(rule.at("start")) + Number(rule.at("step")) * i;
  if (kind == "const") return Number(rule.at("value"));
  if (kind == "mod") return Number(rule.at("start")) + i % Number(rule.at("mod"));
  if (kind == "hash")
    return Number(rule.at("start")) + Draw(seed, 't', i) % Number(rule.at("span"));
  const auto& values = rule.at("values").as_array();
  return Number(values[i % values.size()]);
}

struct Sides {
  std::vector<Item> client, server;
};

std::pair<bool, bool> MembersOf(const json::value& rule, const std::string& seed, uint64_t i) {
  if (Text(rule.at("kind")) == "ranges") {
    const auto within = [&](const char* side) {
      return i >= Number(rule.at(side).at(0)) && i < Number(rule.at(side).at(1));
    };
    return {within("a"), within("b")};
  }
  const uint64_t draw = Draw(seed, 'm', i) % Number(rule.at("mod"));
  const uint64_t a_only = Number(rule.at("a_only"));
  const bool only_client = draw < a_only;
  const bool only_server = !only_client && draw < a_only + Number(rule.at("b_only"));
  return {!only_server, !only_client};
}

Sides Generate(const json::value& test) {
  const std::string seed = Text(test.at("seed"));
  Sides sides;
  for (uint64_t i = 0; i < Number(test.at("n")); ++i) {
    const Item item{TimeOf(test.at("ts"), seed, i),
                    {nostr::Sha256(seed + ":id:" + std::to_string(i))}};
    const auto [client, server] = MembersOf(test.at("membership"), seed, i);
    if (client) sides.client.push_back(item);
    if (server) sides.server.push_back(item);
  }
  return sides;
}

std::string DigestOf(const SealedSet& set) {
  std::string lines;
  for (size_t i = 0; i < set.size(); ++i) {
    lines += std::to_string(set.At(i).created_at) + "," + set.At(i).id.ToHex() + "\n";
  }
  return base::HexEncode(nostr::Sha256(lines));
}

std::string DigestOf(const std::set<nostr::EventId>& ids) {
  std::string lines;
  for (const auto& id : ids) lines += id.ToHex() + "\n";
  return base::HexEncode(nostr::Sha256(lines));
}

// ---- comparison

struct Transcript {
  std::shared_ptr<const SealedSet> client, server;
  ReconcileLimits client_limits, server_limits;
  std::vector<std::string> messages;
  std::string have, need;  // digests
};

Transcript Load(const json::value& test) {
  const Sides sides = Generate(test);
  Transcript out;
  out.client = Seal(sides.client);
  out.server = Seal(sides.server);
  EXPECT_EQ(DigestOf(*out.client), Text(test.at("client_items_sha256")));
  EXPECT_EQ(DigestOf(*out.server), Text(test.at("server_items_sha256")));
  out.client_limits.frame_bytes = Number(test.at("client_frame_limit"));
  out.server_limits.frame_bytes = Number(test.at("server_frame_limit"));
  for (const auto& hex : test.at("messages").as_array()) out.messages.push_back(FromHex(Text(hex)));
  out.have = Text(test.at("have_sha256"));
  out.need = Text(test.at("need_sha256"));
  return out;
}

// The recorded side ends a full frame with a range from the cut to infinity whose fingerprint
// leaves out the items of the range that did not fit; a peer that has none of them then takes the
// range for equal. Ours covers the range it stands for, so frames agree up to there.
void ExpectSame(const std::string& ours, const std::string& recorded, size_t frame_bytes) {
  if (ours == recorded) return;
  constexpr size_t kRest = 3 + 16;  // bound, mode, fingerprint
  const bool cut = frame_bytes != 0 && recorded.size() + 1100 > frame_bytes &&
                   recorded.compare(recorded.size() - kRest, 3, std::string("\0\0\1", 3)) == 0;
  ASSERT_TRUE(cut) << "ours " << HexOf(ours) << "\nrecorded " << HexOf(recorded);
  EXPECT_EQ(HexOf(ours.substr(0, recorded.size() - kRest)),
            HexOf(recorded.substr(0, recorded.size() - kRest)));
}

constexpr char kTranscripts[] = "tests/data/negentropy/transcripts.jsonl.gz";

TEST(NegentropyVectorsTest, SessionsFindTheRecordedDifferenceWithTheRecordedBytes) {
  const size_t count = ForEachLine(kTranscripts, [](const json::value& test) {
    const Transcript recorded = Load(test);
    const auto got = RunSession(recorded.client, recorded.server, recorded.client_limits,
                                recorded.server_limits);
    ASSERT_TRUE(got.status.ok()) << got.status;
    EXPECT_EQ(DigestOf(got.have), recorded.have);
    EXPECT_EQ(DigestOf(got.need), recorded.need);
    EXPECT_EQ(got.reported, got.have.size() + got.need.size());
    if (recorded.client_limits.frame_bytes == 0 && recorded.server_limits.frame_bytes == 0) {
      EXPECT_EQ(got.messages, recorded.messages);
    }
    EXPECT_LE(got.messages.size(), recorded.messages.size() + 2) << "more rounds than needed";
  });
  EXPECT_EQ(count, 39U);
}

TEST(NegentropyVectorsTest, ResponderGivesEveryRecordedAnswer) {
  ForEachLine(kTranscripts, [](const json::value& test) {
    const Transcript recorded = Load(test);
    const Responder responder(recorded.server, recorded.server_limits);
    AskerProgress progress;
    for (size_t i = 0; i + 1 < recorded.messages.size(); i += 2) {
      Round round;
      const auto answer = responder.Answer(recorded.messages[i], &round);
      ASSERT_TRUE(answer.ok()) << answer.status();
      EXPECT_TRUE(progress.Continues(round)) << "an honest session would have been cut";
      ExpectSame(*answer, recorded.messages[i + 1], recorded.server_limits.frame_bytes);
    }
  });
}

TEST(NegentropyVectorsTest, InitiatorFollowsTheRecordedResponder) {
  size_t followed = 0;
  ForEachLine(kTranscripts, [&](const json::value& test) {
    const Transcript recorded = Load(test);
    // The recorded side fills its frames, however little of them is answered. Ours would not.
    const size_t answered = recorded.server_limits.frame_bytes;
    if (answered != 0 && answered < recorded.client_limits.frame_bytes) return;
    ++followed;
    Initiator initiator(recorded.client, recorded.client_limits);
    std::string message = initiator.Start();
    std::set<nostr::EventId> have, need;
    for (size_t i = 0; i < recorded.messages.size(); i += 2) {
      ExpectSame(message, recorded.messages[i], recorded.client_limits.frame_bytes);
      const auto step = initiator.Continue(recorded.messages[i + 1]);
      ASSERT_TRUE(step.ok()) << step.status();
      have.insert(step->have.begin(), step->have.end());
      need.insert(step->need.begin(), step->need.end());
      message = step->message;
    }
    EXPECT_EQ(message, "");
    EXPECT_EQ(DigestOf(have), recorded.have);
    EXPECT_EQ(DigestOf(need), recorded.need);
  });
  EXPECT_EQ(followed, 38U);
}

TEST(NegentropyVectorsTest, SingleMessagesAreAnsweredOrRefused) {
  const auto check = [](const json::value& test) {
    std::vector<Item> items;
    for (const auto& item : test.at("set").as_array()) {
      items.push_back({Number(item.at(0)), *nostr::EventId::FromHex(Text(item.at(1)))});
    }
    const auto answer = Responder(Seal(items), {}).Answer(FromHex(Text(test.at("message"))));
    EXPECT_TRUE(answer.ok() || absl::IsInvalidArgument(answer.status())) << answer.status();
    if (!test.at("agree").as_bool()) return;  // implementations differ: any orderly outcome will do
    if (test.at("reply").is_null()) {
      EXPECT_FALSE(answer.ok()) << HexOf(*answer);
    } else {
      ASSERT_TRUE(answer.ok()) << answer.status();
      EXPECT_EQ(HexOf(*answer), Text(test.at("reply")));
    }
  };
  EXPECT_EQ(ForEachLine("tests/data/negentropy/single-messages.jsonl.gz", check), 42U);
}

}  // namespace
}  // namespace graspd::negentropy
