#include "net/frame_parser.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace graspd::net {
namespace {

using Type = FrameParser::Type;
using namespace std::string_view_literals;

constexpr size_t kMaxMessage = 1000;

/// One masked client frame; `first` is FIN, reserved bits and opcode.
std::string Frame(uint8_t first, std::string_view payload) {
  std::string out(1, static_cast<char>(first));
  if (payload.size() < 126) {
    out += static_cast<char>(0x80 | payload.size());
  } else {
    out += static_cast<char>(0x80 | 126);
    out += static_cast<char>(payload.size() >> 8);
    out += static_cast<char>(payload.size());
  }
  constexpr std::string_view kMask = "\x12\x34\x56\x78";
  out += kMask;
  for (size_t i = 0; i < payload.size(); ++i) {
    out += static_cast<char>(payload[i] ^ kMask[i % kMask.size()]);
  }
  return out;
}

struct Seen {
  Type type;
  std::string payload;
  uint16_t code;
  bool operator==(const Seen&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Seen& seen) {
  return out << int(seen.type) << " " << seen.code << " " << seen.payload.substr(0, 100);
}

/// What a parser finds in `bytes` that come in pieces of at most `piece` bytes.
std::vector<Seen> Parse(std::string_view bytes, size_t piece = SIZE_MAX,
                        FrameParser::Sender sender = FrameParser::Sender::kClient) {
  FrameParser parser(sender, kMaxMessage);
  std::vector<Seen> all;
  for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size()))) {
    const std::string_view now = bytes.substr(0, piece);
    std::string memory(now);
    memory.append(FrameParser::kPadding, '?');
    FrameParser::Input input{memory.data(), memory.data() + now.size()};
    for (;;) {
      const auto item = parser.Next(input);
      if (item.type == Type::kNone) break;
      all.push_back({item.type, std::string(item.payload), item.code});
      if (item.type == Type::kClose || item.type == Type::kViolation) return all;
    }
    EXPECT_EQ(input.size(), 0u);
  }
  return all;
}

/// The code with which the connection is to be closed; 0 if there is nothing wrong.
uint16_t ViolationIn(std::string_view bytes) {
  const auto seen = Parse(bytes);
  EXPECT_EQ(Parse(bytes, 1), seen);  // whatever the pieces
  return !seen.empty() && seen.back().type == Type::kViolation ? seen.back().code : 0;
}

std::string ClosePayload(uint16_t code, std::string_view reason = {}) {
  return std::string{static_cast<char>(code >> 8), static_cast<char>(code)} + std::string(reason);
}

TEST(FrameParserTest, FindsTheSameItemsHoweverTheBytesAreCut) {
  const std::string text(700, 'x');
  const std::string bytes = Frame(0x81, "one") + Frame(0x01, "t") + Frame(0x89, "ping") +
                            Frame(0x00, "w") + Frame(0x8a, "") + Frame(0x80, "o") +
                            Frame(0x82, text) + Frame(0x81, "") + Frame(0x81, text) +
                            Frame(0x01, "") + Frame(0x80, "late") + Frame(0x88, "");
  const std::vector<Seen> expected = {
      {Type::kText, "one", 0}, {Type::kPing, "ping", 0}, {Type::kPong, "", 0},
      {Type::kText, "two", 0}, {Type::kBinary, text, 0}, {Type::kText, "", 0},
      {Type::kText, text, 0},  {Type::kText, "late", 0}, {Type::kClose, "", 1005}};
  for (size_t piece = 1; piece < bytes.size(); piece = piece < 20 ? piece + 1 : piece * 2) {
    EXPECT_EQ(Parse(bytes, piece), expected) << piece;
  }
}

TEST(FrameParserTest, AMessageOfTheLimitIsTakenAndOneByteMoreIs1009) {
  const std::string most(kMaxMessage, 'x'), more(kMaxMessage + 1, 'x');
  EXPECT_EQ(Parse(Frame(0x81, most)).at(0).payload, most);
  EXPECT_EQ(ViolationIn(Frame(0x81, more)), 1009);
  EXPECT_EQ(ViolationIn(Frame(0x01, most) + Frame(0x80, "x")), 1009);
  EXPECT_EQ(ViolationIn("\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff...."sv), 1009);  // only promised
}

TEST(FrameParserTest, AMessageHas64FragmentsAtMost) {
  const auto in_fragments = [](int count) {
    std::string bytes = Frame(0x01, "x");
    for (int i = 2; i < count; ++i) bytes += Frame(0x00, i % 2 == 0 ? "" : "x");
    return bytes + Frame(0x80, "x");
  };
  EXPECT_EQ(ViolationIn(in_fragments(64)), 0);
  EXPECT_EQ(ViolationIn(in_fragments(65)), 1009);
}

TEST(FrameParserTest, AServerMasksNothingAndMayCutSmall) {
  const auto parse = [](std::string_view bytes) {
    const auto seen = Parse(bytes, SIZE_MAX, FrameParser::Sender::kServer);
    EXPECT_EQ(Parse(bytes, 1, FrameParser::Sender::kServer), seen);
    return seen;
  };
  std::string bytes = "\x01\x01x";
  for (int i = 0; i < 200; ++i) bytes += "\x00\x01y"sv;
  bytes += "\x89\x02hi\x80\x01z";
  EXPECT_EQ(parse(bytes), (std::vector<Seen>{{Type::kPing, "hi", 0},
                                             {Type::kText, "x" + std::string(200, 'y') + "z", 0}}));
  EXPECT_EQ(parse(Frame(0x81, "x")).back().code, 1002);
  std::string long_message = "\x81\x7e\x03\xe9" + std::string(1001, 'x');
  EXPECT_EQ(parse(long_message).back().code, 1009);
}

TEST(FrameParserTest, ViolationsOfFramingAre1002) {
  EXPECT_EQ(ViolationIn("\x81\x01x"), 1002) << "no mask";
  for (const int bits : {0x40, 0x20, 0x10, 0x70}) {
    EXPECT_EQ(ViolationIn(Frame(static_cast<uint8_t>(0x81 | bits), "x")), 1002) << bits;
    EXPECT_EQ(ViolationIn(Frame(static_cast<uint8_t>(0x89 | bits), "x")), 1002) << bits;
  }
  for (const int opcode : {3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf}) {
    EXPECT_EQ(ViolationIn(Frame(static_cast<uint8_t>(0x80 | opcode), "x")), 1002) << opcode;
  }
  for (const int control : {0x8, 0x9, 0xa}) {
    EXPECT_EQ(ViolationIn(Frame(static_cast<uint8_t>(control), "")), 1002) << "in fragments";
    EXPECT_EQ(ViolationIn(Frame(static_cast<uint8_t>(0x80 | control), std::string(126, 'x'))), 1002)
        << "longer than 125";
  }
  EXPECT_EQ(ViolationIn(Frame(0x80, "x")), 1002) << "continuation of nothing";
  EXPECT_EQ(ViolationIn(Frame(0x00, "x")), 1002) << "continuation of nothing";
  EXPECT_EQ(ViolationIn(Frame(0x81, "x") + Frame(0x80, "x")), 1002) << "continuation of the ended";
  EXPECT_EQ(ViolationIn(Frame(0x01, "x") + Frame(0x81, "x")), 1002) << "message in a message";
  EXPECT_EQ(ViolationIn(Frame(0x01, "x") + Frame(0x02, "x")), 1002) << "message in a message";
  EXPECT_EQ(ViolationIn("\x81\xfe\x00\x7d...."sv), 1002) << "125 in the form for more";
  EXPECT_EQ(ViolationIn("\x81\xff\x00\x00\x00\x00\x00\x00\xff\xff...."sv), 1002) << "65535 in 8";
  EXPECT_EQ(ViolationIn("\x81\xff\x80\x00\x00\x00\x00\x00\x00\x01...."sv), 1002) << "top bit";
}

TEST(FrameParserTest, TextThatIsNotUtf8Is1007AlsoAcrossFragments) {
  for (const auto* bad : {"\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82"}) {
    EXPECT_EQ(ViolationIn(Frame(0x81, bad)), 1007);
    EXPECT_EQ(ViolationIn(Frame(0x82, bad)), 0) << "binary may be anything";
  }
  EXPECT_EQ(ViolationIn(Frame(0x01, "\xe2\x82") + Frame(0x80, "\xac")), 0) << "a split euro sign";
  EXPECT_EQ(ViolationIn(Frame(0x01, "\xe2\x82") + Frame(0x80, "x")), 1007);
  EXPECT_EQ(ViolationIn(Frame(0x01, "\xe2\x82") + Frame(0x80, "")), 1007);
}

TEST(FrameParserTest, ClosePayloadsAreChecked) {
  EXPECT_EQ(ViolationIn(Frame(0x88, "\x03")), 1002) << "half a code";
  for (const int code : {0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535}) {
    EXPECT_EQ(ViolationIn(Frame(0x88, ClosePayload(static_cast<uint16_t>(code)))), 1002) << code;
  }
  EXPECT_EQ(ViolationIn(Frame(0x88, ClosePayload(1000, "\xff"))), 1007);
  for (const int code : {1000, 1001, 1002, 1003, 1007, 1011, 1012, 1014, 3000, 3999, 4000, 4999}) {
    const auto seen = Parse(Frame(0x88, ClosePayload(static_cast<uint16_t>(code), "bye")));
    EXPECT_EQ(seen.at(0), (Seen{Type::kClose, "bye", static_cast<uint16_t>(code)}));
  }
}

TEST(FrameParserTest, MemoryIsReleasedOnlyBetweenMessages) {
  FrameParser parser(FrameParser::Sender::kClient, kMaxMessage);
  const auto feed = [&](std::string bytes) {
    bytes.append(FrameParser::kPadding, '?');
    FrameParser::Input input{bytes.data(), bytes.data() + bytes.size() - FrameParser::kPadding};
    return std::string(parser.Next(input).payload);
  };
  feed(Frame(0x01, "kept "));
  parser.ReleaseIdleMemory();
  EXPECT_EQ(feed(Frame(0x80, "whole")), "kept whole");
  parser.ReleaseIdleMemory();
  EXPECT_EQ(feed(Frame(0x81, "next")), "next");
}

}  // namespace
}  // namespace graspd::net
