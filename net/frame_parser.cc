#include "net/frame_parser.h"

#include <simdjson.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace graspd::net {
namespace {

constexpr uint8_t kContinuation = 0x0, kTextFrame = 0x1, kBinaryFrame = 0x2;
constexpr uint8_t kPingFrame = 0x9, kPongFrame = 0xa;
constexpr uint16_t kProtocolError = 1002, kNoCode = 1005, kBadData = 1007, kTooBig = 1009;

using Item = FrameParser::Item;
using Type = FrameParser::Type;

Item Violation(uint16_t code, std::string_view what) { return {Type::kViolation, what, code}; }

bool IsUtf8(std::string_view text) { return simdjson::validate_utf8(text.data(), text.size()); }

/// Codes that may stand in a Close frame: RFC 6455, 7.4, and the registry of its section 11.7.
bool MayBeSent(uint16_t code) {
  if (code >= 3000) return code < 5000;
  return code >= 1000 && code <= 1014 && (code < 1004 || code > 1006);
}

}  // namespace

void ApplyMask(char* data, size_t bytes, const std::array<uint8_t, 4>& mask, uint8_t offset) {
  std::array<uint8_t, 8> pattern;
  for (size_t i = 0; i < pattern.size(); ++i) pattern[i] = mask[(offset + i) % 4];
  uint64_t wide;
  std::memcpy(&wide, pattern.data(), sizeof(wide));
  size_t i = 0;
  for (; i + sizeof(wide) <= bytes; i += sizeof(wide)) {
    uint64_t word;
    std::memcpy(&word, data + i, sizeof(word));
    word ^= wide;
    std::memcpy(data + i, &word, sizeof(word));
  }
  for (; i < bytes; ++i) data[i] = static_cast<char>(data[i] ^ pattern[i % pattern.size()]);
}

namespace {

/// The bytes of a header whose second byte is `second`, mask included.
size_t HeaderBytes(uint8_t second) {
  const uint8_t length = second & 0x7f;
  const size_t extended = length == 126 ? 2 : length == 127 ? 8 : 0;
  return 2 + extended + ((second & 0x80) != 0 ? 4 : 0);
}

}  // namespace

Item FrameParser::Next(Input& input) {
  if (std::exchange(delivered_, false)) message_.clear();
  for (;;) {
    if (!in_payload_) {
      if (!TakeHeader(input)) return {};
      if (const Item wrong = CheckHeader(); wrong.type != Type::kNone) return wrong;
      in_payload_ = true;
    }
    if (left_ != 0 && input.size() == 0) return {};
    if (const Item item = TakePayload(input); item.type != Type::kNone) return item;
  }
}

bool FrameParser::TakeHeader(Input& input) {
  while (input.size() != 0) {
    const size_t wanted = header_bytes_ < 2 ? 2 : HeaderBytes(header_[1]);
    const size_t taken = std::min(wanted - header_bytes_, input.size());
    std::memcpy(header_.data() + header_bytes_, input.begin, taken);
    input.begin += taken;
    header_bytes_ = static_cast<uint8_t>(header_bytes_ + taken);
    if (header_bytes_ >= 2 && header_bytes_ == HeaderBytes(header_[1])) return true;
  }
  return false;
}

Item FrameParser::CheckHeader() {
  const uint8_t first = header_[0], second = header_[1];
  header_bytes_ = 0;
  final_ = (first & 0x80) != 0;
  opcode_ = first & 0x0f;
  if ((first & 0x70) != 0) return Violation(kProtocolError, "reserved bits");
  const bool masked = (second & 0x80) != 0;
  if (masked != (sender_ == Sender::kClient)) {
    return Violation(kProtocolError, masked ? "frame with a mask" : "frame without a mask");
  }
  uint64_t length = second & 0x7f;
  const size_t extended = length == 126 ? 2 : length == 127 ? 8 : 0;
  if (extended != 0) {
    length = 0;
    for (size_t i = 0; i < extended; ++i) length = length << 8 | header_[2 + i];
    const uint64_t shorter_reach = extended == 2 ? 125 : 65535;
    if (length <= shorter_reach || length >> 63 != 0) {
      return Violation(kProtocolError, "length in the wrong form");
    }
  }
  if (masked) std::memcpy(mask_.data(), header_.data() + 2 + extended, mask_.size());
  mask_offset_ = 0;
  left_ = length;
  if (!in_control()) return BeginData(opcode_, length);
  control_.clear();
  if (opcode_ > kPongFrame) return Violation(kProtocolError, "unknown opcode");
  if (!final_ || length > kMaxControl) {
    return Violation(kProtocolError, "control frame too long or in fragments");
  }
  return {};
}

Item FrameParser::BeginData(uint8_t opcode, uint64_t length) {
  if (opcode > kBinaryFrame) return Violation(kProtocolError, "unknown opcode");
  if ((opcode == kContinuation) != (message_opcode_ != 0)) {
    return Violation(kProtocolError, opcode == kContinuation ? "continuation of nothing"
                                                             : "message inside a message");
  }
  if (opcode != kContinuation) {
    message_opcode_ = opcode;
    fragments_ = 0;
  }
  if (length > max_message_ - message_.size()) return Violation(kTooBig, "message too long");
  if (++fragments_ > kMaxFragments && sender_ == Sender::kClient)
    return Violation(kTooBig, "message in too many fragments");
  return {};
}

/// Takes what there is of the frame's payload; the item that the frame ends, if it does.
Item FrameParser::TakePayload(Input& input) {
  const size_t bytes = std::min<uint64_t>(left_, input.size());
  char* const payload = input.begin;
  if (sender_ == Sender::kClient) ApplyMask(payload, bytes, mask_, mask_offset_);
  input.begin += bytes;
  left_ -= bytes;
  if (left_ == 0) {
    in_payload_ = false;
    return EndFrame(payload, bytes);
  }
  mask_offset_ = static_cast<uint8_t>((mask_offset_ + bytes) % mask_.size());
  (in_control() ? control_ : message_).append(payload, bytes);
  return {};
}

/// The frame ends with these bytes of its payload; those before are kept already.
Item FrameParser::EndFrame(char* payload, size_t bytes) {
  if (in_control()) {
    if (control_.empty()) return Control(opcode_, {payload, bytes});
    control_.append(payload, bytes);
    return Control(opcode_, control_);
  }
  if (final_ && message_.empty()) return EndMessage({payload, bytes});
  message_.append(payload, bytes);
  if (!final_) return {};
  message_.reserve(message_.size() + kPadding);
  delivered_ = true;
  return EndMessage(message_);
}

Item FrameParser::EndMessage(std::string_view message) {
  const bool text = std::exchange(message_opcode_, uint8_t{0}) == kTextFrame;
  if (text && !IsUtf8(message)) return Violation(kBadData, "text that is not UTF-8");
  return {text ? Type::kText : Type::kBinary, message, 0};
}

Item FrameParser::Control(uint8_t opcode, std::string_view payload) {
  if (opcode == kPingFrame) return {Type::kPing, payload, 0};
  if (opcode == kPongFrame) return {Type::kPong, payload, 0};
  if (payload.empty()) return {Type::kClose, {}, kNoCode};
  if (payload.size() == 1) return Violation(kProtocolError, "half a close code");
  const auto code = static_cast<uint16_t>(static_cast<uint8_t>(payload[0]) << 8 |
                                          static_cast<uint8_t>(payload[1]));
  if (!MayBeSent(code)) return Violation(kProtocolError, "close code that may not be sent");
  if (!IsUtf8(payload.substr(2))) return Violation(kBadData, "close reason that is not UTF-8");
  return {Type::kClose, payload.substr(2), code};
}

void FrameParser::ReleaseIdleMemory() {
  if (message_opcode_ == 0) message_ = {};
}

}  // namespace graspd::net
