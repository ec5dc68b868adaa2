#include "bench/load/frames.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace graspd::bench {
namespace {

using testing::ElementsAre;
using testing::Pair;
using Messages = std::vector<std::pair<Opcode, std::string>>;

constexpr bool kLast = true, kMore = false;

// As a server writes it: no mask.
std::string Frame(bool final, Opcode opcode, const std::string& payload) {
  std::string out(1, static_cast<char>((final ? 0x80 : 0) | static_cast<int>(opcode)));
  if (payload.size() < 126) {
    out += static_cast<char>(payload.size());
  } else {
    out += static_cast<char>(126);
    out += static_cast<char>(payload.size() >> 8);
    out += static_cast<char>(payload.size());
  }
  return out + payload;
}

// Feeds `bytes`, `step` at a time.
Messages Read(std::string_view bytes, size_t step) {
  FrameReader reader;
  Messages out;
  while (!bytes.empty()) {
    const auto chunk = bytes.substr(0, step);
    const auto status = reader.Feed(chunk, [&](Opcode opcode, std::string_view payload) {
      out.emplace_back(opcode, payload);
      return absl::OkStatus();
    });
    EXPECT_TRUE(status.ok()) << status;
    bytes.remove_prefix(chunk.size());
  }
  return out;
}

absl::Status Refusal(std::string_view bytes) {
  return FrameReader().Feed(bytes, [](Opcode, std::string_view) { return absl::OkStatus(); });
}

TEST(FrameReader, FindsTheSameMessagesWhereverTheBytesAreCut) {
  const std::string big(1000, 'b');
  const std::string bytes = Frame(kLast, Opcode::kText, "one") + Frame(kLast, Opcode::kText, big) +
                            Frame(kMore, Opcode::kText, "fr") + Frame(kLast, Opcode::kPing, "p") +
                            Frame(kMore, Opcode::kContinuation, "ag") +
                            Frame(kLast, Opcode::kContinuation, "ment") +
                            Frame(kLast, Opcode::kText, "");
  for (size_t step : {1UL, 2UL, 3UL, 7UL, 500UL, bytes.size()}) {
    EXPECT_THAT(
        Read(bytes, step),
        ElementsAre(Pair(Opcode::kText, "one"), Pair(Opcode::kText, big), Pair(Opcode::kPing, "p"),
                    Pair(Opcode::kText, "fragment"), Pair(Opcode::kText, "")));
  }
}

TEST(FrameReader, RefusesWhatNoServerMaySend) {
  std::string masked;
  AppendFrame(masked, Opcode::kText, {"x"});
  EXPECT_FALSE(Refusal(masked).ok());
  EXPECT_FALSE(Refusal("\xc1\x01x").ok());  // compressed, which was not negotiated
  EXPECT_FALSE(Refusal(Frame(kLast, Opcode::kContinuation, "x")).ok());
  EXPECT_FALSE(Refusal(Frame(kMore, Opcode::kText, "") + Frame(kLast, Opcode::kText, "")).ok());
  EXPECT_FALSE(Refusal("\x81\x7f\x7f\xff\xff\xff\xff\xff\xff\xff").ok());
}

TEST(FrameReader, StopsAtTheErrorOfWhoReads) {
  int visits = 0;
  const std::string bytes = Frame(kLast, Opcode::kText, "a") + Frame(kLast, Opcode::kText, "b");
  const auto status = FrameReader().Feed(bytes, [&](Opcode, std::string_view) {
    ++visits;
    return absl::AbortedError("enough");
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(visits, 1);
}

// The header by the RFC's three lengths; a mask of zeros leaves the payload as it is.
TEST(AppendFrame, JoinsThePartsBehindAMaskedHeader) {
  std::string out;
  AppendFrame(out, Opcode::kText, {"ab", "", "c"});
  EXPECT_EQ(out, std::string("\x81\x83\0\0\0\0abc", 9));
  out.clear();
  AppendFrame(out, Opcode::kText, {std::string(300, 'x')});
  EXPECT_EQ(out.substr(0, 8), std::string("\x81\xfe\x01\x2c\0\0\0\0", 8));
  out.clear();
  AppendFrame(out, Opcode::kText, {std::string(65536, 'x')});
  EXPECT_EQ(out.substr(0, 14), std::string("\x81\xff\0\0\0\0\0\x01\0\0\0\0\0\0", 14));
  EXPECT_EQ(out.size(), 14U + 65536);
}

}  // namespace
}  // namespace graspd::bench
