#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace graspd::net {

/// Finds messages and control frames in the bytes that one end of a WebSocket sends (RFC 6455,
/// section 5), without any I/O.
///
/// A message that lies whole in the bytes given is unmasked in place and not copied; only what is
/// still incomplete is kept, and memory grows with what has arrived, never with what a header
/// promises. Errors: a violation is an item like any other, with the code to close with; nothing
/// may be parsed after it or after a Close. Threading: thread-compatible.
class FrameParser {
 public:
  /// Bytes behind a message that its receiver may read: simdjson looks at whole vectors.
  static constexpr size_t kPadding = 64;
  /// A client's message of more fragments is refused: each costs more than its bytes. There are
  /// servers that cut long messages small, so whoever reads one bounds the bytes instead.
  static constexpr int kMaxFragments = 64;

  /// Whose bytes they are: a client masks what it sends, a server must not.
  enum class Sender : uint8_t { kClient, kServer };

  enum class Type : uint8_t { kNone, kText, kBinary, kPing, kPong, kClose, kViolation };
  struct Item {
    Type type = Type::kNone;
    /// Of a message (UTF-8 if text), a ping or a pong; the reason of a kClose; what was wrong in a
    /// kViolation. Valid until the next call, with kPadding readable bytes behind a message.
    std::string_view payload;
    /// kClose: as received, 1005 if there was none. kViolation: to close with.
    uint16_t code = 0;
  };

  /// Payloads of more than `max_message` bytes, all fragments together, are violations (1009).
  FrameParser(Sender sender, size_t max_message) : sender_(sender), max_message_(max_message) {}

  /// Takes bytes from the front of `input` up to the end of the next item. kNone: all were taken
  /// and more are needed. `input` is overwritten; kPadding bytes behind it may be read.
  struct Input {
    char* begin;
    char* end;
    [[nodiscard]] size_t size() const { return static_cast<size_t>(end - begin); }
  };
  [[nodiscard]] Item Next(Input& input);

  /// Bytes kept of an item that is not complete.
  [[nodiscard]] size_t held() const { return (delivered_ ? 0 : message_.size()) + control_.size(); }

  /// True if a message or a control frame has begun and not ended.
  [[nodiscard]] bool under_way() const {
    return message_opcode_ != 0 || in_payload_ || header_bytes_ != 0;
  }

  /// Gives back memory of earlier messages unless one is under way. For a periodic sweep; what the
  /// last call to Next gave out must not be in use any more.
  void ReleaseIdleMemory();

 private:
  static constexpr size_t kMaxHeader = 14, kMaxControl = 125;

  [[nodiscard]] bool TakeHeader(Input& input);
  [[nodiscard]] Item CheckHeader();
  [[nodiscard]] Item BeginData(uint8_t opcode, uint64_t length);
  [[nodiscard]] Item TakePayload(Input& input);
  [[nodiscard]] Item EndFrame(char* payload, size_t bytes);
  [[nodiscard]] Item EndMessage(std::string_view message);
  [[nodiscard]] static Item Control(uint8_t opcode, std::string_view payload);
  [[nodiscard]] bool in_control() const { return (opcode_ & 0x8) != 0; }

  const Sender sender_;
  const size_t max_message_;
  std::string message_;  // of the message under way, what came in earlier calls
  std::string control_;  // the same of a control frame

  // The frame under way.
  std::array<uint8_t, kMaxHeader> header_;
  uint8_t header_bytes_ = 0;
  bool in_payload_ = false;
  bool final_ = false;
  uint8_t opcode_ = 0;
  uint8_t mask_offset_ = 0;
  std::array<uint8_t, 4> mask_;
  uint64_t left_ = 0;  // payload bytes that have not come

  uint8_t message_opcode_ = 0;  // 0 = no message is under way
  bool delivered_ = false;      // message_ was given out by the last call
  int fragments_ = 0;
};

/// Masks or unmasks payload that begins `offset` bytes after the start of its frame's (RFC 6455,
/// 5.3).
void ApplyMask(char* data, size_t bytes, const std::array<uint8_t, 4>& mask, uint8_t offset = 0);

}  // namespace graspd::net
