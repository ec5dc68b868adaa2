// Bytes of a WebSocket client, in pieces of any size, against a second reader of RFC 6455 that is
// slow and simple and has all bytes at once.
#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/utf8.h"
#include "net/frame_parser.h"
#include "tests/fuzz/fuzz.h"

namespace graspd::fuzz {
namespace {

using net::FrameParser;
using Type = FrameParser::Type;

constexpr size_t kMaxMessage = 1000;

struct Seen {
  Type type;
  std::string payload;
  uint16_t code;
  bool operator==(const Seen&) const = default;
  [[nodiscard]] bool last() const { return type == Type::kClose || type == Type::kViolation; }
};

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const size_t bytes = base::Utf8CharacterBytes(text);
    if (bytes == 0) return false;
    text.remove_prefix(bytes);
  }
  return true;
}

// ---- the second reader -------------------------------------------------------------------------

class Reference {
 public:
  explicit Reference(std::string_view bytes) : input_(bytes), left_(bytes.size()) {
    while (Frame()) {
    }
  }
  [[nodiscard]] const std::vector<Seen>& seen() const { return seen_; }

 private:
  bool End(uint16_t code) {
    seen_.push_back({Type::kViolation, "", code});
    return false;
  }
  uint8_t Byte() {
    --left_;
    return input_.Byte();
  }
  // False at the end: of the bytes, by a Close, or by a violation.
  bool Frame() {
    if (left_ < 2) return false;
    const uint8_t first = Byte(), second = Byte();
    const size_t more = (second & 0x7f) == 126 ? 2 : (second & 0x7f) == 127 ? 8 : 0;
    if (left_ < more + (second & 0x80 ? 4 : 0)) return false;
    uint64_t length = more == 0 ? second & 0x7f : 0;
    for (size_t i = 0; i < more; ++i) length = length << 8 | Byte();
    if (first & 0x70 || !(second & 0x80)) return End(1002);
    if ((more == 2 && length < 126) || (more == 8 && (length < 65536 || length >> 63))) {
      return End(1002);
    }
    std::array<uint8_t, 4> mask;
    for (uint8_t& byte : mask) byte = Byte();
    const uint8_t opcode = first & 0xf;
    if (!Begin(opcode, first & 0x80, length)) return false;
    if (left_ < length) return false;
    left_ -= length;
    std::string payload(input_.Bytes(length));
    for (size_t i = 0; i < payload.size(); ++i)
      payload[i] = static_cast<char>(payload[i] ^ mask[i % 4]);
    return opcode >= 8 ? Control(opcode, payload) : Data(first & 0x80, payload);
  }
  bool Begin(uint8_t opcode, bool final, uint64_t length) {
    if ((opcode > 2 && opcode < 8) || opcode > 10) return End(1002);
    if (opcode >= 8) return (final && length <= 125) || End(1002);
    if ((opcode == 0) != open_) return End(1002);
    if (opcode != 0) {
      open_ = true;
      text_ = opcode == 1;
      fragments_ = 0;
    }
    if (message_.size() + length > kMaxMessage) return End(1009);
    return ++fragments_ <= FrameParser::kMaxFragments || End(1009);
  }
  bool Control(uint8_t opcode, const std::string& payload) {
    if (opcode != 8) {
      seen_.push_back({opcode == 9 ? Type::kPing : Type::kPong, payload, 0});
      return true;
    }
    if (payload.empty()) return seen_.push_back({Type::kClose, "", 1005}), false;
    if (payload.size() == 1) return End(1002);
    const int code = static_cast<uint8_t>(payload[0]) * 256 + static_cast<uint8_t>(payload[1]);
    const bool known = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
                       (code >= 3000 && code <= 4999);
    if (!known) return End(1002);
    if (!IsUtf8(payload.substr(2))) return End(1007);
    seen_.push_back({Type::kClose, payload.substr(2), static_cast<uint16_t>(code)});
    return false;
  }
  bool Data(bool final, const std::string& payload) {
    message_ += payload;
    if (!final) return true;
    open_ = false;
    if (text_ && !IsUtf8(message_)) return End(1007);
    seen_.push_back({text_ ? Type::kText : Type::kBinary, message_, 0});
    message_.clear();
    return true;
  }

  Input input_;
  uint64_t left_;
  std::vector<Seen> seen_;
  std::string message_;
  bool open_ = false, text_ = false;
  int fragments_ = 0;
};

// ---- ours --------------------------------------------------------------------------------------

std::string_view Readable(const FrameParser::Item& item) {
  unsigned sum = 0;  // of the padding too: AddressSanitizer looks on
  const bool message = item.type == Type::kText || item.type == Type::kBinary;
  for (size_t i = 0; message && i < item.payload.size() + FrameParser::kPadding; ++i) {
    sum += static_cast<uint8_t>(item.payload.data()[i]);
  }
  FUZZ_CHECK(sum < ~0u);
  return item.payload;
}

std::vector<Seen> Parse(std::string_view bytes, size_t piece) {
  FrameParser parser(FrameParser::Sender::kClient, kMaxMessage);
  std::vector<Seen> seen;
  for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size()))) {
    const std::string_view now = bytes.substr(0, piece);
    // Of exactly the size that is promised to the parser.
    const auto memory = std::make_unique<char[]>(now.size() + FrameParser::kPadding);
    std::copy(now.begin(), now.end(), memory.get());
    FrameParser::Input input{memory.get(), memory.get() + now.size()};
    for (;;) {
      const auto item = parser.Next(input);
      if (item.type == Type::kNone) break;
      seen.push_back(
          {item.type, item.type == Type::kViolation ? "" : std::string(Readable(item)), item.code});
      if (seen.back().last()) return seen;
    }
    FUZZ_CHECK(input.size() == 0);
    parser.ReleaseIdleMemory();
  }
  return seen;
}

}  // namespace

FUZZ_TARGET(frame) {
  Input input(bytes);
  const size_t piece = input.Byte() + size_t{1};
  const std::string_view stream = input.Rest();
  const Reference reference(stream);
  FUZZ_CHECK(Parse(stream, SIZE_MAX) == reference.seen());
  FUZZ_CHECK(Parse(stream, piece) == reference.seen());
}

}  // namespace graspd::fuzz
